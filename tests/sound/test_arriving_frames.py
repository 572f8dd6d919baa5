"""Frames of arriving sound are those of the whole recording, as soon as they can be known."""

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import FeaturesConfig
from theano_rnn.sound.arriving_frames import ArrivingFrames
from theano_rnn.sound.extraction import FeatureExtractor
from theano_rnn.sound.normalization import Normalization

SAMPLES = (np.random.default_rng(0).standard_normal(4000) * 1000).astype(np.float32)


def extractor(normalization="global", **settings):
    config = FeaturesConfig(features="log-mel", sample_rate=8000, bands=10, normalization=normalization, **settings)
    measured = [np.arange(10.0 * (1 + config.deltas)), np.full(10 * (1 + config.deltas), 0.5)]
    return FeatureExtractor(config, 10, Normalization(normalization, *measured if normalization == "global" else []))


@pytest.mark.parametrize("rate", [8000, 11025])
@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("block", [33, 400, 4000])
def test_pieces_give_the_frames_of_the_whole(rate, deltas, block):
    ours = extractor(deltas=deltas)
    whole = ours.frames_of_samples(SAMPLES, rate)
    arriving = ArrivingFrames(ours, rate)
    found = [arriving.push(SAMPLES[begin : begin + block]) for begin in range(0, len(SAMPLES), block)]
    resampling = 5 if rate > 8000 else 0  # frames: it makes 320 samples at a time, and looks ahead
    assert len(whole) - 2 * deltas - resampling <= sum(map(len, found)) <= len(whole) - 2 * deltas
    np.testing.assert_allclose(np.concatenate([*found, arriving.finish()]), whole, atol=1e-4)


def test_frames_wait_only_for_their_slopes():
    arriving = ArrivingFrames(extractor(deltas=1), 8000)
    assert [len(arriving.push(SAMPLES[:n])) for n in (200, 80, 80, 80)] == [0, 0, 1, 1]
    assert len(arriving.finish()) == 2


def test_short_sound_has_no_frames():
    arriving = ArrivingFrames(extractor(deltas=2), 8000)
    assert arriving.push(SAMPLES[:100]).shape == arriving.finish().shape == (0, 30)


def test_what_cannot_be_computed_on_the_way_is_refused():
    for kind in ("mean", "mean-variance"):
        with pytest.raises(UserError, match=f"--normalization {kind}, which needs the whole recording"):
            ArrivingFrames(extractor(kind), 8000)
    with pytest.raises(UserError, match="has 4,000 Hz, but the model needs 8,000 Hz"):
        ArrivingFrames(extractor(), 4000)
