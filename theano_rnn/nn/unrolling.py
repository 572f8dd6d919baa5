"""The recurrence: apply a cell at every time step with ``aesara.scan``. No other module of the package calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aesara
import aesara.tensor as T
from aesara.graph.basic import io_toposort
from aesara.scalar.basic import Exp, Tanh
from aesara.scalar.math import Sigmoid
from aesara.tensor.math import Dot
from aesara.tensor.var import TensorVariable

from theano_rnn.engine.static_shapes import cheap_shapes

MAX_STORED_AXES = 2


@cheap_shapes()
def unroll(
    cell: Any,
    projected: TensorVariable,
    mask: TensorVariable,
    state: Sequence[TensorVariable],
    *,
    params: Mapping[str, Any],
    context: Sequence[TensorVariable] = (),
    backwards: bool = False,
) -> tuple[list[TensorVariable], list[TensorVariable]]:
    """Apply `cell` at every time step.

    Equivalent to this loop::

        for t in range(time):                          # from the last step if `backwards`
            *output[t], *new = cell.step(projected[t], *state, *params, *context)
            state = new if mask[t] else state          # a masked step copies the state

    Parameters
    ----------
    cell
        Has `num_states`, `recurrent`, `step` and, if a step has more than one output, `num_outputs`.
    projected : float (time, batch, ...)
        The inputs after ``cell.project``.
    mask : float (time, batch)
        1 for a real step, 0 for padding.
    state : sequence of arrays (batch, ...)
        As in ``cell.initial_state``, of any rank.
    params : mapping
        Values for the names in ``cell.recurrent``: the cell's parameters, possibly with dropout or averaged.
    context : sequence of arrays
        Further inputs of every step, such as encoder states for attention. Passed to ``cell.step``.

    Returns
    -------
    outputs : list of arrays (time, batch, ...)
        One for each output of a step, in the order of the input even if `backwards`. Undefined at masked steps.
    final state : list of arrays (batch, ...)

    Raises
    ------
    ValueError
        The number of states is wrong for the cell.
    """
    if len(state) != cell.num_states:
        raise ValueError(f"the cell has {cell.num_states} states, got {len(state)}")
    num_outputs = getattr(cell, "num_outputs", 1)
    fixed = [params[name] for name in cell.recurrent] + list(context)

    def masked_step(projected_t: Any, mask_t: Any, *rest: Any) -> list[Any]:
        state_tm1, arguments = rest[: cell.num_states], rest[cell.num_states :]
        results = cell.step(projected_t, *state_tm1, *arguments)
        outputs_t, state_t = results[:num_outputs], results[num_outputs:]
        stored = costly_nodes(results, given=[projected_t, *rest])
        return [*(select(mask_t, new, old) for new, old in zip(state_t, state_tm1)), *outputs_t, *stored]

    first_step = cell.step(projected[0], *state, *fixed)
    num_stored = len(costly_nodes(first_step, given=[projected, *state, *fixed]))
    traces, _ = aesara.scan(
        masked_step,
        sequences=[projected, mask],
        outputs_info=[*state, *[None] * num_outputs, *[None] * num_stored],
        non_sequences=fixed,
        go_backwards=backwards,
        strict=True,
        name=f"unroll_{type(cell).__name__}",
        return_list=True,
    )
    outputs = traces[cell.num_states : cell.num_states + num_outputs]  # each (time, batch, ...)
    return [trace[::-1] if backwards else trace for trace in outputs], [
        trace[-1] for trace in traces[: cell.num_states]
    ]


def select(mask_t: Any, new: Any, old: Any) -> TensorVariable:
    """Returns the `new` state for sequences whose step is real and the `old` state for padding: (batch, ...)."""
    return T.switch(mask_t.dimshuffle(0, *["x"] * (new.ndim - 1)), new, old)


def costly_nodes(results: Sequence[TensorVariable], *, given: Sequence[Any]) -> list[TensorVariable]:
    """Returns the products and transcendental functions between `given` and `results`, nearest to `results` first.

    The gradient of a scan recomputes everything in a step that is not an output of the scan. To save that time,
    `unroll` makes these nodes outputs too; Aesara removes those that no gradient needs. Arrays with more than two axes,
    as additive attention has for every position and unit, are too large to be stored for all steps.
    """
    nodes = list(io_toposort(list(given), list(results)))
    found = [node.outputs[0] for node in reversed(nodes) if is_costly(node.op) and node.outputs[0] not in results]
    return [variable for variable in found if variable.ndim <= MAX_STORED_AXES]


def is_costly(op: Any) -> bool:
    """Returns whether storing an operation's result for the gradient is faster than recomputing it."""
    return isinstance(op, Dot) or isinstance(getattr(op, "scalar_op", None), (Tanh, Sigmoid, Exp))
