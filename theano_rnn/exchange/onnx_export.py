"""Exports a language model as an ONNX graph: token ids and states in, log-probabilities and new states out.

    ids (time, batch) int64, h_0 (batch, hidden_size), c_0 of an LSTM, h_1, ...
    -> log_probabilities (time, batch, vocab_size), h_0_next, c_0_next, h_1_next, ...

The sizes time and batch are dynamic. The initial state is zeros; the new states of one call are the inputs of the next.
The layers are ONNX's RNN, GRU and LSTM, whose gates have the order i, o, f, c (our g) and z, r, h (our n). An adaptive
softmax, residual connections and a projection between tied weights of two sizes are built from a few more nodes. Needs
onnx (extra `export`).

References
----------
ONNX operators, https://onnx.ai/onnx/operators: LSTM, GRU (``linear_before_reset=1`` is PyTorch's form and ours), RNN.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np

from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import Arrays, values_of
from theano_rnn.nn.cells import GRUCell, LSTMCell
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import BOS, EOS, PAD, UNK

OPSET, IR_VERSION = 17, 8  # versions of 2022, so that older runtimes can read the file
MAX_BYTES = 2**31 - 1  # of one protocol buffer
OPERATORS = {"tanh": "RNN", "relu": "RNN", "gru": "GRU", "lstm": "LSTM"}
OUR_GATES: dict[str, tuple[str, ...]] = {"RNN": ("h",), "GRU": GRUCell.GATES, "LSTM": LSTMCell.GATES}
ONNX_GATES = {"RNN": "h", "GRU": "zrn", "LSTM": "iofg"}


def check_exportable(config: ModelConfig) -> None:
    """Raises `UserError` if ONNX's operators cannot express the model; the message names the missing part."""
    if config.cell not in OPERATORS:
        raise UserError(f"the cell {config.cell} has no counterpart among ONNX's operators: train with --cell lstm, "
                        "gru, tanh or relu")  # fmt: skip
    if config.dtype != "float32":
        raise UserError(f"ONNX's recurrent layers need float32, but the model is {config.dtype}: train it in float32")


class Graph:
    """Collects the nodes and weights of an ONNX graph, in order."""

    def __init__(self) -> None:
        self.onnx = onnx_package()
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, operator: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        """Add a node. Returns the name of its first output."""
        outputs = outputs or (f"{operator}_{len(self.nodes)}",)
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def weight(self, name: str, value: Any) -> str:
        """Add a constant. Returns its name."""
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """Add a constant list of integers, such as axes, unless it exists. Returns its name."""
        name = "ints_" + "_".join(map(str, values)).replace("-", "m")
        exists = any(weight.name == name for weight in self.weights)
        return name if exists else self.weight(name, np.array(values, "int64"))

    def rows(self, matrix: str, begin: int, end: int) -> str:
        """Add nodes for some rows of a matrix, transposed: (columns, end - begin). Returns the name of the result."""
        part = self.node("Slice", matrix, self.ints(begin), self.ints(end), self.ints(0))
        return self.node("Transpose", part, perm=[1, 0])


def onnx_package() -> Any:
    """Import and return the package onnx.

    Raises
    ------
    UserError
        onnx is not installed.
    """
    try:
        for name in ("checker", "helper", "numpy_helper"):
            importlib.import_module(f"onnx.{name}")
        return importlib.import_module("onnx")
    except ImportError:
        raise UserError("ONNX files need onnx, which is not installed: run pip install 'theano_rnn[export]'") from None


def export_onnx(model: LanguageModel) -> bytes:
    """Returns the ONNX file, checked by onnx. Its metadata has `tokens` (by id) and `text` as JSON, and `start_id`.

    Raises
    ------
    UserError
        ONNX cannot express the model, the model is too large for an ONNX file, or onnx is not installed.
    """
    config, params = model.model.config, values_of(model.model.params)
    check_exportable(config)
    if sum(value.nbytes for value in params.values()) > MAX_BYTES - (1 << 26):
        raise UserError("the model is larger than 2 GiB, the size limit of an ONNX file: train a smaller one")
    graph = Graph()
    helper, types = graph.onnx.helper, graph.onnx.TensorProto
    states = state_names(config)
    add_layers(graph, params, config)
    sizes = ["batch", config.hidden_size]

    def array(name: str, shape: list[Any], kind: int = types.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [array("ids", ["time", "batch"], types.INT64), *(array(name, sizes) for name in states)]
    outputs = [array("log_probabilities", ["time", "batch", config.vocab_size])]
    outputs += [array(f"{name}_next", sizes) for name in states]
    onnx_model = helper.make_model(
        helper.make_graph(graph.nodes, "language_model", inputs, outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="theano_rnn",
    )  # fmt: skip
    helper.set_model_props(onnx_model, metadata(model.vocabulary, model.start_id))
    graph.onnx.checker.check_model(onnx_model, full_check=True)
    data: bytes = onnx_model.SerializeToString(deterministic=True)
    return data


def metadata(vocabulary: Vocabulary, start_id: int) -> dict[str, str]:
    """Returns the file's metadata: all tokens in the order of their ids, the settings of tokenization, the start id.

    A model of subwords has its tokenizer, too.
    """
    tokens = [UNK, EOS, *vocabulary.words, PAD, BOS]
    subwords = {} if vocabulary.tokenizer is None else {"tokenizer": vocabulary.tokenizer}
    text = json.dumps(to_mapping(vocabulary.text))
    return {"tokens": json.dumps(tokens), "text": text, "start_id": str(start_id), **subwords}


def state_names(config: ModelConfig) -> list[str]:
    """Returns the names of all states in the order of the model's: h_0, c_0 (LSTM), h_1, ..."""
    kinds = "hc" if config.cell == "lstm" else "h"
    return [f"{kind}_{i}" for i in range(config.num_layers) for kind in kinds]


def add_layers(graph: Graph, params: Arrays, config: ModelConfig) -> None:
    """Add the whole network: from ``ids`` to ``log_probabilities``, with all new states."""
    x = graph.node("Gather", graph.weight("embedding", params["embedding"]), "ids")
    for i in range(config.num_layers):
        h = add_layer(graph, x, i, params, config)
        x = graph.node("Add", h, x) if config.residual and i else h
    if "W_he" in params:
        x = graph.node("MatMul", x, graph.weight("W_he", params["W_he"]))
    if config.head == "adaptive":
        add_adaptive_head(graph, x, params, config)
        return
    if config.tie_weights:
        weights = graph.rows("embedding", 0, config.vocab_size)
    else:
        weights = graph.weight("W_hy", params["W_hy"])
    scores = graph.node("Add", graph.node("MatMul", x, weights), graph.weight("b_y", params["b_y"]))
    graph.node("LogSoftmax", scores, outputs=("log_probabilities",), axis=-1)


def add_layer(graph: Graph, x: str, i: int, params: Arrays, config: ModelConfig) -> str:
    """Add layer i: from x (time, batch, inputs) to its outputs (time, batch, hidden), with its new states."""
    operator, size = OPERATORS[config.cell], config.hidden_size
    ours, theirs = OUR_GATES[operator], ONNX_GATES[operator]
    indices = np.arange(len(ours) * size).reshape(-1, size)
    columns = indices[[ours.index(gate) for gate in theirs]].ravel()
    input_bias, state_bias = params[f"layer{i}.b_h"][columns], np.zeros(len(columns), config.dtype)
    options: dict[str, Any] = {"hidden_size": size}
    if operator == "GRU":
        state_bias[-size:] = params[f"layer{i}.b_hn"]
        options["linear_before_reset"] = 1
    elif operator == "RNN":
        options["activations"] = ["Tanh" if config.cell == "tanh" else "Relu"]
    W = graph.weight(f"layer{i}.W", params[f"layer{i}.W_xh"][:, columns].T[None])  # (1, gates * hidden, inputs)
    R = graph.weight(f"layer{i}.R", params[f"layer{i}.W_hh"][:, columns].T[None])  # (1, gates * hidden, hidden)
    B = graph.weight(f"layer{i}.B", np.append(input_bias, state_bias)[None])  # (1, 2 * gates * hidden)
    names = [name for name in state_names(config) if name.endswith(f"_{i}")]
    before = [graph.node("Unsqueeze", name, graph.ints(0)) for name in names]  # (1, batch, hidden)
    after = tuple(f"layer{i}.{name}" for name in names)
    y = graph.node(operator, x, W, R, B, "", *before, outputs=(f"layer{i}.outputs", *after), **options)
    for name, new in zip(names, after):
        graph.node("Squeeze", new, graph.ints(0), outputs=(f"{name}_next",))
    return graph.node("Squeeze", y, graph.ints(1))  # (time, 1, batch, hidden) -> (time, batch, hidden)


def add_adaptive_head(graph: Graph, x: str, params: Arrays, config: ModelConfig) -> None:
    """Add an adaptive softmax: ``log_probabilities`` of frequent words, and of each cluster's words given the cluster.

    For the equations see `adaptive_head`.
    """
    cutoffs = config.cutoffs
    ends, shortlist = (*cutoffs[1:], config.vocab_size), cutoffs[0]
    if config.tie_weights:
        clusters = graph.weight("W_cluster", params["W_cluster"])
        weights = graph.node("Concat", graph.rows("embedding", 0, shortlist), clusters, axis=1)
    else:
        weights = graph.weight("W_hy", params["W_hy"])
    scores = graph.node("Add", graph.node("MatMul", x, weights), graph.weight("b_y", params["b_y"]))
    log_p = graph.node("LogSoftmax", scores, axis=-1)

    def columns(begin: int, end: int) -> str:
        return graph.node("Slice", log_p, graph.ints(begin), graph.ints(end), graph.ints(-1))

    parts = [columns(0, shortlist)]
    for i, (begin, end) in enumerate(zip(cutoffs, ends)):
        if config.tie_weights:
            scores = graph.node("MatMul", x, graph.rows("embedding", begin, end))
        else:
            down = graph.node("MatMul", x, graph.weight(f"tail{i}.W_down", params[f"tail{i}.W_down"]))
            scores = graph.node("MatMul", down, graph.weight(f"tail{i}.W_up", params[f"tail{i}.W_up"]))
        scores = graph.node("Add", scores, graph.weight(f"tail{i}.b_y", params[f"tail{i}.b_y"]))
        within_cluster = graph.node("LogSoftmax", scores, axis=-1)
        parts.append(graph.node("Add", within_cluster, columns(shortlist + i, shortlist + i + 1)))
    graph.node("Concat", *parts, outputs=("log_probabilities",), axis=-1)
