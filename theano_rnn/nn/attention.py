"""Attention: at every step, a recurrent cell looks at all positions of another sequence and reads what it needs.

    e_ts = v . tanh(keys_s + h_tm1 W_q)          additive (Bahdanau et al. 2015, appendix A.1.2)
    e_ts = keys_s . h_tm1                        multiplicative (Luong et al. 2015, "general")
    a_t  = softmax_s(e_ts)                       the weight of each position s; 0 at padding
    c_t  = sum_s a_ts memory_s                   what is read
    h_t  = cell(x_t W_xh + c_t W_ch + b_h, h_tm1)

The keys, ``memory W_k``, do not depend on t, so they are computed once for each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.nn.cells import make_cell
from theano_rnn.nn.initializers import uniform
from theano_rnn.settings.base import UserError

KINDS = ("additive", "multiplicative")
NEVER = -1e9  # added to the score of padding: its weight is exactly 0


class AttentionCell:
    """A recurrent cell that attends to a memory at every step. For `unroll`, whose `context` is that of `context`.

    Parameters
    ----------
    kind : str
        The kind of the cell inside, as for `make_cell`.
    attention : {"additive", "multiplicative"}
    input_size, hidden_size : int
    memory_size : int
        The size of a position of the memory.
    attention_size : int
        The size of the keys of additive attention. Those of multiplicative attention are as large as h.
    options
        Options of the cell: `input_scale`, `recurrent_init`, `rng`, `dtype`.

    Attributes
    ----------
    params : dict of shared variables
        Those of the cell; ``W_k`` (memory_size, attention_size), ``W_ch`` (memory_size, blocks * hidden_size); of
        additive attention ``W_q`` (hidden_size, attention_size) and ``v_a`` (attention_size,).
    num_outputs : int
        3: the output h_t (batch, hidden_size), c_t (batch, memory_size), and the weights a_t (positions, batch).
    """

    num_outputs = 3

    def __init__(
        self,
        kind: str,
        attention: str,
        input_size: int,
        hidden_size: int,
        *,
        memory_size: int,
        attention_size: int,
        rng: np.random.Generator,
        dtype: str,
        **options: Any,
    ) -> None:
        if attention not in KINDS:
            raise ValueError(f"attention must be one of {', '.join(KINDS)}, got {attention!r}")
        if kind == "mogrifier":
            raise UserError("cell mogrifier cannot have attention, because its gates are not sums: use another --cell")
        self.cell = make_cell(kind, input_size, hidden_size, rng=rng, dtype=dtype, **options)
        self.attention, self.num_states, self.dtype = attention, self.cell.num_states, dtype
        size = attention_size if attention == "additive" else hidden_size
        blocks = self.cell.blocks * hidden_size
        values = {"W_k": uniform((memory_size, size), rng=rng), "W_ch": uniform((memory_size, blocks), rng=rng)}
        if attention == "additive":
            values |= {"W_q": uniform((hidden_size, size), rng=rng), "v_a": uniform((size,), rng=rng)}
        own = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}
        self.params = {**self.cell.params, **own}
        self.recurrent = (*self.cell.recurrent, "W_ch", *(["W_q", "v_a"] if attention == "additive" else []))

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns zeros: a NumPy array (batch_size, units) for each state."""
        state: tuple[Any, ...] = self.cell.initial_state(batch_size)
        return state

    def project(self, x: Any, params: Any) -> Any:
        """Returns ``x W_xh + b_h``, as the cell inside: x (rows, input_size) -> (rows, blocks * hidden_size)."""
        return self.cell.project(x, params)

    def context(self, memory: Any, mask: Any) -> list[Any]:
        """Returns what a step attends to: keys (positions, batch, attention_size), memory, and the bias of the scores.

        Parameters
        ----------
        memory : float (positions, batch, memory_size)
            Finite at padding, too.
        mask : float (positions, batch)
            1 for a real position.
        """
        rows = memory.reshape((memory.shape[0] * memory.shape[1], memory.shape[2]))
        keys = T.dot(rows, self.params["W_k"])
        bias = (np.ones((), self.dtype) - mask) * np.asarray(NEVER, self.dtype)
        return [keys.reshape((memory.shape[0], memory.shape[1], keys.shape[1])), memory, bias]

    def step(self, projected_t: Any, *rest: Any) -> tuple[Any, ...]:
        """Compute one time step: ``step(projected_t, *state, *recurrent, *context) -> (h_t, c_t, a_t, *new_state)``."""
        num_inner = len(self.cell.recurrent)
        state, inner = rest[: self.num_states], rest[self.num_states : self.num_states + num_inner]
        W_ch, *query = rest[self.num_states + num_inner : -3]
        keys, memory, bias = rest[-3:]
        weights = attention_weights(self.scores(keys, state[0], query) + bias)
        c_t = T.sum(weights.dimshuffle(0, 1, "x") * memory, axis=0, dtype=self.dtype, acc_dtype=self.dtype)
        h_t, *new_state = self.cell.step(projected_t + T.dot(c_t, W_ch), *state, *inner)
        return h_t, c_t, weights, *new_state

    def scores(self, keys: Any, h_tm1: Any, query: Sequence[Any]) -> Any:
        """Returns the score of each position (positions, batch) for h_tm1, the cell's first state."""
        if self.attention == "additive":
            W_q, v_a = query
            energies = T.tanh(keys + T.dot(h_tm1, W_q).dimshuffle("x", 0, 1))
            return T.dot(energies, v_a)
        return T.sum(keys * h_tm1.dimshuffle("x", 0, 1), axis=2, dtype=self.dtype, acc_dtype=self.dtype)


def attention_weights(scores: Any) -> Any:
    """Returns the softmax of the scores (positions, batch) over the positions."""
    exponentials = T.exp(scores - T.max(scores, axis=0))
    return exponentials / T.sum(exponentials, axis=0, dtype=scores.dtype, acc_dtype=scores.dtype)
