"""One training run, from its files to the last log record. Connects task, `fit`, checkpoint, log and displays."""

from __future__ import annotations

import dataclasses
import functools
import signal
from pathlib import Path
from typing import Any

import numpy as np

from theano_rnn.cli.compiling_ahead import AheadCompiler
from theano_rnn.cli.console import Bar, TrainingDisplay, advise, describe_best, describe_epoch, say
from theano_rnn.cli.curves import Curves
from theano_rnn.cli.initial_parameters import take_parameters
from theano_rnn.cli.interruption import Interruption
from theano_rnn.cli.model_loading import compile_with_progress
from theano_rnn.cli.options import with_flag_name
from theano_rnn.cli.records import restore_log
from theano_rnn.cli.resuming import explain_text
from theano_rnn.cli.run_data import read_data
from theano_rnn.cli.run_files import RunFiles
from theano_rnn.cli.run_settings import Settings, choose_settings, events_folder
from theano_rnn.cli.stopped_runs import choose_parameters, describe_stop
from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.learning.checkpoint import Checkpoint, assign, values_of
from theano_rnn.learning.evaluation import Evaluation, evaluate
from theano_rnn.learning.fine_tuning import set_factors
from theano_rnn.learning.progress import restored_run
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.training import Callback, Progress, Run, fit

NUM_EXAMPLES = 3
MAX_SHOWN_EPOCHS = 40  # of a run with more, only every second, third, ... epoch is shown; the log has all
TRAIN_OPTIONS = ("optimizer", "clip_norm", "clip_value", "weight_decay", "average_decay", "seed", "precision")


class Session(Callback):
    """A training run with `settings`: a new one, or if `checkpoint` is given, a resumed one.

    `files` is the section ``corpus`` with all files named. A new run takes initial parameters from `initial`, if given.
    """

    def __init__(
        self,
        settings: Settings,
        checkpoint: Checkpoint | None,
        files: Any,
        interruption: Interruption,
        *,
        initial: Checkpoint | None = None,
    ) -> None:
        self.settings, self.task, self.sections = settings, settings.task, settings.sections
        self.checkpoint, self.interruption, self.initial = checkpoint, interruption, initial
        self.files = RunFiles(settings.run, say)
        self.told: list[str] = []  # lines about the settings
        self.data = read_data(settings, files, checkpoint, initial)
        advise(self.data.notes)
        if checkpoint is None:
            self.settings, self.told = choose_settings(settings, self.data)
            self.sections = self.settings.sections
        elif checkpoint.fingerprint != self.data.fingerprint:
            raise UserError(f"the text differs from the one that {self.path} was trained on: {explain_text(files)}")
        self.is_writer = not settings.machine.process_id  # only the first of several processes writes files
        self.display = TrainingDisplay(self.task.measures, self.task.target_name, settings.run.max_seconds)
        is_drawn = settings.run.curves and self.is_writer
        self.curves = Curves(self.files.curves, self.task.drawn(self.sections), say) if is_drawn else None
        self.events: Any = None  # `EventRecords`, if --tensorboard is given
        self.latest_record: dict[str, Any] | None = None  # of an epoch
        self.last_facts: dict[str, Any] = {}  # of the last parameters of a stopped run
        self.functions: dict[str, Any] = {}
        self.ahead: AheadCompiler | None = None

    @property
    def path(self) -> Path:
        """The checkpoint's path."""
        return self.files.checkpoint

    def run(self) -> int:
        """Run to the end. Returns the exit status of the command."""
        try:
            return self.train()
        finally:
            if self.ahead is not None:
                self.ahead.close()
            if self.events is not None:
                self.events.close()

    def train(self) -> int:
        settings, training = self.settings, self.settings.training
        try:
            self.model = self.task.make_model(
                self.sections, self.data.facts, rng=np.random.default_rng(training.seed),
                num_devices=int(settings.machine.num_devices),
            )  # fmt: skip
        except UserError as error:
            raise with_flag_name(error) from None
        if self.initial is not None:
            told, taken = take_parameters(self.model, self.data.facts, self.initial, self.sections["corpus"].init_from)
            say(told)
            training = dataclasses.replace(training, taken=taken)
            self.sections = {**self.sections, "training": training}
        if training.learning_rate_factor != 1 or training.unfreeze_epochs:
            self.model.scale_rates(training.taken)
        num_parameters = sum(int(np.prod(p.get_value(borrow=True).shape)) for p in self.model.params.values())
        say("\n".join([f"{self.task.describe(self.data)}, {num_parameters:,} parameters", *self.told]))
        options = {name: getattr(training, name) for name in TRAIN_OPTIONS} | {"regularization": training}
        has_events = settings.run.tensorboard is not None
        train = compile_with_progress(self.model, "train", settings.machine, with_norms=has_events, **options)
        self.state = self.restore_run() if self.checkpoint else self.new_run()
        batches = functools.partial(self.batches, self.data.parts["train"])
        self.ahead = AheadCompiler(train, batches, self.model, has_texts=training.batching == "sentences")
        if has_events:
            train = self.with_events(train)
        self.interruption.is_deferred = True
        self.display.begin()
        outcome = fit(
            self.state, train, batches, lambda: self.evaluate(self.data.parts["valid"], "validating"), training,
            callback=self, measures=self.task.measures, selected=self.task.select(self.sections),
            target_name=self.task.target_name, max_seconds=settings.run.max_seconds,
        )  # fmt: skip
        self.display.close()
        if self.curves is not None:
            self.curves.draw(self.state.progress.records_with(self.latest_record), is_last=True)
        if outcome == "stopped":
            self.choose_parameters()
        is_ended = outcome != "stopped" and self.finish(is_finished=outcome == "finished")
        if is_ended and outcome == "finished":
            return 0
        say(describe_stop(self.state.progress, training.epochs, self.path, is_out_of_time=is_ended))
        return 0 if is_ended else 128 + int(self.interruption.signal or signal.SIGTERM)  # None: another process has it

    def choose_parameters(self) -> None:
        """Decide which parameters of a stopped run are to be used; a second signal cuts this short."""
        part = self.data.parts["valid"]

        def evaluate_last() -> Evaluation | None:
            evaluation = self.evaluate(part, "validating", can_stop=False)
            self.last_facts = dict(evaluation.facts) if evaluation else {}
            return evaluation

        say(choose_parameters(
            self.state.progress, evaluate_last, self.task.measures,
            self.task.select(self.sections), num_targets=self.task.size(part), speed=self.display.speed(),
        ))  # fmt: skip
        if self.state.progress.use_last:
            self.save()

    def with_events(self, train: Any) -> Any:
        """Wrap `train` so that norms are recorded for event files. The first of several processes writes these."""
        from theano_rnn.cli.event_records import EventRecords, event_file

        step = self.state.progress.step
        file = event_file(events_folder(self.settings.run), step) if self.is_writer else None
        self.events = EventRecords(file, list(self.model.learned), self.task.measures, say=say)
        self.events.settings(step, {name: to_mapping(section) for name, section in self.sections.items()})
        return self.events.record_norms(train)

    def new_run(self) -> Run:
        """Start a new run and save it before the first step. The files of an older run of that name are renamed."""
        if self.is_writer:
            self.files.prepare()
            self.files.keep_previous()
        parameters = values_of(self.model.params)
        self.state = Run(
            self.model, Progress(learning_rate=float(self.settings.training.learning_rate or 0)), parameters
        )
        self.save()
        if self.is_writer:
            write_atomically(self.files.log, b"")
        return self.state

    def restore_run(self) -> Run:
        """Restore the run from the checkpoint. Removes log records that are newer than the checkpoint."""
        checkpoint = self.checkpoint
        assert checkpoint is not None
        run = restored_run(self.model, checkpoint, self.settings.training.batch_size)
        if self.is_writer:
            self.files.prepare()
            write_atomically(self.files.log, restore_log(self.files.log, run.progress.records, self.task.target_name))
        say(f"resuming {self.path} after {run.progress.step} steps")
        return run

    def batches(self, part: Any, epoch: int | None = None) -> Any:
        return self.task.batches(part, self.sections, self.data.facts, dtype=self.model.config.dtype, epoch=epoch)

    def function(self, name: str) -> Any:
        """Returns a compiled function other than ``train``, compiled on first use."""
        if name not in self.functions:
            self.functions[name] = compile_with_progress(self.model, name, self.settings.machine)
        return self.functions[name]

    def evaluate(self, part: Any, title: str, *, can_stop: bool = True) -> Evaluation | None:
        loss = self.function("loss")
        batches = self.batches(part)
        total = getattr(batches, "num_targets", None)  # unknown for a plain list
        bar = Bar(title, unit=f" {self.task.target_name}", total=total, delay=2.0, unit_scale=True)

        def on_batch(num_targets: int) -> bool:
            bar.to(num_targets)
            return can_stop and self.should_stop()

        try:
            found = evaluate(loss, batches, self.model.initial_state, sums_of=self.task.sums, on_batch=on_batch)
            return found and self.task.completed(found, self.function, self.model, part, self.data.facts)
        finally:
            bar.close()

    def on_epoch_start(self, epoch: int) -> None:
        set_factors(self.model.rate_factors, epoch, self.settings.training)

    def on_step(self, progress: Progress, loss: float, num_targets: int, num_batches: int) -> None:
        if self.ahead is not None:
            self.ahead.on_step(progress.epoch, progress.batch)
        self.display.step(progress, loss, num_targets, num_batches, self.settings.training.epochs)
        if self.events is not None:
            self.events.on_step(progress.step, loss)

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.append(record)
        self.display.close()
        self.latest_record = record
        if self.curves is not None:
            self.curves.draw(self.state.progress.records_with(self.latest_record))
        if "batch" in record or not record["epoch"] % max(1, self.settings.training.epochs // MAX_SHOWN_EPOCHS):
            self.show(record)
        self.display.begin()

    def show(self, record: dict[str, Any]) -> None:
        """Print the record of an epoch, and examples of what the model can do."""
        say(describe_epoch(record, self.task.measures, self.task.target_name))
        for text in self.task.examples(
            self.function, self.model, self.data, self.sections, count=NUM_EXAMPLES,
            seed=[self.settings.training.seed, self.state.progress.step],
        ):  # fmt: skip
            say("  | " + text.replace("\n", "\n  | "))

    def should_stop(self) -> bool:
        is_stopped = self.interruption.signal is not None
        if self.settings.machine.num_processes in (None, 1):
            return is_stopped
        from theano_rnn.engine.devices import any_process

        return any_process(is_stopped)

    def save(self) -> None:
        """Write the checkpoint."""
        if not self.is_writer:
            return
        settings = {name: to_mapping(section) for name, section in self.sections.items()}
        settings["model"] = to_mapping(self.model.config)
        arrays: dict[str, Any] = {
            "last": values_of(self.model.params), "best": self.state.best, "carried": self.state.carried,
            "optimizer": values_of(self.model.optimizer_state),
        }  # fmt: skip
        progress = self.state.progress
        facts = {**self.data.facts, **(self.last_facts if progress.use_last else progress.best_facts)}
        self.files.save(
            Checkpoint(settings, facts, self.data.fingerprint, progress.to_json(), kind=self.task.kind, **arrays)
        )

    def finish(self, *, is_finished: bool) -> bool:
        """Measure the best parameters on the test part and write the last record. Returns False if interrupted."""
        last, progress = values_of(self.model.params), self.state.progress
        record: dict[str, Any] = {"step": progress.step, "best_step": progress.best_step}
        try:
            assign(self.model.params, self.state.best)
            if "test" in self.data.parts and self.settings.run.testing:
                evaluation = self.evaluate(self.data.parts["test"], "testing")
                if evaluation is None:
                    return False
                values = evaluation.values(self.task.measures)
                facts = self.task.test_facts(self.data.parts["test"], self.data.facts, evaluation.num_targets)
                record |= {f"test_{name}": value for name, value in values.items()} | facts
                measured = ", ".join(measure.shown(values[measure.name]) for measure in self.task.measures)
                say(f"test: {measured} {self.task.describe_test(facts)}")
        finally:
            assign(self.model.params, last)
        if is_finished:
            progress.is_finished = True
            progress.records.append(record)
            self.save()
        self.append(record)
        best = describe_best(progress.best_value, self.task.select(self.sections), self.task.measures)
        drawing = self.curves.summary() if self.curves is not None else ""
        say(f"saved {self.path} (best after step {progress.best_step}{best}); "
            f"log in {self.files.log}{drawing}")  # fmt: skip
        return True

    def append(self, record: dict[str, Any]) -> None:
        """Append a record to the log and, if there are any, the event files."""
        if not self.is_writer:
            return
        record = {**record, "kernels": self.settings.machine.kernels} if "epoch" in record else record
        self.files.append(record, self.state.progress.records, self.task.target_name)
        if self.events is not None:
            self.events.on_record(record)
