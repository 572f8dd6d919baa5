"""Compile a symbolic graph with one of the engines, C or XLA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from theano_rnn.engine.changed_flags import rare_garbage_collection
from theano_rnn.engine.parallel import in_batch
from theano_rnn.engine.static_shapes import cheap_shapes
from theano_rnn.settings.base import UserError

CompileProgress = Callable[[int], None]  # called while the engine's compiler works, with the modules compiled so far


class Graph(NamedTuple):
    """A symbolic function: what it takes, returns and changes.

    The compiled function is ``function(*inputs, *state, *others) -> [*totals, *outputs, *new_state]``.

    inputs, outputs
        Arrays over a batch, (time, batch, ...) or (batch,); or, with `batch_axis` 0, of one time step, (batch, ...).
    state, new_state
        Recurrent states, (batch, ...).
    others
        Inputs that are not divided among devices, such as the learning rate.
    totals
        Outputs that concern the whole batch, such as its mean loss.
    updates
        New values of shared variables.
    """

    inputs: Sequence[Any]
    state: Sequence[Any] = ()
    others: Sequence[Any] = ()
    totals: Sequence[Any] = ()
    outputs: Sequence[Any] = ()
    new_state: Sequence[Any] = ()
    updates: Mapping[Any, Any] = {}
    batch_axis: int = 1

    @property
    def arguments(self) -> list[Any]:
        """The variables that the compiled function takes."""
        return [*self.inputs, *self.state, *self.others]

    @property
    def results(self) -> list[Any]:
        """The variables whose values the compiled function returns."""
        return [*self.totals, *self.outputs, *self.new_state]


def compile_graph(graph: Graph, *, num_devices: int | None = 1, **options: Any) -> Callable[..., list[Any]]:
    """Compile `graph`; `options` as of `compile_function`.

    This is the one place that says which axes are divided if several devices share a batch.
    """
    for variables, axis in ((graph.inputs, graph.batch_axis), (graph.outputs, graph.batch_axis), (graph.state, 0),
                            (graph.new_state, 0)):  # fmt: skip
        for variable in variables:
            in_batch(variable, min(axis, variable.ndim - 1))  # a model with one output at the end has (batch,)
    updates = list(graph.updates.items())
    return compile_function(graph.arguments, graph.results, updates, num_devices=num_devices, **options)


@rare_garbage_collection()
@cheap_shapes()
def compile_function(
    inputs: Sequence[Any],
    outputs: Any,
    updates: Sequence[tuple[Any, Any]] = (),
    *,
    name: str = "",
    engine: str = "c",
    device: str = "auto",
    num_devices: int | None = 1,
    kernels: str = "auto",
    precision: str = "auto",
    progress: CompileProgress | None = None,
) -> Callable[..., Any]:
    """Compile an Aesara graph with engine "c" or "jax".

    The latter alone has `kernels`, as in `resolve_kernels`, and products of another `precision` than float32: "auto"
    (TF32 on a GPU), "float32", "tensorfloat32", "bfloat16x3" or "bfloat16".

    Raises
    ------
    UserError
        The engine cannot run here; the message says what to install.
    """
    if engine == "jax":
        from theano_rnn.engine import xla

        if progress is not None:
            progress(0)
        return xla.compile_function(
            inputs, outputs, updates, name=name, device=device, num_devices=num_devices, kernels=kernels,
            precision=precision,
        )  # fmt: skip
    if precision not in ("auto", "float32"):
        raise UserError(f"precision {precision} needs engine jax: choose that engine, or precision float32")
    from theano_rnn.engine import c

    return c.compile_function(inputs, outputs, updates, name=name, progress=progress)
