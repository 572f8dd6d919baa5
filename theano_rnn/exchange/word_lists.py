"""The words of a model of PyTorch's example word_language_model, in the order of its rows.

That example saves a model without its words. They are numbered in the order in which they first occur in the example's
files train.txt, valid.txt and test.txt, where each line ends with ``<eos>``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theano_rnn.exchange.pytorch_exchange import BIAS, DECODER, ENCODER, NEVER
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.vocabulary import Vocabulary

PARTS = ("train.txt", "valid.txt", "test.txt")
END_NAMES, UNKNOWN_NAMES = ("<eos>", "</s>"), ("<unk>", "<UNK>")
EXAMPLE_TEXT = TextConfig(sentences="line", tokens="whitespace", rules=1)  # as the example reads text


def read_words(path: str | os.PathLike[str]) -> list[str]:
    """Returns the words of a file with one word on each line, or of the example's corpus, if `path` is its folder.

    Raises
    ------
    UserError
        The file is not UTF-8, or has an empty line.
    OSError
        A file is missing or cannot be read.
    """
    folder = Path(path)
    if folder.is_dir():
        words: dict[str, None] = {}
        for name in PARTS:
            for line in read_text(folder / name):
                words.update(dict.fromkeys(line.split()))
                words["<eos>"] = None
        return list(words)
    lines = [line.removesuffix("\r") for line in read_text(folder)]
    if lines and not lines[-1]:
        lines.pop()  # after the last line break
    if "" in lines:
        raise UserError(f"{path} has no word on line {lines.index('') + 1}: each line must be one word")
    return lines


def read_text(path: Path) -> list[str]:
    """Returns the lines of a UTF-8 file, of which the last may be empty."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: convert it to UTF-8") from None
    return text.split("\n") if path.name not in PARTS else text.splitlines()


def with_our_order(arrays: Mapping[str, Any], words: Sequence[str]) -> tuple[dict[str, Any], Vocabulary]:
    """Returns PyTorch's tensors with their rows in the order of our ids, and the vocabulary.

    Ours is ``<unk>``, ``</s>``, then the other words as they come. If there is no ``<unk>``, its row is zeros, and it
    is never predicted.

    Raises
    ------
    UserError
        The number of words differs from the number of rows, a word occurs twice, or no word ends a line.
    """
    shapes = [arrays[name].shape[:1] for name in (ENCODER, DECODER, BIAS) if name in arrays]
    if not shapes or len(set(shapes)) > 1 or not shapes[0]:
        raise UserError(f"{ENCODER}, {DECODER} and {BIAS} must have a row for each word")
    (rows,) = shapes[0]
    if rows != len(words):
        raise UserError(f"the model has rows for {rows:,} words, but {len(words):,} words are given: give those that "
                        "it was trained with, in the same order")  # fmt: skip
    numbers = {word: number for number, word in enumerate(words)}
    if len(numbers) < rows:
        raise UserError(f"words must be unique, but {Counter(words).most_common(1)[0][0]!r} occurs twice")
    end, unknown = (next((numbers[name] for name in names if name in numbers), None)
                    for names in (END_NAMES, UNKNOWN_NAMES))  # fmt: skip
    if end is None:
        raise UserError("the words have no <eos>, which ends each line in PyTorch's example")
    special = {end, unknown}
    others = [number for number in range(rows) if number not in special]
    vocabulary = Vocabulary(tuple(words[number] for number in others), EXAMPLE_TEXT, {})
    return {name: rows_in_order(name, array, [unknown, end, *others]) for name, array in arrays.items()}, vocabulary


def rows_in_order(name: str, array: Any, order: Sequence[int | None]) -> Any:
    """Returns the rows of a tensor of words in that order, with a new one for None; other tensors as they are."""
    if name not in (ENCODER, DECODER, BIAS):
        return array
    moved = array[[number or 0 for number in order]]
    if None in order:
        moved[order.index(None)] = NEVER if name == BIAS else 0
    return np.ascontiguousarray(moved)
