"""The likeliest words of each row of scores on a CPU, by a kernel of the extension module ``_window``.

XLA computes a softmax and the largest scores in many passes over the scores. The kernel needs two passes over each row,
and divides the rows among XLA's threads.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theano_rnn.engine.kernels import extension

NAME = "theano_rnn_likeliest"


@functools.cache
def register() -> None:
    """Tell XLA where the kernel is."""
    jax.ffi.register_ffi_target(NAME, extension().likeliest, platform="cpu")


def run_likeliest(scores: Any, bias: Any, banned: Any, count: int) -> list[Any] | None:
    """Returns what `nn.top_scores.Likeliest` computes; None if no kernel can.

    Parameters
    ----------
    scores : float (rows, words)
    bias, banned : float (words,)
    count : int
        How many words are wanted.
    """
    if any(array.dtype != np.float32 for array in (scores, bias, banned)):
        return None
    register()
    shape = (scores.shape[0], min(count, scores.shape[1]))
    results = [jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct(shape, jnp.int32)]
    return list(jax.ffi.ffi_call(NAME, results)(scores, bias, banned))
