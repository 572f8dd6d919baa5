"""Models with random parameters, to play with: what they say means nothing, but it is always the same."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from conftest import ENGINES

from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import Checkpoint, save, values_of
from theano_rnn.model import RNNLM
from theano_rnn.serving.playing import Player
from theano_rnn.serving.request_batching import Columns
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.text.vocabulary import Vocabulary

WORDS = ("She", "was", "happy", ".", "``", "''", "!", "?", "Oh", "Mr.", ",", "Emma", "not", "at", "all", "<b>")
CHARACTERS = (*"abcdefghijklmnopqrstuvwxyz ABCDE.,!?\"'<>&", "\n")
FOLDER = Path(tempfile.mkdtemp(prefix="theano_rnn_play_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@functools.cache
def checkpoint(unit="word", batching="stream", sentences="punkt"):
    """A file with such a model."""
    vocabulary = Vocabulary(WORDS if unit == "word" else CHARACTERS, TextConfig(unit=unit, sentences=sentences))
    config = ModelConfig(embedding_size=4, hidden_size=5, vocab_size=len(vocabulary), head="softmax")
    rng = np.random.default_rng(3)
    params = values_of(RNNLM(config, rng=rng).params)
    params = {name: rng.normal(0, 1.0, value.shape).astype(value.dtype) for name, value in params.items()}
    settings = {"model": to_mapping(config), "training": to_mapping(TrainingConfig(batching=batching))}
    path = FOLDER / f"{unit}-{batching}-{sentences}.safetensors"
    save(path, Checkpoint(settings, {"vocabulary": vocabulary}, "", {}, last=params, best=params))
    return path


@functools.cache
def opened(**options):
    """The model, its columns, and what plays with them; compiled once."""
    model = LanguageModel(checkpoint(**options), engine=ENGINES[-1])
    columns = Columns(model.function("step"), model.model.initial_state)
    atexit.register(columns.close)
    return model, columns, Player(model, "a model")


def scored(text, temperature=1.0, num_candidates=8, **options):
    """What `Player` says of a text."""
    _, columns, player = opened(**options)
    typed = player.typed(text)
    found = columns.submit(player.scoring(typed)).result(60)
    return player.scores(typed, found, temperature=temperature, num_candidates=num_candidates)


def completed(prompt, num_samples=3, max_tokens=9, seed=1, config=None, **options):
    """What `Player` makes of a prompt."""
    _, columns, player = opened(**options)
    typed = player.typed(prompt)
    work = player.sampling(typed, num_samples=num_samples, max_tokens=max_tokens, seed=seed,
                           **{"temperature": 1.0, **(config or {})})  # fmt: skip
    return player.texts(typed, [future.result(60) for future in columns.submit_all(work)])
