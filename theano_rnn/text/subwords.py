"""Subwords: learn byte-pair encoding from the words of a text, and split words into its pieces.

Byte-pair encoding (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) starts with single characters and joins the
most frequent pair of neighbours, again and again. So frequent words are one piece, and rare words are several. No word
is unknown: a character that the training text does not have is written as the bytes of its UTF-8 code (`<0xC3>`).

A *word* here is what stands between two blanks. Its first piece begins with `▁`, which stands for the blank before it,
so the pieces of a text can be joined to the same text. Digits, punctuation and symbols are cut off before pieces are
learned; the first of them in a word takes the mark, and an apostrophe within a word stays with the letters after it.

>>> pre_tokens('"Don\\'t,"'), pre_tokens("in"), pre_tokens("1815.")
(['▁"', 'Don', "'t", ',', '"'], ['▁in'], ['▁1', '8', '1', '5', '.'])

This is the only module that imports `tokenizers`. Only learning and splitting need that library; joining does not.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from theano_rnn.settings.base import UserError
from theano_rnn.text.subword_files import BYTE_PIECES, MARK, Merges, read_tokenizer, tokenizer_text

MIN_SIZE = 300  # of a vocabulary: 256 bytes, <unk>, </s>, and some letters
MIN_COUNT = 2  # a character or a pair that occurs less often is not worth a piece
BLOCK_CHARACTERS = 4096  # of the words that are counted at once
MAX_CACHED = 1 << 16  # pre-tokens whose pieces are remembered
APOSTROPHES = "'’"


class Shapes(dict[int, str]):
    """Maps the code of a character to its kind: `a` letter, `'` apostrophe, `m` mark, `1` digit, punctuation, symbol.

    Accents and invisible characters belong to the letters.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = "'" if character in APOSTROPHES else "m" if character == MARK else None
        kind = kind or ("1" if unicodedata.category(character)[0] in "PSN" else "a")
        self[code] = kind
        return kind


SHAPES = Shapes()
PRE_TOKEN = re.compile(r" ?(?:(?<=a)'a+|a+|[1'])| |m")  # in the shape of a word, with a blank before it


def pre_tokens(word: str) -> list[str]:
    """Returns the parts of a word that pieces never cross. The first one begins with the mark, others do not.

    A mark that is a character of the word is a part of its own, never the first.

    >>> pre_tokens("▁"), pre_tokens("a▁b")
    (['▁', '▁'], ['▁a', '▁', 'b'])
    """
    marked = MARK + word
    return [marked[found.start() : found.end()] for found in PRE_TOKEN.finditer(" " + word.translate(SHAPES))]


def library() -> Any:
    """Returns the package tokenizers.

    Raises
    ------
    UserError
        It is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise UserError(
            "subwords need the package tokenizers, which is not installed: run pip install 'theano_rnn[subword]'"
        ) from None
    return tokenizers


class SubwordEncoder:
    """Splits words into pieces, given the pieces, in the order of their numbers, and the merges, the first ones first.

    >>> encoder = SubwordEncoder((*BYTE_PIECES, "▁", "t", "o", "▁t"), [("▁", "t")])
    >>> encoder.numbers("to"), [BYTE_PIECES[number] for number in encoder.numbers("é")[1:]]
    ([259, 258], ['<0xC3>', '<0xA9>'])
    """

    def __init__(self, pieces: Sequence[str], merges: Merges) -> None:
        numbers = {piece: number for number, piece in enumerate(pieces)}
        model = library().models.BPE(vocab=numbers, merges=list(merges), byte_fallback=True)
        self.literal_mark = [numbers[BYTE_PIECES[byte]] for byte in MARK.encode()]

        def split(text: str) -> tuple[int, ...]:
            return tuple(token.id for token in model.tokenize(text))

        self.split: Callable[[str], tuple[int, ...]] = functools.lru_cache(MAX_CACHED)(split)

    def numbers(self, word: str) -> list[int]:
        """Returns the numbers of the pieces of a word."""
        if not word.isascii():
            word = word.encode("utf-8", "replace").decode()  # a half of a surrogate pair is no character
        first, *others = pre_tokens(word)
        found = [*self.split(first)]
        for part in others:
            found += self.literal_mark if part == MARK else self.split(part)
        return found


@functools.lru_cache(maxsize=4)
def subword_encoder(text: str) -> SubwordEncoder:
    """Returns the encoder of a tokenizer, given as the text of its JSON."""
    return SubwordEncoder(*read_tokenizer(text))


def learn_tokenizer(types: Sequence[str], counts: Any, *, max_size: int, min_count: int = 1) -> str:
    """Learn pieces from words. Returns the tokenizer as JSON; its most frequent piece has number 0.

    The result depends on the words and their counts alone, not on their order or on the number of threads.

    Parameters
    ----------
    types, counts
        Distinct words, and how often each occurs.
    max_size
        Maximum size of the vocabulary: the pieces, `<unk>` and `</s>`.
    min_count
        Characters and pairs that occur less often than this, or only once, get no piece.

    Raises
    ------
    UserError
        `max_size` is less than 300, or `tokenizers` is not installed.
    """
    if max_size < MIN_SIZE:
        raise UserError(f"vocab_size must be at least {MIN_SIZE} with unit subword, which has 256 pieces for single "
                        f"bytes, got {max_size}")  # fmt: skip
    num_pieces, least = max_size - 2, max(min_count, MIN_COUNT)
    parts = count_parts(types, counts)
    characters = frequent_characters(parts, least, (num_pieces - len(BYTE_PIECES)) // 2)
    pieces, merges = learn_merges(parts, characters, num_pieces - len(BYTE_PIECES), least)
    return numbered_by_frequency([*BYTE_PIECES, *pieces], merges, parts)


def count_parts(types: Sequence[str], counts: Any) -> Counter[str]:
    """Returns how often each pre-token occurs in the words."""
    parts = Counter[str]()
    for word, count in zip(types, counts):
        if count:
            for part in pre_tokens(word):
                parts[part] += int(count)
    return parts


def frequent_characters(parts: Mapping[str, int], min_count: int, limit: int) -> list[str]:
    """Returns the mark and at most `limit` - 1 of the most frequent characters."""
    counts = Counter[str]()
    for part, count in parts.items():
        for character in part:
            counts[character] += count
    del counts[MARK]
    ordered = sorted(counts, key=lambda character: (-counts[character], character))
    return [MARK, *(character for character in ordered[: limit - 1] if counts[character] >= min_count)]


def learn_merges(
    parts: Mapping[str, int], characters: Sequence[str], num_pieces: int, min_count: int
) -> tuple[list[str], Merges]:
    """Returns the pieces of more than a byte, `characters` first, and the merges that make them."""
    tokenizers = library()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=num_pieces, min_frequency=min_count, initial_alphabet=list(characters),
        limit_alphabet=len(characters), special_tokens=[], show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(repeated_words(parts, characters), trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    return sorted(learned["vocab"], key=learned["vocab"].get), [(a, b) for a, b in learned["merges"]]


def repeated_words(parts: Mapping[str, int], characters: Sequence[str]) -> Iterator[str]:
    """Yields every part as often as it occurs, separated by blanks, in texts of a few thousand characters.

    The library counts words itself and takes no counts. A part is cut at characters that have no piece.
    """
    others = {ord(character): " " for part in parts for character in part} | {ord(c): c for c in characters}
    waiting, size = [], 0
    for part, count in parts.items():
        for word in part.translate(others).split():
            if len(word) < 2:  # has no pairs
                continue
            remaining, most = count, max(1, BLOCK_CHARACTERS // (len(word) + 1))
            while remaining:
                number = min(remaining, most)
                remaining -= number
                waiting.append(" ".join([word] * number))
                size += number * (len(word) + 1)
                if size >= BLOCK_CHARACTERS:
                    yield " ".join(waiting)
                    waiting, size = [], 0
    yield " ".join(waiting)


def numbered_by_frequency(pieces: Sequence[str], merges: Merges, parts: Mapping[str, int]) -> str:
    """Returns the tokenizer as JSON, its pieces sorted by `(-count, piece)`, as words of a vocabulary are."""
    encoder, counts = SubwordEncoder(pieces, merges), [0] * len(pieces)
    for part, count in parts.items():
        for number in encoder.split(part):
            counts[number] += count
    order = sorted(range(len(pieces)), key=lambda number: (-counts[number], pieces[number]))
    return tokenizer_text([pieces[number] for number in order], merges)


def existing_tokenizer(path: str, types: Sequence[str], counts: Any) -> str:
    """Returns the tokenizer of a file tokenizer.json, with its pieces numbered by their frequency in the words.

    Raises
    ------
    OSError, UserError
        The file cannot be read, or is not such a tokenizer, as of `read_tokenizer`.
    """
    try:
        with open(path, encoding="utf-8") as file:
            pieces, merges = read_tokenizer(file.read(), name=path)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a tokenizer: give a tokenizer.json of the package tokenizers") from None
    return numbered_by_frequency(pieces, merges, count_parts(types, counts))
