"""The synthetic digits of the package are labelled, small and complete, and their places are where the speech is."""

import json
from pathlib import Path

import numpy as np
import pytest

from theano_rnn.sound.feature_files import read_packed
from theano_rnn.tasks.recordings import SYNTHETIC_DIGITS


@pytest.mark.parametrize(("part", "count", "voices"), [("train", 1000, 56), ("valid", 200, 10)])
def test_the_files_are_what_they_say(part, count, voices):
    packed = read_packed(SYNTHETIC_DIGITS[part])
    assert len(packed.lengths) == count and packed.frames.shape[1] == packed.settings["bands"] == 26
    assert len(set(packed.speakers)) <= voices and len(set(packed.names)) == count
    assert packed.about.startswith("SYNTHETIC SPEECH") and "espeak-ng 1.51" in packed.about
    words = {line.split()[0] for line in packed.lexicon}
    assert len(words) == 10 and {word for text in packed.texts for word in text.split()} == words
    assert json.dumps(dict(packed.settings))
    assert Path(SYNTHETIC_DIGITS[part]).stat().st_size < 1_800_000


@pytest.mark.parametrize("part", ["train", "valid"])
def test_digits_are_louder_than_what_is_around_them(part):
    packed = read_packed(SYNTHETIC_DIGITS[part])
    begins, ends = packed.others["word_begins_ms"], packed.others["word_ends_ms"]
    num_words = np.array([len(text.split()) for text in packed.texts])
    assert len(begins) == len(ends) == num_words.sum() and (begins < ends).all()
    first_word, first_frame = np.cumsum(num_words) - num_words, np.cumsum(packed.lengths) - packed.lengths
    louder = []
    for word, count, frame, length in zip(first_word, num_words, first_frame, packed.lengths):
        places = slice(word, word + count)
        assert (ends[places][:-1] <= begins[places][1:]).all() and ends[places][-1] <= 10 * length + 25
        energy = packed.frames[frame : frame + length].mean(axis=1)
        middle = 10 * np.arange(length) + 12.5  # ms
        is_inside = ((begins[places, None] <= middle) & (middle < ends[places, None])).any(axis=0)
        louder.append(energy[is_inside].mean() - energy[~is_inside].mean())
    assert min(louder) > 0.5 and np.median(louder) > 2  # nats; measured: 0.8 and 3.3
