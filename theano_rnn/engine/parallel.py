"""Data parallelism: every device runs the whole graph on its own part of each batch.

Parameters are the same on all devices. Whatever a graph sums over the batch must be summed over the devices too: the
gradients, the loss and the number of targets. `sum_over_devices` does that in a graph that is built within
`divided_batch`; in any other graph it changes nothing. So an update equals that of one device on the whole batch, up
to rounding.

`compiling.compile_graph` marks, with `in_batch`, which axis of an input or output runs over the columns of a batch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from aesara.graph.basic import Apply
from aesara.graph.op import Op
from aesara.tensor import as_tensor_variable

MESH_AXIS = "batch"
BATCH_IS_DIVIDED: ContextVar[bool] = ContextVar("BATCH_IS_DIVIDED", default=False)


@contextmanager
def divided_batch(is_divided: bool = True) -> Iterator[None]:
    """Within it, graphs are built for several devices, each of which gets a part of every batch."""
    token = BATCH_IS_DIVIDED.set(is_divided)
    try:
        yield
    finally:
        BATCH_IS_DIVIDED.reset(token)


def batch_is_divided() -> bool:
    """Whether the graph that is being built is for several devices."""
    return BATCH_IS_DIVIDED.get()


def in_batch(variable: Any, axis: int) -> Any:
    """Mark `axis` as the batch axis of `variable`. Returns the variable."""
    variable.tag.batch_axis = axis
    return variable


def batch_axis(variable: Any) -> int | None:
    """Returns the batch axis of a variable, or None if it has none."""
    axis: int | None = getattr(variable.tag, "batch_axis", None)
    return axis


class SumOverDevices(Op):  # type: ignore[misc]
    """The sum of a value over all devices; the identity on one device."""

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012 - the form that Aesara reads

    def make_node(self, x: Any) -> Apply:
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        outputs[0][0] = inputs[0]

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        return output_gradients  # for this device's part of the batch: gradients are summed later

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return shapes

    def as_jax(self, node: Apply) -> Callable[..., Any]:
        psum = importlib.import_module("jax").lax.psum
        return lambda x: psum(x, MESH_AXIS)


def sum_over_devices(x: Any) -> Any:
    """The sum of `x` over the devices that share the batch; `x` itself if there is only one."""
    return SumOverDevices()(x) if batch_is_divided() else x


class FirstColumn(Op):  # type: ignore[misc]
    """The index within the whole batch of this device's first example; 0 on one device.

    Its input is the number of examples on each device.
    """

    __props__ = ()

    def make_node(self, num_columns: Any) -> Apply:
        num_columns = as_tensor_variable(num_columns)
        return Apply(self, [num_columns], [num_columns.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        outputs[0][0] = np.zeros((), node.outputs[0].dtype)

    def do_constant_folding(self, fgraph: Any, node: Apply) -> bool:
        return False  # it depends on the device

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]]

    def as_jax(self, node: Apply) -> Callable[..., Any]:
        axis_index, dtype = importlib.import_module("jax").lax.axis_index, node.outputs[0].dtype
        return lambda num_columns: axis_index(MESH_AXIS).astype(dtype) * num_columns


def first_column(num_columns: Any) -> Any:
    """The number of the first column of the batch that this device has, given how many columns it has."""
    return FirstColumn()(num_columns) if batch_is_divided() else 0


def data_parallel(
    compute: Callable[..., Any], mesh: Any, inputs: Sequence[int | None], outputs: Sequence[int | None]
) -> Any:
    """Returns `compute` as a function that runs on all devices of `mesh`.

    `inputs` and `outputs` are the batch axes of its arguments and results. Each argument is split along its batch axis,
    and the parts of each result are joined along its own. An axis of None means that the value is the same on all
    devices.
    """
    jax = importlib.import_module("jax")
    spec = jax.sharding.PartitionSpec

    def compute_part(*arguments: Any) -> list[Any]:
        results = compute(*arguments)
        return [
            result if axis is None else jax.lax.all_gather(result, MESH_AXIS, axis=axis, tiled=True)
            for result, axis in zip(results, outputs)
        ]

    options: dict[str, Any] = {
        "mesh": mesh,
        "in_specs": tuple(spec() if axis is None else spec(*[None] * axis, MESH_AXIS) for axis in inputs),
        "out_specs": spec(),
    }
    if hasattr(jax, "shard_map"):
        return jax.shard_map(compute_part, check_vma=False, **options)
    from jax.experimental.shard_map import shard_map  # before JAX 0.8

    return shard_map(compute_part, check_rep=False, **options)
