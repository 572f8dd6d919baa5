"""Inside a model while it reads: how likely each token was, what it would have guessed, and every unit's activation.

The units are those of the state: h of each layer and, of an LSTM, its memory c. `Reading` has them after each token;
`correlations` finds those that follow something one can name, such as being inside quotation marks
(Karpathy, Johnson & Fei-Fei 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.sampling import likeliest
from theano_rnn.text.token_spans import Piece

Step = Callable[..., Sequence[Any]]


class Reading(NamedTuple):
    """What a model made of a text of n tokens.

    log_probabilities : float64 (n,)
        Of each token given those before, in nats.
    guesses : int32 (n, guesses)
        Ids of what the model took for likeliest in its place, the likeliest first.
    guess_log_probabilities : float64 (n, guesses)
        In nats.
    states : list of float32 (n, units)
        The model's state after each token, one array for each part of it; as of `state_names`.
    """

    log_probabilities: Any
    guesses: Any
    guess_log_probabilities: Any
    states: list[Any]


def read_along(
    step: Step,
    state: Sequence[Any],
    ids: Sequence[int],
    *,
    start_id: int,
    reset_id: int | None = None,
    num_guesses: int = 5,
    on_token: Callable[[int], None] | None = None,
) -> Reading:
    """Let a model read `ids`, one after the other.

    Parameters
    ----------
    step
        ``step(tokens_t, *state) -> [log-probabilities (1, vocab), *state]``, as of `Functions`.
    state
        Zero state of one column.
    ids
        Of the text, at least one.
    start_id
        Stands before the first token.
    reset_id : optional
        After this id the model begins anew from the zero state, as one does that was trained on single sentences.
    num_guesses
        At most; a small vocabulary has fewer.
    on_token : optional
        Called with the number of tokens read, after each.

    Raises
    ------
    ValueError
        There are no ids.
    """
    if not len(ids):
        raise ValueError("ids must hold at least one id, got none")
    start, zero = np.array([start_id], np.int32), state
    chances, guesses, guess_chances, states = [], [], [], []
    log_probabilities, *state = step(start, *zero)
    for number, token in enumerate(ids, start=1):
        row = np.asarray(log_probabilities)[0]
        best = likeliest(row, min(num_guesses, len(row)))
        chances.append(row[token])
        guesses.append(best)
        guess_chances.append(row[best])
        log_probabilities, *state = step(np.array([token], np.int32), *state)
        states.append([np.asarray(part)[0] for part in state])
        if token == reset_id:
            log_probabilities, *state = step(start, *zero)
        if on_token is not None:
            on_token(number)
    return Reading(
        np.array(chances, np.float64),
        np.array(guesses, np.int32),
        np.array(guess_chances, np.float64),
        [np.array(part, np.float32) for part in zip(*states)],
    )


def state_names(layers: Any) -> list[str]:
    """Names for the parts of the state of `Layers`: ``layer0.h``, of an LSTM ``layer0.c`` too, ``layer1.h``, ..."""
    return [f"layer{i}.{'hc'[part]}" for i, cell in enumerate(layers.cells) for part in range(cell.num_states)]


def quotes(pieces: Sequence[Piece]) -> Any:
    """1 for tokens inside double quotation marks, the opening one included, else 0: float64 (tokens,).

    >>> [int(x) for x in quotes([Piece("", token, 0) for token in ["``", "Oh", "''", "said", "she"]])]
    [1, 1, 0, 0, 0]
    """
    is_inside, inside = False, []
    for piece in pieces:
        if piece.token in ("``", "\u201c"):
            is_inside = True
        elif piece.token == "\u201d":
            is_inside = False
        elif piece.token in ("''", '"'):  # NLTK's '' also opens, after a dash
            is_inside = not is_inside
        inside.append(float(is_inside))
    return np.array(inside)


def positions(pieces: Sequence[Piece], end_id: int) -> Any:
    """How many tokens of its sentence, of characters of its line, are before each token: float64 (tokens,)."""
    place, places = 0, []
    for piece in pieces:
        places.append(float(place))
        place = 0 if piece.id == end_id else place + 1
    return np.array(places)


def capitals(pieces: Sequence[Piece]) -> Any:
    """1 for tokens that begin with a capital letter, else 0: float64 (tokens,)."""
    return np.array([float((piece.text.strip() or piece.token)[:1].isupper()) for piece in pieces])


def correlations(activations: Any, feature: Any) -> Any:
    """Pearson's correlation of each unit (tokens, units) with a feature (tokens,); 0 where either is constant.

    >>> correlations(np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.array([3.0, 2.0, 1.0])).tolist()
    [-1.0, 0.0]
    """
    units, wanted = activations - activations.mean(axis=0), feature - feature.mean()
    scale = np.sqrt((units**2).sum(axis=0) * (wanted**2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(scale > 1e-12, wanted @ units / scale, 0.0)
    return found.clip(-1.0, 1.0)
