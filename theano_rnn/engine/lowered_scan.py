"""Aesara's scan as JAX's scan.

Aesara keeps every output of a scan in a buffer of its outer graph; JAX's scan carries what the next step reads and
stacks what every step gives. By Aesara's kinds of outputs:

- nit-sot (nothing is read back): stacked.
- sit-sot (the value of the step before): carried and stacked.
- mit-sot (several steps back): a window of the last values is carried.
- mit-mot (several read, several written, of a buffer that begins with values from outside; only gradients of scans
  have them): where step t reads places t and t + 1 and writes t + 1, as the gradient of a sit-sot does, the value is
  carried and what was in the buffer is a sequence; else the whole buffer is carried.

A buffer that is only wanted from some step on comes out shorter, so it holds the last steps only.
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
from aesara.graph.basic import Apply
from aesara.graph.fg import FunctionGraph
from aesara.tensor.basic import Alloc
from aesara.tensor.elemwise import DimShuffle

from theano_rnn.engine.known_values import concrete
from theano_rnn.engine.reversal import Reversed, made, reverse, sliced
from theano_rnn.engine.rewriting import QUERY
from theano_rnn.settings.base import UserError


class MitMot:
    """How one mit-mot buffer goes through JAX's scan: `start` and `rows` before, `read` and `write` in a step."""

    def __init__(self, taps_in: Sequence[int], taps_out: Sequence[int]) -> None:
        self.offset = -min(*taps_in, *taps_out, 0)
        self.taps_in, self.taps_out = taps_in, taps_out
        self.is_carried = sorted(taps_in) == [0, 1] and list(taps_out) == [1] and not self.offset

    def start(self, buffer: Any) -> Any:
        return buffer[0] if self.is_carried else buffer

    def rows(self, buffer: Any, num_steps: int) -> Any:
        """What every step takes from the buffer as it began; nothing where the buffer is carried."""
        return buffer[1 : num_steps + 1] if self.is_carried else ()

    def read(self, carried: Any, row: Any, t: Any) -> list[Any]:
        if self.is_carried:
            return [carried if tap == 0 else row for tap in self.taps_in]
        return [carried[t + tap + self.offset] for tap in self.taps_in]

    def write(self, carried: Any, values: Sequence[Any], t: Any) -> tuple[Any, Any]:
        """What is carried on, and what is stacked."""
        if self.is_carried:
            return values[0], values[0]
        for tap, value in zip(self.taps_out, values):
            carried = carried.at[t + tap + self.offset].set(value)
        return carried, ()

    def result(self, buffer: Any, carried: Any, stacked: Any, num_steps: int) -> Any:
        """The buffer after the last step."""
        if not self.is_carried:
            return carried
        return jnp.concatenate([buffer[:1], stacked, buffer[num_steps + 1 :]])


def lowered_scan(
    node: Apply, graph: Any, scans: dict[str, Any], lower: Callable[[Any, dict[str, Any]], Callable[..., Any]]
) -> Callable[..., Any]:
    """The function of arrays that computes a Scan.

    `lower` turns the graph of one step into a function; that graph, rewritten, is put into `scans` under a new name.
    """
    op, info = node.op, node.op.info
    if info.as_while:
        raise UserError(f"the XLA engine does not support scans that end on a condition ({op.name or op}): "
                        "use the C engine (engine c)")  # fmt: skip
    inner_graph = rewritten_inner(op)
    scans[free_name(op.name or "scan", scans)] = inner_graph
    inner = lower(inner_graph, scans)
    mit_mots = [MitMot(*taps) for taps in zip(info.mit_mot_in_slices, info.mit_mot_out_slices)]
    is_read = [bool(inner_graph.clients[v]) for v in op.inner_seqs(inner_graph.inputs)]
    is_constant = [is_constant_in_time(v) for v in op.outer_seqs(node.inputs)]
    nit_sots = list(op.inner_nitsot_outs(inner_graph.outputs))
    passed_on = [sequence_passed_on(v, inner_graph, info.n_seqs) for v in nit_sots]
    is_used = [bool(graph.clients[v]) or v in graph.outputs for v in op.outer_nitsot_outs(node.outputs)]
    first = [nit_sots.index(v) for v in nit_sots]  # the gradient of a scan may give the same result several times
    stacked_once = sorted({i for i, u, p in zip(first, is_used, passed_on) if u and p is None})

    def scan(*outer: Any) -> list[Any]:
        num_steps = concrete(outer[0], "the number of steps of a scan")
        given = [sliced(s, (slice(num_steps),)) for s in op.outer_seqs(outer)]
        sequences = [s if r else None for s, r in zip(given, is_read)]
        directed = [isinstance(s, Reversed) for s, same in zip(sequences, is_constant) if s is not None and not same]
        from_end = bool(directed) and all(directed)
        ordered = reverse if from_end else made  # JAX's order of steps, and back
        sequences = [s if s is None or same else made(ordered(s)) for s, same in zip(sequences, is_constant)]
        outer = tuple(map(made, outer))
        buffers = op.outer_mitmot(outer)
        fixed = op.outer_non_seqs(outer)
        windows = [b[: -min(taps)] for b, taps in zip(op.outer_mitsot(outer), info.mit_sot_in_slices)]
        states = [b[0] for b in op.outer_sitsot(outer)]
        shared = list(op.outer_shared(outer))

        def step(carry: Any, x: Any) -> Any:
            t, carried, windows, states, shared = carry
            rows, elements = x
            read = [v for m, c, row in zip(mit_mots, carried, rows) for v in m.read(c, row, t)]
            recent = [w[tap - min(taps)] for w, taps in zip(windows, info.mit_sot_in_slices) for tap in taps]
            out = inner(*elements, *read, *recent, *states, *shared, *fixed)
            flat = list(op.inner_mitmot_outs(out))
            written = []
            for m, c in zip(mit_mots, carried):
                written.append(m.write(c, [flat.pop(0) for _ in m.taps_out], t))
            new, states = list(op.inner_mitsot_outs(out)), list(op.inner_sitsot_outs(out))
            windows = [jnp.concatenate([w[1:], v[None]]) for w, v in zip(windows, new)]
            results = [op.inner_nitsot_outs(out)[i] for i in stacked_once]
            carry = (t + 1, [c for c, _ in written], windows, states, list(op.inner_shared_outs(out)))
            return carry, ([s for _, s in written], new, states, results)

        rows = [m.rows(b, num_steps) for m, b in zip(mit_mots, buffers)]
        rows = jax.tree.map(lambda row: made(ordered(row)), rows)
        start = (np.int32(0), [m.start(b) for m, b in zip(mit_mots, buffers)], windows, states, shared)
        start = jax.tree.map(jnp.asarray, start)
        (_, carried, _, _, shared), (stacked, new, traces, results) = jax.lax.scan(
            step, start, (rows, sequences), length=num_steps, reverse=from_end
        )
        stacked, new, traces = jax.tree.map(lambda trace: made(ordered(trace)), (stacked, new, traces))
        results = dict(zip(stacked_once, map(ordered, results)))
        filled = [m.result(b, c, s, num_steps) for m, b, c, s in zip(mit_mots, buffers, carried, stacked)]
        kept = [last(w, v, b.shape[0]) for w, v, b in zip(windows, new, op.outer_mitsot(outer))]
        kept += [last(s[None], v, b.shape[0]) for s, v, b in zip(states, traces, op.outer_sitsot(outer))]
        for used, order, i, size in zip(is_used, passed_on, first, op.outer_nitsot(outer)):
            if not used:
                kept.append(jnp.zeros(0))
                continue
            trace = results[i] if order is None else transposed(given[order[0]], order[1])
            kept.append(last(None, trace, concrete(size, "the length of an output")))
        return [*filled, *kept, *shared]

    return scan


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number that makes it new.

    >>> [free_name("unroll", taken) for taken in ([], ["unroll"], ["unroll", "unroll 2"])]
    ['unroll', 'unroll 2', 'unroll 3']
    """
    numbered = (f"{name} {number}" for number in itertools.count(2))
    return next(new for new in itertools.chain([name], numbered) if new not in taken)


def sequence_passed_on(output: Any, inner: FunctionGraph, num_sequences: int) -> tuple[int, tuple[int, ...]] | None:
    """Which sequence an output only hands on with its axes in another order, and that order; None for others."""
    order = tuple(range(output.ndim))
    if output.owner is not None and isinstance(output.owner.op, DimShuffle):
        order, output = output.owner.op.new_order, output.owner.inputs[0]
    sequences = inner.inputs[:num_sequences]
    if output not in sequences or sorted(map(str, order)) != sorted(map(str, range(output.ndim))):
        return None
    return sequences.index(output), (0, *(axis + 1 for axis in order))


def transposed(value: Any, order: tuple[int, ...]) -> Any:
    """`value` with its axes in another order, the first one where it was."""
    return Reversed(jnp.transpose(value.array, order)) if isinstance(value, Reversed) else jnp.transpose(value, order)


def is_constant_in_time(sequence: Any) -> bool:
    """Whether every step sees the same of a sequence, which then has no direction."""
    if sequence.owner is None or not isinstance(sequence.owner.op, Alloc):
        return False
    value = sequence.owner.inputs[0]
    return bool(value.ndim < sequence.ndim or value.type.shape[0] == 1)


def last(before: Any, trace: Any, size: int) -> Any:
    """The last `size` rows of what was there before the first step and of all steps."""
    rows = trace.shape[0]
    if size <= rows or before is None:
        return sliced(trace, (slice(rows - size, None),))
    return jnp.concatenate([before, trace])[-size:]


def rewritten_inner(op: Any) -> FunctionGraph:
    """The graph of one step after the engine's rewrites."""
    graph = FunctionGraph(copy.copy(op.inner_inputs), copy.copy(op.inner_outputs), clone=True)
    Mode("py", QUERY).optimizer.rewrite(graph)
    return graph
