"""The page of ``translate --attention``: what each token of a translation attends to, as tables of shades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theano_rnn.view.pages import build_page


def attention_page(sentences: Sequence[tuple[str, Any]], *, about: str) -> str:
    """Build the page as HTML.

    Parameters
    ----------
    sentences : sequence of (str, `translator.Attention`)
        Each translation and its attention.
    about
        One line that describes the model.
    """
    shown = [{"text": text, **attention_record(attention)} for text, attention in sentences]
    return build_page("attend", attended={"about": about, "sentences": shown})


def attention_record(attention: Any) -> dict[str, Any]:
    """Returns an `Attention` as plain values, the weights with three digits."""
    weights = [[round(float(weight), 3) for weight in row] for row in attention.weights]
    return {"source": attention.source, "target": attention.target, "weights": weights}
