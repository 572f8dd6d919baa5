"""A trained language model as the commands use it: from a checkpoint to scores, samples and batches."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from theano_rnn.batching import BatchSequence, Sentences, Stream, sentence_lengths, start_id
from theano_rnn.checkpoint import assign, load
from theano_rnn.cli.console import compiling_progress
from theano_rnn.config import GenerationConfig, MachineConfig, ModelConfig, TrainingConfig, UserError, from_checkpoint
from theano_rnn.preprocessing import Vocabulary, detokenize
from theano_rnn.text_generation import TextGenerator

KINDS = {"next": "language model", "fill": "fill-in model"}  # of checkpoints, by task


def make_model(config: ModelConfig, *, rng: np.random.Generator) -> Any:
    """A new model for the task that `config` names."""
    from theano_rnn.cloze import Cloze
    from theano_rnn.model import RNNLM

    return (Cloze if config.task == "fill" else RNNLM)(config, rng=rng)


def batches_of(
    ids: Any,
    vocabulary: Vocabulary,
    config: TrainingConfig,
    *,
    dtype: str,
    epoch: int | None = None,
    task: str = "next",
) -> BatchSequence:
    """Batches of `ids` as `config` wants them; with `epoch` in that epoch's order, else in the order of the text."""
    rng = None if epoch is None else np.random.default_rng([config.seed, epoch])
    common: dict[str, Any] = {
        "batch_size": config.batch_size,
        "start_id": start_id(vocabulary, config.batching),
        "pad_id": vocabulary.pad_id,
        "dtype": dtype,
    }
    if config.batching == "stream":
        return Stream(ids, bptt_steps=config.bptt_steps, rng=rng if config.random_windows else None, **common)
    if epoch is None:
        common["batch_size"] *= -(-32 // config.batch_size)  # a sentence's loss does not depend on its neighbours
    if task == "fill":
        from theano_rnn.cloze import batches

        return batches(ids, vocabulary, batch_size=common["batch_size"], rng=rng, dtype=dtype)
    return Sentences(ids, lengths=sentence_lengths(ids, vocabulary.eos_id), rng=rng, **common)


def compile_showing(model: Any, name: str, machine: MachineConfig, **options: Any) -> Any:
    """One of a model's functions, compiled as `machine` says; the wait is shown."""
    progress, close = compiling_progress(machine.engine)
    try:
        num_devices = int(getattr(machine, "num_devices", 1)) if name in ("train", "loss") else 1
        functions = model.compile(
            name, engine=machine.engine, device=machine.device, num_devices=num_devices, progress=progress, **options
        )
        return getattr(functions, name)
    finally:
        close()


class Trained:
    """The best parameters of a checkpoint, its vocabulary and its settings.

    Raises
    ------
    UserError
        The checkpoint was trained for another task.
    """

    def __init__(self, path: str | os.PathLike[str], machine: MachineConfig, *, task: str = "next") -> None:
        self.machine = machine
        self.checkpoint = load(path)
        config = from_checkpoint(ModelConfig, self.checkpoint.settings["model"])
        if config.task != task:
            raise UserError(f"{path} is a {KINDS[config.task]}, this needs a {KINDS[task]}: "
                            f"train one with --task {task}")  # fmt: skip
        self.vocabulary = self.checkpoint.vocabulary
        self.training = from_checkpoint(TrainingConfig, self.checkpoint.settings["training"])
        self.model = make_model(config, rng=np.random.default_rng(0))
        assign(self.model.params, self.checkpoint.best)

    def compiled(self, name: str) -> Any:
        """One of the model's functions."""
        return compile_showing(self.model, name, self.machine)

    @property
    def start_id(self) -> int:
        return start_id(self.vocabulary, self.training.batching)

    def generator(self, config: GenerationConfig) -> TextGenerator:
        """What writes texts with the model, compiled."""
        step = self.compiled("step")
        return TextGenerator(step, self.model.initial_state, self.vocabulary, start=self.start_id, config=config)


def filled(
    predict: Any, model: Any, vocabulary: Vocabulary, ids: Any, *, num_sentences: int, seed: Sequence[int]
) -> list[str]:
    """Sentences of a text, one word of each left out, and what the model would fill in; which ones is random."""
    from theano_rnn.cloze import examples

    found = examples(predict, model.initial_state, vocabulary, ids, rng=np.random.default_rng(seed), num_words=3,
                     dtype=model.config.dtype)  # fmt: skip
    return [
        f"{detokenize(tokens, vocabulary.text)}   ({word}: {', '.join(f'{guess} {p:.2f}' for guess, p in guesses)})"
        for tokens, word, guesses in itertools.islice(found, num_sentences)
    ]
