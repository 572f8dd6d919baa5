"""Compile a symbolic graph with one of the engines, C or XLA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from theano_rnn.engine.static_shapes import cheap_static_shapes

CompileProgress = Callable[[int], None]  # called during compilation with the number of C modules compiled so far


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
    """Compile an Aesara graph with engine "c" or "jax".

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
