"""Detokenizing: NLTK's tokens joined to the text that they came from."""

import pytest

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.detokenizing import join_words
from theano_rnn.text.words import word_tokenizer


@pytest.mark.parametrize(
    "sentence",
    [
        '"You can\'t mean it!" said Mrs. Elton.',
        "She (Emma) had $3.50; he, 5%: nothing.",
        "'Tis true--'twas _him_, d'ye see?",
        'He cried--"Oh! I cannot [stay]..."',
        "I'll say they're here, they've gone, I'd go, I'm off, Jane's.",
        "“No,” she said, ‘yes’ and «non».",
        "gonna gimme gotta lemme &c. and so forth",
        "He called it 'absurd' and left.",
        "The Musgroves' house stood there.",
        "Wait....",
    ],
)
def test_words_come_back_as_they_were_written(sentence):
    assert join_words(word_tokenizer(TextConfig())(sentence)) == sentence


def test_no_tokens_are_no_text():
    assert join_words([]) == ""


def test_straight_quotation_marks_open_and_close_in_turn():
    assert join_words(['"', "a", '"', "b", '"', "c", '"']) == '"a" b "c"'
