"""Files of ready-made features: an array for each picture, all of one shape, all finite."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from theano_rnn.images.feature_files import FeatureFile
from theano_rnn.settings.base import UserError

RNG = np.random.default_rng(0)
GOOD = {name: RNG.normal(size=(7, 5)).astype(dtype) for name, dtype in (("b.png", "float16"), ("a.jpg", "float32"))}


def opened(tmp_path, arrays):
    save_file(arrays, tmp_path / "a.safetensors")
    return FeatureFile(str(tmp_path / "a.safetensors"))


def test_features_come_in_the_order_of_the_names(tmp_path):
    file = opened(tmp_path, GOOD)
    assert file.names == ["a.jpg", "b.png"] and file.shape == (7, 5)
    found = file.features(["b.png", "a.jpg", "b.png"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [GOOD["b.png"], GOOD["a.jpg"], GOOD["b.png"]])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"b.png": np.zeros((7, 4), "float32")}, r"the features of b.png must be numbers of shape \(7, 5\)"),
        ({"b.png": np.zeros((7, 5), "int32")}, "the features of b.png must be numbers"),
        ({"b.png": np.full((7, 5), np.nan, "float32")}, "the features of b.png are not finite"),
        ({"a.jpg": np.zeros(5, "float32")}, r"the features of a.jpg must be an array \(regions, channels\)"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changed, told):
    with pytest.raises(UserError, match=told):
        opened(tmp_path, {**GOOD, **changed}).features(["a.jpg", "b.png"])


def test_wrong_files_and_names_are_named(tmp_path):
    with pytest.raises(UserError, match=r"has no features of c.png"):
        opened(tmp_path, GOOD).features(["c.png"])
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(UserError, match=r"text.safetensors is not a file of features"):
        FeatureFile(str(tmp_path / "text.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"cannot find .*none.safetensors"):
        FeatureFile(str(tmp_path / "none.safetensors"))
    with pytest.raises(UserError, match="contains no features"):
        opened(tmp_path, {})
