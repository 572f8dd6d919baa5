"""One training run, from text to the last record of its log: joins corpus, model, `fit`, checkpoint and log."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from theano_rnn.cli.console import Bar, TrainingDisplay, say, tokenizing_progress
from theano_rnn.cli.curves import Curves
from theano_rnn.cli.interruption import Interruption
from theano_rnn.cli.model_loading import compile_showing, filled
from theano_rnn.cli.options import sections_from
from theano_rnn.cli.records import append, continued_log
from theano_rnn.cli.run_settings import Settings, curves_path, events_folder, log_path
from theano_rnn.generation.texts import TextGenerator
from theano_rnn.language_model import KINDS, batches_of, make_model
from theano_rnn.learning.batching import start_id
from theano_rnn.learning.checkpoint import Checkpoint, assign, save, values_of, write_atomically
from theano_rnn.learning.evaluation import Evaluation, evaluate, perplexity
from theano_rnn.preprocessing import load_corpus
from theano_rnn.settings.base import UserError, to_mapping
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.text import CorpusConfig
from theano_rnn.settings.training import resolved_head
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.vocabulary_extension import extend_parameters
from theano_rnn.training import Progress, Run, Watcher, fit

NUM_SAMPLES = 3


class Session(Watcher):
    """See the module."""

    def __init__(
        self,
        settings: Settings,
        checkpoint: Checkpoint | None,
        corpus: CorpusConfig,
        interruption: Interruption,
        *,
        initial: Checkpoint | None = None,
    ) -> None:
        self.settings, self.checkpoint, self.interruption, self.initial = settings, checkpoint, interruption, initial
        self.path, self.log = Path(settings.run.checkpoint), log_path(settings.run)
        progress, close = tokenizing_progress()
        try:
            source = checkpoint or initial
            known = source.vocabulary if source is not None and corpus.init_from is not None else None
            add_words = 0 if checkpoint is not None else corpus.add_words
            self.corpus = load_corpus(corpus, settings.text, vocabulary=known, add_words=add_words, progress=progress)
        finally:
            close()
        if checkpoint is not None and checkpoint.fingerprint != self.corpus.fingerprint:
            raise UserError(f"the text is not the one that {self.path} was trained on: it has changed, or other files "
                            "are meant; start a new run without --resume")  # fmt: skip
        self.vocabulary = self.corpus.vocabulary
        self.writes = not settings.machine.process_id  # of several processes the first alone
        self.display = TrainingDisplay()
        is_drawn = settings.run.curves and self.writes
        self.curves = Curves(curves_path(settings.run.checkpoint), settings.text.unit, say) if is_drawn else None
        self.events: Any = None  # `EventRecords`, where they are asked for
        self.newest: dict[str, Any] | None = None  # record of an epoch
        self.functions: dict[str, Any] = {}

    def run(self) -> int:
        """The exit status."""
        try:
            return self.trained()
        finally:
            if self.events is not None:
                self.events.close()

    def trained(self) -> int:
        settings, training = self.settings, self.settings.training
        counted = {**to_mapping(settings.model), "vocab_size": self.vocabulary.vocab_size}
        model_config = sections_from(counted, {"model": ModelConfig})["model"]
        model_config = resolved_head(model_config, training, int(settings.machine.num_devices))
        self.model = make_model(model_config, rng=np.random.default_rng(training.seed))
        if self.initial is not None:
            assign(self.model.params, extend_parameters(self.initial.best, values_of(self.model.params)))
        self.describe()
        names = ("optimizer", "clip_norm", "clip_value", "weight_decay", "average_decay", "seed")
        options = {name: getattr(training, name) for name in names} | {"regularization": training}
        has_events = settings.run.tensorboard is not None
        train = compile_showing(self.model, "train", settings.machine, with_norms=has_events, **options)
        self.state = self.restored() if self.checkpoint else self.begun()
        if has_events:
            train = self.recorded(train)
        self.interruption.is_deferred = True
        self.display.begin()
        ended = fit(
            self.state,
            train,
            lambda epoch: self.batches(self.corpus.train, epoch),
            lambda: self.evaluate(self.corpus.valid, "validating"),
            training,
            watcher=self,
            max_seconds=settings.run.max_seconds,
        )
        self.display.close()
        if self.curves is not None:
            self.curves.draw(self.records(), is_last=True)
        if ended == "stopped" or not self.finish(is_finished=ended == "finished"):
            say(f"stopped after {self.state.progress.step} steps; go on with --resume --checkpoint {self.path}")
            return 128 + int(self.interruption.signal or signal.SIGTERM)  # another process may have had the signal
        return 0

    def recorded(self, train: Any) -> Any:
        """`train` for `fit`, its norms taken for event files, which the first of several processes writes."""
        from theano_rnn.cli.event_records import EventRecords, event_file

        folder, step = events_folder(self.settings.run), self.state.progress.step
        file = event_file(folder, step, is_new=self.checkpoint is None, say=say) if self.writes else None
        self.events = EventRecords(file, list(self.model.params), say=say)
        sections = ("corpus", "text", "model", "training")
        self.events.settings(step, {name: to_mapping(getattr(self.settings, name)) for name in sections})
        return self.events.watched(train)

    def begun(self) -> Run:
        """A new run, on disk before its first step; an older checkpoint of that name is kept."""
        if self.writes:
            self.make_room()
        parameters = values_of(self.model.params)
        self.state = Run(
            self.model, Progress(learning_rate=float(self.settings.training.learning_rate or 0)), parameters
        )
        self.save()
        if self.writes:
            write_atomically(self.log, b"")
        return self.state

    def make_room(self) -> None:
        """Put an older checkpoint and log of these names aside."""
        for path in (self.path, self.log):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            kept = self.path.with_name(self.path.name + ".previous")
            os.replace(self.path, kept)
            say(f"kept the older checkpoint as {kept}")
        for path in (self.log, *([self.curves.path] if self.curves is not None else [])):
            if path.exists():
                os.replace(path, path.with_name(path.name + ".previous"))

    def restored(self) -> Run:
        """The run as the checkpoint has it, the log cut back to what the checkpoint knows."""
        checkpoint = self.checkpoint
        assert checkpoint is not None
        assign(self.model.params, checkpoint.last)
        assign(self.model.optimizer_state, checkpoint.optimizer)
        progress = Progress(**checkpoint.progress)
        if self.writes:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.log, continued_log(self.log, progress.records).encode())
        say(f"resuming {self.path} after {progress.step} steps")
        return Run(self.model, progress, checkpoint.best, checkpoint.carried)

    def describe(self) -> None:
        corpus, test = self.corpus, self.corpus.test
        sizes = [f"{len(ids):,}" for ids in (corpus.train, corpus.valid, *([] if test is None else [test]))]
        unit = {"word": "words", "char": "characters"}[self.vocabulary.text.unit]
        numbers = sum(int(np.prod(p.get_value(borrow=True).shape)) for p in self.model.params.values())
        say(f"{' / '.join(sizes)} tokens to train / validate{'' if test is None else ' / test'} on, "
            f"{self.vocabulary.vocab_size:,} {unit} in the vocabulary, {numbers:,} parameters")  # fmt: skip

    def batches(self, ids: Any, epoch: int | None = None) -> Any:
        return batches_of(ids, self.vocabulary, self.settings.training, dtype=self.model.config.dtype, epoch=epoch,
                          task=self.settings.model.task)  # fmt: skip

    def function(self, name: str) -> Any:
        """A compiled function other than ``train``, made when first needed."""
        if name not in self.functions:
            self.functions[name] = compile_showing(self.model, name, self.settings.machine)
        return self.functions[name]

    def evaluate(self, ids: Any, title: str) -> Evaluation | None:
        loss = self.function("loss")
        batches = self.batches(ids)
        bar = Bar(title, unit=" tokens", total=batches.num_tokens, delay=2.0, unit_scale=True)

        def on_batch(tokens: int) -> bool:
            bar.to(tokens)
            return self.should_stop()

        try:
            return evaluate(loss, batches, self.model.initial_state, on_batch=on_batch)
        finally:
            bar.close()

    def on_step(self, progress: Progress, loss: float, tokens: int, batches: int) -> None:
        self.display.step(progress, loss, tokens, batches, self.settings.training.epochs)
        if self.events is not None:
            self.events.on_step(progress.step, loss)

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.append(record)
        self.display.close()
        self.newest = record
        if self.curves is not None:
            self.curves.draw(self.records())
        say(f"epoch {record['epoch']}: train {record['train_loss']:.4f}, validation {record['valid_loss']:.4f} nats, "
            f"perplexity {record['valid_perplexity']:.2f}, learning rate {record['learning_rate']:g}, "
            f"{record['tokens_per_second']:,.0f} tokens/s, {record['seconds']:.0f} s")  # fmt: skip
        for text in self.examples():
            say("  | " + text.replace("\n", "\n  | "))
        self.display.begin()

    def records(self) -> list[dict[str, Any]]:
        """Of all epochs, and of the part of one that a run out of time ends with."""
        known, newest = self.state.progress.records, self.newest
        is_more = newest is not None and newest["step"] > max((record["step"] for record in known), default=0)
        return [*known, newest] if newest is not None and is_more else known

    def examples(self) -> list[str]:
        """What the model can do by now: sentences that it writes, or that it fills in."""
        training, step = self.settings.training, self.state.progress.step
        if self.settings.model.task == "fill":
            return filled(self.function("predict"), self.model, self.vocabulary, self.corpus.valid,
                          num_sentences=NUM_SAMPLES, seed=[training.seed, step])  # fmt: skip
        generator = TextGenerator(
            self.function("step"), self.model.initial_state, self.vocabulary,
            start=start_id(self.vocabulary, training.batching), config=GenerationConfig(temperature=0.8),
        )  # fmt: skip
        return generator.samples([], NUM_SAMPLES, seed=[training.seed, step])

    def should_stop(self) -> bool:
        is_stopped = self.interruption.signal is not None
        if self.settings.machine.num_processes in (None, 1):
            return is_stopped
        from theano_rnn.engine.devices import any_process

        return any_process(is_stopped)

    def save(self) -> None:
        """Write the checkpoint."""
        if not self.writes:
            return
        settings = {name: to_mapping(getattr(self.settings, name)) for name in ("corpus", "text", "training")}
        settings["model"] = to_mapping(self.model.config)
        save(
            self.path,
            Checkpoint(
                settings,
                self.vocabulary,
                self.corpus.fingerprint,
                self.state.progress.to_json(),
                last=values_of(self.model.params),
                best=self.state.best,
                optimizer=values_of(self.model.optimizer_state),
                carried=self.state.carried,
                kind=KINDS[self.settings.model.task],
            ),
        )

    def finish(self, *, is_finished: bool) -> bool:
        """Measure the best parameters on the test text, write the last record; False where interrupted."""
        last, progress = values_of(self.model.params), self.state.progress
        record: dict[str, Any] = {"step": progress.step, "best_step": progress.best_step}
        try:
            assign(self.model.params, self.state.best)
            if self.corpus.test is not None:
                measured = self.evaluate(self.corpus.test, "testing")
                if measured is None:
                    return False
                unknown = int(np.count_nonzero(self.corpus.test == self.vocabulary.unk_id)) / measured.tokens
                record |= {"test_loss": measured.loss, "test_perplexity": perplexity(measured.loss),
                           "tokens": measured.tokens, "unk_rate": unknown}  # fmt: skip
                say(f"test: {measured.loss:.4f} nats, perplexity {perplexity(measured.loss):.2f} over "
                    f"{measured.tokens:,} tokens, {100 * unknown:.1f} % unknown")  # fmt: skip
        finally:
            assign(self.model.params, last)
        if is_finished:
            progress.is_finished = True
            progress.records.append(record)
            self.save()
        self.append(record)
        best = f", validation perplexity {perplexity(progress.best_loss):.2f}" if progress.best_loss is not None else ""
        more = self.curves.told() if self.curves is not None else ""
        say(f"saved {self.path} (best after step {progress.best_step}{best}); log in {self.log}{more}")
        return True

    def append(self, record: dict[str, Any]) -> None:
        """A line of the log, and what else is made of it."""
        if not self.writes:
            return
        append(self.log, record)
        if self.events is not None:
            self.events.on_record(record)
