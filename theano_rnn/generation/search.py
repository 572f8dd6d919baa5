"""Generation: tokens from a step function, sampled or searched for. It sees no model, so a test can pass a fake one.

Several samples are columns of one batch; sample i has random numbers of its own, so it does not depend on how many
others there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.sampling import ban_repeated_ngrams, draw, likeliest, penalize_repeated, truncated
from theano_rnn.settings.use import GenerationConfig

Step = Callable[..., Sequence[Any]]
Histories = Sequence[Sequence[int]]
DEFAULT = GenerationConfig()


class Rules:
    """What may follow, as a `GenerationConfig` says: `allowed` changes log-probabilities accordingly.

    Parameters
    ----------
    config
    end_id
        Ends a sample; None where nothing does.
    banned
        Ids that never follow; the others keep their ratios.
    """

    def __init__(self, config: GenerationConfig, *, end_id: int | None, banned: Sequence[int]) -> None:
        self.config, self.end_id, self.banned = config, end_id, list(banned)

    def allowed(self, log_probabilities: Any, histories: Histories, num_tokens: int) -> Any:
        """Scores (batch, vocab): -inf for what may not follow the prompts and samples in `histories`."""
        scores = np.array(log_probabilities)
        scores[:, self.banned] = -np.inf
        if self.config.repetition_penalty != 1:
            penalize_repeated(scores, histories, self.config.repetition_penalty)
        if self.config.no_repeat_ngram_size:
            ban_repeated_ngrams(scores, histories, self.config.no_repeat_ngram_size)
        if self.end_id is not None and num_tokens < self.config.min_tokens:
            scores[:, self.end_id] = -np.inf
        return scores


def read_prompt(step: Step, state: Sequence[Any], prompt: Sequence[int], num_columns: int) -> tuple[Any, Sequence[Any]]:
    """Log-probabilities (batch, vocab) of what follows `prompt`, the same in all columns, and the state after it.

    Raises
    ------
    ValueError
        The prompt is empty.
    """
    if not len(prompt):
        raise ValueError("prompt must hold at least one id, got none")
    log_probabilities: Any = None
    for token in prompt:
        log_probabilities, *state = step(np.full(num_columns, token, np.int32), *state)
    return log_probabilities, state


def tokens_in_turn(
    step: Step,
    state: Sequence[Any],
    *,
    prompt: Sequence[int],
    end_id: int | None,
    max_tokens: int,
    rngs: Sequence[np.random.Generator],
    config: GenerationConfig = DEFAULT,
    banned: Sequence[int] = (),
    is_complete: Callable[[Sequence[int]], bool] | None = None,
) -> Iterator[list[int | None]]:
    """The tokens of `generate` as they come: of each time step one for each sample, None for those that have ended."""
    rules = Rules(config, end_id=end_id, banned=banned)
    log_probabilities, state = read_prompt(step, state, prompt, len(rngs))
    start = len(prompt) - 1
    histories = [list(prompt[1:]) for _ in rngs]
    is_open = np.ones(len(rngs), bool)
    for num_tokens in range(max_tokens):
        scores = rules.allowed(log_probabilities, histories, num_tokens)
        is_open &= scores.max(axis=1) > -np.inf
        if not is_open.any():
            return
        columns = np.flatnonzero(is_open)
        if len(columns) < len(scores):
            scores = scores[columns]
        tokens = np.zeros(len(rngs), np.int32)
        if config.temperature == 0:
            tokens[columns] = np.argmax(scores, axis=1)
        else:
            scores = truncated(scores / config.temperature, top_k=config.top_k, top_p=config.top_p)
            tokens[columns] = draw(scores, np.array([rngs[i].random() for i in columns]))
        if end_id is not None:
            is_open &= tokens != end_id
        if not is_open.any():
            return
        for i in np.flatnonzero(is_open):
            histories[i].append(int(tokens[i]))
        yield [int(token) if is_open_ else None for token, is_open_ in zip(tokens, is_open)]
        if is_complete is not None:
            is_open &= [not is_complete(history[start:]) for history in histories]
        if not is_open.any():
            return
        if num_tokens + 1 < max_tokens:
            log_probabilities, *state = step(tokens, *state)


def generate(
    step: Step, state: Sequence[Any], *, rngs: Sequence[np.random.Generator], **options: Any
) -> list[list[int]]:
    """Sampled continuations of a prompt, one for each generator of `rngs`, all in one batch.

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
    config : GenerationConfig, optional
        In this order: repeated tokens are penalized, repeated n-grams and an early end banned, the temperature applied,
        then `top_k` and `top_p` leave the likeliest.
    banned : optional
        Ids never sampled; the others keep their ratios.
    is_complete : optional
        A sample ends after the token for which this, given its ids so far, is true.

    Returns
    -------
    list of list of int
        Without prompt and without `end_id`. A sample after which nothing may follow ends there.

    Raises
    ------
    ValueError
        The prompt is empty.
    """
    samples: list[list[int]] = [[] for _ in rngs]
    for tokens in tokens_in_turn(step, state, rngs=rngs, **options):
        for sample, token in zip(samples, tokens):
            if token is not None:
                sample.append(token)
    return samples


class Hypothesis(NamedTuple):
    """A continuation that `beam_search` found.

    `ids`: without prompt and end. `log_probability`: in nats, of the end too where it came to one. `score`: what
    hypotheses are ranked by.
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
    config: GenerationConfig = DEFAULT,
    banned: Sequence[int] = (),
) -> list[Hypothesis]:
    """The likeliest continuations of a prompt that a beam of ``config.beam_size`` finds, the best first.

    Of all continuations of the beam's hypotheses by one token the likeliest are kept, as many as the beam is wide;
    those that end, or have `max_tokens` tokens, are ranked by ``log P / tokens ** length_penalty``, the end counted.

    Parameters
    ----------
    step, prompt, end_id, max_tokens, banned
        As of `generate`.
    state
        Zero state for ``config.beam_size`` columns.
    num_best
        Hypotheses returned at most.
    config
        Its rules on repetition and length hold; what is random plays no part.

    Raises
    ------
    ValueError
        The prompt is empty, or the config has no beam.
    """
    width = config.beam_size
    if not width:
        raise ValueError("beam_size must be at least 1, got none")
    rules = Rules(config, end_id=end_id, banned=banned)
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
        scores = rules.allowed(log_probabilities, [[*prompt[1:], *ids] for ids in beam], num_tokens)
        scores = scores.astype(np.float64) + totals[:, None]
        kept: list[tuple[int, int]] = []
        for candidate in likeliest(scores.ravel(), width):
            column, token = divmod(int(candidate), scores.shape[1])
            if scores[column, token] == -np.inf:
                break
            if token == end_id:
                finish(beam[column], float(scores[column, token]), num_tokens + 1)
            else:
                kept.append((column, token))
        best_to_come = max((scores[pair] for pair in kept), default=-np.inf) / max_tokens**config.length_penalty
        if not kept or (len(found) == num_best and best_to_come <= found[-1].score):
            return found
        beam = [[*beam[column], token] for column, token in kept]
        totals = np.array([scores[pair] for pair in kept])
        num_missing = width - len(kept)
        beam += [[]] * num_missing
        totals = np.append(totals, np.full(num_missing, -np.inf))
        if num_tokens + 1 < max_tokens:
            parents = [column for column, _ in kept] + [0] * num_missing
            tokens = np.array([token for _, token in kept] + [0] * num_missing, np.int32)
            log_probabilities, *state = step(tokens, *(np.asarray(s)[parents] for s in state))
    for ids, total in zip(beam, totals):
        if total > -np.inf:
            finish(ids, float(total), len(ids))
    return found
