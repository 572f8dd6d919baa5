"""Recognizers with fixed random parameters, for tests of what uses them, and recordings for them."""

import atexit
import functools
import io
import json
import shutil
import tempfile
import wave
from pathlib import Path

import numpy as np
from conftest import ENGINES

from theano_rnn.learning.checkpoint import Checkpoint, save, values_of
from theano_rnn.learning.progress import Progress
from theano_rnn.recognizer import Recognizer
from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.network import RecognitionConfig
from theano_rnn.settings.recognition import RecognitionTrainingConfig
from theano_rnn.settings.speech import FeaturesConfig
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.sound.normalization import Normalization
from theano_rnn.tasks.recognition_model import RecognitionModel
from theano_rnn.text.ngrams import estimated

RATE = 8000
LEXICON = {"ONE": ["W AH", "W AO AH"], "TWO": ["T UW"], "<b>": ["AH T"], "A|||B": ["AO"]}
PHONEMES = ["AH", "AO", "T", "UW", "W"]
LETTERS = [" ", "e", "n", "o", "t", "w"]
TRANSCRIPTS = ["ONE TWO", "TWO TWO ONE", "<b>"]
FOLDER = Path(tempfile.mkdtemp(prefix="theano_rnn_recognizer_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@functools.cache
def checkpoint(unit="phoneme", bidirectional=True, scale=0.7):
    """Returns the path of a checkpoint with such a model."""
    is_phonetic = unit == "phoneme"
    labels = PHONEMES if is_phonetic else LETTERS
    normalization = "mean" if bidirectional else "global"
    features = FeaturesConfig(features="log-mel", sample_rate=RATE, bands=10, stacking=3, normalization=normalization)
    measured = Normalization(normalization, np.full(10, 8.0) if not bidirectional else None, np.full(10, 0.5))
    extractor = FeatureExtractor(features, 10, measured)
    config = RecognitionConfig(hidden_size=4, num_layers=1, bidirectional=bidirectional, num_inputs=30,
                               num_labels=len(labels))  # fmt: skip
    rng = np.random.default_rng(3)
    params = values_of(RecognitionModel(config, rng=rng).params)
    params = {name: rng.normal(0, scale, value.shape).astype(value.dtype) for name, value in params.items()}
    settings = {"model": to_mapping(config), "features": to_mapping(features),
                "training": to_mapping(RecognitionTrainingConfig(batching="sentences"))}  # fmt: skip
    ngram = estimated(TRANSCRIPTS if is_phonetic else ["one two", "two"], order=2, words=LEXICON if is_phonetic else ())
    facts = {"labels": labels, "features": extractor.as_facts(), "lexicon": LEXICON if is_phonetic else {},
             "transcripts_ngram": ngram.arpa()}  # fmt: skip
    path = FOLDER / f"{unit}-{bidirectional}-{scale}.safetensors"
    progress = Progress(learning_rate=1.0).to_json()
    save(path, Checkpoint(settings, facts, "", progress, last=params, best=params, kind="recognizer"))
    return path


@functools.cache
def opened(**options):
    """Returns the model; compiled once."""
    return Recognizer(checkpoint(**options), engine=ENGINES[-1])


def samples(seconds=1.0, seed=0):
    """Returns tones that come and go, float32 (samples,)."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    sound = sum(rng.uniform(0, 3000) * np.sin(2 * np.pi * rng.uniform(100, 3900) * time + rng.uniform(0, 6))
                * (np.sin(2 * np.pi * rng.uniform(0.5, 4) * time) > 0) for _ in range(6))  # fmt: skip
    return (sound + rng.normal(0, 30, len(time))).astype(np.float32)


def wav_bytes(seconds=1.0, seed=0):
    """Returns these samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, RATE, 0, "NONE", ""))
        written.writeframes(samples(seconds, seed).astype("<i2").tobytes())
    return file.getvalue()


def write_recordings(folder, texts=("ONE TWO", "TWO", "ONE <b> TWO")):
    """Write a WAV file for each text, and a manifest. Returns the path of the manifest."""
    rows = []
    for number, text in enumerate(texts):
        (folder / f"{number}.wav").write_bytes(wav_bytes(0.8 + 0.3 * number, number))
        rows.append(json.dumps({"audio": f"{number}.wav", "text": text, "speaker": "ann"}))
    (folder / "manifest.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "manifest.jsonl"
