"""Connectionist temporal classification (CTC): the loss of a label sequence that no one has aligned with the input.

A network gives probabilities of the labels and of a *blank* at every time step. A path is one symbol per step. It
spells the labels that remain when repetitions are merged and blanks removed: ``_ a a _ a b`` spells ``a a b``. The loss
is ``-ln P``, where P is the sum of the probabilities of all paths that spell the labels (Graves et al. 2006).

Let e = (blank, y_1, blank, y_2, ..., y_L, blank) be the extended labels, and alpha_t[s] the log-probability of all
paths of t steps that end at place s of e:

    alpha_0[s]  = 0 for s = 0, else log 0
    alpha_t[s]  = ln(exp alpha_t-1[s] + exp alpha_t-1[s-1] + exp alpha_t-1[s-2] if e[s] is a label that differs
                  from e[s-2]) + ln P_t(e[s])
    loss        = -ln(exp alpha_T[2L] + exp alpha_T[2L-1])

alpha is the state of a cell, so `unroll` repeats this step, and the gradient is that of any recurrent network. Starting
before the first step makes sequences without labels and without steps right. log 0 is `NEVER`, a large negative number:
with -inf, gradients would be nan.
"""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.engine.parallel import sum_over_devices
from theano_rnn.nn.unrolling import unroll

BLANK = 0
NEVER = -1e30  # stands for log 0; adding a log-probability does not change it


class Paths:
    """The CTC recursion as a cell. Its state is alpha (batch, places); its context is `barred` and `edge`."""

    num_states = 1
    recurrent: tuple[str, ...] = ()

    def step(self, emitted_t: Any, alpha: Any, barred: Any, edge: Any) -> tuple[Any, Any]:
        """Returns alpha after one more time step, as output and as state.

        Parameters
        ----------
        emitted_t : float (batch, places)
            ``ln P_t(e[s])``.
        alpha : float (batch, places)
        barred : float (batch, places)
            0 where place s can be reached from s - 2, else `NEVER`.
        edge : float (batch, 2)
            `NEVER`: the places before the first.
        """
        padded = T.concatenate([edge, alpha], axis=1)
        new = log_sum_exp(alpha, padded[:, 1:-1], padded[:, :-2] + barred) + emitted_t
        return new, new


def ctc_losses(log_probabilities: Any, mask: Any, labels: Any) -> TensorVariable:
    """Returns ``-ln P(labels)`` of each sequence, in nats: float (batch,), at least 0.

    It is infinite for a sequence with too few time steps: it needs one per label, and one for the blank between two
    equal labels. Such a sequence has a zero gradient in every sum that leaves its loss out, as `finite_losses` does.

    Parameters
    ----------
    log_probabilities : float (time, batch, 1 + labels)
        Those of the blank come first.
    mask : float (time, batch)
        1 for a real step, 0 for padding.
    labels : int32 (places, batch)
        The labels of each sequence, from 1; 0 pads them.
    """
    dtype = log_probabilities.dtype
    never, zero = np.asarray(NEVER, dtype), np.zeros((), dtype)
    extended = with_blanks(labels.T)  # (batch, places)
    emitted = picked(log_probabilities, extended)  # (time, batch, places)
    edge = T.alloc(never, extended.shape[0], 2)
    start = T.switch(T.eq(T.arange(extended.shape[1]), 0).dimshuffle("x", 0), zero, edge[:, :1])
    _, (alpha,) = unroll(Paths(), emitted, mask, [start], params={}, context=[barred_places(extended, dtype), edge])
    end = 2 * T.sum(T.gt(labels, BLANK), axis=0, dtype="int32").dimshuffle(0, "x")  # the last place, (batch, 1)
    place = T.arange(extended.shape[1]).dimshuffle("x", 0)
    last = T.switch(T.eq(place, end) | T.eq(place, end - 1), alpha, never)
    top = T.max(last, axis=1)
    total = top + T.log(T.sum(T.exp(last - top.dimshuffle(0, "x")), axis=1, dtype=dtype, acc_dtype=dtype))
    return T.switch(T.gt(total, never / 2), T.maximum(-total, zero), np.asarray(np.inf, dtype))


def finite_losses(losses: Any) -> tuple[TensorVariable, TensorVariable]:
    """Returns the losses with 0 in place of infinity, and 1 for each finite one, else 0: both float (batch,)."""
    one = np.ones((), losses.dtype)
    is_finite = one - T.cast(T.isinf(losses), losses.dtype)  # T.invert would be -1 in Aesara's fused Python code
    return T.switch(T.isinf(losses), np.zeros((), losses.dtype), losses), is_finite


def mean_per_label(losses: Any, mask: Any, labels: Any) -> TensorVariable:
    """Returns the mean loss in nats per label of a batch: the sum of all finite losses over their number of labels.

    A sequence without labels counts as one label. Sequences with an infinite loss, and columns without a step, count as
    none; if nothing counts, the mean is 0.

    Parameters
    ----------
    losses : float (batch,)
    mask : float (time, batch)
    labels : int32 (places, batch)
    """
    dtype = losses.dtype
    finite, is_finite = finite_losses(losses)
    is_real = is_finite * T.cast(T.gt(T.max(mask, axis=0), 0), dtype)
    num_labels = T.sum(T.gt(labels, BLANK), axis=0, dtype=dtype, acc_dtype=dtype)
    counts = T.maximum(num_labels, np.ones((), dtype)) * is_real
    total, count = (
        sum_over_devices(T.sum(array, dtype=dtype, acc_dtype=dtype)) for array in (finite * is_real, counts)
    )
    return total / T.maximum(count, np.ones((), dtype))


def with_blanks(labels: Any) -> TensorVariable:
    """Returns the extended labels, int32 (batch, 2 labels + 1): a blank before, between and after `labels`."""
    blank = T.zeros_like(labels)
    pairs = T.stack([blank, labels], axis=2)  # (batch, labels, 2)
    flat = pairs.reshape((labels.shape[0], 2 * labels.shape[1]))
    return T.concatenate([flat, T.zeros((labels.shape[0], 1), labels.dtype)], axis=1)


def barred_places(extended: Any, dtype: str) -> TensorVariable:
    """Returns 0 where a path may skip the place before, else `NEVER`: float (batch, places).

    It may skip a blank between two different labels. Without the blank, two equal labels would become one.
    """
    is_new = T.gt(extended[:, 2:], BLANK) & T.neq(extended[:, 2:], extended[:, :-2])
    may_skip = T.concatenate([T.zeros((extended.shape[0], 2), "bool"), is_new], axis=1)
    return T.switch(may_skip, np.zeros((), dtype), np.asarray(NEVER, dtype))


def picked(log_probabilities: Any, extended: Any) -> TensorVariable:
    """Returns ``ln P_t(e[s])``, float (time, batch, places): a product with one-hot columns, exact in any dtype."""
    ids = T.arange(log_probabilities.shape[2]).dimshuffle("x", 0, "x")
    columns = T.cast(T.eq(extended.dimshuffle(0, "x", 1), ids), log_probabilities.dtype)  # (batch, symbols, places)
    return T.batched_dot(log_probabilities.dimshuffle(1, 0, 2), columns).dimshuffle(1, 0, 2)


def log_sum_exp(*terms: Any) -> TensorVariable:
    """Returns ``ln(sum_i exp(term_i))`` elementwise, without overflow."""
    top = terms[0]
    for term in terms[1:]:
        top = T.maximum(top, term)
    total = T.exp(terms[0] - top)
    for term in terms[1:]:
        total = total + T.exp(term - top)
    return top + T.log(total)
