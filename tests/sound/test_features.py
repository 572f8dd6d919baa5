"""Features are those of Kaldi and of loops written from the formulas; pieces give the same as the whole."""

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.speech import FeaturesConfig
from theano_rnn.sound.deltas import with_deltas
from theano_rnn.sound.features import FrameStream, extract, extract_blocks, mel_triangles
from theano_rnn.sound.normalization import Normalization, measure
from theano_rnn.sound.stacking import num_stacked, stacked


def sound(rate, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(rate // 2) / rate
    samples = 3000 * np.sin(2 * np.pi * 440 * time) * np.hanning(len(time)) + rng.standard_normal(len(time)) * 50
    return np.append(samples, np.zeros(rate // 10)).round().astype(np.float32)  # with digital silence


@pytest.mark.parametrize("kind", ["log-mel", "mfcc"])
@pytest.mark.parametrize(
    ("rate", "values"),
    [
        (8000, {"bands": 26}),
        (16000, {}),
        (16000, {"bands": 23, "low_hz": 130.0, "high_hz": 6800.0, "preemphasis": 0.0, "window_ms": 20.0}),
        (44100, {"bands": 64, "shift_ms": 12.5, "coefficients": 20}),
    ],
)
def test_features_are_those_of_kaldi(kind, rate, values):
    kaldi = pytest.importorskip("kaldi_native_fbank")
    config = FeaturesConfig(features=kind, noise_floor=0.0, **values)
    options = kaldi.MfccOptions() if kind == "mfcc" else kaldi.FbankOptions()
    options.frame_opts.dither, options.frame_opts.samp_freq = 0, rate
    options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = config.window_ms, config.shift_ms
    options.frame_opts.preemph_coeff = config.preemphasis
    options.mel_opts.num_bins, options.mel_opts.low_freq = config.bands, config.low_hz
    options.mel_opts.high_freq = config.high_hz or 0
    if kind == "mfcc":
        options.num_ceps, options.use_energy = config.coefficients, False
    peer = (kaldi.OnlineMfcc if kind == "mfcc" else kaldi.OnlineFbank)(options)
    peer.accept_waveform(rate, sound(rate).tolist())
    peer.input_finished()
    expected = np.array([peer.get_frame(number) for number in range(peer.num_frames_ready)])
    found = extract(sound(rate), rate, config)
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


def plain_log_mel(samples, rate, bands):
    """The formulas of the module, with loops and a slow Fourier transform."""
    width, shift, size = rate // 40, rate // 100, 256
    mel = lambda f: 1127 * np.log(1 + f / 700)  # noqa: E731
    edges = [mel(20) + (mel(rate / 2) - mel(20)) * i / (bands + 1) for i in range(bands + 2)]
    frames = []
    for begin in range(0, len(samples) - width + 1, shift):
        x = samples[begin : begin + width].astype(float)
        x = x - x.mean()
        x = np.array([x[n] - 0.97 * x[max(0, n - 1)] for n in range(width)])
        x *= [(0.5 - 0.5 * np.cos(2 * np.pi * n / (width - 1))) ** 0.85 for n in range(width)]
        energies = np.zeros(bands)
        for k in range(size // 2):
            power = abs(np.sum(x * np.exp(-2j * np.pi * k * np.arange(width) / size))) ** 2
            for b in range(bands):
                left, middle, right = edges[b : b + 3]
                place = mel(k * rate / size)
                if left < place < right:
                    slope = (place - left) / (middle - left) if place <= middle else (right - place) / (right - middle)
                    energies[b] += power * slope
        frames.append(np.log(np.maximum(energies, 2.0**-23)))
    return np.array(frames)


def test_features_are_those_of_the_formulas():
    samples = sound(8000)[1000:1500]
    found = extract(samples, 8000, FeaturesConfig(bands=11, noise_floor=0.0))
    expected = plain_log_mel(samples, 8000, 11)
    assert found.shape == expected.shape == (4, 11)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("block", [1, 79, 1000])
def test_pieces_give_the_same_frames_as_the_whole(block):
    samples, config = sound(8000)[:2000], FeaturesConfig(bands=20)
    whole = extract(samples, 8000, config)
    parts = [samples[begin : begin + block] for begin in range(0, len(samples), block)]
    np.testing.assert_allclose(extract_blocks(parts, 8000, config), whole, atol=1e-5)


def test_a_stream_gives_a_frame_as_soon_as_its_window_is_complete():
    stream = FrameStream(FeaturesConfig(bands=20), 8000)
    assert [len(stream.push(np.zeros(n))) for n in (199, 1, 79, 1, 160)] == [0, 1, 0, 1, 2]


def test_digital_silence_is_finite():
    found = extract(np.zeros(4000), 8000, FeaturesConfig(noise_floor=0.0))
    assert np.allclose(found, np.log(2.0**-23))
    for kind in ("mean", "mean-variance", "global", "none"):
        assert np.isfinite(measure(kind, found, [len(found)]).apply(found, [len(found)])).all()


@pytest.mark.parametrize("num_samples", [0, 1, 199])
def test_sound_shorter_than_a_window_has_no_frames(num_samples):
    assert extract(np.ones(num_samples), 8000, FeaturesConfig(bands=20)).shape == (0, 20)


def test_impossible_bands_are_refused():
    with pytest.raises(UserError, match="too narrow .* lower --bands"):
        extract(np.zeros(400), 8000, FeaturesConfig(bands=200))
    with pytest.raises(UserError, match="half the sampling rate, 4000 Hz.*--high-hz"):
        mel_triangles(20, 256, 8000, 20, 6000)
    with pytest.raises(UserError, match="high_hz must be at most half the sampling rate, 4000, got 5000"):
        FeaturesConfig(sample_rate=8000, high_hz=5000.0)
    with pytest.raises(UserError, match="ready-made"):
        FrameStream(FeaturesConfig(features="ready-made"), 8000)


def test_slopes_are_those_of_a_regression_line():
    x = np.random.default_rng(0).standard_normal((7, 3))
    found = with_deltas(x, 2)
    assert found.shape == (7, 9)
    padded = np.concatenate([x[:1], x[:1], x, x[-1:], x[-1:]])
    for t in range(7):
        slope = np.polyfit(np.arange(5), padded[t : t + 5], 1)[0]
        np.testing.assert_allclose(found[t, 3:6], slope, atol=1e-5)
    np.testing.assert_allclose(found[:, 6:], with_deltas(found[:, 3:6], 1)[:, 3:], atol=1e-6)
    assert with_deltas(x[:0], 1).shape == (0, 6)


def test_stacking_repeats_the_last_frame():
    x = np.arange(10).reshape(5, 2)
    assert stacked(x, 3).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 8, 9]]
    assert stacked(x, 1).tolist() == x.tolist()
    assert stacked(x[:0], 3).shape == (0, 6)
    assert num_stacked(np.array([0, 1, 3, 4]), 3).tolist() == [0, 1, 1, 2]


def test_each_normalization_does_what_it_says():
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((50, 4)) * [1, 2, 3, 4] + [5, 6, 7, 8]).astype(np.float32)
    frames[20:] += 10
    lengths = [20, 30]
    before = frames.copy()
    for kind in ("mean", "mean-variance", "global", "none"):
        found = measure(kind, frames, lengths).apply(frames, lengths)
        parts = [found] if kind in ("global", "none") else [found[:20], found[20:]]
        if kind == "none":
            assert np.array_equal(found, frames)
            continue
        assert all(np.abs(part.mean(axis=0)).max() < 1e-5 for part in parts)
        deviations = [part.std(axis=0) for part in parts]
        if kind == "mean":  # one scale for all, so that together they have deviation 1
            deviations = [np.sqrt((20 * deviations[0] ** 2 + 30 * deviations[1] ** 2) / 50)]
        assert all(np.abs(deviation - 1).max() < 1e-4 for deviation in deviations)
    assert np.array_equal(frames, before)


def test_a_normalization_survives_the_checkpoint():
    frames = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    for kind in ("mean", "mean-variance", "global", "none"):
        normalization = measure(kind, frames, [4, 5])
        again = Normalization.from_facts(kind, normalization.as_facts())
        assert np.array_equal(again.apply(frames, [4, 5]), normalization.apply(frames, [4, 5]))


@pytest.mark.parametrize("preemphasis", [0.0, 0.97])
def test_the_noise_floor_is_the_energy_of_white_noise(preemphasis):
    """So that silence without any noise, as of synthetic or edited sound, is like that of a quiet room."""
    plain = FeaturesConfig(bands=10, noise_floor=0.0, preemphasis=preemphasis)
    noise = np.random.default_rng(0).standard_normal(400_000) * 5
    energies = np.exp(extract(noise, 8000, plain).astype(np.float64)).mean(axis=0)
    floor = FeaturesConfig(bands=10, noise_floor=5.0, preemphasis=preemphasis)
    silence = extract(np.zeros(1000), 8000, floor)
    np.testing.assert_allclose(np.exp(silence[0].astype(np.float64)), energies, rtol=0.1)
    loud = extract(1000 * noise, 8000, floor)
    np.testing.assert_allclose(loud, extract(1000 * noise, 8000, plain), atol=1e-3)
