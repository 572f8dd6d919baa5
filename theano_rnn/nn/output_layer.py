"""Choose the output layer: full or adaptive softmax, with weights tied to the embedding or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from theano_rnn.nn.adaptive_head import AdaptiveHead
from theano_rnn.nn.heads import SoftmaxHead
from theano_rnn.settings.network import ModelConfig


def make_head(config: ModelConfig, num_features: int, embedding: Any, *, rng: np.random.Generator) -> Any:
    """Returns the head (output layer) for `num_features` hidden units. Tied weights are shared with `embedding`."""
    options: dict[str, Any] = {"embedding": embedding if config.tie_weights else None}
    options |= {"rng": rng, "dtype": config.dtype}
    if config.head == "adaptive":
        return AdaptiveHead(num_features, config.vocab_size, config.cutoffs, **options)
    return SoftmaxHead(num_features, config.vocab_size, **options)


def training_losses(head: Any, h: Any, targets: Any, label_smoothing: float) -> tuple[Any, Any]:
    """Returns the negative log-likelihoods in nats (rows,), and the objective that training minimizes (rows,).

    They differ only with label smoothing.
    """
    if label_smoothing:
        losses, objective = head.smoothed_losses(h, targets, label_smoothing)
        return losses, objective
    losses = head.losses(h, targets)
    return losses, losses
