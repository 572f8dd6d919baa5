"""Samples of sound files: every format of WAV, damaged headers, other formats by soundfile, and other rates."""

import io
import struct
import wave

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.sound import audio
from theano_rnn.sound.audio import open_sound, read_samples
from theano_rnn.sound.resampling import resampled_blocks

RATE = 8000
TONE = np.round(8000 * np.sin(2 * np.pi * 440 * np.arange(800) / RATE))


def chunk(name, content, size=None):
    return name + struct.pack("<I", len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def header(kind=1, channels=1, bits=16, rate=RATE, extra=b""):
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits) + extra)


def riff(*chunks):
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def samples_of(content):
    return read_samples(io.BytesIO(content), "a.wav")[0]


def encoded(values, bits, kind=1):
    if kind == 3:
        return (values / 32768).astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return np.round(values / 256 + 128).astype(np.uint8).tobytes()
    if bits == 24:
        return (values * 256).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return (values * 2.0 ** (bits - 16)).astype(f"<i{bits // 8}").tobytes()


@pytest.mark.parametrize(("kind", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
@pytest.mark.parametrize("is_extensible", [False, True])
def test_each_format_gives_the_samples_that_were_written(kind, bits, is_extensible):
    extra = struct.pack("<HHIH", 22, bits, 0, kind) + bytes(14)
    form = header(0xFFFE, bits=bits, extra=extra) if is_extensible else header(kind, bits=bits)
    found = samples_of(riff(form, chunk(b"data", encoded(TONE, bits, kind))))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, TONE, atol=129 if bits == 8 else 0.01)  # 8 bits are steps of 256


def test_the_standard_library_writes_what_is_read():
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, 11025, 0, "NONE", ""))
        written.writeframes(TONE.astype("<i2").tobytes())
    found, rate = read_samples(file)
    assert rate == 11025
    assert np.array_equal(found, TONE)


def test_channels_are_averaged_and_other_chunks_skipped():
    both = np.stack([TONE, TONE / 2], axis=1).ravel().astype("<i2").tobytes()
    content = riff(chunk(b"LIST", b"odd"), header(channels=2), chunk(b"fact", bytes(4)), chunk(b"data", both))
    np.testing.assert_allclose(samples_of(content), 0.75 * TONE, atol=0.5)
    with open_sound(io.BytesIO(content)) as sound:
        assert (sound.num_channels, sound.num_samples, sound.num_missing) == (2, 800, 0)


def test_a_truncated_file_gives_what_is_there_and_says_what_is_missing():
    content = riff(header(), chunk(b"data", TONE.astype("<i2").tobytes()))
    with open_sound(io.BytesIO(content[: len(content) - 601])) as sound:
        assert (sound.num_samples, sound.num_missing) == (499, 301)
        assert np.array_equal(np.concatenate(list(sound.blocks())), TONE[:499])


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0])
def test_a_size_that_a_pipe_could_not_know_is_no_truncation(size):
    with open_sound(io.BytesIO(riff(header(), chunk(b"data", TONE.astype("<i2").tobytes(), size)))) as sound:
        assert (sound.num_samples, sound.num_missing) == (800, 0)


def test_a_file_without_samples_has_none():
    assert not len(samples_of(riff(header(), chunk(b"data", b""))))


def test_blocks_are_the_whole_file_in_parts(monkeypatch):
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 300)
    content = riff(header(), chunk(b"data", TONE.astype("<i2").tobytes()))
    with open_sound(io.BytesIO(content)) as sound:
        blocks = list(sound.blocks())
        assert [len(block) for block in blocks] == [300, 300, 200]
        assert np.array_equal(np.concatenate(blocks), TONE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.wav is empty"),
        (b"RIFF\0\0\0\0WAVE", "without samples"),
        (riff(header()), "without samples"),
        (riff(chunk(b"data", bytes(8))), "damaged header"),
        (riff(header(channels=0), chunk(b"data", bytes(8))), "damaged header"),
        (riff(header(rate=0), chunk(b"data", bytes(8))), "damaged header"),
        (riff(header(bits=64), chunk(b"data", bytes(8))), "samples of 64 bits"),
        (riff(header(3, bits=32), chunk(b"data", np.array([1, np.nan], "<f4").tobytes())), "not a finite number"),
    ],
)
def test_what_is_no_sound_is_one_line_that_names_the_file(content, message):
    with pytest.raises(UserError, match=message) as raised:
        samples_of(content)
    assert "a.wav" in str(raised.value) and "\n" not in str(raised.value)


def test_random_damage_never_ends_in_another_error():
    rng = np.random.default_rng(1)
    whole = riff(header(), chunk(b"LIST", b"abcd"), chunk(b"data", TONE[:50].astype("<i2").tobytes()))
    for _ in range(300):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, min(60, len(damaged)), 2):
            damaged[place] = rng.integers(256)
        try:
            assert np.isfinite(samples_of(bytes(damaged))).all()
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most damage is none


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "NIST"])
def test_other_formats_are_read_by_soundfile(tmp_path, kind):
    soundfile = pytest.importorskip("soundfile")
    path = str(tmp_path / f"a.{kind.lower()}")
    soundfile.write(path, (TONE / 32768).astype(np.float32), RATE, format=kind)
    found, rate = read_samples(path)
    assert rate == RATE and len(found) == len(TONE)
    if kind != "OGG":
        np.testing.assert_allclose(found, TONE, atol=1)


def test_compressed_wav_is_read_by_soundfile(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    path = str(tmp_path / "a.wav")
    soundfile.write(path, TONE / 32768, RATE, subtype="ULAW")
    np.testing.assert_allclose(read_samples(path)[0], TONE, atol=300)


def test_a_text_is_no_sound(tmp_path):
    pytest.importorskip("soundfile")
    path = tmp_path / "a.flac"
    path.write_text("this is not a sound file, is it?")
    with pytest.raises(UserError, match=r"a\.flac is not a sound file.*ffmpeg"):
        read_samples(path)


def test_a_missing_package_is_one_line_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    path = tmp_path / "a.flac"
    path.write_bytes(b"fLaC" + bytes(100))
    with pytest.raises(UserError, match=r"pip install 'theano_rnn\[speech\]'"):
        read_samples(path)


def resampled(samples, rate, new_rate, block=5000):
    parts = [samples[begin : begin + block] for begin in range(0, len(samples), block)]
    return np.concatenate([np.zeros(0), *resampled_blocks(parts, rate, new_rate)])


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (48000, 16000), (16000, 8000), (22050, 16000)])
def test_resampling_keeps_what_a_lower_rate_can_have_and_removes_the_rest(rate, new_rate):
    time = np.arange(rate // 4) / rate
    new_time = np.arange(new_rate // 4) / new_rate
    for frequency in (100, 1000, 0.42 * new_rate):
        found = resampled(np.sin(2 * np.pi * frequency * time), rate, new_rate)
        assert abs(len(found) - len(new_time)) <= 1
        error = np.abs(found[: len(new_time)] - np.sin(2 * np.pi * frequency * new_time)[: len(found)])
        assert error[200:-200].max() < 1e-3
    above = resampled(np.sin(2 * np.pi * 0.51 * new_rate * time), rate, new_rate)
    assert np.abs(above[200:-200]).max() < 1e-3  # else it would be heard at 0.49 of the rate


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_resampling_does_not_depend_on_the_blocks(block):
    samples = np.random.default_rng(0).standard_normal(1500)
    whole = resampled(samples, 44100, 16000, 1500)
    assert len(whole) == -(-1500 * 160 // 441)
    np.testing.assert_allclose(resampled(samples, 44100, 16000, block), whole, atol=1e-6)
