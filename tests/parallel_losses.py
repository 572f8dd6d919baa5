"""Losses of 100 training steps on some of this machine's virtual devices, as JSON: run by test_parallel.py."""

import json
import os
import sys

import theano_rnn  # noqa: F401

if __name__ == "__main__":  # not where pytest looks for doctests: other programs would be without a compiler
    os.environ["AESARA_FLAGS"] += ",cxx="

import numpy as np

from theano_rnn.model import RNNLM
from theano_rnn.settings.network import DescriptionConfig, ModelConfig
from theano_rnn.tasks.caption_model import CaptionModel
from theano_rnn.tasks.cloze import Cloze

VOCAB, TIME, BATCH, STEPS = 1100, 5, 8, 100


def caption_losses(cell, dtype, options):
    """Those of a captioner, whose pictures are normalized by the statistics of the whole batch; one column is empty."""
    config = DescriptionConfig(cell=cell, vocab_size=5, embedding_size=6, hidden_size=7, channels=(4, 6), height=8,
                               width=8, dtype=dtype)  # fmt: skip
    model = CaptionModel(config, rng=np.random.default_rng(0))
    functions, rng, found = model.compile("train", "loss", **options), np.random.default_rng(1), []
    for _ in range(STEPS):
        targets = np.tile(rng.integers(5, size=BATCH, dtype="int32"), (TIME, 1))
        images = 0.1 * rng.normal(size=(8, BATCH, 8, 3)) + targets[0][:, None, None]
        tokens, mask = np.vstack([0 * targets[:1] + 6, targets[:-1]]), np.ones((TIME, BATCH), dtype)
        mask[:, -1] = 0
        batch = images.astype(dtype), tokens, targets, mask
        found.append(float(functions.train(*batch, np.asarray(0.01, dtype))[0]))
    return [*found, float(np.asarray(functions.loss(*batch)[0]).sum() / mask.sum())]


def losses(cell, dtype, num_devices, task="next"):
    options = {"optimizer": "adam", "clip_norm": 0.5, "engine": "jax", "device": "cpu", "num_devices": num_devices}
    if task == "describe":
        return caption_losses(cell, dtype, options)
    config = ModelConfig(cell=cell, vocab_size=VOCAB, embedding_size=6, hidden_size=7, tie_weights=False,
                         dtype=dtype)  # fmt: skip
    model = {"next": RNNLM, "fill": Cloze}[task](config, rng=np.random.default_rng(0))
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
