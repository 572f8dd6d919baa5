"""Generation: sample tokens from a step function. It sees no model, so a test can pass a fake one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def generate(
    step: Callable[..., list[Any]],
    state: Sequence[Any],
    *,
    prompt: Sequence[int],
    end_id: int | None,
    max_tokens: int,
    rngs: Sequence[np.random.Generator],
    temperature: float = 1.0,
    banned: Sequence[int] = (),
) -> list[list[int]]:
    """Sampled continuations of `prompt`, one for each generator of `rngs`, all in one batch.

    Parameters
    ----------
    step
        ``step(tokens_t, *state) -> [log-probabilities (batch, vocab), *state]``.
    state
        Zero state for ``len(rngs)`` columns.
    prompt
        At least the id that stands before the first token.
    end_id
        Ends a sample; None where nothing does.
    max_tokens
        The most tokens a sample may have.
    rngs
        Sample i depends on ``rngs[i]`` alone, not on how many others there are.
    temperature
        Probabilities are proportional to ``p ** (1 / temperature)``; 0 takes the likeliest token.
    banned
        Ids never sampled; the others keep their ratios.

    Returns
    -------
    list of list of int
        Without prompt and without `end_id`.

    Raises
    ------
    ValueError
        The prompt is empty, temperature negative or not a number, or max_tokens negative.
    """
    if not len(prompt):
        raise ValueError("prompt must hold at least one id, got none")
    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature must be 0 or greater, got {temperature}")
    if max_tokens < 0:
        raise ValueError(f"max_tokens must be 0 or greater, got {max_tokens}")
    samples: list[list[int]] = [[] for _ in rngs]
    is_open = np.ones(len(rngs), bool)
    log_probabilities: Any = None
    for token in prompt:
        log_probabilities, *state = step(np.full(len(rngs), token, np.int32), *state)
    for _ in range(max_tokens):
        scores = np.array(log_probabilities, np.float64)
        scores[:, list(banned)] = -np.inf
        tokens = np.zeros(len(rngs), np.int32)
        for i in np.flatnonzero(is_open):
            tokens[i] = sample(scores[i], temperature, rngs[i])
            if tokens[i] == end_id:
                is_open[i] = False
            else:
                samples[i].append(int(tokens[i]))
        if not is_open.any():
            break
        log_probabilities, *state = step(tokens, *state)
    return samples


def sample(scores: Any, temperature: float, rng: np.random.Generator) -> int:
    """An index drawn with probability proportional to ``exp(scores / temperature)``.

    >>> sample(np.log([0.2, 0.5, 0.3]), 0.0, np.random.default_rng(0))
    1
    """
    if temperature == 0:
        return int(np.argmax(scores))
    weights = np.exp((scores - scores.max()) / temperature)
    cumulated = np.cumsum(weights)
    return int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right").clip(0, len(scores) - 1))
