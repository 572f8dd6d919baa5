"""What every model that can be trained has: parameters, an optimizer's state, and functions to compile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import aesara.tensor as T
from aesara.graph.basic import graph_inputs

from theano_rnn.engine.compiling import CompileProgress, Graph, compile_graph
from theano_rnn.engine.parallel import divided_batch
from theano_rnn.engine.static_shapes import cheap_static_shapes


class Functions(SimpleNamespace):
    """The compiled functions of a model, as attributes by name; those that were not compiled are None."""


class Trainable(ABC):
    """A model. For each of its functions it has a method of the same name that returns the function's `Graph`.

    ``train(**options)`` is one of them: it makes one update and sets `optimizer_state` and `averages`. So training,
    checkpoints and commands need to know nothing else about a model.

    Attributes
    ----------
    functions : tuple of str
        Names of the functions that `compile` compiles if it is given none.
    optional_functions : tuple of str
        Names of those that are compiled only if they are named.
    config
        Settings, with `dtype` among them.
    params : dict of shared variables by role
    optimizer_state : dict of shared variables
        Empty until ``train`` is compiled.
    averages : dict of shared variables by role
        Averages of the parameters, if ``train`` keeps such; part of `optimizer_state`.
    prepared_inputs : sequence of variables
        Index arrays that some graphs read and that `prepare` computes from a batch before each call.
    """

    functions: ClassVar[tuple[str, ...]] = ("train", "loss")
    optional_functions: ClassVar[tuple[str, ...]] = ()

    config: Any
    params: dict[str, Any]
    prepared_inputs: Any = ()

    def __init__(self) -> None:
        self.optimizer_state: dict[str, Any] = {}
        self.averages: dict[str, Any] = {}

    @abstractmethod
    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """The state before the first batch of a text: NumPy arrays (batch_size, ...)."""

    @abstractmethod
    def train(self, **options: Any) -> Graph:
        """One update of the parameters; the first result is the loss before it."""

    def prepare(self, *inputs: Any) -> list[Any]:
        """Arrays for `prepared_inputs`, given the arrays of a batch."""
        return []

    def check(self, num_devices: int | None, **training: Any) -> None:  # noqa: B027 - most models take anything
        """Raise `UserError` if the model cannot be trained this way."""

    def symbolic_state(self) -> list[Any]:
        """Variables for `initial_state`, of the same dtypes and ranks."""
        arrays = enumerate(self.initial_state(1))
        return [T.TensorType(str(array.dtype), shape=(None,) * array.ndim)(f"state{i}") for i, array in arrays]

    def graphs(self, *names: str, is_divided: bool = False, **training: Any) -> dict[str, Graph]:
        """The graphs of the named functions; `training` is for ``train``, the others do not know it."""
        known = (*self.functions, *self.optional_functions)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"functions are {', '.join(known)}, got {unknown[0]!r}")
        with cheap_static_shapes(), divided_batch(is_divided):
            found = {name: getattr(self, name)(**(training if name == "train" else {})) for name in names}
        return {name: self.with_prepared_inputs(graph) for name, graph in found.items()}

    def with_prepared_inputs(self, graph: Graph) -> Graph:
        """The graph, with `prepared_inputs` as its last inputs if it reads them."""
        read = set(graph_inputs([*graph.results, *graph.updates.values()]))
        if any(variable in read for variable in self.prepared_inputs):
            return graph._replace(others=[*graph.others, *self.prepared_inputs])
        return graph

    def compile(
        self,
        *names: str,
        engine: str = "c",
        device: str = "auto",
        num_devices: int | None = 1,
        progress: CompileProgress | None = None,
        **training: Any,
    ) -> Functions:
        """Compile the named functions, or `functions`. This takes seconds, and longer the first time.

        Parameters
        ----------
        names
            Of functions.
        engine, device, num_devices, progress
            As of `compile_function`.
        training
            Options of ``train``: `optimizer`, `clip_norm`, `clip_value`, `weight_decay`, `average_decay`,
            `regularization` and `seed` of its noise; or `update`, an update rule; `with_norms`.

        Returns
        -------
        Functions

        Raises
        ------
        ValueError
            There is no function of a given name.
        UserError
            The engine cannot run here, or the model cannot be trained this way; the message says what to do.
        """
        self.check(num_devices, **training)
        graphs = self.graphs(*names or self.functions, is_divided=num_devices != 1, **training)
        options: dict[str, Any] = {"engine": engine, "device": device, "num_devices": num_devices}
        compiled = {
            name: self.preparing(graph, compile_graph(graph, name=name, progress=progress, **options))
            for name, graph in graphs.items()
        }
        return Functions(**dict.fromkeys((*self.functions, *self.optional_functions)) | compiled)

    def preparing(self, graph: Graph, function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """The compiled function of `graph`; if that has prepared inputs, one that computes them before each call."""
        num_inputs = len(graph.inputs)
        if not any(variable is last for last in graph.others[-1:] for variable in self.prepared_inputs):
            return function

        def prepared(*arguments: Any) -> list[Any]:
            return function(*arguments, *self.prepare(*arguments[:num_inputs]))

        return prepared
