"""Dropout's random numbers: Threefry's published values, the same on both engines, however a batch is cut."""

import aesara
import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.nn.noise import Noise, RandomBits, threefry

SHAPE = (3, 4, 5)

# Random123's known answers for threefry2x32, 20 rounds (its file kat_vectors): counter, key, result
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def words(numbers):
    return [np.array([number], "uint32") for number in numbers]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_threefry_gives_the_known_answers(counter, key, expected):
    assert [int(word[0]) for word in threefry(*words(key), *words(counter))] == list(expected)


def bits(engine, *arguments, site=7):
    """RandomBits with all six arguments known only at the call but the shape, as in a model."""
    symbols = [T.iscalar(), T.iscalar(), T.lscalar(), T.ftensor3()]
    out = RandomBits(site)(*symbols[:3], *symbols[3].shape)
    function = compile_function(symbols, [out], engine=engine, name="bits")
    return np.asarray(function(*arguments[:3], np.zeros(arguments[3], "float32"))[0])


def expected_bits(seed, step, first, shape, site=7):
    """By the definition, one number at a time."""
    half = (shape[2] + 1) // 2
    out = np.zeros(shape, "uint32")
    for t, b, u in np.ndindex(shape):
        counter = words([(site << 24) + first + b, t * half + u // 2])
        out[t, b, u] = threefry(*words([seed, step]), *counter)[u % 2][0]
    return out


@pytest.mark.parametrize("shape", [SHAPE, (2, 1, 300), (1, 3, 1), (2, 0, 3)])
def test_both_engines_give_the_same_integers(engine, shape):
    actual = bits(engine, 5, 9, 2, shape)
    assert actual.dtype == np.uint32
    np.testing.assert_array_equal(actual, expected_bits(5, 9, 2, shape))


def test_seed_step_and_site_each_change_nearly_all(engine):
    base = bits(engine, 1, 1, 0, (4, 4, 64))
    for other in (bits(engine, 2, 1, 0, (4, 4, 64)), bits(engine, 1, 2, 0, (4, 4, 64)),
                  bits(engine, 1, 1, 0, (4, 4, 64), site=8)):  # fmt: skip
        assert (base == other).mean() < 0.01


def test_the_columns_of_a_batch_do_not_depend_on_how_it_is_cut(engine):
    whole = bits(engine, 1, 2, 0, SHAPE)
    np.testing.assert_array_equal(whole[:, 2:], bits(engine, 1, 2, 2, (3, 2, 5)))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.65])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_drop_as_often_as_stated_and_keep_the_expectation(engine, rate, dtype):
    step = T.iscalar("step")
    noise = Noise(3, step, dtype=dtype)
    function = compile_function([step], [noise.mask(rate, 20, 30, 50)], engine=engine, name="mask")
    mask = np.asarray(function(1)[0])
    kept = np.asarray(1 / (1 - rate), dtype)
    assert mask.dtype == dtype
    np.testing.assert_array_equal(np.unique(mask), [0, kept] if rate else [kept])
    deviation = np.sqrt(rate * (1 - rate) / mask.size)
    assert abs((mask == 0).mean() - rate) <= 4 * deviation
    assert (np.asarray(function(2)[0]) != mask).any() == (rate > 0)


def test_sites_are_numbered_in_the_order_of_their_masks(engine):
    noise = Noise(3, np.int32(1), dtype="float32")
    masks = [noise.mask(0.5, 1, 1, 4000), noise.mask(0.5, 1, 1, 4000), noise.mask_of_matrix(0.5, 4000, 1)]
    first, second, third = (np.asarray(m).ravel() for m in compile_function([], masks, engine=engine, name="sites")())
    assert abs(np.corrcoef([first, second, third]) - np.eye(3)).max() < 0.06


def test_a_mask_lets_the_gradient_of_what_it_multiplies_through(engine):
    x = T.dtensor3("x")
    mask = Noise(3, np.int32(1), dtype="float64").mask(0.5, *x.shape)
    function = compile_function([x], [mask, aesara.grad(T.sum(x * mask), x)], engine=engine, name="slope")
    mask, slope = map(np.asarray, function(np.ones(SHAPE)))
    np.testing.assert_array_equal(mask, slope)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_outside_of_0_to_1_are_refused(rate):
    with pytest.raises(ValueError, match="dropout rate"):
        Noise(1, np.int32(0), dtype="float32").mask(rate, 1, 1, 1)
