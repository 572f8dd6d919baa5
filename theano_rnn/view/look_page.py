"""The page of ``look``: a text as a model read it, in one HTML file that needs nothing else.

Activations are stored in a byte each, as shares of the largest that the unit had, so a page grows by one and a third
bytes for every unit and token.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from theano_rnn.text.token_spans import Piece
from theano_rnn.view.inspection import Reading, capitals, correlations, positions, quotes
from theano_rnn.view.pages import page

NUM_RANKED = 10  # units that are named for each feature
NUM_STEPS = 127  # of an activation between zero and the unit's largest


def look_page(
    pieces: Sequence[Piece], reading: Reading, *, names: Sequence[str], vocabulary: Any, end_id: int, about: str
) -> str:
    """The page, as HTML.

    Parameters
    ----------
    pieces
        Of the text.
    reading
        What the model made of them.
    names
        Of the parts of the state, as of `state_names`.
    vocabulary : Vocabulary
    end_id
        Ends a sentence, of characters a line.
    about
        One line that says which model this is.
    """
    words: dict[str, int] = {}  # every token that is named, and its place in the page's list

    def place(word: str) -> int:
        return words.setdefault(word, len(words))

    known = {int(i): place(vocabulary.id_to_token(int(i))) for i in np.unique(reading.guesses)}
    units = np.concatenate(reading.states, axis=1)  # (tokens, units)
    scales = np.abs(units).max(axis=0)
    steps = np.rint(NUM_STEPS * units / np.where(scales > 0, scales, 1)).astype(np.int8)
    shown = {
        "model": {"unit": vocabulary.text.unit, "about": about},
        "pieces": {
            "texts": [piece.text for piece in pieces],
            "tokens": [place(piece.token) for piece in pieces],
            "unknown": [int(piece.id == vocabulary.unk_id) for piece in pieces],
            "surprisals": [round(float(value), 4) for value in -reading.log_probabilities],
            "guesses": [known[int(i)] for i in reading.guesses.ravel()],
            "probabilities": rounded(np.exp(reading.guess_log_probabilities)),
        },
        "states": {
            "names": list(names),
            "sizes": [part.shape[1] for part in reading.states],
            "scales": rounded(scales),
            "activations": base64.b64encode(np.ascontiguousarray(steps.T).tobytes()).decode(),
        },
        "ranked": ranked_units(units, pieces, end_id),
        "words": list(words),
    }
    return page("look", reading=shown)


def ranked_units(units: Any, pieces: Sequence[Piece], end_id: int) -> list[dict[str, Any]]:
    """For each feature of a text its title and the units (tokens, units) that follow it best: [number, correlation].

    Of a feature that does not change in this text there are none.
    """
    features = {
        "inside quotation marks": quotes(pieces),
        "place in the sentence": positions(pieces, end_id),
        "capital letters": capitals(pieces),
    }
    ranked = []
    for title, feature in features.items():
        found = correlations(units.astype(np.float64), feature)
        best = np.argsort(-np.abs(found), kind="stable")[:NUM_RANKED]
        ranked.append({"title": title, "units": [[int(i), round(float(found[i]), 3)] for i in best if found[i]]})
    return ranked


def rounded(values: Any) -> list[float]:
    """As numbers of four digits, row after row."""
    return [float(f"{value:.4g}") for value in np.ravel(values)]
