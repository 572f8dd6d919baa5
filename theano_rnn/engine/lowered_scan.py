"""Lower Aesara's scan to JAX's scan.

Aesara stores every output of a scan in a buffer of the outer graph. JAX's scan carries the values that the next step
reads and stacks the results of all steps. Aesara names its kinds of outputs by how many steps they read ("input taps":
no, a single or multiple) and write ("output taps"). They become:

- nit-sot (no input tap, single output tap; no step reads it): stacked.
- sit-sot (single, single; read by the next step): carried and stacked. If only the last two values are kept, as of the
  gradient of an array that all steps read, which may be large, they are carried and nothing is stacked.
- mit-sot (multiple, single; several earlier steps are read): a window of the last values is carried.
- mit-mot (multiple, multiple; several places of a buffer with initial values are read and written; only gradients of
  scans use it): if step t reads places t and t + 1 and writes t + 1, as the gradient of a sit-sot does, the value is
  carried and the buffer's initial values are a sequence. Otherwise the whole buffer is carried.

If only the last steps of a buffer are used, Aesara makes it shorter, and it holds only those steps.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from aesara.compile.mode import Mode
from aesara.graph.basic import Apply, Constant
from aesara.graph.fg import FunctionGraph
from aesara.tensor.basic import Alloc
from aesara.tensor.elemwise import DimShuffle

from theano_rnn.engine.known_values import concrete_int
from theano_rnn.engine.reversal import Reversed, getitem, materialize, reverse
from theano_rnn.engine.rewriting import QUERY
from theano_rnn.engine.window_patterns import find_window
from theano_rnn.engine.windows import Steps, run_window
from theano_rnn.settings.base import UserError

NUM_CARRIED = 2  # rows of the buffers of which Aesara keeps the last ones only


class MitMot:
    """How JAX's scan carries one mit-mot buffer."""

    def __init__(self, taps_in: Sequence[int], taps_out: Sequence[int]) -> None:
        self.offset = -min(*taps_in, *taps_out, 0)
        self.taps_in, self.taps_out = taps_in, taps_out
        self.is_carried = sorted(taps_in) == [0, 1] and list(taps_out) == [1] and not self.offset

    def initial_carry(self, buffer: Any) -> Any:
        """Returns the carried value before the first step."""
        return buffer[0] if self.is_carried else buffer

    def scanned_rows(self, buffer: Any, num_steps: int) -> Any:
        """Returns the buffer's initial values, one for each step; () if the whole buffer is carried."""
        return buffer[1 : num_steps + 1] if self.is_carried else ()

    def read(self, carried: Any, row: Any, t: Any) -> list[Any]:
        """Returns the values that step `t` reads."""
        if self.is_carried:
            return [carried if tap == 0 else row for tap in self.taps_in]
        return [carried[t + tap + self.offset] for tap in self.taps_in]

    def write(self, carried: Any, values: Sequence[Any], t: Any) -> tuple[Any, Any]:
        """Returns the new carried value and the value to stack, after step `t`."""
        if self.is_carried:
            return values[0], values[0]
        for tap, value in zip(self.taps_out, values):
            carried = carried.at[t + tap + self.offset].set(value)
        return carried, ()

    def final_buffer(self, buffer: Any, carried: Any, stacked: Any, num_steps: int) -> Any:
        """Returns the buffer after the last step."""
        if not self.is_carried:
            return carried
        return jnp.concatenate([buffer[:1], stacked, buffer[num_steps + 1 :]])


def lower_scan(
    node: Apply,
    graph: Any,
    scans: dict[str, Any],
    lower: Callable[[Any, dict[str, Any]], Callable[..., Any]],
    has_kernels: bool = False,
) -> Callable[..., Any]:
    """Returns a function of JAX arrays that computes a Scan node.

    `lower` turns the graph of one step into a function. That inner graph, after rewriting, is stored in `scans` under a
    unique name. If it `has_kernels`, the function calls a kernel of `windows` where there is one for this scan.

    Raises
    ------
    UserError
        The scan ends on a condition, which JAX's scan cannot do.
    """
    op, info = node.op, node.op.info
    if info.as_while:
        raise UserError(f"the XLA engine does not support scans that end on a condition ({op.name or op}): "
                        "use the C engine (engine c)")  # fmt: skip
    inner_graph = rewrite_inner_graph(op)
    scans[unique_name(op.name or "scan", scans)] = inner_graph
    inner = lower(inner_graph, scans)
    window = find_window(op, inner_graph) if has_kernels else None
    mit_mots = [MitMot(*taps) for taps in zip(info.mit_mot_in_slices, info.mit_mot_out_slices)]
    is_read = [bool(inner_graph.clients[v]) for v in op.inner_seqs(inner_graph.inputs)]
    is_constant = [is_constant_in_time(v) for v in op.outer_seqs(node.inputs)]
    nit_sots = list(op.inner_nitsot_outs(inner_graph.outputs))
    passthrough = [find_passthrough(v, inner_graph, info.n_seqs) for v in nit_sots]

    def are_used(outputs: Sequence[Any]) -> list[bool]:
        return [bool(graph.clients[v]) or v in graph.outputs for v in outputs]

    is_used = are_used(op.outer_nitsot_outs(node.outputs))
    is_buffer_used = are_used(op.outer_mitmot_outs(node.outputs))
    is_added = [not is_zero(v) for v in op.outer_mitmot(node.inputs)]
    first_place = [nit_sots.index(v) for v in nit_sots]  # a scan's gradient may repeat a result
    stacked_once = sorted({i for i, u, p in zip(first_place, is_used, passthrough) if u and p is None})

    def scan(*outer: Any) -> list[Any]:
        num_steps = concrete_int(outer[0], "the number of steps of a scan")
        outer_sequences = [getitem(s, (slice(num_steps),)) for s in op.outer_seqs(outer)]
        sequences = [s if r else None for s, r in zip(outer_sequences, is_read)]
        directed = [isinstance(s, Reversed) for s, same in zip(sequences, is_constant) if s is not None and not same]
        runs_backwards = bool(directed) and all(directed)
        reorder = reverse if runs_backwards else materialize  # between Aesara's order of steps and JAX's
        sequences = [s if s is None or same else materialize(reorder(s)) for s, same in zip(sequences, is_constant)]
        outer = tuple(map(materialize, outer))
        buffers = op.outer_mitmot(outer)
        non_sequences = op.outer_non_seqs(outer)
        windows = [b[: -min(taps)] for b, taps in zip(op.outer_mitsot(outer), info.mit_sot_in_slices)]
        states = [b[0] for b in op.outer_sitsot(outer)]
        is_short = [b.shape[0] <= NUM_CARRIED and num_steps > 0 for b in op.outer_sitsot(outer)]
        shared = list(op.outer_shared(outer))

        def step(carry: Any, x: Any) -> Any:
            t, carried, windows, _, states, shared = carry
            rows, elements = x
            read = [v for m, c, row in zip(mit_mots, carried, rows) for v in m.read(c, row, t)]
            recent = [w[tap - min(taps)] for w, taps in zip(windows, info.mit_sot_in_slices) for tap in taps]
            out = inner(*elements, *read, *recent, *states, *shared, *non_sequences)
            flat = list(op.inner_mitmot_outs(out))
            written = []
            for m, c in zip(mit_mots, carried):
                written.append(m.write(c, [flat.pop(0) for _ in m.taps_out], t))
            new, previous, states = list(op.inner_mitsot_outs(out)), states, list(op.inner_sitsot_outs(out))
            windows = [jnp.concatenate([w[1:], v[None]]) for w, v in zip(windows, new)]
            results = [op.inner_nitsot_outs(out)[i] for i in stacked_once]
            carry = (t + 1, [c for c, _ in written], windows, previous, states, list(op.inner_shared_outs(out)))
            traces = [() if short else s for s, short in zip(states, is_short)]
            return carry, ([s for _, s in written], new, traces, results)

        rows = [m.scanned_rows(b, num_steps) for m, b in zip(mit_mots, buffers)]
        rows = jax.tree.map(lambda row: materialize(reorder(row)), rows)
        carries = [m.initial_carry(b) for m, b in zip(mit_mots, buffers)]
        start = (np.int32(0), carries, windows, states, states, shared)
        start = jax.tree.map(jnp.asarray, start)
        result = None
        if window is not None:
            flat = [v for m, c, row in zip(mit_mots, carries, rows) for v in m.read(c, row, 0)]
            flat[1::2] = [row if added else None for row, added in zip(rows, is_added)]
            has_traces = [*is_buffer_used, *(not short for short in is_short if carries)]
            steps = Steps(sequences, [*flat, *states], non_sequences, runs_backwards)
            result = run_window(window, steps, stacked_once, has_traces)
        if result is not None:
            count = len(mit_mots)
            carried, last, previous = result.last[:count], result.last[count:], result.previous[count:]
            stacked, new, traces, results = result.traces[:count], [], result.traces[count:], result.stored
        else:
            (_, carried, _, previous, last, shared), (stacked, new, traces, results) = jax.lax.scan(
                step, start, (rows, sequences), length=num_steps, reverse=runs_backwards
            )
        stacked, new, traces = jax.tree.map(lambda trace: materialize(reorder(trace)), (stacked, new, traces))
        stored = dict(zip(stacked_once, map(reorder, results)))
        final = [m.final_buffer(b, c, s, num_steps) for m, b, c, s in zip(mit_mots, buffers, carried, stacked)]
        kept_steps = [last_rows(w, v, b.shape[0]) for w, v, b in zip(windows, new, op.outer_mitsot(outer))]
        traces = [jnp.stack(pair) if short else v for v, short, *pair in zip(traces, is_short, previous, last)]
        kept_steps += [last_rows(s[None], v, b.shape[0]) for s, v, b in zip(states, traces, op.outer_sitsot(outer))]
        for used, order, i, size in zip(is_used, passthrough, first_place, op.outer_nitsot(outer)):
            if not used:
                kept_steps.append(jnp.zeros(0))
                continue
            trace = stored[i] if order is None else transpose(outer_sequences[order[0]], order[1])
            kept_steps.append(last_rows(None, trace, concrete_int(size, "the length of an output")))
        return [*final, *kept_steps, *shared]

    return scan


def unique_name(name: str, taken: Collection[str]) -> str:
    """Returns `name`, with a number appended if it is taken.

    >>> [unique_name("unroll", taken) for taken in ([], ["unroll"], ["unroll", "unroll 2"])]
    ['unroll', 'unroll 2', 'unroll 3']
    """
    numbered = (f"{name} {number}" for number in itertools.count(2))
    return next(new for new in itertools.chain([name], numbered) if new not in taken)


def find_passthrough(output: Any, inner: FunctionGraph, num_sequences: int) -> tuple[int, tuple[int, ...]] | None:
    """Returns a sequence's index and an axis order if an output is that sequence with permuted axes, else None."""
    order = tuple(range(output.ndim))
    if output.owner is not None and isinstance(output.owner.op, DimShuffle):
        order, output = output.owner.op.new_order, output.owner.inputs[0]
    sequences = inner.inputs[:num_sequences]
    if output not in sequences or sorted(map(str, order)) != sorted(map(str, range(output.ndim))):
        return None
    return sequences.index(output), (0, *(axis + 1 for axis in order))


def transpose(value: Any, order: tuple[int, ...]) -> Any:
    """Returns `value` with its axes permuted; the first axis, which may be `Reversed`, stays first."""
    return Reversed(jnp.transpose(value.array, order)) if isinstance(value, Reversed) else jnp.transpose(value, order)


def is_constant_in_time(sequence: Any) -> bool:
    """Returns whether a sequence has the same value at every step, so that its direction does not matter."""
    if sequence.owner is None or not isinstance(sequence.owner.op, Alloc):
        return False
    value = sequence.owner.inputs[0]
    return bool(value.ndim < sequence.ndim or value.type.shape[0] == 1)


def is_zero(buffer: Any) -> bool:
    """Returns whether a variable is an array of zeros."""
    if buffer.owner is None or not isinstance(buffer.owner.op, Alloc):
        return False
    value = buffer.owner.inputs[0]
    return isinstance(value, Constant) and not np.any(value.data)


def last_rows(before: Any, trace: Any, size: int) -> Any:
    """Returns the last `size` rows of the initial values `before`, followed by the rows of all steps.

    If there are fewer, zeros follow, as in Aesara: a truncated gradient has more rows than steps.
    """
    if before is not None and size > trace.shape[0]:
        trace = jnp.concatenate([before, trace])
    missing = size - trace.shape[0]
    if missing > 0:
        return jnp.concatenate([materialize(trace), jnp.zeros((missing, *trace.shape[1:]), trace.dtype)])
    return getitem(trace, (slice(-missing, None),))


def rewrite_inner_graph(op: Any) -> FunctionGraph:
    """Returns the graph of one step after the engine's rewrites."""
    graph = FunctionGraph(copy.copy(op.inner_inputs), copy.copy(op.inner_outputs), clone=True)
    Mode("py", QUERY).optimizer.rewrite(graph)
    return graph
