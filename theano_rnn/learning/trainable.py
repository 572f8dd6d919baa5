"""The base class of all trainable models: parameters, an optimizer state, and functions to compile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, ClassVar

import aesara
import aesara.tensor as T
import numpy as np
from aesara.graph.basic import graph_inputs

from theano_rnn.engine.changed_flags import rare_garbage_collection
from theano_rnn.engine.compiling import CompileProgress, Graph, compile_graph
from theano_rnn.engine.parallel import divided_batch
from theano_rnn.engine.static_shapes import cheap_shapes


class Functions(SimpleNamespace):
    """The compiled functions of a model, as attributes. A function that was not compiled is None."""


class Trainable(ABC):
    """A model. Each of its functions has a method of the same name, which returns the function's `Graph`.

    One of them is ``train(**options)``, which makes one update and sets `optimizer_state` and `averages`. Training,
    checkpoints and commands use only this interface, so they work with every model.

    Attributes
    ----------
    functions : tuple of str
        Names of the functions that `compile` compiles by default.
    optional_functions : tuple of str
        Names of the functions that are compiled only on request.
    config
        Settings; one of them is `dtype`.
    params : dict of shared variables by role
    statistics : tuple of str
        The names of those `params` that are not learned by their gradient: statistics of the data.
    optimizer_state : dict of shared variables
        Empty until ``train`` is compiled.
    averages : dict of shared variables by role
        Averages of the parameters, if ``train`` keeps averages; part of `optimizer_state`.
    rate_factors : dict of shared variables
        Factors of the learning rate of some parameters, by name; see `scale_rates`.
    prepared_inputs : sequence of variables
        Index arrays that some graphs read; `prepare` computes them from the batch before each call.
    """

    functions: ClassVar[tuple[str, ...]] = ("train", "loss")
    optional_functions: ClassVar[tuple[str, ...]] = ()

    config: Any
    params: dict[str, Any]
    prepared_inputs: Any = ()
    statistics: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.optimizer_state: dict[str, Any] = {}
        self.averages: dict[str, Any] = {}
        self.rate_factors: dict[str, Any] = {}

    @property
    def learned(self) -> dict[str, Any]:
        """The `params` that are learned by their gradient."""
        return {name: variable for name, variable in self.params.items() if name not in self.statistics}

    def scale_rates(self, names: Iterable[str]) -> None:
        """Give the named parameters a factor of the learning rate: shared variables, for a ``train`` compiled later."""
        one = np.ones((), self.config.dtype)
        self.rate_factors = {name: aesara.shared(one, name=f"rate_factor.{name}") for name in names}

    @abstractmethod
    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns the state before the first batch of a text: NumPy arrays (batch_size, ...)."""

    @abstractmethod
    def train(self, **options: Any) -> Graph:
        """Returns the graph of one update of the parameters. Its first result is the loss before the update."""

    def prepare(self, *inputs: Any) -> list[Any]:
        """Returns the arrays for `prepared_inputs`, given the arrays of a batch."""
        return []

    def check(self, num_devices: int | None, **training: Any) -> None:  # noqa: B027 - most models accept all options
        """Raises `UserError` if the model cannot be trained with these options."""

    def symbolic_state(self) -> list[Any]:
        """Returns symbolic variables for the state, with the dtypes and ranks of `initial_state`."""
        arrays = enumerate(self.initial_state(1))
        return [T.TensorType(str(array.dtype), shape=(None,) * array.ndim)(f"state{i}") for i, array in arrays]

    def graphs(self, *names: str, is_divided: bool = False, **training: Any) -> dict[str, Graph]:
        """Returns the graphs of the named functions. The options `training` are for ``train`` only."""
        known = (*self.functions, *self.optional_functions)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"functions are {', '.join(known)}, got {unknown[0]!r}")
        with cheap_shapes(), divided_batch(is_divided):
            found = {name: getattr(self, name)(**(training if name == "train" else {})) for name in names}
        return {name: self.with_prepared_inputs(graph) for name, graph in found.items()}

    def with_prepared_inputs(self, graph: Graph) -> Graph:
        """Append `prepared_inputs` to the inputs of the graph if it reads them. Returns the graph."""
        read = set(graph_inputs([*graph.results, *graph.updates.values()]))
        if any(variable in read for variable in self.prepared_inputs):
            return graph._replace(others=[*graph.others, *self.prepared_inputs])
        return graph

    @rare_garbage_collection()
    def compile(
        self,
        *names: str,
        engine: str = "c",
        device: str = "auto",
        num_devices: int | None = 1,
        kernels: str = "auto",
        precision: str = "auto",
        progress: CompileProgress | None = None,
        **training: Any,
    ) -> Functions:
        """Compile the named functions, by default `functions`. Takes seconds; longer the first time.

        Parameters
        ----------
        names
            Names of functions.
        engine, device, num_devices, kernels, precision, progress
            As for `compile_function`.
        training
            Options of ``train``: `optimizer`, `clip_norm`, `clip_value`, `weight_decay`, `average_decay`,
            `regularization`, and `seed` of the dropout masks; or `update`, an update rule; `with_norms`.

        Returns
        -------
        Functions

        Raises
        ------
        ValueError
            The model has no function of a given name.
        UserError
            The engine cannot run on this machine, or the model cannot be trained with these options.
        """
        self.check(num_devices, **training)
        graphs = self.graphs(*names or self.functions, is_divided=num_devices != 1, **training)
        options: dict[str, Any] = {
            "engine": engine, "device": device, "num_devices": num_devices, "kernels": kernels, "precision": precision
        }  # fmt: skip
        compiled = {
            name: self.preparing(graph, compile_graph(graph, name=name, progress=progress, **options))
            for name, graph in graphs.items()
        }
        return Functions(**dict.fromkeys((*self.functions, *self.optional_functions)) | compiled)

    def preparing(self, graph: Graph, function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """Wrap the compiled function of `graph` so that it computes the prepared inputs, if any, before each call."""
        num_inputs = len(graph.inputs)
        if not any(variable is last for last in graph.others[-1:] for variable in self.prepared_inputs):
            return function

        def prepared(*arguments: Any) -> list[Any]:
            return function(*arguments, *self.prepare(*arguments[:num_inputs]))

        if hasattr(function, "compile_for"):  # engine jax

            def compile_for(*arguments: Any) -> None:
                function.compile_for(*arguments, *self.prepare(*arguments[:num_inputs]))

            prepared.compile_for = compile_for  # type: ignore[attr-defined]
        return prepared
