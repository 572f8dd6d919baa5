"""fit: epochs, validation, annealing, stopping and going on, with a fake model whose loss is known."""

import copy
import math

import numpy as np
import pytest

from theano_rnn.learning.batching import Batch
from theano_rnn.learning.checkpoint import values_of
from theano_rnn.learning.evaluation import Evaluation
from theano_rnn.learning.measures import LOSS, Measure, perplexity
from theano_rnn.learning.schedules import SCHEDULES, should_start_averaging
from theano_rnn.settings.training import TrainingConfig
from theano_rnn.training import Callback, DivergedError, Progress, Run, fit, with_resets

BATCHES = 5


class Shared:
    def __init__(self, value):
        self.value = np.array(value)

    def get_value(self, borrow=False):
        return self.value if borrow else self.value.copy()

    def set_value(self, value):
        self.value = np.array(value)


class FakeModel:
    """One number; a step adds learning rate times the batch's number plus the state, which counts the steps."""

    class config:
        dtype = "float64"

    def __init__(self):
        self.params = {"w": Shared(np.zeros(1))}
        self.averages: dict = {}
        self.optimizer_state: dict = {}

    def initial_state(self, batch_size):
        return (np.zeros((batch_size, 1)),)

    def train(self, tokens, targets, mask, state, learning_rate):
        self.params["w"].set_value(self.params["w"].value + learning_rate * (tokens[0, 0] + state[0, 0]))
        return [np.asarray(math.sin(self.params["w"].value[0])), state + 1]


def batches_of_epoch(epoch):
    order = np.random.default_rng([3, epoch]).permutation(BATCHES)
    return [Batch(np.full((2, 3), n, np.int32), np.zeros((2, 3), np.int32), np.ones((2, 3)), i % 2 == 0)
            for i, n in enumerate(order)]  # fmt: skip


class Recorder(Callback):
    def __init__(self, run=None, stop_after=None):
        self.run, self.stop_after = run, stop_after
        self.losses, self.records, self.saves = [], [], []
        self.events = []

    def on_step(self, progress, loss, tokens, batches):
        self.losses.append(loss)

    def on_epoch(self, record):
        self.records.append(record)
        self.events.append("record")

    def save(self):
        self.events.append("save")
        self.saves.append((copy.deepcopy(self.run.progress), values_of(self.run.model.params), self.run.best,
                           [array.copy() for array in self.run.carried]))  # fmt: skip

    def should_stop(self):
        return self.stop_after is not None and len(self.losses) >= self.stop_after


def start():
    model = FakeModel()
    return Run(model, Progress(learning_rate=0.1), values_of(model.params))


def trained(run, callback=None, epochs=3, validation=(3.0, 2.0, 2.5, 2.4), settings=None, **options):
    callback = callback or Recorder()
    callback.run = run
    config = TrainingConfig(**{"epochs": epochs, "schedule": "plateau"} | (settings or {}))

    def evaluate():
        return Evaluation({"loss": 10 * validation[run.progress.epoch]}, 10)

    ended = fit(
        run, run.model.train, batches_of_epoch, options.pop("evaluate", evaluate), config, callback=callback, **options
    )
    return ended, callback


def test_every_batch_of_every_epoch_is_one_step():
    run = start()
    ended, callback = trained(run)
    assert ended == "finished"
    assert len(callback.losses) == run.progress.step == 3 * BATCHES
    assert run.progress.epoch == 3


def test_the_learning_rate_is_halved_when_validation_loss_rises_and_only_then():
    run = start()
    _, callback = trained(run, epochs=4)
    assert [record["learning_rate"] for record in callback.records] == [0.1, 0.1, 0.1, 0.05]
    assert run.progress.learning_rate == 0.05


def test_the_best_parameters_are_those_of_the_lowest_validation_loss():
    run = start()
    _, callback = trained(run)
    second_epoch = callback.saves[1][1]["w"]
    np.testing.assert_array_equal(run.best["w"], second_epoch)
    assert (run.progress.best_value, run.progress.best_step) == (2.0, 2 * BATCHES)
    assert run.model.params["w"].value != run.best["w"]


def test_a_record_says_what_the_epoch_was():
    run = start()
    _, callback = trained(run)
    record = callback.records[1]
    losses = callback.losses[BATCHES : 2 * BATCHES]
    assert record["epoch"] == 2
    assert record["step"] == 2 * BATCHES
    assert record["train_loss"] == pytest.approx(np.mean(losses))
    assert (record["valid_loss"], record["valid_perplexity"]) == (2.0, perplexity(2.0))
    assert {"tokens_per_second", "seconds"} <= set(record)
    assert "seconds" not in run.progress.records[1]


def test_a_record_comes_after_its_checkpoint():
    assert trained(start())[1].events == ["save", "record"] * 3


@pytest.mark.parametrize("stop_after", range(1, 3 * BATCHES))
def test_stopped_and_resumed_anywhere_equals_uninterrupted(stop_after):
    whole = start()
    _, reference = trained(whole)
    first = start()
    ended, before = trained(first, Recorder(stop_after=stop_after))
    assert ended == "stopped"
    progress, params, best, carried = before.saves[-1]
    second = Run(FakeModel(), Progress(**progress.to_json()), best, carried)
    second.model.params["w"].set_value(params["w"])
    ended, after = trained(second)
    assert ended == "finished"
    assert before.losses + after.losses == reference.losses
    assert second.model.params["w"].value.tobytes() == whole.model.params["w"].value.tobytes()
    assert second.best["w"].tobytes() == whole.best["w"].tobytes()
    assert second.progress == whole.progress


def test_an_interrupted_validation_is_made_again():
    run = start()
    ended, callback = trained(run, evaluate=lambda: None)
    assert ended == "stopped"
    assert (run.progress.epoch, run.progress.batch) == (0, BATCHES)
    assert len(callback.saves) == 1
    ended, _ = trained(run)
    assert (ended, run.progress.step) == ("finished", 3 * BATCHES)


def test_a_checkpoint_is_written_when_its_time_has_come():
    ticks = iter(range(10_000))
    _, callback = trained(start(), clock=lambda: float(next(ticks)), save_seconds=6.0, epochs=1)
    assert callback.events.count("save") > 1
    assert callback.events[-2:] == ["save", "record"]


def test_time_that_is_up_ends_with_a_validation_and_a_record_that_is_not_kept():
    ticks = iter(range(10_000))
    run = start()
    ended, callback = trained(run, clock=lambda: float(next(ticks)), max_seconds=7.0)  # a step takes one tick
    assert ended == "out of time"
    assert len(callback.losses) == 7
    assert [record["step"] for record in callback.records] == [BATCHES, 7]
    assert [record["step"] for record in run.progress.records] == [BATCHES]
    ended, _ = trained(run)
    assert (ended, run.progress.step) == ("finished", 3 * BATCHES)


def test_time_that_is_up_at_an_epochs_end_needs_no_second_validation():
    ticks = iter(range(10_000))
    ended, callback = trained(start(), clock=lambda: float(next(ticks)), max_seconds=float(BATCHES))
    assert ended == "out of time"
    assert callback.events == ["save", "record"]


def test_time_that_is_up_in_an_interrupted_validation_still_saves():
    ticks = iter(range(10_000))
    run = start()
    ended, callback = trained(run, clock=lambda: float(next(ticks)), max_seconds=2.0, evaluate=lambda: None)
    assert (ended, callback.events) == ("out of time", ["save"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_without_saving(bad):
    run = start()
    run.model.train = lambda *arrays: [np.asarray(bad), arrays[3]]
    callback = Recorder()
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step 1"):
        trained(run, callback)
    assert not callback.saves


def test_a_validation_loss_that_is_no_number_stops_without_saving():
    callback = Recorder()
    with pytest.raises(DivergedError, match="validation loss is nan"):
        trained(start(), callback, validation=[math.nan])
    assert not callback.saves


def test_parameters_that_are_no_numbers_are_never_saved():
    run = start()
    run.model.train = lambda *arrays: [np.asarray(1.0), run.model.params["w"].set_value([np.nan])]
    callback = Recorder(stop_after=1)
    with pytest.raises(DivergedError, match="w is no longer finite after step 1"):
        trained(run, callback)
    assert not callback.saves


def test_a_stop_between_epochs_is_a_stop():
    run = start()
    ended, callback = trained(run, Recorder(stop_after=None), epochs=2)
    assert ended == "finished"

    class StopAtEpoch(Recorder):
        def should_stop(self):
            return bool(self.records)

    run = start()
    ended, callback = trained(run, StopAtEpoch())
    assert (ended, run.progress.epoch, run.progress.batch) == ("stopped", 1, 0)
    assert callback.events == ["save", "record"]


def test_a_callback_may_be_left_as_it_is():
    run = start()
    assert fit(run, run.model.train, batches_of_epoch, lambda: Evaluation({"loss": 1.0}, 1), TrainingConfig(epochs=1),
               callback=Callback()) == "finished"  # fmt: skip


def with_rates(run):
    """The learning rates of the steps to come."""
    rates, train = [], run.model.train

    def recorded(*arguments):
        rates.append(float(arguments[-1]))
        return train(*arguments)

    run.model.train = recorded
    return rates


@pytest.mark.parametrize("schedule", ["constant", "steps", "linear", "cosine", "one_cycle"])
@pytest.mark.parametrize("schedule_steps", [None, 7])
def test_a_schedule_gives_the_rate_of_every_step(schedule, schedule_steps):
    run = start()
    rates = with_rates(run)
    _, callback = trained(run, settings={"schedule": schedule, "warmup": 0.25, "schedule_steps": schedule_steps})
    budget = schedule_steps or 3 * BATCHES
    expected = [0.1 * SCHEDULES[schedule](step, budget, warmup=0.25) for step in range(3 * BATCHES)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert [record["learning_rate"] for record in callback.records] == expected[BATCHES - 1 :: BATCHES]
    assert run.progress.learning_rate == 0.1  # validation loss has risen, which is not the schedule's business


def test_a_shorter_window_has_a_smaller_rate():
    run = start()
    rates = with_rates(run)

    def batches(epoch):
        whole = batches_of_epoch(epoch)[0]
        return [whole._replace(rate_factor=0.5), whole]

    config = TrainingConfig(epochs=1, schedule="constant")
    fit(run, run.model.train, batches, lambda: Evaluation({"loss": 1.0}, 1), config, callback=Callback())
    assert rates == [0.05, 0.1]


def test_some_columns_begin_anew_and_the_others_keep_their_state():
    """Which ones depends on the seed and the step, as a resumed run needs."""
    states = [np.arange(1.0, 2001).reshape(1000, 2), np.ones((1000, 3, 2), "float32")]
    config = TrainingConfig(state_reset=0.1)
    found = [with_resets(states, config, step) for step in (7, 8)]
    for vectors, tensors in found:
        is_reset = ~vectors.any(axis=1)
        assert 50 < is_reset.sum() < 150 and tensors.dtype == np.float32
        np.testing.assert_array_equal(vectors[~is_reset], states[0][~is_reset])
        np.testing.assert_array_equal(tensors, np.where(is_reset[:, None, None], 0, states[1]))
    assert (found[0][0] != found[1][0]).any()
    np.testing.assert_array_equal(with_resets(states, config, 7)[0], found[0][0])


def test_training_begins_anew_as_often_as_it_should():
    """The state of `FakeModel` counts the steps since its beginning."""
    batches = [batch._replace(is_start=False) for batch in batches_of_epoch(0)] * 20
    for state_reset in (0.0, 0.9):
        states = []

        class Watched(FakeModel):
            def train(self, tokens, targets, mask, state, learning_rate, states=states):
                states.append(np.array(state[:, 0]))
                return super().train(tokens, targets, mask, state, learning_rate)

        model = Watched()
        run = Run(model, Progress(learning_rate=1e-3), values_of(model.params))
        fit(run, model.train, lambda epoch: batches, lambda: Evaluation({"loss": 1.0}, 1),
            TrainingConfig(epochs=1, state_reset=state_reset), callback=Callback())  # fmt: skip
        assert len(states) == 100
        if state_reset:
            assert 0.8 < np.mean(np.array(states) == 0) < 0.99
        else:
            np.testing.assert_array_equal(states, np.arange(100)[:, None] * np.ones(3))


def test_training_ends_when_its_patience_does():
    run = start()
    ended, callback = trained(run, epochs=6, validation=(3.0, 2.0, 2.5, 2.4, 1.0, 1.0), settings={"patience": 2})
    assert ended == "finished" and len(callback.records) == 4
    again, _ = trained(run, epochs=6, settings={"patience": 2})
    assert again == "finished" and run.progress.epoch == 4


def test_patience_begins_when_the_measure_has_become_better_than_before_learning():
    """As that of a recognizer, which reads nothing but blanks in its first epochs."""
    error = Measure("error", before_learning=100.0, of_sums=lambda sums, count: sums["loss"])
    cases = [([100.0] * 5 + [90.0, 95.0, 95.0, 80.0], 8), ([100.0] * 9, 9), ([90.0, 100.0, 100.0], 3)]
    for values, expected in cases:
        run, config = start(), TrainingConfig(epochs=9, patience=2, schedule="constant")
        found = iter(values)
        fit(run, run.model.train, batches_of_epoch, lambda found=found: Evaluation({"loss": next(found)}, 1), config,
            callback=Callback(), measures=(LOSS, error), selected=error)  # fmt: skip
        assert run.progress.epoch == expected


def test_averages_are_what_is_validated_and_kept():
    run = start()
    run.model.averages = {"w": Shared(np.full(1, 7.0))}
    seen = []

    def evaluate():
        seen.append(float(run.model.params["w"].value[0]))
        return Evaluation({"loss": 2.0 if run.progress.epoch == 0 else 3.0}, 1)

    _, callback = trained(run, evaluate=evaluate)
    assert seen == [7.0] * 3 and run.best["w"] == 7.0
    assert run.model.params["w"].value == callback.saves[-1][1]["w"] != 7.0


def test_an_interrupted_validation_of_averages_gives_the_parameters_back():
    run = start()
    run.model.averages = {"w": Shared(np.full(1, 7.0))}
    trained(run, evaluate=lambda: None)
    assert run.model.params["w"].value != 7.0


def test_asgd_begins_to_average_when_validation_loss_no_longer_falls():
    run = start()
    run.model.optimizer_state = {"num_averaged": Shared(np.asarray(-1))}
    losses = (3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5)
    began = []

    class Following(Recorder):
        def on_epoch(self, record):
            super().on_epoch(record)
            count = self.run.model.optimizer_state["num_averaged"]
            began.append(int(count.value))
            count.set_value(count.value + (count.value >= 0))  # as an epoch of steps would

    trained(run, Following(), epochs=9, validation=losses, settings={"optimizer": "asgd"})
    first = next(n for n in range(10) if should_start_averaging(losses[:n]))
    assert began == [-1] * (first - 1) + list(range(10 - first))
    assert run.progress.learning_rate == 0.1


def test_validation_within_an_epoch_is_recorded_as_a_part_and_may_be_the_best():
    run = start()
    values = iter([5.0, 1.0, 4.0, 5.0, 3.0, 2.0])
    ended, callback = trained(run, epochs=2, settings={"validate_every": 2},
                              evaluate=lambda: Evaluation({"loss": next(values)}, 1))  # fmt: skip
    assert ended == "finished"
    assert [(record["epoch"], record["step"]) for record in callback.records] == [
        (0.4, 2), (0.8, 4), (1, 5), (1.4, 7), (1.8, 9), (2, 10)
    ]  # fmt: skip
    assert (run.progress.best_value, run.progress.best_step) == (1.0, 4)
    assert run.progress.records[0]["batch"] == 2 and "batch" not in run.progress.records[2]


def test_patience_counts_epochs_not_the_validations_within_them():
    values = iter([1.0, *[2.0] * 20])
    run = start()
    trained(run, epochs=9, settings={"validate_every": 2, "patience": 2},
            evaluate=lambda: Evaluation({"loss": next(values)}, 1))  # fmt: skip
    assert run.progress.epoch == 3  # the first epoch is the best of all epochs


@pytest.mark.parametrize("stop_after", range(1, 2 * BATCHES))
def test_stopped_anywhere_validations_within_epochs_are_neither_lost_nor_repeated(stop_after):
    settings = {"validate_every": 2}
    whole = start()
    trained(whole, epochs=2, settings=settings)
    run = start()
    callback = Recorder(run, stop_after)
    assert trained(run, callback, epochs=2, settings=settings)[0] == "stopped"
    progress = Progress.from_json(callback.saves[-1][0].to_json())
    going_on = Run(run.model, progress, run.best, run.carried)
    trained(going_on, epochs=2, settings=settings)
    assert progress == whole.progress
    np.testing.assert_array_equal(run.model.params["w"].value, whole.model.params["w"].value)


def test_counters_of_a_newer_version_are_ignored():
    progress = Progress(learning_rate=0.5, step=3)
    assert Progress.from_json(progress.to_json() | {"of_the_future": 1}) == progress
