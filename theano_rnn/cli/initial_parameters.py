"""``--init-from``: begin with the parameters of another model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theano_rnn.learning.checkpoint import Checkpoint, assign, values_of
from theano_rnn.learning.parameter_transfer import list_layers, transfer_parameters
from theano_rnn.settings.base import UserError


def take_parameters(
    model: Any, facts: Mapping[str, Any], initial: Checkpoint, path: str
) -> tuple[str, tuple[str, ...]]:
    """Initialize a model with those parameters of another one that fit.

    Returns a line that says which these are, and their names.
    """
    num_new_words = 0
    if "vocabulary" in initial.facts and "vocabulary" in facts:
        num_new_words = facts["vocabulary"].vocab_size - initial.vocabulary.vocab_size
    transfer = transfer_parameters(initial.best, values_of(model.params), num_new_words=num_new_words)
    if not transfer.taken:
        raise UserError(f"no parameter of {path} fits this model: use the same cell and sizes as that model")
    assign(model.params, transfer.values)
    new = f"{list_layers(transfer.taken)}; new: {list_layers(transfer.new)}" if transfer.new else "all parameters"
    return f"from {path}: {new}", tuple(transfer.taken)
