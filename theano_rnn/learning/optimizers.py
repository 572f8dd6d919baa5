"""Optimizers: from gradients to update dictionaries. The learning rate is symbolic, so annealing never recompiles.

An optimizer returns ``(updates, state)``: `updates` maps shared variables to their new values, parameters and state
alike; `state` names the optimizer's own shared variables, for the checkpoint. What stands before one, clipping and
weight decay, is a function from gradients to gradients. What stands after one, an average of the parameters, takes its
updates and returns further ``(updates, state)``.

In the equations g is a gradient, p its parameter; squares, roots and quotients are those of each element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

Params = Mapping[str, Any]
Updates = dict[Any, TensorVariable]
State = dict[str, Any]


class RowGradient(NamedTuple):
    """The gradient of a matrix of which only some rows were looked up: the sum of ``rows[i]`` at row ``ids[i]``.

    An embedding's gradient is one: (vocab, columns) as an array, nearly all of it zero.

    `rows` : float (n, columns); `ids` : int32 (n,), the same row any number of times; `num_rows` : int, of the matrix
    """

    rows: TensorVariable
    ids: TensorVariable
    num_rows: int

    def dense(self) -> TensorVariable:
        """The gradient as a matrix (num_rows, columns)."""
        zeros = T.zeros((self.num_rows, self.rows.shape[1]), dtype=self.rows.dtype)
        return T.inc_subtensor(zeros[self.ids], self.rows)

    def merged(self) -> TensorVariable:
        """The matrix's rows that are not zero, and rows of zeros: (n, columns), its norm that of the whole."""
        places = T.arange(self.ids.shape[0], dtype="int32")
        slots = T.set_subtensor(T.zeros((self.num_rows,), dtype="int32")[self.ids], places)  # one place for each id
        return T.inc_subtensor(T.zeros_like(self.rows)[slots[self.ids]], self.rows)

    def scaled(self, factor: TensorVariable) -> RowGradient:
        """The gradient times a number."""
        return self._replace(rows=factor * self.rows)


def squared_norm(gradient: TensorVariable | RowGradient) -> TensorVariable:
    """Sum of squares of a gradient."""
    flat = (gradient.merged() if isinstance(gradient, RowGradient) else gradient).flatten()
    return T.dot(flat, flat)


def global_norm(gradients: Params) -> TensorVariable:
    """L2 norm of all gradients taken as one vector."""
    return T.sqrt(sum(squared_norm(g) for g in gradients.values()))


def clip_global_norm(gradients: Params, clip_norm: float) -> dict[str, Any]:
    """Gradients scaled by ``min(1, clip_norm / norm)``, norm over all of them (Pascanu et al. 2013, algorithm 1).

    Raises
    ------
    ValueError
        `clip_norm` is not positive.
    """
    if not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive, got {clip_norm}")
    norm = global_norm(gradients)
    one, limit = np.ones((), norm.dtype), np.asarray(clip_norm, norm.dtype)
    scale = T.switch(norm > limit, limit / norm, one)
    return {name: g.scaled(scale) if isinstance(g, RowGradient) else scale * g for name, g in gradients.items()}


def clip_value(gradients: Params, limit: float) -> dict[str, Any]:
    """Gradients with each element moved to the nearest number from -`limit` to `limit`.

    Of a `RowGradient` these are the elements of the matrix that it stands for, so its rows are added up before.

    Raises
    ------
    ValueError
        `limit` is not positive.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, got {limit}")

    def clipped(g: TensorVariable) -> TensorVariable:
        bound = np.asarray(limit, g.dtype)
        return T.clip(g, -bound, bound)

    return {name: g._replace(rows=clipped(g.merged())) if isinstance(g, RowGradient) else clipped(g)
            for name, g in gradients.items()}  # fmt: skip


def add_weight_decay(params: Params, gradients: Params, weight_decay: float) -> dict[str, Any]:
    """Gradients of the loss plus ``weight_decay / 2 sum p^2``: ``g + weight_decay p``; those of rows become dense.

    As in PyTorch's optimizers it comes after clipping. `adamw` does not need it.

    Raises
    ------
    ValueError
        `weight_decay` is negative.
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    return {name: dense(g) + np.asarray(weight_decay, params[name].dtype) * params[name]
            for name, g in gradients.items()}  # fmt: skip


def dense(gradient: TensorVariable | RowGradient) -> TensorVariable:
    """A gradient of its parameter's shape."""
    return gradient.dense() if isinstance(gradient, RowGradient) else gradient


def zeros_of(kind: str, name: str, parameter: Any) -> Any:
    """A shared variable ``kind.name`` of a parameter's shape and dtype, for an optimizer's state."""
    return aesara.shared(np.zeros_like(parameter.get_value(borrow=True)), name=f"{kind}.{name}")


def sgd(params: Params, gradients: Params, learning_rate: TensorVariable) -> tuple[Updates, State]:
    """Gradient descent, ``p <- p - learning_rate g``; of a `RowGradient` the rows that it names, which is the same."""
    updates = {}
    for name, g in gradients.items():
        p = params[name]
        if isinstance(g, RowGradient):
            updates[p] = T.inc_subtensor(p[g.ids], g.scaled(-learning_rate).rows)
        else:
            updates[p] = p - learning_rate * g
    return updates, {}


def nesterov(
    params: Params, gradients: Params, learning_rate: TensorVariable, *, momentum: float = 0.9
) -> tuple[Updates, State]:
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013), in the form of PyTorch's SGD.

    ``v <- momentum v + g``, ``p <- p - learning_rate (g + momentum v)``, v counting from 0. The parameters of this
    form are already where the paper looks ahead to.
    """
    mu = np.asarray(momentum, learning_rate.dtype)
    state: State = {}
    updates: Updates = {}
    for name, g in gradients.items():
        p, g = params[name], dense(g)
        state[f"velocity.{name}"] = v = zeros_of("velocity", name, p)
        updates[v] = mu * v + g
        updates[p] = p - learning_rate * (g + mu * updates[v])
    return updates, state


def adagrad(
    params: Params, gradients: Params, learning_rate: TensorVariable, *, epsilon: float = 1e-10
) -> tuple[Updates, State]:
    """AdaGrad (Duchi et al. 2011) with a diagonal matrix.

    ``s <- s + g^2``, ``p <- p - learning_rate g / (sqrt(s) + epsilon)``, s counting from 0. Of a `RowGradient` only
    the rows that it names are read and written, which is the same: others have a gradient of zero.
    """
    eps = np.asarray(epsilon, learning_rate.dtype)
    state: State = {}
    updates: Updates = {}
    for name, g in gradients.items():
        p = params[name]
        state[f"squares.{name}"] = s = zeros_of("squares", name, p)
        if isinstance(g, RowGradient):
            rows = g.merged()  # of an id that comes twice, one row has the sum and the others are zero
            step = learning_rate * rows / (T.sqrt(s[g.ids] + T.square(rows)) + eps)
            updates[s] = T.inc_subtensor(s[g.ids], T.square(rows))
            updates[p] = T.inc_subtensor(p[g.ids], -step)
        else:
            updates[s] = s + T.square(g)
            updates[p] = p - learning_rate * g / (T.sqrt(updates[s]) + eps)
    return updates, state


def rmsprop(
    params: Params, gradients: Params, learning_rate: TensorVariable, *, alpha: float = 0.99, epsilon: float = 1e-8
) -> tuple[Updates, State]:
    """RMSProp (Hinton's lecture 6e of 2012) with PyTorch's defaults, neither centered nor with momentum.

    ``v <- alpha v + (1 - alpha) g^2``, ``p <- p - learning_rate g / (sqrt(v) + epsilon)``, v counting from 0.
    """
    dtype = learning_rate.dtype
    old, new, eps = (np.asarray(value, dtype) for value in (alpha, 1 - alpha, epsilon))
    state: State = {}
    updates: Updates = {}
    for name, g in gradients.items():
        p, g = params[name], dense(g)
        state[f"v.{name}"] = v = zeros_of("v", name, p)
        updates[v] = old * v + new * T.square(g)
        updates[p] = p - learning_rate * g / (T.sqrt(updates[v]) + eps)
    return updates, state


def adam(
    params: Params,
    gradients: Params,
    learning_rate: TensorVariable,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Updates, State]:
    """Adam (Kingma & Ba 2015, algorithm 1).

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``,
    ``p <- p - learning_rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)``, t counting from 1.
    """
    dtype = learning_rate.dtype
    b1, b2, eps, one = (np.asarray(value, dtype) for value in (beta1, beta2, epsilon, 1))
    count = aesara.shared(np.zeros((), "int32"), name="t")
    t = count + np.int32(1)
    time = T.cast(t, dtype)
    rate = learning_rate / (one - b1**time)
    root_correction = T.sqrt(one - b2**time)
    state: State = {"t": count}
    updates: Updates = {count: t}
    for name, g in gradients.items():
        p, g = params[name], dense(g)
        m, v = (zeros_of(kind, name, p) for kind in "mv")
        state |= {f"m.{name}": m, f"v.{name}": v}
        updates[m] = b1 * m + (one - b1) * g
        updates[v] = b2 * v + (one - b2) * T.square(g)
        updates[p] = p - rate * updates[m] / (T.sqrt(updates[v]) / root_correction + eps)
    return updates, state


def adamw(
    params: Params,
    gradients: Params,
    learning_rate: TensorVariable,
    *,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Updates, State]:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): `adam`, and ``- learning_rate weight_decay p``.

    As in PyTorch the decay is a multiple of the learning rate of the moment, and every parameter decays.
    """
    updates, state = adam(params, gradients, learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)
    decay = learning_rate * np.asarray(weight_decay, learning_rate.dtype)
    for name in gradients:
        p = params[name]
        updates[p] = updates[p] - decay * p
    return updates, state


def asgd(params: Params, gradients: Params, learning_rate: TensorVariable) -> tuple[Updates, State]:
    """`sgd`, and the `running_mean` of what it does since `start_averaging` (NT-ASGD of Merity et al. 2018).

    Whether it is time is for `theano_rnn.learning.schedules.is_triggered` to say.
    """
    updates, _ = sgd(params, gradients, learning_rate)
    more, state = running_mean(params, updates)
    return updates | more, state


def exponential_average(params: Params, updates: Updates, decay: float) -> tuple[Updates, State]:
    """Averages ``ema.NAME`` of the new parameters, recent ones counting more: ``a <- a + (1 - decay) (p - a)``.

    They begin as the parameters are when this is called, whose share after t steps is still ``decay^t``. Every element
    of every parameter is read and written in each step, those of untouched rows too.

    Parameters
    ----------
    updates
        Of an optimizer; the new values in it are what is averaged.

    Raises
    ------
    ValueError
        `decay` is not from 0 up to, but not including, 1.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be at least 0 and less than 1, got {decay}")
    state: State = {}
    more: Updates = {}
    for name, p in params.items():
        average = aesara.shared(np.array(p.get_value(borrow=True)), name=f"ema.{name}")
        state[f"ema.{name}"] = average
        more[average] = average + np.asarray(1 - decay, p.dtype) * (updates.get(p, p) - average)
    return more, state


def running_mean(params: Params, updates: Updates) -> tuple[Updates, State]:
    """Means ``mean.NAME`` of the new parameters of every step since `start_averaging` (Polyak & Juditsky 1992).

    ``n <- n + 1``, ``mean <- mean + (p - mean) / n``. The whole number n, `num_averaged` in the state, is the switch:
    at first it is -1 and stays, and the means are copies of the parameters; who sets it to 0 between two steps makes
    the next step's parameters the first of the mean. PyTorch's ASGD leaves these first ones out.

    Parameters
    ----------
    updates
        Of an optimizer; the new values in it are what is averaged.
    """
    count = aesara.shared(np.full((), -1, "int32"), name="num_averaged")
    n = T.switch(T.lt(count, 0), count, count + np.int32(1))
    state: State = {"num_averaged": count}
    more: Updates = {count: n}
    for name, p in params.items():
        mean = aesara.shared(np.array(p.get_value(borrow=True)), name=f"mean.{name}")
        state[f"mean.{name}"] = mean
        new = updates.get(p, p)
        more[mean] = T.switch(T.le(n, 1), new, mean + (new - mean) / T.cast(T.maximum(n, 1), p.dtype))
    return more, state


def start_averaging(state: State) -> None:
    """Let the means in the state of `running_mean` or `asgd` begin with the next step, where they have not begun."""
    if state["num_averaged"].get_value() < 0:
        state["num_averaged"].set_value(np.zeros((), "int32"))


def averages(state: State, kind: str) -> State:
    """The averages in a state by their parameters' names; `kind`: "ema" (`exponential_average`), "mean"."""
    return {name.removeprefix(f"{kind}."): value for name, value in state.items() if name.startswith(f"{kind}.")}


OPTIMIZERS: dict[str, Callable[..., tuple[Updates, State]]] = {
    "sgd": sgd,
    "nesterov": nesterov,
    "asgd": asgd,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}
