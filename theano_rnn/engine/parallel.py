"""Data parallelism: every device runs the whole graph on its own columns of each batch.

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

AXIS = "batch"
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
    """`variable`, with a note that its `axis` runs over the columns of a batch."""
    variable.tag.batch_axis = axis
    return variable


def batch_axis(variable: Any) -> int | None:
    """The axis that runs over the columns of a batch; None where none does."""
    axis: int | None = getattr(variable.tag, "batch_axis", None)
    return axis


class SumOverDevices(Op):  # type: ignore[misc]
    """The sum of what all devices have; the identity where there is one."""

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012 - as Aesara reads it

    def make_node(self, x: Any) -> Apply:
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        outputs[0][0] = inputs[0]

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        return output_gradients  # of this device's share: the gradients are summed in their turn

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return shapes

    def as_jax(self, node: Apply) -> Callable[..., Any]:
        psum = importlib.import_module("jax").lax.psum
        return lambda x: psum(x, AXIS)


def sum_over_devices(x: Any) -> Any:
    """The sum of `x` over the devices that share the batch; `x` itself if there is only one."""
    return SumOverDevices()(x) if batch_is_divided() else x


class FirstColumn(Op):  # type: ignore[misc]
    """How many columns of the batch come before this device's, of which it has the given number; 0 on one device."""

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
        return lambda num_columns: axis_index(AXIS).astype(dtype) * num_columns


def first_column(num_columns: Any) -> Any:
    """The number of the first column of the batch that this device has, given how many columns it has."""
    return FirstColumn()(num_columns) if batch_is_divided() else 0


def divided(compute: Callable[..., Any], mesh: Any, inputs: Sequence[int | None], outputs: Sequence[int | None]) -> Any:
    """`compute` on all devices of `mesh`: inputs are cut along their batch axes, outputs put together along theirs."""
    jax = importlib.import_module("jax")
    spec = jax.sharding.PartitionSpec

    def local(*arguments: Any) -> list[Any]:
        results = compute(*arguments)
        return [
            result if axis is None else jax.lax.all_gather(result, AXIS, axis=axis, tiled=True)
            for result, axis in zip(results, outputs)
        ]

    options: dict[str, Any] = {
        "mesh": mesh,
        "in_specs": tuple(spec() if axis is None else spec(*[None] * axis, AXIS) for axis in inputs),
        "out_specs": spec(),
    }
    if hasattr(jax, "shard_map"):
        return jax.shard_map(local, check_vma=False, **options)
    from jax.experimental.shard_map import shard_map  # before JAX 0.8

    return shard_map(local, check_rep=False, **options)
