"""The recognizer against PyTorch; recordings that do not see their neighbours; what cannot be aligned; its step."""

import functools

import numpy as np
import pytest
from conftest import ENGINES

from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import RecognitionConfig
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.tasks.recognition_model import RecognitionModel

TIME, BATCH, INPUTS, LABELS, HIDDEN = 7, 5, 4, 3, 6
LENGTHS = [7, 3, 5, 4, 2]
TARGETS = [[1, 2, 2, 3], [], [3], [1, 1], [2, 1]]
TOO_LONG = [1, 1]  # for two steps
RATE = 0.7
MODELS = [  # engine, cell, levels, both directions
    ("jax", "lstm", 2, True),
    ("jax", "gru", 1, False),
    ("jax", "tanh", 3, True),
    ("jax", "lstm", 1, True),
    ("jax", "gru", 3, True),
    ("jax", "lstm", 3, False),
]  # engine c has the encoder in test_encoder.py and the losses in test_ctc.py
QUICK = MODELS[:2]
every_model = pytest.mark.parametrize(
    ("engine", "cell", "num_layers", "bidirectional"),
    [pytest.param(*model, marks=() if model in QUICK else pytest.mark.slow) for model in MODELS if model[0] in ENGINES],
)
needs_jax = pytest.mark.skipif("jax" not in ENGINES, reason="needs jax")


def model_of(cell="lstm", num_layers=2, bidirectional=True, dtype="float64"):
    """A model whose parameters are larger than those of a fresh one, and no bias is zero."""
    config = RecognitionConfig(cell=cell, num_layers=num_layers, bidirectional=bidirectional, hidden_size=HIDDEN,
                               num_inputs=INPUTS, num_labels=LABELS, dtype=dtype)  # fmt: skip
    model = RecognitionModel(config, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for parameter in model.params.values():
        parameter.set_value(rng.normal(0, 0.6, parameter.get_value().shape).astype(dtype))
    return model


@functools.cache
def compiled(bidirectional):
    """A model and its functions; `train` is gradient descent."""
    model = model_of("gru", 1, bidirectional)
    names = ("train", "loss") if bidirectional else ("predict", "step")
    return model, model.compile(*names, engine="jax", **({"optimizer": "sgd"} if bidirectional else {}))


def params_of(model):
    return {name: np.array(parameter.get_value()) for name, parameter in model.params.items()}


def slopes_of(model, train, arrays):
    """The loss, and the gradients by one step of gradient descent, which is undone."""
    before = params_of(model)
    loss = float(train(*arrays, np.asarray(RATE, model.config.dtype))[0])
    after = params_of(model)
    for name, parameter in model.params.items():
        parameter.set_value(before[name])
    return loss, {name: (before[name] - after[name]) / RATE for name in before}


def batch(lengths=LENGTHS, targets=TARGETS, *, seed=2, time=None, dtype="float64"):
    """Frames with large numbers as padding, their mask, and padded labels."""
    time = time or max(lengths)
    frames = np.random.default_rng(seed).normal(size=(max(lengths), len(lengths), INPUTS))
    frames = np.concatenate([frames, np.zeros((time - len(frames), *frames.shape[1:]))]).astype(dtype)
    mask = (np.arange(time)[:, None] < lengths).astype(dtype)
    frames[mask == 0] = 77
    places = max(map(len, targets))
    labels = np.array([each + [0] * (places - len(each)) for each in targets], "int32").T
    return frames, mask, labels


def theirs(torch, model, arrays):
    """PyTorch's losses, log-probabilities and gradients of the mean loss per label, each recording by itself."""
    from torch_layers import torch_gradients, torch_layers

    config, params = model.config, params_of(model)
    directions = ("forward", "backward") if config.bidirectional else ("layer",)
    places = [f"{name}{level}." for level in range(config.num_layers) for name in directions]
    cells = [{name.removeprefix(place): p for name, p in params.items() if name.startswith(place)} for place in places]
    rnn = torch_layers(config.cell, cells, directions=len(directions))
    weight, bias = (torch.tensor(params[name], requires_grad=True) for name in ("W_hy", "b_y"))
    frames, mask, labels = arrays
    losses, log_probabilities = [], []
    for column, length in enumerate(mask.sum(axis=0).astype(int)):
        target = labels[:, column][labels[:, column] > 0]
        h, _ = rnn(torch.tensor(frames[:length, column]))
        log_p = torch.log_softmax(h @ weight + bias, dim=-1)
        losses.append(torch.nn.functional.ctc_loss(
            log_p[:, None], torch.tensor(target.astype("int64"))[None], torch.tensor([length]),
            torch.tensor([len(target)]), reduction="sum",
        ))  # fmt: skip
        log_probabilities.append(log_p.detach().numpy())
    count = sum(max(int((labels[:, i] > 0).sum()), 1) for i in range(labels.shape[1]))
    (sum(losses) / count).backward()
    slopes = {"W_hy": weight.grad.numpy(), "b_y": bias.grad.numpy()}
    for place, found in zip(places, torch_gradients(config.cell, rnn, directions=len(directions))):
        slopes |= {place + name: slope for name, slope in found.items()}
    return np.array([float(loss.detach()) for loss in losses]), log_probabilities, slopes, count


@every_model
def test_pytorch_gives_the_same_losses_and_gradients(engine, cell, num_layers, bidirectional):
    torch = pytest.importorskip("torch")
    model, arrays = model_of(cell, num_layers, bidirectional), batch()
    functions = model.compile("train", "loss", engine=engine, optimizer="sgd")
    losses, log_p = map(np.asarray, functions.loss(*arrays))
    expected, their_log_p, their_slopes, count = theirs(torch, model, arrays)
    np.testing.assert_allclose(losses, expected, atol=1e-10)
    for column, found in enumerate(their_log_p):
        np.testing.assert_allclose(log_p[: len(found), column], found, atol=1e-10)
    loss, slopes = slopes_of(model, functions.train, arrays)
    np.testing.assert_allclose(loss, expected.sum() / count, atol=1e-10)
    assert slopes.keys() == their_slopes.keys()
    for name, slope in slopes.items():
        np.testing.assert_allclose(slope, their_slopes[name], atol=1e-10, err_msg=name)


@pytest.mark.slow
@needs_jax
def test_a_recording_does_not_depend_on_its_batch_and_padding():
    _, functions = compiled(True)
    together = np.asarray(functions.loss(*batch(time=11))[0])
    frames, mask, labels = batch()
    for column, length in enumerate(LENGTHS):
        alone = functions.loss(frames[:length, [column]], mask[:length, [column]], labels[:, [column]])[0]
        np.testing.assert_allclose(np.asarray(alone), together[[column]], rtol=1e-10)


@pytest.mark.slow
@needs_jax
def test_a_recording_that_is_too_short_changes_nothing():
    model, functions = compiled(True)
    arrays = batch([*LENGTHS, 2], [*TARGETS, TOO_LONG])
    assert np.isinf(np.asarray(functions.loss(*arrays)[0])).tolist() == [False] * len(LENGTHS) + [True]
    loss, slopes = slopes_of(model, functions.train, arrays)
    kept = tuple(array[:, : len(LENGTHS)] for array in arrays)
    expected, expected_slopes = slopes_of(model, functions.train, kept)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    for name, slope in slopes.items():
        np.testing.assert_allclose(slope, expected_slopes[name], atol=1e-12, err_msg=name)


@pytest.mark.slow
@needs_jax
def test_a_batch_of_recordings_that_are_all_too_short_leaves_the_parameters_alone():
    model, functions = compiled(True)
    loss, slopes = slopes_of(model, functions.train, batch([2, 1], [TOO_LONG, [1, 2]]))
    assert loss == 0 and not any(slope.any() for slope in slopes.values())


@needs_jax
def test_steps_with_a_carried_state_give_what_the_whole_recording_gives():
    model, functions = compiled(False)
    frames, mask, _ = batch([TIME] * 3, [[1]] * 3)
    whole = np.asarray(functions.predict(frames, mask)[0])
    state = model.first_state(3)
    for t in range(TIME):
        log_p, *state = functions.step(frames[t], *state)
        np.testing.assert_allclose(np.asarray(log_p), whole[t], atol=1e-12)
    np.testing.assert_allclose(np.exp(whole).sum(axis=2), 1, rtol=1e-12)


def test_a_network_that_reads_both_directions_has_no_step():
    with pytest.raises(UserError, match="--no-bidirectional"):
        model_of().compile("step", engine=ENGINES[-1])


@pytest.mark.slow
@needs_jax
def test_dropout_and_penalties_act_in_training_alone():
    model, arrays = model_of("tanh", 2), batch()
    regularization = RegularizationConfig(dropout=0.5, activation_penalty=0.1, temporal_penalty=0.2)
    functions = model.compile("train", "loss", engine="jax", optimizer="sgd", regularization=regularization, seed=1)
    rate = np.zeros(())
    losses = [float(functions.train(*arrays, rate)[0]) for _ in range(3)]
    assert len(set(losses)) == 3  # a new mask in each step
    first, again = (np.asarray(functions.loss(*arrays)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    frames, mask, labels = arrays
    before = params_of(model)
    frames[mask == 0] = -99  # padding has no effect on the update either
    functions.train(frames, mask, labels, np.asarray(0.1))
    after = params_of(model)
    assert all(np.isfinite(after[name]).all() and (after[name] != before[name]).any() for name in after)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fresh_model_gives_probabilities_in_its_dtype(dtype):
    config = RecognitionConfig(hidden_size=HIDDEN, num_inputs=INPUTS, num_labels=LABELS, dtype=dtype)
    model = RecognitionModel(config, rng=np.random.default_rng(0))
    assert {parameter.get_value().dtype.name for parameter in model.params.values()} == {dtype}
    weights = model.params["W_hy"].get_value()
    assert 0.7 < np.abs(weights).max() * (2 * HIDDEN) ** 0.5 <= 1 and weights.shape == (2 * HIDDEN, 1 + LABELS)
    log_p = np.asarray(model.compile("predict", engine=ENGINES[-1]).predict(*batch(dtype=dtype)[:2])[0])
    assert log_p.shape == (TIME, BATCH, 1 + LABELS) and log_p.dtype == dtype
    np.testing.assert_allclose(np.exp(log_p).sum(axis=2), 1, rtol=1e-5)
