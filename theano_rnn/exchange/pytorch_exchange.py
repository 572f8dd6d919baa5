"""Converts the parameters of a language model to the ``state_dict`` of a PyTorch model, and back.

The names are those of ``RNNModel`` in PyTorch's example word_language_model: ``nn.Embedding``, then ``nn.RNN``,
``nn.GRU`` or ``nn.LSTM``, then ``nn.Linear``. ``RNNModel(kind, rows, embedding_size, hidden_size, num_layers)`` loads
them with ``strict=True``. Here rows = vocab_size + 2:

    encoder.weight           (rows, embedding_size)                   embedding
    rnn.weight_ih_l{i}       (gates * hidden_size, inputs)            layer{i}.W_xh^T
    rnn.weight_hh_l{i}       (gates * hidden_size, hidden_size)       layer{i}.W_hh^T
    rnn.bias_ih_l{i}         (gates * hidden_size,)                   layer{i}.b_h
    rnn.bias_hh_l{i}         (gates * hidden_size,)                   zero; of a GRU's candidate layer{i}.b_hn
    decoder.weight           (rows, hidden_size)                      W_hy^T; tied, the embedding
    decoder.bias             (rows,)                                  b_y

A model with an adaptive softmax has the tensors of `adaptive_decoder` instead of the last two, and no rows for tokens
that are never predicted.

PyTorch's LSTM has the gates in the order i, f, g, o; its GRU has the same order as ours. The last two rows are
``<pad>`` and ``<s>``, which are read but never predicted: their ``decoder.bias`` is `NEVER`, so that their probability
is 0.

>>> b_h = np.array(["i", "f", "o", "g"])  # of an LSTM with one unit
>>> b_h[gate_order("lstm", 1)].tolist()
['i', 'f', 'g', 'o']
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from theano_rnn.exchange.adaptive_decoder import adaptive_decoder, adaptive_params, decoder_shapes
from theano_rnn.learning.checkpoint import Arrays
from theano_rnn.nn.cells import GRUCell, LSTMCell
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.text.vocabulary import Vocabulary

INPUT_ONLY = 2  # number of tokens that are read but never predicted
NEVER = -1e9  # bias of a token that is never predicted: e^NEVER is 0, and NEVER^2 is still a finite float32
OUR_GATES = {"tanh": ("h",), "relu": ("h",), "gru": GRUCell.GATES, "lstm": LSTMCell.GATES}  # in column order
PYTORCH_GATES = {**OUR_GATES, "lstm": ("i", "f", "g", "o")}
ENCODER, DECODER, BIAS = "encoder.weight", "decoder.weight", "decoder.bias"


def check_exchangeable(config: ModelConfig) -> None:
    """Raises `UserError` if PyTorch's modules cannot express the model; the message names the missing part."""
    unsupported = {
        f"the cell {config.cell}": config.cell not in OUR_GATES,
        "residual connections (train without --residual)": config.residual and config.num_layers > 1,
        "the projection between tied weights of two sizes (train with --no-tie-weights, or with --embedding-size equal "
        "to --hidden-size)": config.tie_weights
        and config.embedding_size != config.hidden_size
        and config.head != "adaptive",
    }
    for part, is_used in unsupported.items():
        if is_used:
            raise UserError(f"{part} has no counterpart in PyTorch's nn.RNN, nn.GRU, nn.LSTM and nn.Linear")


def gate_order(cell: str, hidden_size: int) -> Any:
    """Returns the index of our column for each of PyTorch's rows, int64 (gates * hidden_size,)."""
    indices = np.arange(len(OUR_GATES[cell]) * hidden_size).reshape(-1, hidden_size)
    return indices[[OUR_GATES[cell].index(gate) for gate in PYTORCH_GATES[cell]]].ravel()


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of PyTorch's tensors by name."""
    rows, units = config.vocab_size + INPUT_ONLY, config.hidden_size
    gates = len(OUR_GATES[config.cell]) * units
    found: dict[str, tuple[int, ...]] = {ENCODER: (rows, config.embedding_size)}
    for i in range(config.num_layers):
        found[f"rnn.weight_ih_l{i}"] = (gates, units if i else config.embedding_size)
        found[f"rnn.weight_hh_l{i}"] = (gates, units)
        found[f"rnn.bias_ih_l{i}"] = found[f"rnn.bias_hh_l{i}"] = (gates,)
    if config.head == "adaptive":
        return found | decoder_shapes(config)
    return {**found, DECODER: (rows, units), BIAS: (rows,)}


def to_pytorch(params: Mapping[str, Any], config: ModelConfig) -> Arrays:
    """Convert our parameters. Returns PyTorch's tensors by name, as arrays of the config's dtype."""
    check_exchangeable(config)
    columns, arrays = gate_order(config.cell, config.hidden_size), {ENCODER: params["embedding"]}
    for i in range(config.num_layers):
        bias = params[f"layer{i}.b_h"][columns]
        arrays[f"rnn.weight_ih_l{i}"] = params[f"layer{i}.W_xh"][:, columns].T
        arrays[f"rnn.weight_hh_l{i}"] = params[f"layer{i}.W_hh"][:, columns].T
        arrays[f"rnn.bias_ih_l{i}"] = bias
        arrays[f"rnn.bias_hh_l{i}"] = np.zeros_like(bias)
        if config.cell == "gru":
            arrays[f"rnn.bias_hh_l{i}"][-config.hidden_size :] = params[f"layer{i}.b_hn"]
    if config.head == "adaptive":
        arrays |= adaptive_decoder(params, config)
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    is_tied = config.tie_weights
    arrays[DECODER] = params["embedding"] if is_tied else np.pad(params["W_hy"].T, ((0, INPUT_ONLY), (0, 0)))
    arrays[BIAS] = np.append(params["b_y"], np.full(INPUT_ONLY, NEVER, config.dtype))
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def from_pytorch(arrays: Mapping[str, Any], config: ModelConfig) -> Arrays:
    """Convert PyTorch's tensors. Returns our parameters by role; the two biases of a layer are added.

    If the weights are tied, one of the two tensors may be missing, because safetensors writes shared tensors once. If
    there are no rows for ``<pad>`` and ``<s>``, as in a model without these tokens, they are added: zeros for
    ``<pad>``, a copy of the row of ``</s>`` for ``<s>``.

    Raises
    ------
    UserError
        PyTorch cannot express the model; a name is missing or unknown; a shape or dtype does not match; a number is not
        finite; tied weights differ; ``<pad>`` or ``<s>`` could be predicted.
    """
    check_exchangeable(config)
    arrays = fill_tied_weights(arrays, config)
    given = {name: add_input_only_rows(name, array, config) for name, array in arrays.items()}
    check_tensors(given, config)
    is_adaptive = config.head == "adaptive"
    tied = (
        ()
        if is_adaptive or not config.tie_weights
        else (given[name][: config.vocab_size] for name in (ENCODER, DECODER))
    )
    if tied and not np.array_equal(*tied):
        raise UserError(f"{ENCODER} and {DECODER} differ, but the model's weights are tied: tie them in PyTorch too "
                        f"(model.decoder.weight = model.encoder.weight)")  # fmt: skip
    if not is_adaptive and (given[BIAS][config.vocab_size :] > NEVER / 1000).any():
        raise UserError(
            f"{BIAS} must be near {NEVER:g} in its last {INPUT_ONLY} rows, those of <pad> and <s>, because "
            f"these are never predicted: set it so, or leave these rows out of {DECODER} and {BIAS}"
        )
    columns, gru = np.argsort(gate_order(config.cell, config.hidden_size)), config.cell == "gru"
    params = {"embedding": given[ENCODER]}
    for i in range(config.num_layers):
        input_bias, state_bias = (given[f"rnn.bias_{part}_l{i}"] for part in ("ih", "hh"))
        params[f"layer{i}.W_xh"] = given[f"rnn.weight_ih_l{i}"].T[:, columns]
        params[f"layer{i}.W_hh"] = given[f"rnn.weight_hh_l{i}"].T[:, columns]
        bias = input_bias + state_bias
        if gru:
            bias[-config.hidden_size :] = input_bias[-config.hidden_size :]
            params[f"layer{i}.b_hn"] = state_bias[-config.hidden_size :]
        params[f"layer{i}.b_h"] = bias[columns]
    if is_adaptive:
        params |= adaptive_params(given, config, given[ENCODER])
    else:
        params |= {} if config.tie_weights else {"W_hy": given[DECODER][: config.vocab_size].T}
        params["b_y"] = given[BIAS][: config.vocab_size]
    return {name: np.ascontiguousarray(array) for name, array in params.items()}


def fill_tied_weights(arrays: Mapping[str, Any], config: ModelConfig) -> Arrays:
    """Returns `arrays` with both tensors of tied weights if one of them is present."""
    if config.head == "adaptive":
        return dict(arrays)
    kept = next((arrays[name] for name in (ENCODER, DECODER) if name in arrays), None)
    return {**({ENCODER: kept, DECODER: kept} if config.tie_weights and kept is not None else {}), **arrays}


def add_input_only_rows(name: str, array: Any, config: ModelConfig) -> Any:
    """Returns `array` with rows for ``<pad>`` and ``<s>`` added if it has rows for the words alone."""
    if name not in (ENCODER, DECODER, BIAS) or array.ndim == 0 or len(array) != config.vocab_size:
        return array
    if name == BIAS:
        return np.append(array, np.full(INPUT_ONLY, NEVER, array.dtype))
    is_read = name == ENCODER or config.tie_weights
    return np.concatenate([array, np.zeros_like(array[:1]), array[Vocabulary.eos_id :][:1] * is_read])


def check_tensors(arrays: Mapping[str, Any], config: ModelConfig) -> None:
    """Raises `UserError` unless `arrays` are those of `tensor_shapes`, have the config's dtype, and are finite."""
    num_layers = min(config.num_layers, len(arrays))  # a file may claim far more; their names are reported as missing
    expected = tensor_shapes(dataclasses.replace(config, num_layers=num_layers))
    missing, unknown = expected.keys() - arrays.keys(), arrays.keys() - expected.keys()
    for verb, names, reason in (("lacks", missing, ""), ("has", unknown, ", which the model does not have")):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(f"the state_dict {verb} {', '.join(sorted(names)[:3])}{more}{reason}")
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != config.dtype:
            raise UserError(f"{name} must be {config.dtype} {shape}, got {array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise UserError(f"{name} has values that are infinite or not a number")
