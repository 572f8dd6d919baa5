"""Translate encoded sentences with a batched beam search, in the order of the input.

Sentences of similar length are searched together, each in a slot of a batch. When a quarter of the slots are complete,
other sentences begin in them: most sentences need fewer steps than the longest of a batch, and a step takes as long for
complete ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.engine.columns import replace_columns
from theano_rnn.generation.batched_search import BeamSearch
from theano_rnn.generation.hypotheses import Hypothesis, SearchRules

LENGTHS = (8, 16, 32, 64, 128, 256)  # padding costs little, while each group ends with slots that are free
BATCH_SIZES = (1, 8, 64)  # few, so that few shapes are compiled
MAX_POSITIONS = 64 * 256  # of the sources of a batch, padding included; it limits the memory
MIN_FREE = 4  # a batch is refilled when this part of its slots is free, one fourth
NO_SENTENCE = -1


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
    for numbers, size, steps in groups_of([len(source) for source in sources]):
        search = BeamSearch(
            size, rules, start_id=start_id, end_id=end_id, max_length=max_words(steps), num_features=num_features,
            num_positions=steps,
        )  # fmt: skip
        batch = Batch(compiled("encode"), search, num_context)
        waiting = [(number, sources[number]) for number in reversed(numbers)]  # the longest first: it takes longest
        while waiting or search.is_open.any():
            for number, slot in batch.begin(waiting, steps, source_pad_id, dtype):
                found[number] = search.best(slot)
            batch.state = search.advance(
                compiled("search_step")(search.tokens, search.parents, *batch.state, banned, *batch.context)
            )
        for slot, number in enumerate(batch.numbers):
            if number != NO_SENTENCE:
                found[number] = search.best(slot)
    yield from found


class Batch:
    """The sentences in the slots of a search, and the arrays of their columns.

    Attributes
    ----------
    numbers : list of int
        The number of the sentence in each slot, or `NO_SENTENCE`.
    state, context : lists of arrays
        As for `beam_search`.
    """

    def __init__(self, encode: Callable[..., list[Any]], search: BeamSearch, num_context: int) -> None:
        self.encode, self.search, self.num_context = encode, search, num_context
        self.numbers = [NO_SENTENCE] * len(search.is_open)
        self.state: list[Any] = []
        self.context: list[Any] = []
        self.encoded: list[Any] = []  # the arrays of sentences that are ahead of their search
        self.ready: list[tuple[int, int, int]] = []  # number, length, and slot in these arrays

    def begin(self, waiting: list[tuple[int, Any]], steps: int, pad_id: int, dtype: str) -> Iterator[tuple[int, int]]:
        """Begin waiting sentences in free slots, if there are enough of them. Takes sentences from `waiting`.

        Yields the numbers of the sentences that were complete in these slots, and the slots.
        """
        free = np.flatnonzero(~self.search.is_open).tolist()
        size, beam_size = len(self.numbers), self.search.rules.beam_size
        if len(free) < max(size // MIN_FREE, 1):
            return
        while free and (waiting or self.ready):
            if not self.ready:
                group, waiting[:] = waiting[:size], waiting[size:]
                columns = np.repeat(np.arange(size, dtype=np.int32), beam_size)
                self.encoded = self.encode(*padded([ids for _, ids in group], size, steps, pad_id, dtype), columns)
                self.ready = [(number, len(ids), place) for place, (number, ids) in enumerate(group)]
            taken = np.full((size, beam_size), -1)
            for slot, (number, length, place) in zip(list(free), list(self.ready)):
                if self.numbers[slot] != NO_SENTENCE:
                    yield self.numbers[slot], slot
                self.numbers[slot] = number
                self.search.begin(slot, max_words(length), length)
                taken[slot] = place * beam_size + np.arange(beam_size)
                free.remove(slot)
                self.ready.remove((number, length, place))
            self.take(taken.ravel())

    def take(self, columns: Any) -> None:
        """Put columns of the encoded sentences in the place of the columns of slots; -1 keeps a column."""
        state, context = self.encoded[: -self.num_context], self.encoded[-self.num_context :]
        if not self.state:
            self.state, self.context = state, context
            return
        self.state = [replace_columns(*pair, columns, 0) for pair in zip(self.state, state)]
        self.context = [
            replace_columns(*pair, columns, 1) if np.ndim(pair[0]) else pair[0] for pair in zip(self.context, context)
        ]


def padded(sentences: Sequence[Any], size: int, steps: int, pad_id: int, dtype: str) -> tuple[Any, Any]:
    """Returns the ids of sentences, one in each of the first columns, int32 (steps, size), and their mask."""
    source, mask = np.full((steps, size), pad_id, np.int32), np.zeros((steps, size), dtype)
    for column, ids in enumerate(sentences):
        source[: len(ids), column] = ids
        mask[: len(ids), column] = 1
    return source, mask


def max_words(source_length: int) -> int:
    """Returns the greatest number of words of a translation, its end included."""
    return 2 * source_length + 10


def groups_of(lengths: Sequence[int]) -> Iterator[tuple[list[int], int, int]]:
    """Yields groups of sentences of similar length: their numbers, by length, the number of slots of a batch, and the
    padded length.

    A group fills at least one batch, unless there are no more sentences or they are long.

    >>> [(len(numbers), size, steps) for numbers, size, steps in groups_of([5] * 70 + [11, 300, 9_000])]
    [(70, 64, 8), (2, 8, 512), (1, 1, 9216)]
    """
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    while order:
        count, longest = 0, 0
        while count < len(order):
            steps = padded_length(lengths[order[count]])
            is_full = steps > longest and count >= most_slots(longest)
            if count and (is_full or num_slots(count + 1, steps) < num_slots(count, longest)):
                break
            count, longest = count + 1, steps
        yield order[:count], num_slots(count, longest), longest
        order = order[count:]


def num_slots(count: int, steps: int) -> int:
    """Returns how many sentences of `steps` positions are searched at once, given how many there are."""
    return next(size for size in BATCH_SIZES if size >= min(count, most_slots(steps)))


def most_slots(steps: int) -> int:
    """Returns the largest number of sentences of `steps` positions that are searched at once."""
    return max((size for size in BATCH_SIZES if size * steps <= MAX_POSITIONS), default=BATCH_SIZES[0])


def padded_length(length: int) -> int:
    """Returns one of `LENGTHS`, or a multiple of the last one."""
    return next((each for each in LENGTHS if each >= length), -(-length // LENGTHS[-1]) * LENGTHS[-1])
