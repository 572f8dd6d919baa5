"""Captioners with fixed random parameters, for tests of what uses them."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from conftest import ENGINES

from theano_rnn.captioner import Captioner
from theano_rnn.learning.checkpoint import Checkpoint, save, values_of
from theano_rnn.learning.progress import Progress
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.description import DescriptionTrainingConfig
from theano_rnn.settings.network import DescriptionConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.caption_model import CaptionModel
from theano_rnn.text.vocabulary import Vocabulary

WORDS = ("a", "dog", "runs", ".", "red", "circle", "<b>", "snow")
HEIGHT, WIDTH, REGIONS, SIZE = 12, 16, 5, 3
FOLDER = Path(tempfile.mkdtemp(prefix="theano_rnn_captioner_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@functools.cache
def checkpoint(has_features=False, seed=21):
    """Returns the path of a checkpoint with such a model."""
    vocabulary = Vocabulary(WORDS, TextConfig(sentences="line", tokens="whitespace"))
    config = DescriptionConfig(
        cell="gru", embedding_size=4, hidden_size=5, channels=(4, 6), height=HEIGHT, width=WIDTH,
        feature_size=SIZE if has_features else 0, num_regions=REGIONS, vocab_size=len(vocabulary),
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    params = values_of(CaptionModel(config, rng=rng).params)
    params = {name: rng.normal(0, 0.8, value.shape).astype(value.dtype) for name, value in params.items()}
    params |= {name: 1 + abs(value) for name, value in params.items() if name.endswith(".variance")}
    params["b_y"][1] += 1.0  # captions end soon
    settings = {"model": to_mapping(config), "text": to_mapping(vocabulary.text),
                "training": to_mapping(DescriptionTrainingConfig(batching="sentences"))}  # fmt: skip
    sizes = {"regions": REGIONS, "channels": SIZE} if has_features else {"height": HEIGHT, "width": WIDTH}
    scales = {"mean": [0.5], "scale": [2.0]} if has_features else {"mean": [100.0, 110.0, 120.0], "scale": [70.0] * 3}
    facts = {"vocabulary": vocabulary, "images": {**sizes, **scales, "longest": 9}}
    path = FOLDER / f"{has_features}-{seed}.safetensors"
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, facts, "", progress, last=params, best=params, kind="captioner"))
    return path


@functools.cache
def opened(has_features=False):
    """Returns the model; compiled once."""
    return Captioner(checkpoint(has_features), engine=ENGINES[-1])


def pictures(count, seed=0, has_features=False):
    """Random pictures or features."""
    rng = np.random.default_rng(seed)
    if has_features:
        return list(rng.normal(size=(count, REGIONS, SIZE)).astype("float32"))
    coarse = rng.integers(0, 256, (count, 3, 4, 3), np.uint8)  # in squares of 4 x 4 pixels
    return list(coarse.repeat(4, axis=1).repeat(4, axis=2))
