"""Sentence pairs as arrays: the ids of both sides of the training, validation and test parts."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.preprocessing import stable_description
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.translation import ParallelTextsConfig
from theano_rnn.tasks.date_pairs import PairTexts, date_pairs
from theano_rnn.tasks.pair_batches import Pairs
from theano_rnn.text.parallel_sources import PairFiles
from theano_rnn.text.tables import KINDS
from theano_rnn.text.tokenizing import NUM_ENDS, Progress, TokenizedFile, tokenize_source, worker_pool
from theano_rnn.text.type_ids import TypeIds
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.vocabulary_extension import new_vocabulary

PARTS = ("train", "valid", "test")
SIDES = ("source", "target")


class Lines(NamedTuple):
    """The pairs of one set of files: the tokens of each side, the lengths of its sentences, and their line numbers;
    and all lines of the target, as they are in the file.
    """

    name: str
    sides: tuple[TokenizedFile, TokenizedFile]
    lengths: tuple[Any, Any]
    lines: Any
    targets: list[str]


class ParallelCorpus(NamedTuple):
    """The parts, by name, the vocabularies, a hash of all, and advice on the data.

    `unseen_ids` are the ids of a shared vocabulary that no training target has. They are only of the source language,
    so no translation may have them.
    """

    parts: dict[str, Pairs]
    source_vocabulary: Vocabulary
    vocabulary: Vocabulary
    unseen_ids: list[int]
    fingerprint: str
    notes: tuple[str, ...]


def load_pairs(
    corpus: ParallelTextsConfig,
    text: TextConfig,
    *,
    is_shared: bool = False,
    vocabularies: Sequence[Vocabulary] | None = None,
    progress: Progress | None = None,
) -> ParallelCorpus:
    """Returns the pairs of the files that `corpus` names, or generated dates if it names none.

    Parts without files are taken from the end of the training pairs: the last `test_fraction`, and `valid_fraction`
    before them.

    Parameters
    ----------
    is_shared
        Whether both languages have one vocabulary.
    vocabularies
        Those of an existing model, of source and target. If None, they are those of the training part.

    Raises
    ------
    OSError, UserError
        As in `PairFiles` and `tokenize_file`.
    """
    notes: list[str] = []
    files: dict[str, Lines] = {}
    with contextlib.ExitStack() as stack:
        opened: dict[str, Any] = {
            part: stack.enter_context(open_pairs(paths, (corpus.source_column, corpus.target_column), part))
            for part, paths in zip(PARTS, (corpus.train, corpus.valid, corpus.test))
            if paths
        } or {part: PairTexts("dates", pairs) for part, pairs in date_pairs().items()}
        size = sum(file.num_bytes for found in opened.values() for file in found.files)
        pool = stack.enter_context(worker_pool(text, size))
        for part, found in opened.items():
            kept, num_lines = found.find_pairs(text)
            notes += found.notes
            if len(kept) < num_lines:
                notes.append(f"{found.files[0].name}: {num_lines - len(kept):,} of {num_lines:,} pairs have a blank "
                             "side and are left out")  # fmt: skip
            sides = [with_ends(tokenize_source(found.side(number, kept), text, pool, progress)) for number in (0, 1)]
            ends = [np.flatnonzero(tokens.ids < NUM_ENDS) for tokens in sides]
            if not len(ends[0]) == len(ends[1]) == len(kept):
                raise RuntimeError(f"{found.files[0].name}: {len(kept)} pairs became {[len(each) for each in ends]}")
            spans = tuple(np.diff(end + 1, prepend=0) for end in ends)
            raw = list(found.lines(1, text))
            files[part] = Lines(found.files[0].name, (sides[0], sides[1]), (spans[0], spans[1]), kept, raw)
    chosen = split(corpus, files)
    if vocabularies is not None and is_shared and vocabularies[0] != vocabularies[1]:
        raise UserError("--shared-embedding needs one vocabulary, but the initial model has two: leave it out")
    if vocabularies is None:
        vocabularies = make_vocabularies(corpus, text, *chosen["train"], is_shared=is_shared)
    digest = hashlib.sha256(json.dumps([stable_description(each) for each in vocabularies], sort_keys=True).encode())
    parts = {}
    for part, (lines, numbers) in chosen.items():
        if not len(numbers) and part == "test":
            continue
        encoded = [encode(lines, side, numbers, each) for side, each in enumerate(vocabularies)]
        (source, source_lengths), (target, target_lengths) = encoded
        references = [] if part == "train" else [lines.targets[line] for line in lines.lines[numbers]]
        parts[part] = Pairs(source, target, source_lengths, target_lengths, lines.lines[numbers], references)
        if part == "train":
            parts[part] = without_long(parts[part], corpus.max_tokens_in_pair, lines.name, notes)
        digest.update("\n".join(references).encode("utf-8", "surrogatepass"))
        for array in parts[part][:5]:
            digest.update(f"{part} {array.size} ".encode())
            digest.update(np.ascontiguousarray(array).data)
    if not len(parts["valid"].lines):
        raise UserError("the validation part has no pairs: give more pairs, or name files with --valid")
    is_seen = np.ones(vocabularies[1].vocab_size, bool)
    if is_shared:
        is_seen = np.bincount(parts["train"].target, minlength=len(is_seen)) > 0
        is_seen[vocabularies[1].unk_id] = True  # it has rules of its own
    unseen_ids = np.flatnonzero(~is_seen).tolist()
    return ParallelCorpus(parts, vocabularies[0], vocabularies[1], unseen_ids, digest.hexdigest(), tuple(notes))


def with_ends(tokens: TokenizedFile) -> TokenizedFile:
    """Returns the tokens with the end of a sentence in the place of each line break, which texts of characters have."""
    if "\n" not in tokens.types:
        return tokens
    return tokens._replace(ids=np.where(tokens.ids == tokens.types.index("\n"), np.int32(0), tokens.ids))


def open_pairs(paths: Sequence[str], columns: Sequence[str | None], part: str) -> PairFiles:
    """Open the files of a part: two files, or one table.

    Raises
    ------
    UserError
        There are more than two files.
    """
    if len(paths) > 2:
        raise UserError(f"--{part} must be two files, the source and its translation, or one table "
                        f"({', '.join('.' + kind for kind in KINDS)}), got {len(paths)} files")  # fmt: skip
    return PairFiles(paths[0], paths[1] if len(paths) == 2 else None, columns)


def split(corpus: ParallelTextsConfig, files: dict[str, Lines]) -> dict[str, tuple[Lines, Any]]:
    """Returns the files and the numbers of the pairs of each part."""
    test_fraction = Fraction(str(corpus.test_fraction)) if files.keys() == {"train"} else Fraction(0)
    valid_fraction = Fraction(str(corpus.valid_fraction)) if "valid" not in files else Fraction(0)
    if valid_fraction + test_fraction >= 1:
        raise UserError(f"valid_fraction + test_fraction must be less than 1, got {corpus.valid_fraction:g} + "
                        f"{corpus.test_fraction:g}: lower one of them, to leave pairs to train on")  # fmt: skip
    train = files["train"]
    count = len(train.lines)
    edges = [0, floor(count * (1 - valid_fraction - test_fraction)), floor(count * (1 - test_fraction)), count]
    chosen = {}
    for part, begin, end in zip(PARTS, edges, edges[1:]):
        is_own = part in files and part != "train"
        chosen[part] = (files[part], np.arange(len(files[part].lines))) if is_own else (train, np.arange(begin, end))
    if len(chosen["train"][1]) < 2:
        raise UserError("the training part has fewer than two pairs: give more")
    return chosen


def make_vocabularies(
    corpus: ParallelTextsConfig, text: TextConfig, lines: Lines, numbers: Any, *, is_shared: bool
) -> tuple[Vocabulary, Vocabulary]:
    """Returns the vocabularies of source and target, made of the training part only."""
    counted: list[dict[str, int]] = []
    for side in (0, 1):
        tokens, lengths = lines.sides[side], lines.lengths[side]
        is_chosen = np.zeros(len(lengths), bool)
        is_chosen[numbers] = True
        counts = np.bincount(tokens.ids[np.repeat(is_chosen, lengths)], minlength=len(tokens.types))
        counted.append(dict(zip(tokens.types[NUM_ENDS:], counts[NUM_ENDS:].tolist())))
    if is_shared:
        source, target = counted
        both = {word: source.get(word, 0) + target.get(word, 0) for word in {**source, **target}}
        counted = [both, both]
    corpus = dataclasses.replace(corpus, vocab_size=corpus.largest_vocabulary(text.unit, len(numbers)))
    made = [
        new_vocabulary(list(words), np.fromiter(words.values(), np.int64, len(words)), corpus, text)
        for words in (counted[:1] if is_shared else counted)
    ]
    return made[0], made[-1]


def without_long(pairs: Pairs, most: int, name: str, notes: list[str]) -> Pairs:
    """Returns the pairs without those with a side of more than `most` tokens, and adds a note that counts them.

    Raises
    ------
    UserError
        Fewer than two pairs are left.
    """
    is_short = np.maximum(pairs.source_lengths, pairs.target_lengths) <= most
    if is_short.all():
        return pairs
    notes.append(f"{name}: {int((~is_short).sum()):,} training pairs have a side of more than {most} tokens and are "
                 "left out (--max-tokens-in-pair)")  # fmt: skip
    if is_short.sum() < 2:
        raise UserError(f"fewer than two training pairs have at most {most} tokens on each side: raise "
                        "--max-tokens-in-pair, or give pairs of sentences")  # fmt: skip
    source, target = (
        ids[np.repeat(is_short, lengths)]
        for ids, lengths in ((pairs.source, pairs.source_lengths), (pairs.target, pairs.target_lengths))
    )
    return Pairs(source, target, pairs.source_lengths[is_short], pairs.target_lengths[is_short], pairs.lines[is_short])


def encode(lines: Lines, side: int, numbers: Any, vocabulary: Vocabulary) -> tuple[Any, Any]:
    """Returns the ids of one side of the chosen pairs, int32 (tokens,), and how many each pair has."""
    tokens, lengths = lines.sides[side], lines.lengths[side]
    is_chosen = np.zeros(len(lengths), bool)
    is_chosen[numbers] = True
    types = tokens.ids[np.repeat(is_chosen, lengths)]
    return TypeIds(vocabulary, tokens.types).texts(types, lengths[numbers])
