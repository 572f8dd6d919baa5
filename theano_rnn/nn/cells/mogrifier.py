"""The Mogrifier LSTM."""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.nn.cells.cell import Cell
from theano_rnn.nn.cells.lstm import LSTMCell, forget_bias, lstm_update
from theano_rnn.nn.initializers import uniform

GATE_SCALE = 0.1  # of the initial gating matrices, relative to other matrices of their shape


class MogrifierLSTMCell(Cell):
    """An LSTM whose input and state gate each other for several rounds before the step (Melis, Kocisky & Blunsom 2020).

        x_i = 2 sigmoid(h_i-1 Q_i) * x_i-2       for odd i in 1 .. rounds
        h_i = 2 sigmoid(x_i-1 R_i) * h_i-2       for even i
        h_t, c_t = the step of `LSTMCell` from the last x_i, the last h_i and c_tm1

    where ``x_-1`` is x_t and h_0 is h_tm1. With 0 rounds it is the LSTM.

    Parameters
    ----------
    input_size, hidden_size, input_scale, recurrent_init, rng, dtype
        As in `Cell`.
    rounds : int
        At least 0.

    Attributes
    ----------
    params : dict
        Those of `LSTMCell`, and ``Q1``, ``Q3``, ... (hidden_size, input_size) and ``R2``, ``R4``, ... (input_size,
        hidden_size), uniform in +-0.1/sqrt(rows), ``R`` divided by `input_scale`, so that all gates start near 1.
    recurrent, num_states
        `recurrent` names all of `params`, because the input is gated before its product. The states are h and c.
    """

    GATES = LSTMCell.GATES
    blocks = LSTMCell.blocks
    num_states = 2

    def __init__(self, input_size: int, hidden_size: int, *, rounds: int = 5, **options: Any) -> None:
        if rounds < 0:
            raise ValueError(f"rounds must be at least 0, got {rounds}")
        self.rounds = rounds
        super().__init__(input_size, hidden_size, **options)
        self.recurrent = tuple(self.params)

    def initial_values(self, *, input_scale: float, rng: np.random.Generator, **options: Any) -> dict[str, Any]:
        values = super().initial_values(input_scale=input_scale, rng=rng, **options)
        values["b_h"] = forget_bias(self.hidden_size)
        for i in range(1, self.rounds + 1):
            if i % 2:
                values[f"Q{i}"] = GATE_SCALE * uniform((self.hidden_size, self.input_size), rng=rng)
            else:
                values[f"R{i}"] = GATE_SCALE * uniform((self.input_size, self.hidden_size), rng=rng) / input_scale
        return values

    def project(self, x: TensorVariable, params: dict[str, Any]) -> TensorVariable:
        """Returns x itself: its product must wait for the state, which gates it first."""
        return x

    def step(
        self,
        x_t: TensorVariable,
        h_tm1: TensorVariable,
        c_tm1: TensorVariable,
        W_xh: TensorVariable,
        W_hh: TensorVariable,
        b_h: TensorVariable,
        *gating: TensorVariable,
    ) -> tuple[Any, ...]:
        """Returns the output h_t and the new states h_t and c_t, each (batch, hidden_size)."""
        x, h = x_t, h_tm1
        for i, matrix in enumerate(gating[: self.rounds], start=1):
            if i % 2:
                x = 2 * T.sigmoid(T.dot(h, matrix)) * x  # (batch, input)
            else:
                h = 2 * T.sigmoid(T.dot(x, matrix)) * h  # (batch, hidden)
        h_t, c_t = lstm_update(T.dot(x, W_xh) + T.dot(h, W_hh) + b_h, c_tm1, self.hidden_size)
        return h_t, h_t, c_t
