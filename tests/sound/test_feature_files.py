"""Ready-made features: one array a recording, packed features, and files that are not what they should be."""

import json

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.sound.feature_files import is_packed, read_features, read_packed

FRAMES = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
PACKED = {"frames": FRAMES, "lengths": np.array([3, 4]), "texts": np.array(["a b", ""])}


def write(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_one_array_a_recording(tmp_path):
    np.save(tmp_path / "a.npy", FRAMES.astype(np.float16))
    path = write(tmp_path / "all.npz", first=FRAMES, second=FRAMES[:2])
    single = write(tmp_path / "one.npz", features=FRAMES)
    np.testing.assert_allclose(read_features(str(tmp_path / "a.npy")), FRAMES, atol=0.01)
    assert read_features(str(tmp_path / "a.npy")).dtype == np.float32
    assert np.array_equal(read_features(path + "#second"), FRAMES[:2])
    assert np.array_equal(read_features(single), FRAMES)
    with pytest.raises(UserError, match=r"has 2 arrays: name one of them, .*all\.npz#first"):
        read_features(path)
    with pytest.raises(UserError, match="has no array 'third'"):
        read_features(path + "#third")
    with pytest.raises(FileNotFoundError, match="cannot find"):
        read_features(str(tmp_path / "b.npz#first"))


def test_packed_features_with_all_arrays_and_with_few(tmp_path):
    path = write(tmp_path / "few.npz", **PACKED)
    few = read_packed(path)
    assert np.array_equal(few.frames, FRAMES) and few.lengths.tolist() == [3, 4]
    assert (few.names, few.texts, few.speakers) == (["1", "2"], ["a b", ""], ["", ""])
    assert (few.lexicon, few.settings, few.about, dict(few.others)) == ([], None, "", {})
    assert is_packed(path)
    settings = {"bands": 3}
    more = read_packed(write(
        tmp_path / "all.npz", mfcc=np.array([[0, 1], [2, 3]], np.uint8), lengths=np.array([2]), texts=np.array(["a"]),
        step=np.array([0.5, 2]), offset=np.array([-1, 1]), names=np.array(["x"]), speakers=np.array(["ann"]),
        lexicon=np.array(["A AH", "A EY"]), settings=np.array(json.dumps(settings)), about=np.array("made"),
        word_begins_ms=np.array([10]),
    ))  # fmt: skip
    assert more.frames.tolist() == [[-1, 3], [0, 7]]
    assert (more.names, more.speakers, more.lexicon) == (["x"], ["ann"], ["A AH", "A EY"])
    assert (more.settings, more.about, list(more.others)) == (settings, "made", ["word_begins_ms"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": None}, "no arrays frames and lengths"),
        ({"texts": None}, "no array texts"),
        ({"lengths": np.array([3, 3])}, "add up to 6 frames, but there are 7"),
        ({"lengths": np.array([8, -1])}, "add up to 7 frames"),
        ({"lengths": np.array([3.0, 4.0])}, "must be"),
        ({"frames": FRAMES[:, 0]}, "must be"),
        ({"frames": FRAMES.astype(str)}, "must be an array"),
        ({"texts": np.array(["a"])}, "texts must have 2 values"),
        ({"step": np.ones(2), "offset": np.ones(2)}, "step and offset must have a number for each of the 3"),
        ({"settings": np.array("{")}, "settings must be JSON"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(tmp_path, changes, message):
    arrays = {name: array for name, array in {**PACKED, **changes}.items() if array is not None}
    path = write(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message) as raised:
        read_packed(path)
    assert "\n" not in str(raised.value) and "a.npz" in str(raised.value)


def test_numbers_that_are_not_finite_and_damaged_files_are_refused(tmp_path):
    bad = FRAMES.copy()
    bad[4, 1] = np.nan
    np.save(tmp_path / "a.npy", bad)
    with pytest.raises(UserError, match=r"a\.npy: frame 4 has a number that is not finite"):
        read_features(str(tmp_path / "a.npy"))
    np.save(tmp_path / "b.npy", np.full((2, 2), 1e300))
    with pytest.raises(UserError, match="not finite"):
        read_features(str(tmp_path / "b.npy"))
    np.save(tmp_path / "c.npy", np.array([{}]), allow_pickle=True)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "d.npy").write_bytes(whole[:100])
    (tmp_path / "e.npz").write_bytes(b"PK\x03\x04 nothing")
    for name in ("c.npy", "d.npy", "e.npz"):
        with pytest.raises(UserError, match="or is damaged"):
            read_features(str(tmp_path / name))
    assert not is_packed(str(tmp_path / "e.npz"))
