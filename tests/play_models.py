"""Models with fixed random parameters for tests of serve and look."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from conftest import ENGINES

from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.checkpoint import Checkpoint, save, values_of
from theano_rnn.learning.progress import Progress
from theano_rnn.model import RNNLM
from theano_rnn.serving.playing import ServedModel
from theano_rnn.serving.request_batching import RequestBatcher
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.text.vocabulary import Vocabulary

WORDS = ("She", "was", "happy", ".", "``", "''", "!", "?", "Oh", "Mr.", ",", "Emma", "not", "at", "all", "<b>")
CHARACTERS = (*"abcdefghijklmnopqrstuvwxyz ABCDE.,!?\"'<>&", "\n")
SENTENCES = 'She was happy. "Was she walking?" Emma was not walking at all. “Oh!” Mr. Elton was talking.'
FOLDER = Path(tempfile.mkdtemp(prefix="theano_rnn_play_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@functools.cache
def checkpoint(unit="word", batching="stream", sentences="punkt"):
    """Returns the path of a checkpoint with such a model."""
    text = TextConfig(unit=unit, sentences=sentences)
    if unit == "subword":
        vocabulary = Vocabulary.from_sentences([SENTENCES.split()] * 2, text=text)
    else:
        vocabulary = Vocabulary(WORDS if unit == "word" else CHARACTERS, text)
    config = ModelConfig(embedding_size=4, hidden_size=5, vocab_size=len(vocabulary), head="softmax")
    rng = np.random.default_rng(3)
    params = values_of(RNNLM(config, rng=rng).params)
    params = {name: rng.normal(0, 1.0, value.shape).astype(value.dtype) for name, value in params.items()}
    settings = {"model": to_mapping(config), "training": to_mapping(TrainingConfig(batching=batching))}
    path = FOLDER / f"{unit}-{batching}-{sentences}.safetensors"
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, {"vocabulary": vocabulary}, "", progress, last=params, best=params))
    return path


@functools.cache
def opened(**options):
    """Returns the model, its request batcher and its `ServedModel`; compiled once."""
    model = LanguageModel(checkpoint(**options), engine=ENGINES[-1])
    batcher = RequestBatcher(model.function("step"), model.model.initial_state)
    atexit.register(batcher.close)
    return model, batcher, ServedModel(model, "a model")


def scored(text, temperature=1.0, num_candidates=8, **options):
    """Returns the answer of `ServedModel` for a text."""
    _, batcher, served = opened(**options)
    tokenized = served.tokenize(text)
    found = batcher.submit(served.score_request(tokenized)).result(60)
    return served.score_answer(tokenized, found, temperature=temperature, num_candidates=num_candidates)


def completed(prompt, num_samples=3, max_tokens=9, seed=1, length=None, config=None, **options):
    """Returns the continuations of a prompt by `ServedModel`."""
    _, batcher, served = opened(**options)
    samples = served.samples(served.read_prompt(prompt), num_samples=num_samples, max_tokens=max_tokens, seed=seed,
                             length=length, **{"temperature": 1.0, **(config or {})})  # fmt: skip
    return samples.texts([future.result(60) for future in batcher.submit_all(samples.requests)])
