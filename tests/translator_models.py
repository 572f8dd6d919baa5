"""Translators with fixed random parameters, for tests of what uses them."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from conftest import ENGINES

from theano_rnn.learning.checkpoint import Checkpoint, save, values_of
from theano_rnn.learning.progress import Progress
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.network import TranslationConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.translation import TranslationTrainingConfig
from theano_rnn.tasks.translation_model import TranslationModel
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.translator import Translator

SOURCE_WORDS = ("A", "dog", "runs", ".", ",", "It", "is", "late", "<b>", "!")
WORDS = ("Ein", "Hund", "rennt", ".", "Es", "ist", "spät", "!", "|||", "<i>")
CHARACTERS = tuple("abcdefghijklmnopqrstuvwxyz AI.,!")
FOLDER = Path(tempfile.mkdtemp(prefix="theano_rnn_translator_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@functools.cache
def checkpoint(unit="word", scale=1.0):
    """Returns the path of a checkpoint with such a model."""
    text = TextConfig(unit=unit, sentences="line")
    source, target = (
        Vocabulary(words if unit == "word" else CHARACTERS, text) for words in (SOURCE_WORDS, WORDS)
    )
    config = TranslationConfig(cell="gru", embedding_size=4, hidden_size=5, source_vocab_size=len(source),
                               vocab_size=len(target))  # fmt: skip
    rng = np.random.default_rng(5)
    params = values_of(TranslationModel(config, rng=rng).params)
    params = {name: rng.normal(0, scale, value.shape).astype(value.dtype) for name, value in params.items()}
    params["b_y"][1] += 1.0  # texts end soon
    settings = {"model": to_mapping(config), "text": to_mapping(text),
                "training": to_mapping(TranslationTrainingConfig(batching="sentences"))}  # fmt: skip
    path = FOLDER / f"{unit}-{scale}.safetensors"
    facts = {"vocabulary": target, "source_vocabulary": source}
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, facts, "", progress, last=params, best=params, kind="translator"))
    return path


@functools.cache
def opened(**options):
    """Returns the model; compiled once."""
    return Translator(checkpoint(**options), engine=ENGINES[-1])
