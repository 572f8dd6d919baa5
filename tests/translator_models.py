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
from theano_rnn.model import RNNLM
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.network import ModelConfig, TranslationConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.training import TrainingConfig
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
def checkpoint(unit="word", scale=1.0, seed=5):
    """Returns the path of a checkpoint with such a model."""
    text = TextConfig(unit=unit, sentences="line")
    source, target = (
        Vocabulary(words if unit == "word" else CHARACTERS, text) for words in (SOURCE_WORDS, WORDS)
    )
    config = TranslationConfig(cell="gru", embedding_size=4, hidden_size=5, source_vocab_size=len(source),
                               vocab_size=len(target))  # fmt: skip
    rng = np.random.default_rng(seed)
    params = values_of(TranslationModel(config, rng=rng).params)
    params = {name: rng.normal(0, scale, value.shape).astype(value.dtype) for name, value in params.items()}
    params["b_y"][1] += 1.0  # texts end soon
    settings = {"model": to_mapping(config), "text": to_mapping(text),
                "training": to_mapping(TranslationTrainingConfig(batching="sentences"))}  # fmt: skip
    path = FOLDER / f"{unit}-{scale}-{seed}.safetensors"
    facts = {"vocabulary": target, "source_vocabulary": source}
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, facts, "", progress, last=params, best=params, kind="translator"))
    return path


@functools.cache
def language_model(unit="word", words=None, batching="sentences", head="softmax"):
    """Returns the path of a language model with the target vocabulary, its words in another order."""
    words = words or (tuple(sorted(WORDS)) if unit == "word" else (*sorted(CHARACTERS), "\n"))
    vocabulary = Vocabulary(words, TextConfig(unit=unit))
    config = ModelConfig(embedding_size=4, hidden_size=5, vocab_size=len(vocabulary), head=head,
                         cutoffs=(5,) if head == "adaptive" else ())  # fmt: skip
    rng = np.random.default_rng(4)
    params = values_of(RNNLM(config, rng=rng).params)
    params = {name: rng.normal(0, 1.0, value.shape).astype(value.dtype) for name, value in params.items()}
    settings = {"model": to_mapping(config), "training": to_mapping(TrainingConfig(batching=batching))}
    path = FOLDER / f"lm-{unit}-{len(words)}-{batching}-{head}.safetensors"
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, {"vocabulary": vocabulary}, "", progress, last=params, best=params))
    return path


@functools.cache
def opened(lm=None, others=(), **options):
    """Returns the model with a language model, and an ensemble with models of other seeds; compiled once."""
    ensemble = [checkpoint(seed=seed, **options) for seed in others]
    return Translator(checkpoint(**options), lm=lm, ensemble=ensemble, engine=ENGINES[-1])
