"""Translate encoded sentences: batches of similar length, a beam search for each, results in the order of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.generation.batched_search import Hypothesis, SearchRules, beam_search

LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
BATCH_SIZES = (1, 8, 64)  # few, so that few shapes are compiled
MAX_POSITIONS = 64 * 256  # of the sources of a batch, padding included; it limits the memory


def translate(
    compiled: Callable[[str], Any],
    sources: Sequence[Any],
    *,
    start_id: int,
    end_id: int,
    source_pad_id: int,
    vocab_size: int,
    banned_ids: Sequence[int],
    rules: SearchRules,
    dtype: str,
    num_context: int = 3,
    num_features: int = 0,
) -> Iterator[list[Hypothesis]]:
    """Yields the best translations of each source sentence, in the order of `sources`.

    Parameters
    ----------
    compiled
        Returns the model's compiled ``encode`` and ``search_step``.
    sources : sequence of int32 arrays
        The ids of each sentence, its end included.
    banned_ids
        Ids that no translation may have, such as that of unknown words.
    num_context
        The number of the last results of ``encode`` that are the same in all steps. Those before them are the state.
    num_features
        As for `beam_search`.
    """
    banned = np.zeros(vocab_size, dtype)
    banned[list(banned_ids)] = -np.inf
    found: list[list[Hypothesis]] = [[] for _ in sources]
    for numbers, size, steps in batches_of([len(source) for source in sources]):
        source, mask = np.full((steps, size), source_pad_id, np.int32), np.zeros((steps, size), dtype)
        for column, number in enumerate(numbers):
            source[: len(sources[number]), column] = sources[number]
            mask[: len(sources[number]), column] = 1
        columns = np.repeat(np.arange(size, dtype=np.int32), rules.beam_size)
        results = compiled("encode")(source, mask, columns)
        state, context = results[:-num_context], results[-num_context:]
        empty = [0] * (size - len(numbers))
        source_lengths = [*(len(sources[number]) for number in numbers), *empty]
        lengths = [*(2 * len(sources[number]) + 10 for number in numbers), *empty]
        texts = beam_search(
            compiled("search_step"), state, context, lengths, start_id=start_id, end_id=end_id, banned=banned,
            rules=rules, num_features=num_features, source_lengths=source_lengths,
        )  # fmt: skip
        for number, text in zip(numbers, texts):
            found[number] = text
    yield from found


def batches_of(lengths: Sequence[int]) -> Iterator[tuple[list[int], int, int]]:
    """Yields batches of sentences of similar length: their numbers, the number of columns, and the padded length.

    >>> [(len(numbers), size, steps) for numbers, size, steps in batches_of([5] * 70 + [300, 9_000])]
    [(64, 64, 8), (7, 8, 512), (1, 1, 9216)]
    """
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    while order:
        for count in range(min(len(order), BATCH_SIZES[-1]), 0, -1):
            size = next(size for size in BATCH_SIZES if size >= count)
            steps = padded_length(lengths[order[count - 1]])
            if count == 1 or size * steps <= MAX_POSITIONS:
                break
        yield order[:count], size, steps
        order = order[count:]


def padded_length(length: int) -> int:
    """Returns one of `LENGTHS`, or a multiple of the last one."""
    return next((each for each in LENGTHS if each >= length), -(-length // LENGTHS[-1]) * LENGTHS[-1])
