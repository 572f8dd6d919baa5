"""Labelled texts as arrays: tokens, lengths and labels of the training, validation and test parts."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theano_rnn.preprocessing import stable_description
from theano_rnn.settings.base import UserError
from theano_rnn.settings.classification import LabelledTextsConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.labelled_sources import LabelledSource, labelled_sources
from theano_rnn.text.tokenizing import NUM_ENDS, Progress, tokenize_source, worker_pool
from theano_rnn.text.type_ids import TypeIds
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.vocabulary_extension import extend_vocabulary, new_vocabulary
from theano_rnn.text.worker_processes import WorkerPool

PARTS = ("train", "valid", "test")


class LabelledTexts:
    """Texts with labels.

    Attributes
    ----------
    ids : int32 (tokens,)
        The tokens of all texts, one text after another. `eos_id` ends each sentence.
    lengths : int64 (texts,)
        The number of tokens of each text, at least 1.
    labels : int32 (texts,)
    """

    def __init__(self, ids: Any, lengths: Any, labels: Any) -> None:
        self.ids, self.lengths, self.labels = ids, lengths, labels

    def __len__(self) -> int:
        return len(self.labels)


class Texts(NamedTuple):
    """The texts of one source. Ids number its types; label and line of each text."""

    name: str
    ids: npt.NDArray[np.int32]
    types: list[str]
    lengths: npt.NDArray[np.int64]
    labels: list[str]
    lines: list[int]


class LabelledCorpus(NamedTuple):
    """The parts, by name; the vocabulary and the labels of the training part; a hash of all; and advice on the data."""

    parts: dict[str, LabelledTexts]
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]


def load_labelled_texts(
    corpus: LabelledTextsConfig,
    text: TextConfig,
    *,
    vocabulary: Vocabulary | None = None,
    labels: Sequence[str] | None = None,
    add_words: int = 0,
    progress: Progress | None = None,
) -> LabelledCorpus:
    """Returns the labelled texts of the files that `corpus` names.

    Of n training texts with the same label, the first `ceil(n * (1 - valid_fraction - test_fraction))` are trained on,
    the next are the validation part, and the last `floor(n * test_fraction)` the test part. So every label is in the
    training part, and if it has enough texts, in every part, even if the texts are sorted by label.

    Parameters
    ----------
    vocabulary, labels
        Those of an existing model. If None, they are those of the training part.
    add_words, progress
        As of `load_corpus`.

    Raises
    ------
    OSError, UserError
        As in `tokenize_file`.
    UserError
        If there are fewer than two labels, or a text of another part has a label that the training part lacks.
    """
    paths = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    notes: list[str] = []
    files: dict[str, list[Texts]] = {}
    with contextlib.ExitStack() as stack:
        sources = {
            part: [stack.enter_context(source)
                   for source in labelled_sources(names, text, corpus.column, corpus.label_column)]
            for part, names in paths.items()
        }  # fmt: skip
        everything = [source for found in sources.values() for source in found]
        pool = stack.enter_context(worker_pool(text, sum(source.num_bytes for source in everything)))
        for part, found in sources.items():
            files[part] = [read_texts(source, text, pool, progress, notes) for source in found]
    chosen = split_texts(corpus, files)
    trained = count_labels(chosen["train"])
    check_labels(trained, corpus)
    if labels is None:
        labels = sorted(trained)
    check_known(chosen, labels)
    types, counts = count_types(chosen["train"])
    if vocabulary is None:
        vocabulary = new_vocabulary(types, counts, corpus, text)
    else:
        vocabulary = extend_vocabulary(vocabulary, types, counts, add_words)
    description = {"vocabulary": stable_description(vocabulary), "labels": list(labels)}
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    parts = {}
    for part, texts in chosen.items():
        if part == "test" and not len(texts):
            continue
        parts[part] = encode(texts, vocabulary, labels)
        for array in (parts[part].ids, parts[part].lengths, parts[part].labels):
            digest.update(f"{part} {array.size} ".encode())
            digest.update(np.ascontiguousarray(array).data)
    if not len(parts["valid"]):
        raise UserError("the validation part has no texts, because each label has too few: give more texts, raise "
                        "--valid-fraction, or name a file with --valid")  # fmt: skip
    return LabelledCorpus(parts, vocabulary, tuple(labels), digest.hexdigest(), tuple(notes))


def read_texts(
    source: LabelledSource, text: TextConfig, pool: WorkerPool, progress: Progress | None, notes: list[str]
) -> Texts:
    """Read the texts of a source; adds advice to `notes`. Blank texts are left out."""
    labels, lines, blank = [], [], []
    for found in source.labelled_texts(text):
        if found.text.strip():
            labels.append(found.label)
            lines.append(found.line)
        else:
            blank.append(found.line)
    if not labels:
        raise UserError(f"{source.name} contains no text")
    if blank:
        number = f"{len(blank):,} texts are" if len(blank) > 1 else "1 text is"
        notes.append(f"{source.name}: {number} blank and left out (the first one is in row {blank[0]:,})")
    tokenized = tokenize_source(source, text, pool, progress)
    ids = tokenized.ids
    if text.unit == "char":
        ends = np.flatnonzero(ids == tokenized.types.index("\n"))
    else:
        ends = np.flatnonzero(ids < NUM_ENDS if text.sentences == "line" else ids == 1)
    if len(ends) != len(labels):
        raise RuntimeError(f"{source.name} has {len(labels)} labels for {len(ends)} texts")
    return Texts(source.name, ids, tokenized.types, np.diff(ends + 1, prepend=0), labels, lines)


class Chosen(NamedTuple):
    """The texts of one part: for each source, the numbers of its texts."""

    sources: Sequence[Texts]
    numbers: Sequence[npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return sum(map(len, self.numbers))


def split_texts(corpus: LabelledTextsConfig, files: Mapping[str, Sequence[Texts]]) -> dict[str, Chosen]:
    """Returns the texts of each part; those that have no file come from the ends of the training texts of each label.

    Raises
    ------
    UserError
        If the fractions leave nothing to train on.
    """
    test_fraction = Fraction(str(corpus.test_fraction)) if not corpus.valid and not corpus.test else Fraction(0)
    valid_fraction = Fraction(str(corpus.valid_fraction)) if not corpus.valid else Fraction(0)
    if valid_fraction + test_fraction >= 1:
        raise UserError(f"valid_fraction + test_fraction must be less than 1, got {corpus.valid_fraction:g} + "
                        f"{corpus.test_fraction:g}: lower one of them, to leave texts to train on")  # fmt: skip
    trained = files["train"]
    label_ids: dict[str, int] = {}  # an array of labels would take the memory, if they are texts by mistake
    numbers = np.array([label_ids.setdefault(label, len(label_ids)) for source in trained for label in source.labels])
    order = np.argsort(numbers, kind="stable")
    part_of = np.zeros(len(numbers), np.int8)
    for places in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        first = ceil(len(places) * (1 - valid_fraction - test_fraction))
        last = max(first, ceil(len(places) * (1 - test_fraction)))
        part_of[places[first:last]], part_of[places[last:]] = 1, 2
    starts = np.cumsum([0, *(len(source.labels) for source in trained)])
    chosen = {}
    for number, part in enumerate(PARTS):
        if files[part] and part != "train":
            chosen[part] = Chosen(files[part], [np.arange(len(source.labels)) for source in files[part]])
            continue
        chosen[part] = Chosen(trained, [np.flatnonzero(part_of[start:end] == number)
                                        for start, end in itertools.pairwise(starts)])  # fmt: skip
    return chosen


def count_labels(chosen: Chosen) -> dict[str, int]:
    """Returns how many texts have each label."""
    counts: dict[str, int] = {}
    for source, numbers in zip(*chosen):
        for number in numbers:
            label = source.labels[number]
            counts[label] = counts.get(label, 0) + 1
    return counts


def check_labels(counts: Mapping[str, int], corpus: LabelledTextsConfig) -> None:
    """Raises `UserError` if the labels of the training part are too few, or nearly as many as its texts."""
    if len(counts) < 2:
        raise UserError(f"all training texts have the label {next(iter(counts))!r}: a classifier needs at least two "
                        "labels, so add texts with another one")  # fmt: skip
    if len(counts) > 20 and len(counts) > sum(counts.values()) / 2:
        raise UserError(f"there are {len(counts):,} labels for {sum(counts.values()):,} training texts, which looks "
                        "like a wrong column: name the column that has the labels with --label-column")  # fmt: skip


def check_known(chosen: Mapping[str, Chosen], labels: Sequence[str]) -> None:
    """Raises `UserError` if a text has a label that is not among `labels`."""
    known = set(labels)
    for part in chosen.values():
        for source, numbers in zip(*part):
            for number in numbers:
                if source.labels[number] not in known:
                    listed = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
                    raise UserError(
                        f"{source.name} row {source.lines[number]:,}: no training text has the label "
                        f"{source.labels[number]!r} (the labels are {listed}): correct it, or remove the row"
                    )


def count_types(chosen: Chosen) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Returns the types (distinct tokens) of the sources, and how often each occurs in the chosen texts."""
    counts: dict[str, int] = {}
    for source, numbers in zip(*chosen):
        is_chosen = np.zeros(len(source.labels), bool)
        is_chosen[numbers] = True
        found = np.bincount(source.ids[np.repeat(is_chosen, source.lengths)], minlength=len(source.types))
        for word, count in zip(source.types[NUM_ENDS:], found[NUM_ENDS:].tolist()):
            counts[word] = counts.get(word, 0) + count
    return list(counts), np.fromiter(counts.values(), np.int64, len(counts))


def encode(chosen: Chosen, vocabulary: Vocabulary, labels: Sequence[str]) -> LabelledTexts:
    """Returns the chosen texts with the ids of the vocabulary, and the numbers of their labels."""
    label_ids = {label: number for number, label in enumerate(labels)}
    ids, lengths, found = [], [], []
    for source, numbers in zip(*chosen):
        is_chosen = np.zeros(len(source.labels), bool)
        is_chosen[numbers] = True
        types = source.ids[np.repeat(is_chosen, source.lengths)]
        new_ids, new_lengths = TypeIds(vocabulary, source.types).texts(types, source.lengths[numbers])
        ids.append(new_ids)
        lengths.append(new_lengths)
        found.append(np.array([label_ids[source.labels[number]] for number in numbers], np.int32))
    if not ids:
        return LabelledTexts(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int32))
    return LabelledTexts(np.concatenate(ids), np.concatenate(lengths), np.concatenate(found))


def as_texts(texts: Sequence[Sequence[int]]) -> LabelledTexts:
    """Returns texts, given their ids, as arrays. All have label 0."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ids = np.fromiter((i for text in texts for i in text), np.int32, int(lengths.sum()))
    return LabelledTexts(ids, lengths, np.zeros(len(texts), np.int32))
