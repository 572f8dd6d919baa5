"""The JSON of a tokenizer for subwords: write it, and check and read it.

The format is that of the package tokenizers, so `tokenizers.Tokenizer.from_str` splits texts into the same pieces (but
not a `▁` in the text). A checkpoint may be damaged, or made to do harm, so only the pieces and the merges are read from
it, and only if they fit together. Nothing here needs the package.

>>> text = tokenizer_text([*BYTE_PIECES, "▁", "a", "▁a"], [("▁", "a")])
>>> pieces, merges = read_tokenizer(text)
>>> pieces[-3:], merges
(('▁', 'a', '▁a'), [('▁', 'a')])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from theano_rnn.settings.base import UserError

MARK = "▁"  # stands for the blank before a word
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))
BYTE_OF = {piece: byte for byte, piece in enumerate(BYTE_PIECES)}
Merges = Sequence[tuple[str, str]]

CUT_OFF = r"\p{P}\p{S}\p{N}"  # punctuation, symbols, digits, as in `subwords.pre_tokens`
PRE_TOKEN = rf"▁?(?:(?<=[^{CUT_OFF}])['’][^{CUT_OFF}]+|[^{CUT_OFF}]+|[{CUT_OFF}])"
PRE_TOKENIZER = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": False},
        {"type": "Split", "pattern": {"Regex": PRE_TOKEN}, "behavior": "Isolated", "invert": False},
    ],
}
DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}


def tokenizer_text(pieces: Sequence[str], merges: Merges) -> str:
    """Returns the tokenizer as JSON: the pieces, numbered in this order, and the merges, the first ones first."""
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": True, "ignore_merges": False,
        "vocab": {piece: number for number, piece in enumerate(pieces)}, "merges": [list(pair) for pair in merges],
    }  # fmt: skip
    tokenizer: dict[str, Any] = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER, "post_processor": None, "decoder": DECODER, "model": model,
    }  # fmt: skip
    return json.dumps(tokenizer, ensure_ascii=False)


def read_tokenizer(text: str, name: str = "the tokenizer of the vocabulary") -> tuple[tuple[str, ...], Merges]:
    """Returns the pieces, in the order of their numbers, and the merges of a tokenizer.

    Pieces that can never occur in a text, such as `<s>`, are left out.

    Raises
    ------
    UserError
        It is not a byte-pair encoding with a piece for every byte, as that of a model of subwords is.
    """
    try:
        model = json.loads(text)["model"]
        if model.get("type", "BPE") != "BPE":
            raise UserError(f"{name} is not a byte-pair encoding, but {str(model['type'])[:40]}: give a BPE")
        vocab, merges = model["vocab"], [as_pair(merge) for merge in model["merges"]]
        "".join(vocab).encode()  # no half of a surrogate pair
        has_right_types = all(type(number) is int for number in vocab.values())
        options = [model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is not a tokenizer.json of the package tokenizers, or is damaged") from None
    if not has_right_types or len(set(vocab.values())) < len(vocab):
        raise UserError(f"{name} is damaged: its pieces must have different whole numbers")
    if any(options) or not vocab.keys() >= {MARK, *BYTE_PIECES}:
        raise UserError(
            f"{name} must have a piece {MARK} for the blank before a word, and pieces {BYTE_PIECES[0]} to "
            f"{BYTE_PIECES[-1]} for single bytes (byte_fallback): learn pieces from your text instead"
        )
    made = {piece for piece in vocab if len(piece) == 1}
    for first, second in merges:
        if first not in made or second not in made or first + second not in vocab:
            raise UserError(f"{name} is damaged: it joins {first[:40]!r} and {second[:40]!r}, which are not its pieces")
        made.add(first + second)
    if not made.isdisjoint(BYTE_PIECES):
        raise UserError(f"{name} is damaged: {min(made & {*BYTE_PIECES})} must be the piece of a byte alone")
    kept = sorted(made.union(BYTE_PIECES), key=vocab.__getitem__)
    return tuple(kept), merges


def as_pair(merge: Any) -> tuple[str, str]:
    """Returns the two pieces that a merge joins; older files write them as one text with a blank."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    if not isinstance(first, str) or not isinstance(second, str):
        raise TypeError
    return first, second
