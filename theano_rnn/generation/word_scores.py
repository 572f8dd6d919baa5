"""Language models as a search for words uses them: log-probabilities of all words after a history.

A scorer has states, one for each history. `start` returns the one before the first word, `extend` those of histories
that are longer by a word, `log_probabilities` ln P of each word and, in the last place, of the end of the sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from theano_rnn.text.ngrams import END, START, NGramModel

CACHED_NUMBERS = 1 << 24  # of an n-gram model's distributions
COLUMNS = 16  # the number of histories that a recurrent model extends at once is rounded up to a multiple of this


class WordScorer(Protocol):
    """What a search for words asks of a language model."""

    def start(self) -> Any:
        """Returns the state before the first word."""

    def extend(self, states: Sequence[Any], words: Sequence[int]) -> Sequence[Any]:
        """Returns the state after each of `words`, which follows the history of the state in the same place."""

    def log_probabilities(self, state: Any) -> Any:
        """Returns ln P of each word and of the end after a history, float64 (words + 1,)."""

    def typical(self) -> Any:
        """Returns ln P of each word whatever its history is, float64 (words,), or None if the model has no such."""


class NGramWords:
    """An n-gram model as a scorer of the words of a lexicon.

    Parameters
    ----------
    model
    words
        The words of the lexicon. Those that the model does not know share the probability of ``<unk>``.
    """

    def __init__(self, model: NGramModel, words: Sequence[str]) -> None:
        self.model, self.words = model, list(words)
        self.places = {word: place for place, word in enumerate(self.words)} | {END: len(self.words)}
        self.cache: dict[tuple[str, ...], Any] = {}

    def start(self) -> tuple[str, ...]:
        return self.model.context([START])

    def extend(self, states: Sequence[tuple[str, ...]], words: Sequence[int]) -> list[tuple[str, ...]]:
        return [self.model.context([*state, self.words[word]]) for state, word in zip(states, words)]

    def log_probabilities(self, state: tuple[str, ...]) -> Any:
        if state not in self.cache:
            if len(self.cache) * len(self.places) > CACHED_NUMBERS:
                self.cache.clear()
            self.cache[state] = self.model.distribution(state, self.places, len(self.places))
        return self.cache[state]

    def typical(self) -> Any:
        return self.log_probabilities(())[:-1]


class SpelledWords:
    """An n-gram model of words as a scorer of letters: a word gets its probability when the separator ends it.

    The words need not be in a lexicon; unknown ones have the probability of ``<unk>``.

    Parameters
    ----------
    model
    letters
        All labels, from the one with id 1.
    separator
        The place of the label between words among `letters`.
    """

    def __init__(self, model: NGramModel, letters: Sequence[str], separator: int) -> None:
        self.model, self.letters, self.separator = model, list(letters), separator

    def start(self) -> tuple[tuple[str, ...], str]:
        return self.model.context([START]), ""

    def extend(self, states: Sequence[tuple[tuple[str, ...], str]], words: Sequence[int]) -> list[Any]:
        found: list[Any] = []
        for (context, word), place in zip(states, words):
            if place == self.separator:
                found.append((self.model.context([*context, word]) if word else context, ""))
            else:
                found.append((context, word + self.letters[place]))
        return found

    def log_probabilities(self, state: tuple[tuple[str, ...], str]) -> Any:
        context, word = state
        found = np.zeros(len(self.letters) + 1)
        ended = self.model.log_probability(word, context) if word else 0.0
        found[self.separator] = ended
        found[-1] = ended + self.model.log_probability(END, [*context, word] if word else context)
        return found

    def typical(self) -> None:
        return None


class RecurrentState(NamedTuple):
    """The state of a recurrent model after a history: arrays of one column, and ln P of the words that follow."""

    arrays: tuple[Any, ...]
    log_probabilities: Any


class RecurrentWords:
    """A recurrent language model as a scorer: one column of its step for each history.

    Parameters
    ----------
    step
        ``step(tokens, *state) -> [log-probabilities (columns, vocab), *state (columns, ...)]``.
    initial_state
        ``initial_state(columns) -> state``.
    ids
        The token of each word of the lexicon; None for those that its vocabulary lacks. They share the probability of
        `unk_id` equally.
    start_id, end_id, unk_id
        Tokens that begin and end a sentence, and of all unknown words.
    typical : optional
        What `typical` returns, such as that of an n-gram model, which makes a search with a narrow beam better.
    """

    def __init__(
        self, step: Callable[..., Sequence[Any]], initial_state: Callable[[int], Sequence[Any]],
        ids: Sequence[int | None], *, start_id: int, end_id: int, unk_id: int, typical: Any = None,
    ) -> None:  # fmt: skip
        self.step, self.initial_state, self.start_id, self.expected = step, initial_state, start_id, typical
        unknown = [word for word, token in enumerate(ids) if token is None]
        self.tokens = np.array([unk_id if token is None else token for token in ids] + [end_id], np.int32)
        self.shares = np.zeros(len(self.tokens))
        self.shares[unknown] = math.log(max(len(unknown), 1))

    def start(self) -> RecurrentState:
        tokens = np.full(COLUMNS, self.start_id, np.int32)
        return self.states(self.step(tokens, *self.initial_state(COLUMNS)), 1)[0]

    def extend(self, states: Sequence[RecurrentState], words: Sequence[int]) -> list[RecurrentState]:
        columns = -(-len(states) // COLUMNS) * COLUMNS
        padded = [*states, *[states[0]] * (columns - len(states))]
        tokens = self.tokens[[*words, *[words[0]] * (columns - len(states))]]
        arrays = [np.stack(each) for each in zip(*(state.arrays for state in padded))]
        return self.states(self.step(tokens, *arrays), len(states))

    def states(self, results: Sequence[Any], count: int) -> list[RecurrentState]:
        """Returns the states of the first columns of a step's results."""
        values, *arrays = (np.asarray(each) for each in results)
        chosen = values[:count, self.tokens].astype(np.float64) - self.shares
        return [RecurrentState(tuple(each[i] for each in arrays), chosen[i]) for i in range(count)]

    def log_probabilities(self, state: RecurrentState) -> Any:
        return state.log_probabilities

    def typical(self) -> Any:
        return self.expected
