"""The page of ``classify --explain``: texts with their labels, each token coloured by what it adds to the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from theano_rnn.view.pages import build_page

if TYPE_CHECKING:
    from theano_rnn.text.token_spans import Piece

MAX_LABELS = 50  # whose probabilities a page has, the likeliest ones


def explanation_page(explanations: Sequence[Any], *, labels: Sequence[str], unit: str, unk_id: int, about: str) -> str:
    """Build the page as HTML.

    Parameters
    ----------
    explanations : sequence of `classifier.Explanation`
    labels
        All labels of the model, in its order.
    unit
        "word" or "char".
    unk_id
        The id of unknown words.
    about
        One line that describes the model.
    """
    texts = []
    for each in explanations:
        texts.append({
            "label": each.label,
            "probabilities": label_probabilities(labels, each.result.probabilities),
            "pieces": piece_records(each.pieces, each.contributions, each.removals, unk_id=unk_id),
        })  # fmt: skip
    return build_page("explain", explained={"about": about, "unit": unit, "texts": texts})


def label_probabilities(labels: Sequence[str], probabilities: Any, most: int = MAX_LABELS) -> list[list[Any]]:
    """Returns the likeliest labels with their probabilities, in decreasing order."""
    order = (-probabilities).argsort(kind="stable")[:most]
    return [[labels[i], float(f"{probabilities[i]:.6g}")] for i in order]


def piece_records(pieces: Sequence[Piece], contributions: Any, removals: Any, *, unk_id: int) -> list[dict[str, Any]]:
    """Returns the tokens with their contributions, and their removals if there are any, as plain values."""
    records = []
    for number, piece in enumerate(pieces):
        record = {"text": piece.text, "token": piece.token, "is_unknown": piece.id == unk_id,
                  "contribution": float(f"{contributions[number]:.4g}")}  # fmt: skip
        records.append(record if removals is None else {**record, "removal": float(f"{removals[number]:.4g}")})
    return records
