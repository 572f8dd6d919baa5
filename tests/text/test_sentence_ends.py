"""Sentence ends: what Punkt takes for a sentence of its own, and what older models still do."""

import pytest

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.words import sentence_splitter

SPLIT = sentence_splitter(TextConfig())


@pytest.mark.parametrize(
    "sentence",
    [
        "Great film!!!",
        "Really?!",
        '"Really?!!"',
        "(Really?! ... !)",
        "Great film! !! !",
        '"What?" he asked.',
        "“What?” he asked.",
        "‘What?!’ he asked.",
        "„Was?“ fragte er.",
        "»Was!« sagte er.",
        "« Quoi ? » demanda-t-il.",
        "«Quoi?» demanda-t-il.",
        "Ah! how well I remember!",
        '"Well!--and what then?" said he.',
        '"I know." he said.',
        'Oh! (laughing) yes, "no!"--said she.',
        "Let me see E.'s letter.",
    ],
)
def test_a_sentence_stays_whole(sentence):
    text = f"So it was. {sentence}"
    assert SPLIT(text) == ["So it was.", sentence]
    assert SPLIT(f"{text} Then he left.") == ["So it was.", sentence, "Then he left."]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('"What?" He asked.', 2),
        ("Ah! How well.", 2),
        ("Great film!!! I liked it.", 2),
        ("“Go.” “No!” “Yes?”", 3),
        ("Il vint. « Quoi ? » Elle rit. «Oui.» Fin.", 5),
        ("„Ja.“ „Nein!“ »Doch?« Er ging.", 4),
        ("Is he? I am. 3 came! 4 went.", 4),
        ("what a film! i liked it? yes! no.", 4),  # a text without capital letters
        ("He came. she left.", 2),  # a full stop ends a sentence, as before
        ("...", 1),
        ("!", 1),
    ],
)
def test_other_sentences_end_as_before(text, number):
    assert len(SPLIT(text)) == number
    assert " ".join(SPLIT(text)) == text


def test_older_models_keep_their_sentences():
    split = sentence_splitter(TextConfig(rules=1))
    assert split('Great film!!! "What?" he asked. Ah! how well!!') == [
        "Great film!!!", '"What?"', "he asked.", "Ah!", "how well!", "!",
    ]  # fmt: skip
