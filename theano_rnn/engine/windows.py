"""Kernels that compute all time steps of a window in one call: an LSTM or a GRU on a CPU, forward or backward.

XLA computes a scan step by step and rearranges the recurrent matrix for each product anew. The kernels, in the
extension module ``_window``, rearrange it once for all steps, and divide the sequences of a batch among XLA's threads.
`window_patterns` recognizes the scans that they can replace. What they compute differs from the scan by rounding only.

They multiply in float32, or in bfloat16 on a processor with instructions for it.

The extension is compiled when the package is installed, where there is a compiler. Without it, or on a processor
without AVX2, every scan remains a scan.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from theano_rnn.engine.kernels import extension
from theano_rnn.engine.precision import rounding
from theano_rnn.engine.products import TERMS
from theano_rnn.engine.window_patterns import Found

KINDS = ("lstm_forward", "lstm_backward", "gru_forward", "gru_backward")
PARTS = {  # what a step stores for the gradient: its name, and its size in hidden sizes
    "lstm": {"out": 1, "tanh_c": 1, "gates": 3, "g": 1},
    "gru": {"out": 1, "n": 1, "gates": 2, "product": 3},
}
SAVED = {"lstm": ("c_tm1", "tanh_c", "gates", "g"), "gru": ("h_tm1", "n", "gates", "product")}
STATES = {"lstm": ("h", "c"), "gru": ("h",)}
NUM_GATES = {"lstm": 4, "gru": 3}
MIN_ROWS = 8  # of all steps together; rearranging the matrix is not worth it for fewer


class Steps(NamedTuple):
    """What all steps of a scan read, arrays in the order of time.

    The `states` are those before the first step. With a gradient, each is followed by an array over all steps, which is
    added to the state's gradient; None stands for zeros.
    """

    sequences: Sequence[Any]
    states: Sequence[Any]
    fixed: Sequence[Any]
    is_reversed: bool


class Result(NamedTuple):
    """What a scan computes: each state after the last step, before it, and after all steps; the stored arrays.

    With a gradient, the states are first those of the cell, then others.
    """

    last: list[Any]
    previous: list[Any]
    traces: list[Any]
    stored: list[Any]


@functools.cache
def register() -> None:
    """Tell XLA where the kernels are."""
    for kind in KINDS:
        jax.ffi.register_ffi_target(f"theano_rnn_{kind}", getattr(extension(), kind), platform="cpu")


def run_window(found: Found, steps: Steps, wanted: Sequence[int], has_traces: Sequence[bool]) -> Result | None:
    """Returns what a scan computes, by a kernel; None if no kernel can.

    Parameters
    ----------
    wanted
        Which of the scan's outputs without a state are read.
    has_traces
        Whether the values of each state after all steps are read.
    """
    cell, direction = found.kind.split("_")
    groups = {"sequence": steps.sequences, "state": steps.states, "fixed": steps.fixed}
    arrays = {name: groups[kind][i] for name, (kind, i) in found.places.items()}
    mask, size = arrays["mask"], found.hidden_size
    W = arrays["W"] if direction == "forward" else arrays["W_transposed"].T
    is_float = all(array is None or array.dtype == np.float32 for array in arrays.values())
    fits = W.shape == (size, NUM_GATES[cell] * size) and mask.size >= MIN_ROWS
    if not is_float or not fits or any(found.stored[i] is None for i in wanted):
        return None
    before = [mask, W, *([arrays["bias"].reshape(size)] if cell == "gru" else [])]
    if direction == "forward":
        return forward(found, before, arrays, wanted, steps)
    if any(has_traces[len(STATES[cell]) :]):
        return None
    return backward(found, before, arrays, wanted, has_traces, steps)


def call(found: Found, before: Sequence[Any], shapes: Sequence[Any], is_reversed: bool) -> list[Any]:
    """Returns what the kernel computes from the arrays `before`: float32 arrays of these shapes, (0,) for unwanted."""
    register()
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    run = jax.ffi.ffi_call(f"theano_rnn_{found.kind}", results)
    return list(run(*before, is_reversed=np.int64(is_reversed), terms=np.int64(TERMS.get(rounding.get(), 0))))


def forward(found: Found, before: list[Any], arrays: dict[str, Any], wanted: Sequence[int], steps: Steps) -> Result:
    """Returns the states and what the steps store."""
    cell = found.kind.split("_")[0]
    of_all, size = arrays["mask"].shape, found.hidden_size
    stored_names = [str(found.stored[i]) for i in wanted]
    shapes = [(*of_all, size)] * len(STATES[cell])
    shapes += [(*of_all, width * size) if name in stored_names else (0,) for name, width in PARTS[cell].items()]
    initial = [arrays[name] for name in STATES[cell]]
    results = call(found, [*before, arrays["projected"], *initial], shapes, steps.is_reversed)
    traces, stored = results[: len(initial)], dict(zip(PARTS[cell], results[len(initial) :]))
    order = -1 if steps.is_reversed else 1
    last = [trace[::order][-1] for trace in traces]
    previous = [trace[::order][-2] if len(trace) > 1 else first for trace, first in zip(traces, initial)]
    return Result(last, previous, traces, [stored[name] for name in stored_names])


def backward(
    found: Found,
    before: list[Any],
    arrays: dict[str, Any],
    wanted: Sequence[int],
    has_traces: Sequence[bool],
    steps: Steps,
) -> Result:
    """Returns the gradients of the states and of the products."""
    cell = found.kind.split("_")[0]
    of_all, size, names = arrays["mask"].shape, found.hidden_size, STATES[cell]
    added = [arrays.get("d_out"), *(arrays[f"add_{name}"] for name in names)]
    added = [jnp.zeros(0, jnp.float32) if array is None else array for array in added]
    saved = [arrays[name] for name in SAVED[cell]]
    d_last = [arrays[f"d_{name}"] for name in names]
    outputs = ["d_projected", *(["d_product"] if cell == "gru" else [])]
    shapes: list[Any] = [(*of_all, NUM_GATES[cell] * size)] * len(outputs)
    shapes += [(*of_all, size) if has_trace else (0,) for has_trace, _ in zip(has_traces, names)]
    shapes += [(of_all[1], size)] * len(names)
    results = call(found, [*before, *saved, *added, *d_last], shapes, steps.is_reversed)
    stored = dict(zip(outputs, results))
    traces = results[len(outputs) : -len(names)]
    traces = [t if has_trace else jnp.zeros((*of_all, size), jnp.float32) for t, has_trace in zip(traces, has_traces)]
    last = results[-len(names) :]
    previous: list[Any] = [None] * len(names)
    if "d_bias" in arrays:
        sums = stored["d_product"][:, :, -size:].sum(axis=1)  # (time, hidden)
        at_end, others = (sums[0], sums[1:]) if steps.is_reversed else (sums[-1], sums[:-1])
        previous.append(arrays["d_bias"] + others.sum(axis=0))
        last.append(previous[-1] + at_end)
        traces.append(())
    return Result(last, previous, traces, [stored[str(found.stored[i])] for i in wanted])
