"""Decoding: sampling and beam search with a step function. It knows no model, so a test can pass a fake step.

Several samples are generated in one batch. Each has its own random generator, so sample i does not depend on how many
others there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.sampling import ban_repeated_ngrams, draw, penalize_repeated, top_ids, truncate
from theano_rnn.settings.use import GenerationConfig, effective_temperature

Step = Callable[..., Sequence[Any]]
Histories = Sequence[Sequence[int]]
DEFAULT_CONFIG = GenerationConfig()


class TokenRules:
    """Rules on the next token: banned tokens, repetition and minimum length; `apply` applies them to log-probabilities.

    Parameters
    ----------
    config
    end_id
        The id that ends a sample; None if no id does.
    banned
        Ids that never follow; the others keep their ratios.
    """

    def __init__(self, config: GenerationConfig, *, end_id: int | None, banned: Sequence[int]) -> None:
        self.config, self.end_id, self.banned = config, end_id, list(banned)

    def apply(self, log_probabilities: Any, histories: Histories, num_tokens: int) -> Any:
        """Returns scores (batch, vocab), -inf for tokens that may not follow `histories` (prompts and samples)."""
        scores = np.array(log_probabilities)
        scores[:, self.banned] = -np.inf
        if self.config.repetition_penalty != 1:
            penalize_repeated(scores, histories, self.config.repetition_penalty)
        if self.config.no_repeat_ngram_size:
            ban_repeated_ngrams(scores, histories, self.config.no_repeat_ngram_size)
        if self.end_id is not None and num_tokens < self.config.min_tokens:
            scores[:, self.end_id] = -np.inf
        return scores


def read_prompt(step: Step, state: Sequence[Any], prompt: Sequence[int], batch_size: int) -> tuple[Any, Sequence[Any]]:
    """Read the same prompt in all rows of a batch. Returns next log-probabilities (batch, vocab), and the state.

    Raises
    ------
    ValueError
        The prompt is empty.
    """
    if not len(prompt):
        raise ValueError("prompt must hold at least one id, got none")
    log_probabilities: Any = None
    for token in prompt:
        log_probabilities, *state = step(np.full(batch_size, token, np.int32), *state)
    return log_probabilities, state


def generate_stepwise(
    step: Step,
    state: Sequence[Any],
    *,
    prompt: Sequence[int],
    end_id: int | None,
    max_tokens: int,
    rngs: Sequence[np.random.Generator],
    config: GenerationConfig = DEFAULT_CONFIG,
    banned: Sequence[int] = (),
    is_complete: Callable[[int, Sequence[int]], bool] | None = None,
    goes_on: Callable[[int, Sequence[int]], bool] | None = None,
    restart_id: int | None = None,
) -> Iterator[list[int | None]]:
    """Yield the tokens of `generate` step by step: one for each sample, None if the sample has ended."""
    rules = TokenRules(config, end_id=end_id, banned=banned)
    zero_state = state
    log_probabilities, state = read_prompt(step, state, prompt, len(rngs))
    start = len(prompt) - 1
    temperature = effective_temperature(config.temperature)
    histories = [list(prompt[1:]) for _ in rngs]
    is_active = np.ones(len(rngs), bool)
    for num_tokens in range(max_tokens):
        scores = rules.apply(log_probabilities, histories, num_tokens)
        is_active &= scores.max(axis=1) > -np.inf
        if not is_active.any():
            return
        active = np.flatnonzero(is_active)
        if len(active) < len(scores):
            scores = scores[active]
        tokens = np.zeros(len(rngs), np.int32)
        if temperature == 0:
            tokens[active] = np.argmax(scores, axis=1)
        else:
            scores = truncate(scores / temperature, top_k=config.top_k, top_p=config.top_p)
            tokens[active] = draw(scores, np.array([rngs[i].random() for i in active]))
        for i in active[tokens[active] == end_id] if end_id is not None else ():
            is_active[i] = goes_on is not None and goes_on(i, histories[i][start:])
        if not is_active.any():
            return
        for i in np.flatnonzero(is_active):
            histories[i].append(int(tokens[i]))
        yield [int(token) if is_active_ else None for token, is_active_ in zip(tokens, is_active)]
        if is_complete is not None:
            is_active &= [not is_complete(i, history[start:]) for i, history in enumerate(histories)]
        if not is_active.any():
            return
        if num_tokens + 1 < max_tokens:
            if restart_id is not None and (is_end := tokens == end_id).any():
                tokens = np.where(is_end, restart_id, tokens).astype(np.int32)
                state = [np.where(is_end[:, None], zero, array) for zero, array in zip(zero_state, state)]
            log_probabilities, *state = step(tokens, *state)


def generate(
    step: Step, state: Sequence[Any], *, rngs: Sequence[np.random.Generator], **options: Any
) -> list[list[int]]:
    """Sample continuations of a prompt, one for each generator in `rngs`, all in one batch.

    Parameters
    ----------
    step
        ``step(tokens_t, *state) -> [log-probabilities (batch, vocab), *state]``.
    state
        Zero state for a batch of ``len(rngs)``.
    prompt
        Ids of the prompt, at least the start id.
    end_id
        The id that ends a sample; None if no id does.
    max_tokens
        The largest number of tokens in a sample.
    rngs
        Sample i depends on ``rngs[i]`` alone, not on how many others there are.
    config : GenerationConfig, optional
        The steps are, in this order: penalize repeated tokens, ban repeated n-grams and an early end, apply the
        temperature, keep the likeliest tokens by `top_k` and `top_p`.
    banned : optional
        Ids never sampled; the others keep their ratios.
    is_complete : optional
        Called with the number of a sample and its ids so far; the sample ends if it returns true.
    goes_on : optional
        Called likewise when `end_id` is drawn; if it returns true, `end_id` becomes one of the sample's ids, and the
        sample goes on. Without it, the first `end_id` ends a sample.
    restart_id : optional
        Read instead of `end_id`, with a zero state, by a model that has learned sentences one by one.

    Returns
    -------
    list of list of int
        Ids without the prompt and without the `end_id` that ends it. A sample also ends if no token may follow it.

    Raises
    ------
    ValueError
        The prompt is empty.
    """
    samples: list[list[int]] = [[] for _ in rngs]
    for tokens in generate_stepwise(step, state, rngs=rngs, **options):
        for sample, token in zip(samples, tokens):
            if token is not None:
                sample.append(token)
    return samples


class Hypothesis(NamedTuple):
    """A continuation found by `beam_search`.

    `ids`: without the prompt and without the end. `log_probability`: in nats, with the end if there is one. `score`:
    the value by which hypotheses are ranked.
    """

    ids: list[int]
    log_probability: float
    score: float


def beam_search(
    step: Step,
    state: Sequence[Any],
    *,
    prompt: Sequence[int],
    end_id: int | None,
    max_tokens: int,
    num_best: int = 1,
    config: GenerationConfig = DEFAULT_CONFIG,
    banned: Sequence[int] = (),
) -> list[Hypothesis]:
    """Search for the likeliest continuations of a prompt with a beam of ``config.beam_size``, best first.

    Each step extends the hypotheses of the beam by one token and keeps the `beam_size` likeliest. Hypotheses that end
    or reach `max_tokens` are ranked by ``log P / tokens ** length_penalty``, where the end counts as a token.

    Parameters
    ----------
    step, prompt, end_id, max_tokens, banned
        As of `generate`.
    state
        Zero state for a batch of ``config.beam_size``.
    num_best
        The largest number of hypotheses returned.
    config
        Its rules on repetition and length apply; its sampling settings have no effect.

    Raises
    ------
    ValueError
        The prompt is empty, or ``config.beam_size`` is 0.
    """
    width = config.beam_size
    if not width:
        raise ValueError("beam_size must be at least 1, got 0")
    rules = TokenRules(config, end_id=end_id, banned=banned)
    log_probabilities, state = read_prompt(step, state, prompt, width)
    beam: list[list[int]] = [[]] * width
    totals = np.full(width, -np.inf)
    totals[0] = 0.0
    found: list[Hypothesis] = []

    def finish(ids: list[int], total: float, num_tokens: int) -> None:
        found.append(Hypothesis(ids, total, total / max(num_tokens, 1) ** config.length_penalty))
        found.sort(key=lambda hypothesis: -hypothesis.score)
        del found[num_best:]

    for num_tokens in range(max_tokens):
        scores = rules.apply(log_probabilities, [[*prompt[1:], *ids] for ids in beam], num_tokens)
        scores = scores.astype(np.float64) + totals[:, None]
        kept: list[tuple[int, int]] = []
        for candidate in top_ids(scores.ravel(), width):
            parent, token = divmod(int(candidate), scores.shape[1])
            if scores[parent, token] == -np.inf:
                break
            if token == end_id:
                finish(beam[parent], float(scores[parent, token]), num_tokens + 1)
            else:
                kept.append((parent, token))
        best_to_come = max((scores[pair] for pair in kept), default=-np.inf) / max_tokens**config.length_penalty
        if not kept or (len(found) == num_best and best_to_come <= found[-1].score):
            return found
        beam = [[*beam[parent], token] for parent, token in kept]
        totals = np.array([scores[pair] for pair in kept])
        num_missing = width - len(kept)
        beam += [[]] * num_missing
        totals = np.append(totals, np.full(num_missing, -np.inf))
        if num_tokens + 1 < max_tokens:
            parents = [parent for parent, _ in kept] + [0] * num_missing
            tokens = np.array([token for _, token in kept] + [0] * num_missing, np.int32)
            log_probabilities, *state = step(tokens, *(np.asarray(s)[parents] for s in state))
    for ids, total in zip(beam, totals):
        if total > -np.inf:
            finish(ids, float(total), len(ids))
    return found
