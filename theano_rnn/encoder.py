"""The encoder: recurrent layers in both directions, for models that may see the whole of their input."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.layers import Layers


class Encoder:
    """Levels of two layers, one in each direction, each reading what both of the level below have made.

        h_t = [forward_t, backward_t]      forward_t has read x_1 .. x_t, backward_t has read x_t .. x_n

    One level is by Schuster & Paliwal (1997), several are by Graves et al. (2013). From the second level on both
    directions know all of the input; a model that must not know a part of it keeps the directions apart, as
    `cloze.Cloze` does.

    Parameters
    ----------
    kind : str
        As of `make_cell`.
    input_size, hidden_size, num_layers : int
        `hidden_size` of one direction.
    options
        Of the cells: `recurrent_init`, `rng`, `dtype`.

    Attributes
    ----------
    params : dict of shared variables
        ``forward0.W_xh``, ..., ``backward0.W_xh``, ..., ``forward1.W_xh``, ...
    num_states : int
        States of all levels; of each level the forward layer's first.
    """

    sees_future = True

    def __init__(self, kind: str, input_size: int, hidden_size: int, num_layers: int, **options: Any) -> None:
        sizes = [input_size, *[2 * hidden_size] * (num_layers - 1)]
        self.levels = [[Layers(kind, size, hidden_size, 1, **options) for _ in ("forward", "backward")]
                       for size in sizes]  # fmt: skip
        self.params = {f"{prefix}{name.removeprefix('layer0.')}": p
                       for prefix, layer in self.named_layers() for name, p in layer.params.items()}  # fmt: skip
        self.num_states = sum(layer.num_states for _, layer in self.named_layers())

    def named_layers(self) -> list[tuple[str, Layers]]:
        """Every layer with the prefix of its parameters' names."""
        directions = ("forward", "backward")
        return [(f"{name}{i}.", layer) for i, level in enumerate(self.levels) for name, layer in zip(directions, level)]

    def initial_state(self, batch_size: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Zeros, one NumPy array (batch_size, units) for each state."""
        return tuple(array for _, layer in self.named_layers() for array in layer.initial_state(batch_size))

    def run(
        self,
        x: Any,
        mask: Any,
        state: Sequence[Any],
        *,
        recurrent: Callable[[str, Any], Any] = lambda name, param: param,
        between: Callable[[Any], Any] = lambda x: x,
    ) -> tuple[TensorVariable, list[TensorVariable]]:
        """Outputs of the last level (time, batch, 2 * hidden), and the final state.

        Parameters
        ----------
        x : float (time, batch, input_size)
        mask : float (time, batch)
            1 for a real step; a backward layer begins at the last real step of each column.
        state : as in `initial_state`
            What each direction begins with, at its own end.
        recurrent, between
            As of `Layers.run`; names are those of `params`.
        """
        final: list[TensorVariable] = []
        named = iter(self.named_layers())
        for i, level in enumerate(self.levels):
            below = between(x) if i else x
            outputs = []
            for prefix, layer in itertools.islice(named, len(level)):

                def used(name: str, param: Any, prefix: str = prefix) -> Any:
                    return recurrent(prefix + name.removeprefix("layer0."), param)

                start = len(final)
                h, after = layer.run(
                    layer.project_over_time(below), mask, state[start : start + layer.num_states],
                    recurrent=used, backwards=prefix.startswith("backward"),
                )  # fmt: skip
                outputs.append(h)
                final += after
            x = T.concatenate(outputs, axis=2)  # (time, batch, 2 * hidden)
        return x, final
