"""Losses: the negative log-likelihood of the true next token, in nats.

The softmax and its logarithm are one operation, so that nothing is computed twice and nothing overflows:

    nll_i = log(sum_v exp(z_iv + b_v)) - (z_iy + b_y)            with y the target of row i
    d nll_i / d z_iv = exp(z_iv + b_v - log_normalizer_i) - [v = y]
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any

import aesara.tensor as T
import numpy as np
from aesara.gradient import DisconnectedType, disconnected_type
from aesara.graph.basic import Apply
from aesara.link.c.op import COp
from aesara.tensor.var import TensorVariable

from theano_rnn.engine.parallel import sum_over_devices
from theano_rnn.nn.losses_c import BACKWARD, FORWARD, SUPPORT


def cross_entropy(scores: TensorVariable, bias: TensorVariable, targets: TensorVariable) -> TensorVariable:
    """Returns each row's negative log-likelihood in nats of its target under ``softmax(scores + bias)``.

    Parameters
    ----------
    scores : float (rows, vocab)
    bias : float (vocab,)
    targets : int32 (rows,), each in 0 .. vocab - 1

    Returns
    -------
    float (rows,)
    """
    return SoftmaxCrossEntropy()(scores, bias, targets)[0]


def cross_entropy_and_normalizer(
    scores: TensorVariable, bias: TensorVariable, targets: TensorVariable
) -> tuple[TensorVariable, TensorVariable]:
    """Returns `cross_entropy`, and each row's log-normalizer ``log(sum_v exp(scores_v + bias_v))``."""
    nll, log_normalizer = SoftmaxCrossEntropy()(scores, bias, targets)
    return nll, log_normalizer


def masked_mean(values: TensorVariable, mask: TensorVariable) -> TensorVariable:
    """Mean over the whole batch of the `values` whose `mask` is 1; both of one shape, such as (time, batch)."""
    dtype = values.dtype
    total, count = (sum_over_devices(T.sum(array, acc_dtype=dtype, dtype=dtype)) for array in (values * mask, mask))
    return total / count


class SoftmaxCrossEntropy(COp):  # type: ignore[misc]
    """The operation (scores, bias, targets) -> (nll, log_normalizer), each (rows,).

    Aesara's separate operations compute the exponentials twice and without vector instructions. Its
    ``crossentropy_softmax_argmax_1hot`` computes them once, but still takes half of a training step.
    """

    __props__ = ()

    def make_node(self, scores: Any, bias: Any, targets: Any) -> Apply:
        scores, bias, targets = (T.as_tensor_variable(v) for v in (scores, bias, targets))
        if scores.ndim != 2 or bias.ndim != 1 or targets.ndim != 1 or targets.dtype != "int32":
            raise TypeError(f"expected float (rows, vocab), (vocab,) and int32 (rows,), "
                            f"got {scores.type}, {bias.type}, {targets.type}")  # fmt: skip
        if scores.dtype != bias.dtype or scores.dtype not in ("float32", "float64"):
            raise TypeError(f"scores and bias must be of one float dtype, got {scores.dtype} and {bias.dtype}")
        row = T.TensorType(scores.dtype, shape=(None,))
        return Apply(self, [scores, bias, targets], [row(), row()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        scores, bias, targets = inputs
        check_targets(targets, scores.shape[1])
        logits = scores + bias
        top = logits.max(axis=1, keepdims=True)
        log_normalizer = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        outputs[0][0] = log_normalizer - logits[np.arange(len(targets)), targets]
        outputs[1][0] = log_normalizer

    def L_op(self, inputs: list[Any], outputs: list[Any], output_gradients: list[Any]) -> list[Any]:
        scores, bias, targets = inputs
        log_normalizer = outputs[1]
        d_nll, d_log_normalizer = (
            T.zeros_like(log_normalizer) if isinstance(g.type, DisconnectedType) else g for g in output_gradients
        )
        gradients = SoftmaxCrossEntropyGrad()(scores, bias, targets, log_normalizer, d_nll + d_log_normalizer, d_nll)
        return [*gradients, disconnected_type()]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True, True], [True, True], [False, False]]

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return [shapes[2], shapes[2]]

    def as_jax(self, node: Apply) -> Any:
        def compute(scores: Any, bias: Any, targets: Any) -> list[Any]:
            logits = scores + bias
            top = logits.max(axis=1)
            log_normalizer = log(exp(logits - top[:, None]).sum(axis=1)) + top
            picked = logits.at[arange(targets.shape[0]), targets].get(mode="fill")  # nan if out of range
            return [log_normalizer - picked, log_normalizer]

        exp, log, arange = jax_functions("exp", "log", "arange")
        return compute

    def as_kernel(self, node: Apply) -> Any:
        run, otherwise = importlib.import_module("theano_rnn.engine.softmax").run_forward, self.as_jax(node)
        return lambda *arrays: run(*arrays) or otherwise(*arrays)

    def c_code_cache_version(self) -> tuple[int, ...]:
        return c_source_version(FORWARD)

    def c_support_code(self, **kwargs: Any) -> str:
        return SUPPORT

    def c_code(self, node: Apply, name: str, inputs: list[str], outputs: list[str], sub: dict[str, str]) -> str:
        names = dict(zip(("scores", "bias", "targets"), inputs)) | dict(zip(("nll", "log_normalizer"), outputs))
        return c_source(FORWARD, node, names, sub)


class SoftmaxCrossEntropyGrad(COp):  # type: ignore[misc]
    """The operation (scores, bias, targets, log_normalizer, a, b) -> gradients of scores (rows, vocab), bias (vocab,).

    Row i of the first is ``a_i * softmax(scores + bias)_i - b_i * onehot(target_i)``; the second is its sum over the
    rows.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        inputs = tuple(T.as_tensor_variable(v) for v in inputs)
        return Apply(self, list(inputs), [inputs[0].type(), inputs[1].type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[Any]) -> None:
        scores, bias, targets, log_normalizer, a, b = inputs
        gradient = np.exp(scores + bias - log_normalizer[:, None]) * a[:, None]
        gradient[np.arange(len(targets)), targets] -= b
        outputs[0][0] = gradient
        outputs[1][0] = gradient.sum(axis=0)

    def infer_shape(self, fgraph: Any, node: Apply, shapes: list[Any]) -> list[Any]:
        return [shapes[0], shapes[1]]

    def as_jax(self, node: Apply) -> Any:
        def compute(scores: Any, bias: Any, targets: Any, log_normalizer: Any, a: Any, b: Any) -> list[Any]:
            logits = scores + bias
            top = logits.max(axis=1)
            exponentials = exp(logits - top[:, None])  # as in the forward pass: XLA computes them once
            gradient = exponentials * (a * exp(top - log_normalizer))[:, None]
            gradient = gradient.at[arange(targets.shape[0]), targets].add(-b, unique_indices=True)
            return [gradient.astype(scores.dtype), gradient.sum(axis=0).astype(scores.dtype)]

        exp, arange = jax_functions("exp", "arange")
        return compute

    def as_kernel(self, node: Apply) -> Any:
        run, otherwise = importlib.import_module("theano_rnn.engine.softmax").run_backward, self.as_jax(node)
        return lambda *arrays: run(*arrays) or otherwise(*arrays)

    def c_code_cache_version(self) -> tuple[int, ...]:
        return c_source_version(BACKWARD)

    def c_support_code(self, **kwargs: Any) -> str:
        return SUPPORT

    def c_code(self, node: Apply, name: str, inputs: list[str], outputs: list[str], sub: dict[str, str]) -> str:
        names = dict(zip(("scores", "bias", "targets", "log_normalizer", "a", "b"), inputs))
        return c_source(BACKWARD, node, names | dict(zip(("d_scores", "d_bias"), outputs)), sub)


def jax_functions(*names: str) -> list[Any]:
    """Returns functions of ``jax.numpy``, imported only when the XLA engine asks for them."""
    module = importlib.import_module("jax.numpy")
    return [getattr(module, name) for name in names]


def check_targets(targets: Any, vocab_size: int) -> None:
    """Raise `IndexError` unless every target is in 0 .. vocab_size - 1."""
    if len(targets) and not (targets.min() >= 0 and targets.max() < vocab_size):
        raise IndexError(f"targets must be in 0 .. {vocab_size - 1}, got {targets.min()} .. {targets.max()}")


def c_source_version(template: str) -> tuple[int, ...]:
    """Returns a version of the C code for Aesara's cache of modules, which does not compare the code itself."""
    return (zlib.crc32((SUPPORT + template).encode()),)


def c_source(template: str, node: Apply, names: dict[str, str], sub: dict[str, str]) -> str:
    """Returns `template` with ``$name`` replaced by the names of Aesara's C variables."""
    real, typenum = {"float32": ("float", "NPY_FLOAT32"), "float64": ("double", "NPY_FLOAT64")}[node.inputs[0].dtype]
    for key in sorted(names, key=len, reverse=True):
        template = template.replace(f"${key}", names[key])
    return template.replace("$REAL", real).replace("$TYPENUM", typenum).replace("$FAIL", sub["fail"])
