"""The page of ``look``: a text with the model's predictions and activations, in one self-contained HTML file.

Each activation is stored in one byte, relative to the unit's largest activation, and encoded in base64. So a page grows
by 4/3 bytes for each unit and token.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from theano_rnn.text.token_spans import Piece
from theano_rnn.view.inspection import Inspection, correlations, inside_quotes, positions, starts_with_capital
from theano_rnn.view.pages import build_page

NUM_RANKED = 10  # number of units listed for each feature
NUM_LEVELS = 127  # of an activation, from zero to the unit's largest


def look_page(
    pieces: Sequence[Piece], inspection: Inspection, *, names: Sequence[str], vocabulary: Any, end_id: int, about: str
) -> str:
    """Build the page as HTML.

    Parameters
    ----------
    pieces
        The tokens of the text.
    inspection
        The model's predictions and states for these tokens.
    names
        Names of the parts of the state, as of `state_names`.
    vocabulary : Vocabulary
    end_id
        The id that ends a sentence, or a line in a character model.
    about
        One line that describes the model.
    """
    words: dict[str, int] = {}  # each token that the page shows, and its index in the page's list

    def index_of(word: str) -> int:
        return words.setdefault(word, len(words))

    known = {int(i): index_of(vocabulary.id_to_token(int(i))) for i in np.unique(inspection.guesses)}
    units = np.concatenate(inspection.states, axis=1)  # (tokens, units)
    scales = np.abs(units).max(axis=0)
    levels = np.rint(NUM_LEVELS * units / np.where(scales > 0, scales, 1)).astype(np.int8)
    data = {
        "model": {"unit": vocabulary.text.unit, "about": about},
        "pieces": {
            "texts": [piece.text for piece in pieces],
            "tokens": [index_of(piece.token) for piece in pieces],
            "unknown": [int(piece.id == vocabulary.unk_id) for piece in pieces],
            "surprisals": [round(float(value), 4) for value in -inspection.log_probabilities],
            "guesses": [known[int(i)] for i in inspection.guesses.ravel()],
            "probabilities": round_to_four_digits(np.exp(inspection.guess_log_probabilities)),
        },
        "states": {
            "names": list(names),
            "sizes": [part.shape[1] for part in inspection.states],
            "scales": round_to_four_digits(scales),
            "activations": base64.b64encode(np.ascontiguousarray(levels.T).tobytes()).decode(),
        },
        "ranked": ranked_units(units, pieces, end_id),
        "words": list(words),
    }
    return build_page("look", reading=data)


def ranked_units(units: Any, pieces: Sequence[Piece], end_id: int) -> list[dict[str, Any]]:
    """Returns the title of each feature and the units (tokens, units) that correlate most with it.

    Each unit is a pair of its number and its correlation. A feature that is constant in this text has no units.
    """
    features = {
        "inside quotation marks": inside_quotes(pieces),
        "position in the sentence": positions(pieces, end_id),
        "capital letters": starts_with_capital(pieces),
    }
    ranked = []
    for title, feature in features.items():
        found = correlations(units.astype(np.float64), feature)
        best = np.argsort(-np.abs(found), kind="stable")[:NUM_RANKED]
        ranked.append({"title": title, "units": [[int(i), round(float(found[i]), 3)] for i in best if found[i]]})
    return ranked


def round_to_four_digits(values: Any) -> list[float]:
    """Returns the values with four significant digits, row by row."""
    return [float(f"{value:.4g}") for value in np.ravel(values)]
