"""Tokens and the text that they were cut from: which part of it each stands for.

>>> from theano_rnn.config import TextConfig
>>> from theano_rnn.preprocessing import word_tokenizer
>>> sentence = '"You can\\'t,"  said Emma.'
>>> parts(sentence, word_tokenizer(TextConfig())(sentence))
['"', 'You', ' ca', "n't", ',', '"', '  said', ' Emma', '.']
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import sentence_splitter, word_tokenizer

QUOTES = ("``", "''")  # what NLTK makes of " and of '', which may be either
FARTHEST = 100  # characters that are passed over in search of a token


class Piece(NamedTuple):
    """A token and where it comes from.

    `text`: its part of the text, blanks before it included; empty where the text has nothing for it, as for the end of
    a sentence. `token`: as the tokenizer made it. `id`: the vocabulary's.
    """

    text: str
    token: str
    id: int


def parts(sentence: str, tokens: Sequence[str]) -> list[str]:
    """The part of `sentence` that each token stands for, blanks before it included; joined they are the sentence.

    A token that is not there as it is written has an empty part. What stands after the last one is added to it.
    """
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in sentence)  # place by place
    found: list[str] = []
    here = 0
    for token in tokens:
        ends = [end_of(token, text, here) for text in (sentence, lowered)]
        end = next((end for end in ends if end is not None), here)
        found.append(sentence[here:end])
        here = end
    if found:
        found[-1] += sentence[here:]
    return found


def end_of(token: str, text: str, start: int) -> int | None:
    """Where `token` ends in `text`, looked for from `start` on; None where it is not near."""
    places = []
    for form in (token, '"', "''") if token in QUOTES else (token,):
        place = text.find(form, start, start + FARTHEST + len(form))
        if place >= 0:
            places.append((place, place + len(form)))
    return min(places)[1] if places else None


def text_pieces(text: str, vocabulary: Vocabulary, end_id: int) -> list[Piece]:
    """What a model reads of a short text: its sentences' tokens, and after each sentence but the last its end.

    >>> vocabulary = Vocabulary.from_sentences([["Oh", ",", "no", "."]])
    >>> [piece.text for piece in text_pieces(" Oh, dear.  No.", vocabulary, vocabulary.eos_id)]
    [' Oh', ',', ' dear', '.', '', '  No', '.']
    """
    if vocabulary.text.unit == "char":
        return list(pieces_of([text], vocabulary))
    text = text.replace("\n", " ")
    sentences, here = [], 0
    for sentence in sentence_splitter(vocabulary.text)(text):
        end = text.find(sentence, here) + len(sentence)
        sentences.append(text[here:end])
        here = end
    return list(pieces_of(sentences, vocabulary, end_id=end_id))[:-1]


def pieces_of(sentences: Iterable[str], vocabulary: Vocabulary, *, end_id: int | None = None) -> Iterator[Piece]:
    """The pieces of sentences as they come; with `end_id` each sentence is followed by its end."""
    tokenize = word_tokenizer(vocabulary.text)
    for sentence in sentences:
        tokens = tokenize(sentence)
        for text, token in zip(parts(sentence, tokens), tokens):
            yield Piece(text, token, vocabulary.token_to_id(token))
        if end_id is not None:
            yield Piece("", vocabulary.id_to_token(end_id), end_id)
