"""Optimizers: from gradients to updates of the parameters.

An optimizer returns ``(updates, state)``. The dict `updates` maps shared variables, of the parameters and of the
optimizer's state, to their new values. `state` holds the optimizer's own shared variables by name, for the checkpoint.
The learning rate is symbolic, so that annealing never recompiles.

A new optimizer is a function here, an entry of `OPTIMIZERS`, and a choice of the setting in `settings/training.py`.

In the equations, g is a gradient and p is its parameter; squares, roots and quotients are elementwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.learning.averaging import Params, State, UpdateDict, running_mean
from theano_rnn.learning.gradients import RowGradient, to_dense


def zeros_like_param(kind: str, name: str, parameter: Any) -> Any:
    """Returns a shared variable ``kind.name`` of zeros, with a parameter's shape and dtype."""
    return aesara.shared(np.zeros_like(parameter.get_value(borrow=True)), name=f"{kind}.{name}")


def sgd(params: Params, gradients: Params, learning_rate: TensorVariable) -> tuple[UpdateDict, State]:
    """Stochastic gradient descent, ``p <- p - learning_rate g``. A `RowGradient` updates only its own rows."""
    updates = {}
    for name, g in gradients.items():
        p = params[name]
        if isinstance(g, RowGradient):
            updates[p] = T.inc_subtensor(p[g.ids], g.scale(-learning_rate).rows)
        else:
            updates[p] = p - learning_rate * g
    return updates, {}


def nesterov(
    params: Params, gradients: Params, learning_rate: TensorVariable, *, momentum: float = 0.9
) -> tuple[UpdateDict, State]:
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013), as in PyTorch's SGD.

    ``v <- momentum v + g``, ``p <- p - learning_rate (g + momentum v)``, with v = 0 at the start. In this form, the
    parameters are already at the point where the paper evaluates the gradient.
    """
    mu = np.asarray(momentum, learning_rate.dtype)
    state: State = {}
    updates: UpdateDict = {}
    for name, g in gradients.items():
        p, g = params[name], to_dense(g)
        state[f"velocity.{name}"] = v = zeros_like_param("velocity", name, p)
        updates[v] = mu * v + g
        updates[p] = p - learning_rate * (g + mu * updates[v])
    return updates, state


def adagrad(
    params: Params, gradients: Params, learning_rate: TensorVariable, *, epsilon: float = 1e-10
) -> tuple[UpdateDict, State]:
    """AdaGrad (Duchi et al. 2011) with a diagonal matrix.

    ``s <- s + g^2``, ``p <- p - learning_rate g / (sqrt(s) + epsilon)``, with s = 0 at the start. A `RowGradient` reads
    and writes only the rows that it contains; the result is the same, because the gradient of other rows is zero.
    """
    eps = np.asarray(epsilon, learning_rate.dtype)
    state: State = {}
    updates: UpdateDict = {}
    for name, g in gradients.items():
        p = params[name]
        state[f"squares.{name}"] = s = zeros_like_param("squares", name, p)
        if isinstance(g, RowGradient):
            rows = g.merge_repeated()  # one row of a repeated id has the sum, the others are zero
            step = learning_rate * rows / (T.sqrt(s[g.ids] + T.square(rows)) + eps)
            updates[s] = T.inc_subtensor(s[g.ids], T.square(rows))
            updates[p] = T.inc_subtensor(p[g.ids], -step)
        else:
            updates[s] = s + T.square(g)
            updates[p] = p - learning_rate * g / (T.sqrt(updates[s]) + eps)
    return updates, state


def rmsprop(
    params: Params, gradients: Params, learning_rate: TensorVariable, *, alpha: float = 0.99, epsilon: float = 1e-8
) -> tuple[UpdateDict, State]:
    """RMSProp (Hinton 2012, lecture 6e) with PyTorch's defaults, neither centered nor with momentum.

    ``v <- alpha v + (1 - alpha) g^2``, ``p <- p - learning_rate g / (sqrt(v) + epsilon)``, with v = 0 at the start.
    """
    dtype = learning_rate.dtype
    old, new, eps = (np.asarray(value, dtype) for value in (alpha, 1 - alpha, epsilon))
    state: State = {}
    updates: UpdateDict = {}
    for name, g in gradients.items():
        p, g = params[name], to_dense(g)
        state[f"v.{name}"] = v = zeros_like_param("v", name, p)
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
) -> tuple[UpdateDict, State]:
    """Adam (Kingma & Ba 2015, algorithm 1).

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``,
    ``p <- p - learning_rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)``, where t is 1 at the first step.
    """
    dtype = learning_rate.dtype
    b1, b2, eps, one = (np.asarray(value, dtype) for value in (beta1, beta2, epsilon, 1))
    count = aesara.shared(np.zeros((), "int32"), name="t")
    t = count + np.int32(1)
    time = T.cast(t, dtype)
    rate = learning_rate / (one - b1**time)
    root_correction = T.sqrt(one - b2**time)
    state: State = {"t": count}
    updates: UpdateDict = {count: t}
    for name, g in gradients.items():
        p, g = params[name], to_dense(g)
        m, v = (zeros_like_param(kind, name, p) for kind in "mv")
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
) -> tuple[UpdateDict, State]:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): `adam`, minus ``learning_rate weight_decay p``.

    As in PyTorch, the decay is proportional to the current learning rate, and every parameter decays.
    """
    updates, state = adam(params, gradients, learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)
    decay = learning_rate * np.asarray(weight_decay, learning_rate.dtype)
    for name in gradients:
        p = params[name]
        updates[p] = updates[p] - decay * p
    return updates, state


def asgd(params: Params, gradients: Params, learning_rate: TensorVariable) -> tuple[UpdateDict, State]:
    """`sgd`, with the `running_mean` of the parameters since `start_averaging` (NT-ASGD, Merity et al. 2018).

    `theano_rnn.learning.schedules.should_start_averaging` tells when to start.
    """
    updates, _ = sgd(params, gradients, learning_rate)
    average_updates, state = running_mean(params, updates)
    return updates | average_updates, state


OPTIMIZERS: dict[str, Callable[..., tuple[UpdateDict, State]]] = {
    "sgd": sgd,
    "nesterov": nesterov,
    "asgd": asgd,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}
