"""Stopped in the middle and resumed from the file, every optimizer and schedule, with every kind of dropout on, gives
the same bytes as uninterrupted.

The engine is XLA's where it is installed; tests/cli/test_cli_resume.py kills whole commands.
"""

import itertools

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import Stopping

from theano_rnn.learning.batching import Stream
from theano_rnn.learning.checkpoint import assign, values_of
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.learning.optimizers import OPTIMIZERS
from theano_rnn.learning.schedules import SCHEDULES
from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.tasks.cloze import Cloze
from theano_rnn.training import Progress, Run, fit

ENGINE = ENGINES[-1]
IDS = np.random.default_rng(0).integers(9, size=40, dtype="int32")
CASES = [("next", *case) for case in zip(OPTIMIZERS, itertools.cycle(["plateau", *SCHEDULES]))]
CASES.append(("fill", "adam", "linear"))
TRAIN = ("optimizer", "clip_norm", "clip_value", "weight_decay", "average_decay", "seed")


def config_of(optimizer, schedule):
    return TrainingConfig(
        optimizer=optimizer, schedule=schedule, learning_rate=0.01, warmup=0.2, epochs=9, batch_size=2, bptt_steps=2,
        validate_every=4,
        random_windows=True, state_reset=0.3, dropout=0.3, variational=optimizer < "n", embedding_dropout=0.2,
        recurrent_dropout=0.3,
        activation_penalty=1.0, temporal_penalty=1.0, label_smoothing=0.1, weight_decay=0.01,
        clip_norm=0.5, clip_value=0.1, average_decay=0.0 if optimizer == "asgd" else 0.9,
    )  # fmt: skip


def batches_of(config, epoch):
    rng = np.random.default_rng([config.seed, epoch])
    return Stream(IDS, batch_size=config.batch_size, bptt_steps=config.bptt_steps, start_id=9, pad_id=10, rng=rng)


def begun(task, config):
    """A run at its beginning, and its compiled function."""
    model_config = ModelConfig(
        cell="tanh", vocab_size=9, embedding_size=4, hidden_size=5, num_layers=2, residual=True, tie_weights=True
    )
    model = {"next": RNNLM, "fill": Cloze}[task](model_config, rng=np.random.default_rng(1))
    options = {name: getattr(config, name) for name in TRAIN} | {"regularization": config, "engine": ENGINE}
    train = model.compile("train", **options).train
    return Run(model, Progress(learning_rate=config.learning_rate), values_of(model.params)), train


def go_on(run, train, config, stop_at=None):
    """Validation is made up: its loss falls, then rises, so that rates are halved and averages begin."""

    def evaluate():
        return Evaluation({"loss": [3.0, 2.0, 4.0, 3.5][min(run.progress.epoch, 3)]}, 1)

    fit(run, train, lambda epoch: batches_of(config, epoch), evaluate, config, callback=Stopping(stop_at))


def everything(run):
    arrays = {f"param.{name}": value for name, value in values_of(run.model.params).items()}
    arrays |= {f"state.{name}": value for name, value in values_of(run.model.optimizer_state).items()}
    arrays |= {f"best.{name}": value for name, value in run.best.items()}
    arrays |= {f"carried.{i}": np.array(value) for i, value in enumerate(run.carried)}
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


@pytest.mark.parametrize(("task", "optimizer", "schedule"), CASES)
def test_a_run_resumed_twice_ends_with_the_same_bytes(task, optimizer, schedule):
    config = config_of(optimizer, schedule)
    run, train = begun(task, config)
    model = run.model
    beginning = values_of(model.params), values_of(model.optimizer_state)
    go_on(run, train, config)
    expected, finished = everything(run), run.progress
    assert finished.epoch == 9
    assert len(finished.records) > 2 * 9  # validated within epochs too
    if optimizer == "asgd":
        assert beginning[1]["num_averaged"] == -1
        assert int(model.optimizer_state["num_averaged"].get_value()) > 5
    saved = beginning
    run = Run(model, Progress(learning_rate=config.learning_rate), beginning[0])
    for stop in (5, finished.step - 3, None):
        assign(model.params, saved[0])
        assign(model.optimizer_state, saved[1])
        go_on(run, train, config, stop)
        saved = values_of(model.params), values_of(model.optimizer_state)
        last = everything(run)
        run = Run(model, Progress(**run.progress.to_json()), dict(run.best), [np.array(v) for v in run.carried])
        assign(model.params, beginning[0])  # nothing but what was saved is left
        assign(model.optimizer_state, beginning[1])
    assert last == expected
    assert run.progress == finished
