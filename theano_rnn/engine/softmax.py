"""The loss of a softmax and its gradient on a CPU, by kernels of the extension module ``_window``.

XLA stores the exponentials of all scores for the gradient. The kernels compute them twice instead, each time in passes
over rows that stay in the cache, and the gradient takes the place of the scores in memory.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theano_rnn.engine.kernels import extension

FORWARD, BACKWARD = "theano_rnn_softmax_forward", "theano_rnn_softmax_backward"


@functools.cache
def register() -> None:
    """Tell XLA where the kernels are."""
    module = extension()
    jax.ffi.register_ffi_target(FORWARD, module.softmax_forward, platform="cpu")
    jax.ffi.register_ffi_target(BACKWARD, module.softmax_backward, platform="cpu")


def run_forward(scores: Any, bias: Any, targets: Any) -> list[Any] | None:
    """Returns what `nn.losses.SoftmaxCrossEntropy` computes; None if no kernel can."""
    if not can_run(scores, bias):
        return None
    register()
    row = jax.ShapeDtypeStruct(scores.shape[:1], jnp.float32)
    return list(jax.ffi.ffi_call(FORWARD, [row, row])(scores, bias, targets))


def run_backward(scores: Any, bias: Any, targets: Any, log_normalizer: Any, a: Any, b: Any) -> list[Any] | None:
    """Returns what `nn.losses.SoftmaxCrossEntropyGrad` computes; None if no kernel can."""
    if not can_run(scores, bias, log_normalizer, a, b):
        return None
    register()
    results = [jax.ShapeDtypeStruct(array.shape, jnp.float32) for array in (scores, bias)]
    call = jax.ffi.ffi_call(BACKWARD, results, input_output_aliases={0: 0})
    return list(call(scores, bias, targets, log_normalizer, a, b))


def can_run(scores: Any, *others: Any) -> bool:
    return all(array.dtype == np.float32 for array in (scores, *others)) and scores.size > 0
