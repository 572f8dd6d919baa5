"""The tensors of an adaptive softmax as ``decoder.*`` of a PyTorch module, and back.

PyTorch has `nn.AdaptiveLogSoftmaxWithLoss`, but its clusters have neither biases nor weights tied to the embedding.
examples/adaptive_decoder.py has a module of twenty lines that takes these tensors and returns the log-probabilities of
all words:

    decoder.project.weight   (embedding_size, hidden_size)            W_he^T, only if tied weights have two sizes
    decoder.head.weight      (shortlist + clusters, inputs)           W_hy^T; tied, the embedding's rows and W_cluster^T
    decoder.head.bias        (shortlist + clusters,)                  b_y
    decoder.tails.{i}.weight         (words, inputs)                  tied: the embedding's rows
    decoder.tails.{i}.down.weight    (reduced, inputs)                untied: tail{i}.W_down^T
    decoder.tails.{i}.weight         (words, reduced)                 untied: tail{i}.W_up^T
    decoder.tails.{i}.bias           (words,)                         tail{i}.b_y
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from theano_rnn.nn.adaptive_head import reduced_size
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig

PROJECT, HEAD, HEAD_BIAS = "decoder.project.weight", "decoder.head.weight", "decoder.head.bias"


def tail_names(i: int) -> tuple[str, str, str]:
    """Returns the names of the tensors of cluster i: its weight, its bias, and the matrix before them if not tied."""
    return f"decoder.tails.{i}.weight", f"decoder.tails.{i}.bias", f"decoder.tails.{i}.down.weight"


def clusters(config: ModelConfig) -> list[tuple[int, int]]:
    """Returns the first word of each cluster, and the one after its last."""
    return list(zip(config.cutoffs, (*config.cutoffs[1:], config.vocab_size)))


def adaptive_decoder(params: Mapping[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Returns PyTorch's tensors by name."""
    arrays = {HEAD_BIAS: params["b_y"]}
    if "W_he" in params:
        arrays[PROJECT] = params["W_he"].T
    if config.tie_weights:
        arrays[HEAD] = np.concatenate([params["embedding"][: config.cutoffs[0]], params["W_cluster"].T])
    else:
        arrays[HEAD] = params["W_hy"].T
    for i, (begin, end) in enumerate(clusters(config)):
        weight, bias, down = tail_names(i)
        arrays[bias] = params[f"tail{i}.b_y"]
        if config.tie_weights:
            arrays[weight] = params["embedding"][begin:end]
        else:
            arrays[weight], arrays[down] = params[f"tail{i}.W_up"].T, params[f"tail{i}.W_down"].T
    return arrays


def adaptive_params(arrays: Mapping[str, Any], config: ModelConfig, embedding: Any) -> dict[str, Any]:
    """Returns our parameters of the head by role, given PyTorch's tensors and the embedding's rows.

    Raises
    ------
    UserError
        Weights that are tied differ from the embedding.
    """
    shortlist = config.cutoffs[0]
    params = {"b_y": arrays[HEAD_BIAS]}
    if PROJECT in arrays:
        params["W_he"] = arrays[PROJECT].T
    if config.tie_weights:
        params["W_cluster"] = arrays[HEAD][shortlist:].T
        check_tied(HEAD, arrays[HEAD][:shortlist], embedding[:shortlist])
    else:
        params["W_hy"] = arrays[HEAD].T
    for i, (begin, end) in enumerate(clusters(config)):
        weight, bias, down = tail_names(i)
        params[f"tail{i}.b_y"] = arrays[bias]
        if config.tie_weights:
            check_tied(weight, arrays[weight], embedding[begin:end])
        else:
            params[f"tail{i}.W_up"], params[f"tail{i}.W_down"] = arrays[weight].T, arrays[down].T
    return params


def check_tied(name: str, found: Any, rows: Any) -> None:
    """Raises `UserError` unless tied weights are the embedding's rows."""
    if not np.array_equal(found, rows):
        raise UserError(
            f"{name} differs from the rows of encoder.weight, but the model's weights are tied: tie them in PyTorch too"
        )


def decoder_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of PyTorch's tensors by name."""
    inputs = config.embedding_size if config.tie_weights else config.hidden_size
    rows = config.cutoffs[0] + len(config.cutoffs)
    shapes: dict[str, tuple[int, ...]] = {HEAD: (rows, inputs), HEAD_BIAS: (rows,)}
    if config.tie_weights and config.embedding_size != config.hidden_size:
        shapes[PROJECT] = (config.embedding_size, config.hidden_size)
    for i, (begin, end) in enumerate(clusters(config)):
        weight, bias, down = tail_names(i)
        shapes[bias] = (end - begin,)
        if config.tie_weights:
            shapes[weight] = (end - begin, inputs)
        else:
            reduced = reduced_size(config.hidden_size, i)
            shapes[weight], shapes[down] = (end - begin, reduced), (reduced, inputs)
    return shapes
