"""A task that the package does not know is trained, resumed, shown and refused like the others."""

import aesara.tensor as T
import numpy as np
import pytest
import safetensors.numpy
from conftest import ENGINES
from tiny_runs import Commands, log_of, shared
from toy_task import Detector, Lines, Toy

from theano_rnn.engine.compiling import compile_function
from theano_rnn.learning.checkpoint import load
from theano_rnn.model import gradients
from theano_rnn.nn.encoder import Encoder
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.registry import TASKS, task_of_kind

MODEL = "model.safetensors"
FLAGS = ["--preset", "none", "--task", "toy", "--sentences", "line", "--tokens", "whitespace"]
FLAGS += ["--hidden-size", "8"]
FLAGS += ["--embedding-size", "4", "--batch-size", "8", "--learning-rate", "0.05"]
FLAGS += ["--select", "accuracy", "--test-fraction", "0.1"]


def lines(count=300):
    """Lines of three to nine letters, an x in half of them."""
    rng = np.random.default_rng(0)
    for number in range(count):
        words = list(rng.choice(list("abcde"), size=rng.integers(3, 10)))
        if number % 2:
            words[rng.integers(len(words))] = "x"
        yield " ".join(words)


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TASKS, "toy", Toy())
    monkeypatch.setattr("toy_task.Detector", shared(Detector))
    (tmp_path / "text.txt").write_text("\n".join(lines()))
    return Commands(tmp_path, monkeypatch, capsys)


def train(commands, *arguments, epochs=8):
    result = commands("train", *FLAGS, "--train", "text.txt", "--checkpoint", MODEL, "--epochs", epochs, *arguments)
    assert result.status == 0, result.err
    return result


@pytest.mark.slow
def test_it_learns_and_its_measures_are_recorded_and_shown(commands):
    result = train(commands)
    *epochs, last = log_of(MODEL)
    assert [set(record) for record in epochs] == [
        {"epoch", "step", "train_loss", "valid_loss", "valid_accuracy", "learning_rate", "lines_per_second"}
    ] * 8
    best = max(record["valid_accuracy"] for record in epochs)
    assert best > 0.9 and last["test_accuracy"] > 0.9
    first_best = next(record for record in epochs if record["valid_accuracy"] == best)
    assert last["best_step"] == first_best["step"]
    assert f"validation accuracy {best:.3f}" in result.out and "perplexity" not in result.out
    assert "lines/s" in result.out and "tokens/s" not in result.out
    shown = commands("info", MODEL).out
    assert "detector, finished" in shown and "valid_accuracy" in shown


@pytest.mark.slow
def test_it_is_stopped_and_resumed_to_the_byte(commands):
    train(commands, epochs=3)
    expected = safetensors.numpy.load_file(MODEL)
    train(commands, "--max-seconds", "1e-9", epochs=3)
    assert "can be resumed" in commands("info", MODEL).out
    result = commands("train", "--resume", "--checkpoint", MODEL)
    assert result.status == 0, result.err
    resumed = safetensors.numpy.load_file(MODEL)
    assert resumed.keys() == expected.keys()
    assert all(resumed[name].tobytes() == value.tobytes() for name, value in expected.items())


def test_another_command_refuses_its_model_in_one_line(commands):
    train(commands, epochs=1)
    for name in ("generate", "score"):
        result = commands(name, MODEL, *(["text.txt"] if name == "score" else []))
        assert (result.status, result.out) == (2, "")
        assert result.err == (f"theano-rnn {name}: {MODEL} is a detector, but a language model is needed: train one "
                              "with --task next\n")  # fmt: skip


@pytest.mark.slow
def test_it_begins_with_the_parameters_of_a_language_model_that_fit(commands):
    text = ["--sentences", "line", "--tokens", "whitespace", "--train", "text.txt", "--epochs", "1"]
    commands.train(*text, "--hidden-size", "8", "--embedding-size", "4", checkpoint="lm.safetensors")
    result = commands("train", *FLAGS, "--train", "text.txt", "--checkpoint", MODEL, "--epochs", "1",
                      "--init-from", "lm.safetensors")  # fmt: skip
    assert result.status == 0, result.err
    assert "from lm.safetensors: all parameters" in result.out


def test_a_measure_that_the_task_lacks_is_refused(commands):
    result = commands("train", "--train", "text.txt", "--select", "accuracy", "--checkpoint", MODEL)
    assert (result.status, result.out) == (2, "")
    assert "--select must be one of loss, perplexity for --task next, got 'accuracy'" in result.err


def test_a_kind_that_no_task_has_is_refused():
    with pytest.raises(UserError, match="no task for a 'detector'"):
        task_of_kind("detector")


@pytest.mark.slow
def test_columns_without_a_line_change_nothing_and_stay_finite(commands):
    """The last batch has some."""
    train(commands, epochs=1)
    checkpoint = load(MODEL)
    sections = {"training": TASKS["toy"].sections["training"](), **{
        name: section() for name, section in TASKS["toy"].sections.items() if name == "model"}}  # fmt: skip
    sections["model"] = type(sections["model"])(**{**checkpoint.settings["model"], "cutoffs": ()})
    model = TASKS["toy"].make_model(sections, checkpoint.facts, rng=np.random.default_rng(0))
    functions = model.compile("train", "loss", engine=ENGINES[-1], optimizer="sgd", seed=1, regularization=None,
                              with_norms=False)  # fmt: skip
    before = {name: p.get_value() for name, p in model.params.items()}
    words, mask = np.array([[2], [3], [4]], "int32"), np.ones((3, 1), "float32")
    empty = np.zeros((3, 2), "int32"), np.zeros((3, 2), "float32")
    alone = Lines(words, words, mask, True)
    padded = Lines(*[np.hstack([words, empty[0]])] * 2, np.hstack([mask, empty[1]]), True)
    after = []
    for batch in (alone, padded):
        assert batch.num_targets == 1
        for name, value in before.items():
            model.params[name].set_value(value)
        state = model.initial_state(batch.num_columns)
        losses = np.asarray(functions.loss(*batch.arrays, *state)[0])
        assert losses[0] > 0 and not losses[1:].any()
        functions.train(*batch.arrays, *state, np.float32(1))
        after.append({name: p.get_value() for name, p in model.params.items()})
    for name, value in after[0].items():
        assert np.isfinite(after[1][name]).all() and (value != before[name]).any()
        np.testing.assert_allclose(after[1][name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.slow
def test_an_encoder_stays_finite_where_a_column_is_empty(kind):
    encoder = Encoder(kind, 3, 4, 1, rng=np.random.default_rng(0), dtype="float64")
    mask = np.array([[1.0, 0], [1, 0], [0, 0]])
    x, steps, states = T.tensor3(), T.matrix(), [T.matrix() for _ in encoder.initial_state(2)]
    h, final = encoder.run(x, steps, states)
    loss = T.sum(h * steps[:, :, None]) + sum(map(T.sum, final))
    arrays = np.random.default_rng(1).normal(size=(3, 2, 3)), mask, *encoder.initial_state(2)
    outputs = [h, *gradients(loss, encoder.params).values(), *final]
    function = compile_function([x, steps, *states], outputs, engine=ENGINES[-1])
    results = [np.asarray(value) for value in function(*arrays)]
    for value in results:
        assert np.isfinite(value).all()
    assert not any(state[1].any() for state in results[-len(final) :])
