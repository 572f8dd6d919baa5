"""Classifiers with fixed random parameters, for tests of what uses them."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from conftest import ENGINES

from theano_rnn.classifier import Classifier
from theano_rnn.learning.checkpoint import Checkpoint, save, values_of
from theano_rnn.learning.progress import Progress
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.classification import ClassifierTrainingConfig
from theano_rnn.settings.network import ClassifierConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.text_classifier import TextClassifier
from theano_rnn.text.vocabulary import Vocabulary

WORDS = ("A", "charming", "film", ".", ",", "dull", "and", "long", "It", "is", "not", "<b>", "!")
CHARACTERS = (*"abcdefghijklmnopqrstuvwxyz AI.,!", "\n")
LABELS = ("neg", "pos", "so-so")
FOLDER = Path(tempfile.mkdtemp(prefix="theano_rnn_classifier_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@functools.cache
def checkpoint(unit="word", labels=LABELS, scale=1.0, temperature=2.0, sentences="punkt"):
    """Returns the path of a checkpoint with such a model."""
    vocabulary = Vocabulary(WORDS if unit == "word" else CHARACTERS, TextConfig(unit=unit, sentences=sentences))
    config = ClassifierConfig(cell="gru", embedding_size=4, hidden_size=5, vocab_size=len(vocabulary),
                              num_labels=len(labels))  # fmt: skip
    rng = np.random.default_rng(3)
    params = values_of(TextClassifier(config, rng=rng).params)
    params = {name: rng.normal(0, scale, value.shape).astype(value.dtype) for name, value in params.items()}
    settings = {"model": to_mapping(config), "training": to_mapping(ClassifierTrainingConfig(batching="sentences"))}
    facts = {"vocabulary": vocabulary, "labels": list(labels), "temperature": temperature}
    path = FOLDER / f"{unit}-{len(labels)}-{scale}-{temperature}-{sentences}.safetensors"
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, facts, "", progress, last=params, best=params, kind="classifier"))
    return path


@functools.cache
def opened(**options):
    """Returns the model; compiled once."""
    return Classifier(checkpoint(**options), engine=ENGINES[-1])
