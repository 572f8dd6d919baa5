"""Engines: what turns a symbolic graph into something that runs. Nothing else in the package knows how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano_rnn.engine.static_shapes import cheap_static_shapes

CompileProgress = Callable[[int], None]  # called as the engine's compiler works, with what it has done so far


@cheap_static_shapes()
def compile_function(
    inputs: Sequence[Any],
    outputs: Any,
    updates: Sequence[tuple[Any, Any]] = (),
    *,
    name: str = "",
    engine: str = "c",
    device: str = "auto",
    num_devices: int | None = 1,
    progress: CompileProgress | None = None,
) -> Callable[..., Any]:
    """Compile an Aesara graph with an engine, "c" or "jax".

    Raises
    ------
    UserError
        The engine cannot run here; the message says what to install.
    """
    if engine == "jax":
        from theano_rnn.engine import xla

        if progress is not None:
            progress(0)
        return xla.compile_function(inputs, outputs, updates, name=name, device=device, num_devices=num_devices)
    from theano_rnn.engine import c

    return c.compile_function(inputs, outputs, updates, name=name, progress=progress)
