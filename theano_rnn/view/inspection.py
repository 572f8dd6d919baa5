"""Inspecting a model while it reads a text: token probabilities, the model's guesses, and the activations of all units.

Units are the elements of the state: h of each layer and, for an LSTM, the cell state c. `Inspection` has their
activations after each token. `correlations` finds units that follow an interpretable feature, such as being inside
quotation marks (Karpathy, Johnson & Fei-Fei 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.sampling import top_ids
from theano_rnn.text.token_spans import Piece

Step = Callable[..., Sequence[Any]]


class Inspection(NamedTuple):
    """Predictions and states of a model for a text of n tokens.

    log_probabilities : float64 (n,)
        Of each token given those before it, in nats.
    guesses : int32 (n, guesses)
        Ids of the tokens that the model found most likely at each place, the likeliest first.
    guess_log_probabilities : float64 (n, guesses)
        In nats.
    states : list of float32 (n, units)
        The model's state after each token: one array for each part of the state, in the order of `state_names`.
    """

    log_probabilities: Any
    guesses: Any
    guess_log_probabilities: Any
    states: list[Any]


def inspect_tokens(
    step: Step,
    state: Sequence[Any],
    ids: Sequence[int],
    *,
    start_id: int,
    reset_id: int | None = None,
    num_guesses: int = 5,
    on_token: Callable[[int], None] | None = None,
) -> Inspection:
    """Let a model read `ids` one by one, and record its predictions and states.

    Parameters
    ----------
    step
        ``step(tokens_t, *state) -> [log-probabilities (1, vocab), *state]``, as of `Functions`.
    state
        Zero state for a batch of 1.
    ids
        Ids of the text, at least one.
    start_id
        The id that is read before the first token.
    reset_id : optional
        After this id, the state is reset to zero, as for models that were trained on single sentences.
    num_guesses
        The largest number of guesses for each token; a small vocabulary has fewer.
    on_token : optional
        Called after each token with the number of tokens read.

    Raises
    ------
    ValueError
        `ids` is empty.
    """
    if not len(ids):
        raise ValueError("ids must contain at least one id, got none")
    start, zero = np.array([start_id], np.int32), state
    found, guesses, guess_found, states = [], [], [], []
    log_probabilities, *state = step(start, *zero)
    for number, token in enumerate(ids, start=1):
        row = np.asarray(log_probabilities)[0]
        best = top_ids(row, min(num_guesses, len(row)))
        found.append(row[token])
        guesses.append(best)
        guess_found.append(row[best])
        log_probabilities, *state = step(np.array([token], np.int32), *state)
        states.append([np.asarray(part)[0] for part in state])
        if token == reset_id:
            log_probabilities, *state = step(start, *zero)
        if on_token is not None:
            on_token(number)
    return Inspection(
        np.array(found, np.float64),
        np.array(guesses, np.int32),
        np.array(guess_found, np.float64),
        [np.array(part, np.float32) for part in zip(*states)],
    )


def state_names(layers: Any) -> list[str]:
    """Returns names for the parts of the state of `Layers`: ``layer0.h``, ``layer0.c`` (LSTM), ``layer1.h``, ..."""
    return [f"layer{i}.{'hc'[part]}" for i, cell in enumerate(layers.cells) for part in range(cell.num_states)]


def inside_quotes(pieces: Sequence[Piece]) -> Any:
    """Returns float64 (tokens,): 1 for tokens inside double quotation marks (with the opening mark), else 0.

    >>> [int(x) for x in inside_quotes([Piece("", token, 0) for token in ["``", "Oh", "''", "said", "she"]])]
    [1, 1, 0, 0, 0]
    """
    is_inside, inside = False, []
    for piece in pieces:
        token = piece.token.removeprefix("\u2581")  # the sign for a blank
        if token in ("``", "\u201c"):
            is_inside = True
        elif token == "\u201d":
            is_inside = False
        elif token in ("''", '"'):  # NLTK's '' also opens, after a dash
            is_inside = not is_inside
        inside.append(float(is_inside))
    return np.array(inside)


def positions(pieces: Sequence[Piece], end_id: int) -> Any:
    """Returns the position of each token in its sentence (in its line, for characters), float64 (tokens,)."""
    position, found = 0, []
    for piece in pieces:
        found.append(float(position))
        position = 0 if piece.id == end_id else position + 1
    return np.array(found)


def starts_with_capital(pieces: Sequence[Piece]) -> Any:
    """Returns float64 (tokens,): 1 for tokens that begin with a capital letter, else 0."""
    return np.array([float((piece.text.strip() or piece.token)[:1].isupper()) for piece in pieces])


def correlations(activations: Any, feature: Any) -> Any:
    """Returns Pearson's correlation of each unit (tokens, units) with a feature (tokens,); 0 if either is constant.

    >>> correlations(np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.array([3.0, 2.0, 1.0])).tolist()
    [-1.0, 0.0]
    """
    units, centred = activations - activations.mean(axis=0), feature - feature.mean()
    scale = np.sqrt((units**2).sum(axis=0) * (centred**2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(scale > 1e-12, centred @ units / scale, 0.0)
    return found.clip(-1.0, 1.0)
