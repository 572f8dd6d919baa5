"""The JSON of a tokenizer: written and read, and damaged or hostile ones are refused in one line."""

import json

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.text.subword_files import BYTE_PIECES, read_tokenizer, tokenizer_text
from theano_rnn.text.vocabulary import Vocabulary

LETTERS = [*BYTE_PIECES, "▁", *"abc"]
MERGES = [("▁", "a"), ("b", "c"), ("▁a", "bc")]
GOOD = tokenizer_text([*LETTERS, *map("".join, MERGES)], MERGES)
VOCAB = json.loads(GOOD)["model"]["vocab"]
WORDS = {"words": list(VOCAB), "text": {"unit": "subword", "rules": 2}}


def changed(**changes):
    values = json.loads(GOOD)
    values["model"] |= changes
    return json.dumps(values)


NOT_A_BYTE = [("<", "0"), ("x", "4"), ("1", ">"), ("<0", "x4"), ("<0x4", "1>")]
HOSTILE = {
    "no JSON": "{",
    "deep": "[" * 100_000,
    "null": "null",
    "list": "[1]",
    "no model": "{}",
    "text": '{"model": "BPE"}',
    "word piece": changed(type="WordPiece"),
    "no vocab": changed(vocab=None),
    "vocab list": changed(vocab=["a"]),
    "names": changed(vocab={piece: str(number) for piece, number in VOCAB.items()}),
    "true": changed(vocab=VOCAB | {"▁": True}),
    "same": changed(vocab=dict.fromkeys(VOCAB, 1)),
    "no bytes": changed(vocab={"▁": 0, "a": 1}, merges=[]),
    "no mark": changed(vocab={piece: number for piece, number in VOCAB.items() if piece != "▁"}),
    "half a pair": changed(vocab=VOCAB | {"\ud800": 10**6}),
    "other pieces": changed(merges=[["x", "yz"]]),
    "empty merge": changed(merges=[["", "a"]]),
    "numbers": changed(merges=[[1, 2]]),
    "three": changed(merges=["a b c"]),
    "order": changed(merges=MERGES[::-1]),
    "merges": changed(merges=7),
    "suffix": changed(end_of_word_suffix="</w>"),
    "prefix": changed(continuing_subword_prefix="##"),
    "byte": tokenizer_text([*LETTERS, *"<0x41>", "<0", "x4", "1>", "<0x4"], NOT_A_BYTE),
}


def test_a_tokenizer_comes_back():
    assert Vocabulary.from_json(WORDS | {"tokenizer": GOOD}).words == (*LETTERS, "▁a", "bc", "▁abc")
    assert read_tokenizer(changed(merges=["▁ a", "b c", "▁a bc"])) == read_tokenizer(GOOD)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_tokenizer_is_refused(text):
    with pytest.raises(UserError, match="tokenizer") as caught:
        read_tokenizer(text)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        Vocabulary.from_json(WORDS | {"tokenizer": text})
