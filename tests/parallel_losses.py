"""Losses of 100 training steps on some of this machine's virtual devices, as JSON: run by test_parallel.py."""

import json
import os
import sys

import theano_rnn  # noqa: F401

if __name__ == "__main__":  # not where pytest looks for doctests: other programs would be without a compiler
    os.environ["AESARA_FLAGS"] += ",cxx="

import numpy as np

from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig
from theano_rnn.tasks.cloze import Cloze

VOCAB, TIME, BATCH, STEPS = 1100, 5, 8, 100


def losses(cell, dtype, num_devices, task="next"):
    config = ModelConfig(cell=cell, vocab_size=VOCAB, embedding_size=6, hidden_size=7, tie_weights=False,
                         dtype=dtype)  # fmt: skip
    model = {"next": RNNLM, "fill": Cloze}[task](config, rng=np.random.default_rng(0))
    options = {"optimizer": "adam", "clip_norm": 0.5, "engine": "jax", "device": "cpu", "num_devices": num_devices}
    functions = model.compile("train", "loss", **options)
    rng, state, found = np.random.default_rng(1), model.initial_state(BATCH), []
    for _ in range(STEPS):
        tokens = rng.integers(VOCAB, size=(TIME, BATCH), dtype="int32")
        targets = (7 * tokens + 3) % VOCAB
        mask = (rng.random((TIME, BATCH)) < 0.8).astype(dtype)
        loss, *state = functions.train(tokens, targets, mask, *state, np.asarray(0.01, dtype))
        found.append(float(loss))
    evaluated, *_ = functions.loss(tokens, targets, mask, *state)
    return [*found, float(np.asarray(evaluated).sum() / mask.sum())]


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    print(json.dumps([losses(*one) for one in wanted]))
