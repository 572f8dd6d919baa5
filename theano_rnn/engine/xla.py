"""The XLA engine: compile an Aesara graph, with its scans and their gradients, with JAX's compiler.

It needs no C++ compiler and runs on a GPU if JAX sees one. First, Aesara rewrites the graph, without the rewrites that
only C can run. Then `lowering` turns it into a function of JAX arrays. JAX traces that function once for each shape of
the inputs, so all arithmetic on shapes is done during tracing. Finally, XLA compiles the trace.

Shared variables with updates stay on the device: a call donates their old arrays and keeps the new ones, without a copy
through NumPy. The engine neither uses nor changes Aesara's global JAX linker and its conversions. It enables JAX's
64-bit mode only during its own calls.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import aesara
import jax
import jax.experimental
import numpy as np
from aesara.compile.mode import Mode
from aesara.compile.sharedvalue import SharedVariable
from aesara.graph.basic import graph_inputs
from aesara.link.basic import Container, LocalLinker
from aesara.link.utils import map_storage
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from theano_rnn.engine.block_sums import join_blocks
from theano_rnn.engine.changed_flags import changed_flags
from theano_rnn.engine.devices import find_devices, is_local
from theano_rnn.engine.kernels import resolve_kernels
from theano_rnn.engine.lowering import lower_graph
from theano_rnn.engine.parallel import MESH_AXIS, batch_axis, data_parallel
from theano_rnn.engine.precision import products_in
from theano_rnn.engine.rewriting import QUERY
from theano_rnn.settings.base import UserError

MAX_SHAPES = 12  # of a function's first argument, its batch; more are likely a mistake


def x64() -> Any:
    """Returns a context in which JAX keeps 64-bit dtypes, as Aesara's types require."""
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # the latter before JAX 0.8
    return enable(True)


class DeviceContainer(Container):  # type: ignore[misc]
    """A shared variable's container, whose value reads as a NumPy array wherever it is stored.

    Aesara would copy a device array with JAX, which converts 64-bit dtypes to 32 bits outside of this engine's calls.
    """

    def __get__(self) -> Any:
        value = super().__get__()
        return np.asarray(value) if isinstance(value, jax.Array) else value

    data = value = property(__get__, Container.__set__)


@functools.cache
def compiler_options(platform: str) -> dict[str, Any] | None:
    """Returns options for XLA: on a CPU, products of matrices without the library XNNPACK, if this XLA has that option.

    In JAX 0.7.1 to 0.8.0, products by XNNPACK keep a copy of a matrix for the next call, as long as its address is the
    same. An update in place changes the matrix but not the address, so products of some shapes then read old values.
    XNNPACK saves no time in our networks.
    """
    options = {"xla_cpu_use_xnnpack": False}
    try:
        if platform == "cpu":
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
            return options
    except RuntimeError:  # no such option
        pass
    return None


class Placement:
    """The devices on which a function runs: one, or several that each compute a part of the batch.

    `inputs` and `outputs` are the batch axes of the function's arguments and results. The shared variables and updates
    that follow them are the same on all devices. `kernels` is "auto" or "none".
    """

    def __init__(
        self,
        devices: list[Any],
        inputs: Sequence[int | None],
        outputs: Sequence[int | None],
        kernels: str,
        precision: str,
    ) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.num_devices = len(devices)
        self.device = next(d for d in devices if is_local(d))
        is_one_cpu = self.num_devices == 1 and self.device.platform == "cpu"
        self.precision = precision
        self.has_kernels = is_one_cpu and resolve_kernels(kernels, precision) == "auto"
        self.mesh = None if self.num_devices == 1 else Mesh(np.array(devices), (MESH_AXIS,))
        self.parameter_sharding = self.device if self.mesh is None else NamedSharding(self.mesh, PartitionSpec())

    def distribute(self, compute: Callable[..., Any], num_inputs: int, num_outputs: int) -> Callable[..., Any]:
        """Returns `compute` as a function that runs on all devices."""
        if self.mesh is None:
            return compute
        inputs = self.inputs + [None] * (num_inputs - len(self.inputs))
        outputs = self.outputs + [None] * (num_outputs - len(self.outputs))
        function: Callable[..., Any] = data_parallel(compute, self.mesh, inputs, outputs)
        return function

    def jit_options(self) -> dict[str, Any]:
        """Returns options for ``jax.jit``: without a device, XLA would compile twice, for NumPy's and JAX's arrays."""
        options = {"compiler_options": compiler_options(self.device.platform)}
        return options if self.mesh is not None else options | {"in_shardings": SingleDeviceSharding(self.device)}

    def to_local(self, value: Any) -> Any:
        """Returns this process's copy of an array that other processes hold too; other values as they are."""
        if self.mesh is None and isinstance(value, jax.Array) and not value.is_fully_addressable:
            return value.addressable_data(0)
        return value

    def check_batch_size(self, arguments: Sequence[Any]) -> None:
        """Raise `UserError` if the batch cannot be divided evenly among the devices."""
        for axis, argument in zip(self.inputs, arguments):
            if axis is not None and argument.shape[axis] % self.num_devices:
                raise UserError(f"the batch size must be a multiple of {self.num_devices}, the number of devices, "
                                f"got {argument.shape[axis]}")  # fmt: skip


class XLALinker(LocalLinker):  # type: ignore[misc]
    """Connects Aesara's linker interface to `lowering` and JAX."""

    def __init__(self, placement: Placement) -> None:
        super().__init__(allow_gc=False)
        self.fgraph: Any = None
        self.placement = placement

    def clone(self, allow_gc: bool | None = None) -> XLALinker:
        return XLALinker(self.placement)

    def accept(self, fgraph: Any, no_recycling: Any = None, profile: Any = None) -> XLALinker:
        if self.fgraph is not None:
            return self.clone().accept(fgraph, no_recycling, profile)
        self.fgraph = fgraph
        return self

    def make_all(self, input_storage: Any = None, output_storage: Any = None, storage_map: Any = None) -> Any:
        graph = self.fgraph
        join_blocks(graph)
        inputs, outputs, _ = map_storage(graph, graph.toposort(), input_storage, output_storage, storage_map)
        run = Runner(graph, inputs, outputs, self.placement)
        containers = [
            [Container(variable, cell, readonly=readonly) for variable, cell in zip(variables, cells)]
            for variables, cells, readonly in ((graph.inputs, inputs, False), (graph.outputs, outputs, True))
        ]
        return run, *containers, [run], []


class Runner:
    """The function that Aesara calls: reads the input cells, computes, and stores the outputs and the updated values.

    An updated value is stored as a device array; its old array is donated. Shared variables without an update, such as
    the parameters during evaluation, are moved to the device once.
    """

    need_update_inputs = False  # else Aesara turns every new value into a NumPy array
    allow_gc = False

    def __init__(self, graph: Any, inputs: Any, outputs: Any, placement: Placement) -> None:
        self.inputs, self.outputs, self.placement = inputs, outputs, placement
        self.updates = list((getattr(graph, "update_mapping", None) or {}).items())
        self.scans: dict[str, Any] = {}
        self.shapes: set[Any] = set()
        compute = placement.distribute(
            lower_graph(graph, self.scans, placement.has_kernels), len(graph.inputs), len(graph.outputs)
        )

        def traced(*arguments: Any) -> list[Any]:
            self.warn_of_many_shapes(arguments)
            with products_in(placement.precision, placement.device.platform, placement.has_kernels):
                results: list[Any] = compute(*arguments)
            return results

        self.function = jax.jit(
            traced, donate_argnums=tuple(sorted(target for _, target in self.updates)), **placement.jit_options()
        )
        self.shared = [cell for variable, cell in zip(graph.inputs, inputs) if isinstance(variable, SharedVariable)]
        self.compiled: set[Any] = set()  # shapes that `compile_for` has seen

    def compile_for(self, arguments: Sequence[Any]) -> None:
        """Compile for the shapes of these arguments, unless that was done before. The function is not run.

        Does nothing for several devices: their arrays are divided in ways that shapes do not tell.
        """
        shapes = tuple(np.shape(argument) for argument in arguments)
        if shapes in self.compiled or self.placement.mesh is not None:
            return
        self.compiled.add(shapes)
        with x64(), jax.default_device(self.placement.device):
            values = [*arguments, *(cell[0] for cell in self.inputs[len(arguments) :])]
            self.function.lower(*[jax.ShapeDtypeStruct(np.shape(value), value.dtype) for value in values]).compile()

    def warn_of_many_shapes(self, arguments: Sequence[Any]) -> None:
        """Warn if the batches have many shapes. JAX runs this only while it traces, once for each new shape.

        Only the first argument counts. Others, such as the slots of an adaptive softmax, have few sizes for each batch
        shape.
        """
        known = len(self.shapes)
        self.shapes.update(argument.shape for argument in arguments[:1])
        if known < len(self.shapes) == MAX_SHAPES + 1:
            warnings.warn(
                f"XLA has compiled one function for {len(self.shapes)} shapes of its inputs, each taking a second or "
                "more: use fewer lengths and batch sizes",
                stacklevel=2,
            )

    def __call__(self) -> list[Any]:
        with x64(), jax.default_device(self.placement.device):
            for cell in self.shared:
                if not isinstance(cell[0], jax.Array):
                    cell[0] = jax.device_put(np.array(cell[0]), self.placement.parameter_sharding)
            results = self.function(*[self.placement.to_local(cell[0]) for cell in self.inputs])
        for cell, value in zip(self.outputs, results):
            cell[0] = value
        for place, target in self.updates:  # last: an output that is a shared variable has that variable's cell
            self.inputs[target][0] = results[place]
        return list(results)


class XLAFunction:
    """A compiled function that checks its arguments as Aesara does and accepts device arrays without a copy.

    Results are device arrays, except 64-bit ones, which become NumPy arrays: JAX may not support 64 bits outside of
    this engine's calls.
    """

    def __init__(self, function: Any, placement: Placement) -> None:
        self.function, self.placement = function, placement
        function.trust_input = True
        self.types = [container.type for container in function.input_storage if container.required]
        self.maker, self.vm, self.name = function.maker, function.vm, function.name

    def __call__(self, *arguments: Any) -> list[Any]:
        if len(arguments) != len(self.types):
            raise TypeError(f"{self.name} takes {len(self.types)} arguments, got {len(arguments)}")
        checked = list(map(self.check_argument, self.types, arguments))
        self.placement.check_batch_size(checked)
        results = self.function(*checked)
        return [np.asarray(result) if result.dtype.itemsize == 8 else result for result in results]

    def compile_for(self, *arguments: Any) -> None:
        """Compile for the shapes of these arguments now, so that the first call with them is as fast as others."""
        self.vm.compile_for(list(map(self.check_argument, self.types, arguments)))

    @staticmethod
    def check_argument(kind: Any, value: Any) -> Any:
        """Returns an argument as an array of the expected dtype; raises `TypeError` if it cannot be one."""
        if isinstance(value, jax.Array):
            if value.dtype != kind.dtype or value.ndim != kind.ndim:
                raise TypeError(f"expected {kind}, got {value.dtype} with {value.ndim} dimensions")
            return value
        return kind.filter(value, allow_downcast=None)


def compile_function(
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    updates: Sequence[tuple[Any, Any]] = (),
    *,
    name: str = "",
    device: str = "auto",
    num_devices: int | None = 1,
    kernels: str = "auto",
    precision: str = "auto",
) -> Callable[..., Any]:
    """Compile an Aesara graph to a function of JAX arrays. XLA compiles at the first call with each shape.

    With `kernels` "auto", scans that `windows` can compute in one call are such calls; with "none", none is. Products
    of matrices are computed in this `precision`, see `precision.products_in`.

    Raises
    ------
    UserError
        JAX does not see these devices, or an operation has no conversion.
    """
    if num_devices == 1:
        chosen = [d for d in find_devices(device, None) if is_local(d)][:1]
    else:
        chosen = find_devices(device, num_devices)
    placement = Placement(chosen, list(map(batch_axis, inputs)), list(map(batch_axis, outputs)), kernels, precision)
    mode = Mode(XLALinker(placement), QUERY)
    for variable in graph_inputs([*outputs, *(new for pair in updates for new in pair)]):
        if isinstance(variable, SharedVariable):
            variable.container.__class__ = DeviceContainer
    with changed_flags(cxx=""):  # else constants are folded by g++
        function = aesara.function(list(inputs), list(outputs), updates=list(updates), mode=mode, name=name)
    return XLAFunction(function, placement)
