"""Tiny models with random parameters, none of them zero, for export and import; their functions are compiled once."""

import functools
import itertools
import math

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import Checkpoint, assign, save
from theano_rnn.model import RNNLM
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.training import TrainingConfig, resolved_head
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.training import Progress

VOCABULARY = Vocabulary(("the", "cat", "sat", "on", "mat"), TextConfig(sentences="line", tokens="whitespace"))
VOCAB = len(VOCABULARY)
TEXT = "the cat sat on the mat\n\nthe dog sat on the cat\n" * 5 + "a mat\n"
TIME, BATCH = 9, 3  # of every call of our functions
EVERY = list(itertools.product(("tanh", "relu", "gru", "lstm"), (1, 2), (True, False)))  # cell, layers, tied
NAMES = [f"{cell}-{layers}-{'tied' if tied else 'untied'}" for cell, layers, tied in EVERY]


def config_of(cell="lstm", num_layers=1, tie_weights=True, **options):
    """Returns a config; its sizes differ where they can."""
    sizes = {"embedding_size": 6 if tie_weights else 5, "hidden_size": 6}
    options = {"head": "softmax", **sizes, **options}
    return resolved_head(
        ModelConfig(cell=cell, num_layers=num_layers, tie_weights=tie_weights, vocab_size=VOCAB, **options)
    )


def params_of(config, seed=0):
    """Returns parameters by role, none of them zero, and small enough for a ReLU network."""
    rng = np.random.default_rng(seed)
    model = RNNLM(config, rng=rng)
    return {name: rng.normal(0, 0.3, p.get_value().shape).astype(config.dtype) for name, p in model.params.items()}


def write(path, config, params=None, *, vocabulary=VOCABULARY, kind="language model", **training):
    """Write a checkpoint with these parameters. Returns the parameters."""
    params = params_of(config) if params is None else params
    training = TrainingConfig(batch_size=4, **training)
    settings = {"model": to_mapping(config), "training": to_mapping(training), "text": to_mapping(vocabulary.text)}
    progress = Progress(learning_rate=1.0, step=3, epoch=1).to_json()
    save(path, Checkpoint(settings, {"vocabulary": vocabulary}, "abc", progress, last=params, best=params, kind=kind))
    return params


def opened(path, config, params=None, **options):
    """Write a checkpoint and open it as a model."""
    write(path, config, params, **options)
    return LanguageModel(path, engine="c")  # nothing is compiled


@functools.cache
def compiled(config):
    model = RNNLM(config, rng=np.random.default_rng(0))
    return model, model.compile("predict", engine=ENGINES[-1]).predict


def predictions(config, params, ids, state=None):
    """Returns log-probabilities (time, batch, vocab) and the new states of our model; pads inputs to one shape."""
    model, predict = compiled(config)
    assign(model.params, params)
    time, batch = ids.shape
    tokens, mask = np.zeros((TIME, BATCH), "int32"), np.zeros((TIME, BATCH), config.dtype)
    tokens[:time, :batch], mask[:time, :batch] = ids, 1
    before = model.initial_state(BATCH)
    for whole, part in zip(before, state or ()):
        whole[:batch] = part
    log_p, *after = predict(tokens, mask, *before)
    return np.array(log_p)[:time, :batch], [np.array(each)[:batch] for each in after]


def drawn_ids():
    """Returns random ids, int64 (time, batch), including <pad> and <s>."""
    return np.random.default_rng(1).integers(VOCAB + 2, size=(TIME, BATCH))


def perplexity(config, params):
    """Returns the perplexity of 135 random tokens in a batch of three."""
    ids = np.random.default_rng(5).integers(VOCAB, size=(5 * TIME + 1, BATCH))
    total, state = 0.0, None
    for begin in range(0, 5 * TIME, TIME):
        log_p, state = predictions(config, params, ids[begin : begin + TIME], state)
        targets = ids[begin + 1 : begin + TIME + 1, :, None]
        total -= np.take_along_axis(log_p, targets, axis=2).sum(dtype=np.float64)
    return math.exp(total / (5 * TIME * BATCH))


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def network(config):
    """Returns the modules of PyTorch's example word_language_model."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Module()
    rows = config.vocab_size + 2
    model.encoder = torch.nn.Embedding(rows, config.embedding_size)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    options = {} if config.cell in kinds else {"nonlinearity": config.cell}
    kind = kinds.get(config.cell, torch.nn.RNN)
    model.rnn = kind(config.embedding_size, config.hidden_size, config.num_layers, **options)
    model.decoder = torch.nn.Linear(config.hidden_size, rows)
    if config.tie_weights:
        model.decoder.weight = model.encoder.weight
    return model


def theirs(model, ids, config):
    """Returns log-probabilities (time, batch, rows), and the final state as a list in our order."""
    import torch

    with torch.no_grad():
        h, final = model.rnn(model.encoder(torch.tensor(ids)))
        log_p = torch.log_softmax(model.decoder(h), dim=-1).numpy()
    if config.cell != "lstm":
        return log_p, list(final.numpy())
    return log_p, [state.numpy() for layer in zip(*final) for state in layer]


def agrees(config, params, model):
    ids = drawn_ids()
    ours, state = predictions(config, params, ids)
    log_p, final = theirs(model, ids, config)
    np.testing.assert_allclose(log_p[..., :VOCAB], ours, atol=1e-5)
    np.testing.assert_allclose(final, state, atol=1e-5)
    assert (np.exp(log_p[..., VOCAB:]) == 0).all()
