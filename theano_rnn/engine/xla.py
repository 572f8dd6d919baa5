"""The XLA engine: the same Aesara graph, scan and its gradient included, compiled by JAX's compiler.

No C++ compiler is needed and a GPU is used where JAX sees one. What happens, in order: Aesara rewrites the graph
(without the rewrites that only C can run); `lowering` turns it into a function of JAX arrays, which JAX traces once for
every shape of the inputs, so that all arithmetic on shapes is done by then; XLA compiles the trace.

Shared variables with updates stay on the device: a call hands their arrays over (donates them) and keeps the new ones,
and nothing goes through NumPy. Aesara's global JAX linker and its conversions are neither used nor changed, and JAX's
64-bit mode is on for our own calls only.
"""

from __future__ import annotations

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

from theano_rnn.engine.devices import devices, is_ours
from theano_rnn.engine.lowering import lowered
from theano_rnn.engine.parallel import AXIS, batch_axis, divided
from theano_rnn.engine.rewriting import QUERY
from theano_rnn.settings.base import UserError

MANY_SHAPES = 12  # of a function's first argument, its batch, after which something is wrong


def x64() -> Any:
    """A context in which JAX keeps 64-bit numbers, as Aesara's types say."""
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # the latter before JAX 0.8
    return enable(True)


class DeviceContainer(Container):  # type: ignore[misc]
    """What holds a shared variable's value: reading gives a NumPy array, wherever the value is.

    Aesara would copy a device array by JAX, which outside of our calls makes 64-bit numbers 32-bit ones.
    """

    def __get__(self) -> Any:
        value = super().__get__()
        return np.asarray(value) if isinstance(value, jax.Array) else value

    data = value = property(__get__, Container.__set__)


class Place:
    """Where a function runs: on one device, or on several, each with a part of the batch.

    `inputs` and `outputs` are the batch axes of the function's arguments and results; what comes after these, shared
    variables and their updates, is the same on all devices.
    """

    def __init__(self, devices: list[Any], inputs: Sequence[int | None], outputs: Sequence[int | None]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.num_devices = len(devices)
        self.device = next(d for d in devices if is_ours(d))
        self.mesh = None if self.num_devices == 1 else Mesh(np.array(devices), (AXIS,))
        self.for_parameters = self.device if self.mesh is None else NamedSharding(self.mesh, PartitionSpec())

    def run(self, compute: Callable[..., Any], num_inputs: int, num_outputs: int) -> Callable[..., Any]:
        """`compute`, as all devices run it together."""
        if self.mesh is None:
            return compute
        inputs = self.inputs + [None] * (num_inputs - len(self.inputs))
        outputs = self.outputs + [None] * (num_outputs - len(self.outputs))
        function: Callable[..., Any] = divided(compute, self.mesh, inputs, outputs)
        return function

    def for_arguments(self) -> dict[str, Any]:
        """Options of ``jax.jit``: one device is named, else XLA compiles twice, for NumPy's arrays and for its own."""
        return {} if self.mesh is not None else {"in_shardings": SingleDeviceSharding(self.device)}

    def at_hand(self, value: Any) -> Any:
        """The value where this function runs: of an array that other processes hold too, one device's copy."""
        if self.mesh is None and isinstance(value, jax.Array) and not value.is_fully_addressable:
            return value.addressable_data(0)
        return value

    def check(self, arguments: Sequence[Any]) -> None:
        """Raise `UserError` where the columns of a batch cannot be divided evenly."""
        for axis, argument in zip(self.inputs, arguments):
            if axis is not None and argument.shape[axis] % self.num_devices:
                raise UserError(f"the batch size must be a multiple of {self.num_devices}, the number of devices, "
                                f"got {argument.shape[axis]}")  # fmt: skip


class XLALinker(LocalLinker):  # type: ignore[misc]
    """Aesara's interface to `lowering` and JAX."""

    def __init__(self, place: Place) -> None:
        super().__init__(allow_gc=False)
        self.fgraph: Any = None
        self.place = place

    def clone(self, allow_gc: bool | None = None) -> XLALinker:
        return XLALinker(self.place)

    def accept(self, fgraph: Any, no_recycling: Any = None, profile: Any = None) -> XLALinker:
        if self.fgraph is not None:
            return self.clone().accept(fgraph, no_recycling, profile)
        self.fgraph = fgraph
        return self

    def make_all(self, input_storage: Any = None, output_storage: Any = None, storage_map: Any = None) -> Any:
        graph = self.fgraph
        inputs, outputs, _ = map_storage(graph, graph.toposort(), input_storage, output_storage, storage_map)
        run = Runner(graph, inputs, outputs, self.place)
        containers = [
            [Container(variable, cell, readonly=readonly) for variable, cell in zip(variables, cells)]
            for variables, cells, readonly in ((graph.inputs, inputs, False), (graph.outputs, outputs, True))
        ]
        return run, *containers, [run], []


class Runner:
    """What an Aesara function calls: reads its input cells, computes, fills its output cells and updates.

    An update's new value goes into the input's cell as the device array it is; the old array is donated. Inputs that
    are no updates and no arguments, as parameters of an evaluation, are moved to the device once, too.
    """

    need_update_inputs = False  # else Aesara turns every new value into a NumPy array
    allow_gc = False

    def __init__(self, graph: Any, inputs: Any, outputs: Any, place: Place) -> None:
        self.inputs, self.outputs, self.place = inputs, outputs, place
        self.updates = list((getattr(graph, "update_mapping", None) or {}).items())
        self.scans: dict[str, Any] = {}
        self.shapes: set[Any] = set()
        compute = place.run(lowered(graph, self.scans), len(graph.inputs), len(graph.outputs))

        def traced(*arguments: Any) -> list[Any]:
            self.count_shape(arguments)
            results: list[Any] = compute(*arguments)
            return results

        self.function = jax.jit(
            traced, donate_argnums=tuple(sorted(target for _, target in self.updates)), **place.for_arguments()
        )
        self.shared = [cell for variable, cell in zip(graph.inputs, inputs) if isinstance(variable, SharedVariable)]

    def count_shape(self, arguments: Sequence[Any]) -> None:
        """Warn where batches are of many shapes: JAX runs Python code only while it traces, once for each.

        What else varies, as the slots of an adaptive head, is of a few sizes for each.
        """
        known = len(self.shapes)
        self.shapes.update(argument.shape for argument in arguments[:1])
        if known < len(self.shapes) == MANY_SHAPES + 1:
            warnings.warn(
                f"XLA has compiled one function for {len(self.shapes)} shapes of its inputs, each taking a second or "
                "more: use fewer lengths and batch sizes",
                stacklevel=2,
            )

    def __call__(self) -> list[Any]:
        with x64(), jax.default_device(self.place.device):
            for cell in self.shared:
                if not isinstance(cell[0], jax.Array):
                    cell[0] = jax.device_put(np.array(cell[0]), self.place.for_parameters)
            results = self.function(*[self.place.at_hand(cell[0]) for cell in self.inputs])
        for cell, value in zip(self.outputs, results):
            cell[0] = value
        for place, target in self.updates:  # last: an output that is a shared variable has that variable's cell
            self.inputs[target][0] = results[place]
        return list(results)


class XLAFunction:
    """A compiled function: arguments are checked as Aesara does, device arrays of the right kind go in as they are.

    Results are device arrays; 64-bit ones become NumPy arrays, since JAX outside of our calls may know no such thing.
    """

    def __init__(self, function: Any, place: Place) -> None:
        self.function, self.place = function, place
        function.trust_input = True
        self.types = [container.type for container in function.input_storage if container.required]
        self.maker, self.vm, self.name = function.maker, function.vm, function.name

    def __call__(self, *arguments: Any) -> list[Any]:
        if len(arguments) != len(self.types):
            raise TypeError(f"{self.name} takes {len(self.types)} arguments, got {len(arguments)}")
        checked = list(map(self.checked, self.types, arguments))
        self.place.check(checked)
        results = self.function(*checked)
        return [np.asarray(result) if result.dtype.itemsize == 8 else result for result in results]

    @staticmethod
    def checked(kind: Any, value: Any) -> Any:
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
) -> Callable[..., Any]:
    """Lower an Aesara graph to XLA; XLA itself compiles at the first call with each shape.

    Raises
    ------
    UserError
        JAX sees no such devices, or the graph holds an operation that has no conversion.
    """
    found = devices(device, num_devices) if num_devices != 1 else [d for d in devices(device, None) if is_ours(d)][:1]
    place = Place(found, list(map(batch_axis, inputs)), list(map(batch_axis, outputs)))
    mode = Mode(XLALinker(place), QUERY)
    for variable in graph_inputs([*outputs, *(new for pair in updates for new in pair)]):
        if isinstance(variable, SharedVariable):
            variable.container.__class__ = DeviceContainer
    with aesara.config.change_flags(cxx=""):  # else constants are folded by g++
        function = aesara.function(list(inputs), list(outputs), updates=list(updates), mode=mode, name=name)
    return XLAFunction(function, place)
