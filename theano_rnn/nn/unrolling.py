"""The forward pass of one recurrent layer: a cell repeated over time with ``aesara.scan``, here and nowhere else."""

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

from theano_rnn.engine.static_shapes import cheap_static_shapes


@cheap_static_shapes()
def unroll(
    cell: Any,
    projected: TensorVariable,
    mask: TensorVariable,
    state: Sequence[TensorVariable],
    *,
    params: Mapping[str, Any],
    context: Sequence[TensorVariable] = (),
    backwards: bool = False,
) -> tuple[TensorVariable, list[TensorVariable]]:
    """Outputs of `cell` at every time step, and the state after the last.

    As a plain loop::

        for t in range(time):                          # from the end where `backwards`
            output[t], *new = cell.step(projected[t], *state, *params, *context)
            state = new where mask[t] else state       # a masked step copies the state

    Parameters
    ----------
    projected : float (time, batch, units)
        What ``cell.project`` made of the inputs.
    mask : float (time, batch)
        1 for a real step, 0 for padding.
    state : sequence of float (batch, units)
        As in ``cell.initial_state``.
    params : mapping
        Values for the names in ``cell.recurrent``: the cell's own parameters, or dropped or averaged ones.
    context
        What every step may look at besides, passed on to ``cell.step``.

    Returns
    -------
    outputs : float (time, batch, hidden)
        In the order of the input also where `backwards`; at masked steps they mean nothing.
    final state : list of float (batch, units)

    Raises
    ------
    ValueError
        The number of states is not the cell's.
    """
    if len(state) != cell.num_states:
        raise ValueError(f"the cell has {cell.num_states} states, got {len(state)}")
    fixed = [params[name] for name in cell.recurrent] + list(context)

    def masked_step(projected_t: Any, mask_t: Any, *rest: Any) -> list[Any]:
        state_tm1, arguments = rest[: cell.num_states], rest[cell.num_states :]
        output_t, *state_t = cell.step(projected_t, *state_tm1, *arguments)
        is_real = mask_t.dimshuffle(0, "x")  # (batch, 1)
        kept = costly([output_t, *state_t], given=[projected_t, *rest])
        return [*(T.switch(is_real, new, old) for new, old in zip(state_t, state_tm1)), output_t, *kept]

    num_kept = len(costly(cell.step(projected[0], *state, *fixed), given=[projected, *state, *fixed]))
    traces, _ = aesara.scan(
        masked_step,
        sequences=[projected, mask],
        outputs_info=[*state, None, *[None] * num_kept],
        non_sequences=fixed,
        go_backwards=backwards,
        strict=True,
        name=f"unroll_{type(cell).__name__}",
        return_list=True,
    )
    outputs = traces[cell.num_states]  # (time, batch, hidden)
    return outputs[::-1] if backwards else outputs, [trace[-1] for trace in traces[: cell.num_states]]


def costly(results: Sequence[TensorVariable], *, given: Sequence[Any]) -> list[TensorVariable]:
    """Products and transcendental functions between `given` and `results`, those nearer to `results` first.

    The gradient of a scan computes again whatever of a step is not one of the scan's outputs. `unroll` makes these
    outputs too; Aesara removes those that no gradient needs.
    """
    nodes = list(io_toposort(list(given), list(results)))
    return [node.outputs[0] for node in reversed(nodes) if is_costly(node.op) and node.outputs[0] not in results]


def is_costly(op: Any) -> bool:
    """Whether an operation is worth storing rather than computing again."""
    return isinstance(op, Dot) or isinstance(getattr(op, "scalar_op", None), (Tanh, Sigmoid, Exp))
