"""Augmentation changes what it should, by as much as it should, and is the same for the same generator."""

import numpy as np
import pytest

from theano_rnn.sound.augmentation import (
    at_tempo,
    augmented,
    with_band_masks,
    with_masks,
    with_noise,
    with_warped_bands,
)

FRAMES = np.random.default_rng(0).standard_normal((60, 12)).astype(np.float32) + 3
EVERYTHING = {"tempo": 0.15, "warp": 0.1, "noise": 0.5, "time_masks": 2, "band_masks": 2, "groups": 3}


def test_the_same_generator_gives_the_same_and_another_one_does_not():
    before = FRAMES.copy()
    first, second, other = (augmented(FRAMES, np.random.default_rng(seed), **EVERYTHING) for seed in (1, 1, 2))
    assert np.array_equal(first, second) and first.dtype == np.float32
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert np.array_equal(FRAMES, before)
    assert np.array_equal(augmented(FRAMES, np.random.default_rng(1)), FRAMES)


def test_tempo_stays_within_its_limits_and_reaches_both_sides():
    lengths = [len(augmented(FRAMES, np.random.default_rng(seed), tempo=0.15)) for seed in range(200)]
    assert 52 <= min(lengths) < 55 and 66 < max(lengths) <= 69
    shortest = min(len(augmented(FRAMES, np.random.default_rng(seed), tempo=0.15, min_frames=59)) for seed in range(99))
    assert shortest == 59


def test_tempo_keeps_the_ends_and_runs_through_the_same_values():
    ramp = np.arange(30.0)[:, None]
    for count in (17, 30, 45):
        found = at_tempo(ramp, count)
        assert found.shape == (count, 1)
        np.testing.assert_allclose(found[:, 0], np.linspace(0, 29, count), atol=1e-5)
    assert at_tempo(ramp[:1], 2).tolist() == [[0], [0]]


def test_warped_bands_are_stretched_in_each_group_alone():
    ramps = np.tile(np.concatenate([np.arange(5.0), 10 - np.arange(5.0)]), (3, 1))
    for factor in (0.5, 0.8, 1.0, 1.25):
        found = with_warped_bands(ramps, factor, groups=2)
        expected = np.minimum(np.arange(5) / factor, 4)
        np.testing.assert_allclose(found, np.tile(np.concatenate([expected, 10 - expected]), (3, 1)), atol=1e-5)
    assert with_warped_bands(ramps[:, :1], 0.8).tolist() == ramps[:, :1].tolist()
    warped = [augmented(ramps[:1], np.random.default_rng(seed), warp=0.25, groups=2)[0, 2] for seed in range(200)]
    assert 1.6 <= min(warped) < 1.65 and 2.45 < max(warped) <= 2.5


def test_masks_are_runs_of_whole_frames():
    found = [with_masks(FRAMES, np.random.default_rng(seed), count=1, longest=8) for seed in range(100)]
    lengths = [int((each == 0).all(axis=1).sum()) for each in found]
    assert set(lengths) == set(range(9))
    for each in found:
        is_zero = (each == 0).all(axis=1)
        assert (each[~is_zero] == FRAMES[~is_zero]).all()
        assert np.abs(np.diff(is_zero.astype(int))).sum() <= 2
    short = [with_masks(FRAMES[:4], np.random.default_rng(seed), count=2, longest=8) for seed in range(20)]
    assert all((each != 0).all() for each in short)  # nothing would be left of it


def test_masks_of_bands_are_the_same_in_each_group():
    for seed in range(50):
        found = with_band_masks(FRAMES, np.random.default_rng(seed), count=1, widest=2, groups=3)
        is_zero = (found == 0).all(axis=0).reshape(3, 4)
        assert (is_zero == is_zero[0]).all() and is_zero[0].sum() <= 2
        assert ((found == 0).all(axis=0) == (found == 0).any(axis=0)).all()


def test_noise_has_the_deviation_that_was_asked_for():
    added = augmented(np.zeros((2000, 10)), np.random.default_rng(0), noise=0.5)
    assert abs(added.std() - 0.5) < 0.02 and abs(added.mean()) < 0.02


@pytest.mark.parametrize("color", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [20, 10, 0])
def test_noise_on_samples_has_the_ratio_that_was_asked_for(color, snr_db):
    samples = 1000 * np.sin(np.arange(8192) / 5)
    noise = with_noise(samples, np.random.default_rng(0), snr_db=snr_db, color=color) - samples
    ratio = 10 * np.log10((samples**2).mean() / (noise**2).mean())
    assert abs(ratio - snr_db) < 0.01
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [10 * np.log10(power[1 << k : 2 << k].mean()) for k in (6, 7, 8, 9, 10)]
    slope = np.polyfit(range(5), octaves, 1)[0]
    assert abs(slope - (-3 if color == "pink" else 0)) < 0.7  # dB an octave


def test_noise_on_silence_is_silence_and_finite():
    for samples in (np.zeros(100), np.zeros(0), np.zeros(1)):
        assert np.array_equal(with_noise(samples, np.random.default_rng(0), snr_db=10, color="pink"), samples)
    with pytest.raises(ValueError, match="white or pink, got 'brown'"):
        with_noise(np.ones(3), np.random.default_rng(0), snr_db=10, color="brown")
