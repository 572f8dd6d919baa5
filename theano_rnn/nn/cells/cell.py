"""The base class of cells: parameters, projected inputs and the initial state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.initializers import orthogonal, uniform

RECURRENT_INITS = ("uniform", "orthogonal")


class Cell(ABC):
    """A recurrent cell with an input matrix, a recurrent matrix and a bias. Each subclass defines its own `step`.

    Parameters
    ----------
    input_size, hidden_size : int
    input_scale : float
        The standard deviation of the inputs. The smaller they are, the larger the initial ``W_xh``.
    recurrent_init : {"uniform", "orthogonal"}
        The initial ``W_hh``: uniform in +-1/sqrt(rows), or each block an orthogonal matrix (Saxe et al. 2014).
    rng : np.random.Generator
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params : dict of shared variables
        ``W_xh`` (input_size, blocks * hidden_size), ``W_hh`` (hidden_size, blocks * hidden_size), ``b_h``
        (blocks * hidden_size,), and others that a subclass adds in `initial_values`. ``W_xh`` starts uniform in
        +-1/sqrt(rows) divided by `input_scale`, ``b_h`` at zero.
    blocks : int
        Number of blocks of hidden_size columns in ``W_xh``, ``W_hh`` and ``b_h``, such as one for each gate.
    recurrent : tuple of str
        Names of the parameters that `step` takes.
    num_states : int
        Number of state arrays that `step` takes and returns.
    """

    blocks = 1
    recurrent: tuple[str, ...] = ("W_hh",)
    num_states = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        input_scale: float = 1.0,
        recurrent_init: str = "uniform",
        rng: np.random.Generator,
        dtype: str,
    ) -> None:
        if recurrent_init not in RECURRENT_INITS:
            raise ValueError(f"recurrent_init must be one of {', '.join(RECURRENT_INITS)}, got {recurrent_init!r}")
        self.input_size, self.hidden_size, self.dtype = input_size, hidden_size, dtype
        values = self.initial_values(input_scale=input_scale, recurrent_init=recurrent_init, rng=rng)
        self.params = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}

    def initial_values(self, *, input_scale: float, recurrent_init: str, rng: np.random.Generator) -> dict[str, Any]:
        """Returns the initial values of `params`, float64 arrays by name. Subclasses add their own."""
        size = self.hidden_size
        W_xh = uniform((self.input_size, self.blocks * size), rng=rng) / input_scale
        if recurrent_init == "uniform":
            W_hh = uniform((size, self.blocks * size), rng=rng)
        else:
            W_hh = np.hstack([orthogonal((size, size), rng=rng) for _ in range(self.blocks)])
        return {"W_xh": W_xh, "W_hh": W_hh, "b_h": np.zeros(self.blocks * size)}

    def project(self, x: TensorVariable, params: dict[str, Any]) -> TensorVariable:
        """Returns ``x W_xh + b_h`` for all time steps at once: x (rows, input_size) -> (rows, blocks * hidden_size)."""
        return T.dot(x, params["W_xh"]) + params["b_h"]

    @abstractmethod
    def step(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Compute one time step: ``step(projected_t, *state, *recurrent, *context) -> (output_t, *new_state)``.

        All arrays except the parameters are (batch, units).
        """

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns the initial state: for each state array, zeros (batch_size, hidden_size) as a NumPy array."""
        return tuple(np.zeros((batch_size, self.hidden_size), self.dtype) for _ in range(self.num_states))
