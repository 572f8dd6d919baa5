"""A trained language model and what it is used for; the commands do what is here.

model = LanguageModel("runs/model.safetensors")
model.generate("She was", num_samples=3, temperature=0.7)
[score.total for score in model.score(["It is a truth.", "A truth it is."])]
model.scorer()     # what `text_scoring`, `interpolation` and `rescoring` measure texts with
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from theano_rnn.engine.aesara_flags import resolve_engine
from theano_rnn.generation.texts import TextGenerator, prompt_ids
from theano_rnn.learning.batching import BatchSequence, Sentences, Stream, sentence_end, sentence_lengths, start_id
from theano_rnn.learning.checkpoint import assign, load
from theano_rnn.scoring.sentences import Scorer, SentenceScore
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import TrainingConfig, from_checkpoint
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.vocabulary import Vocabulary

KINDS = {"next": "language model", "fill": "fill-in model"}  # of checkpoints, by task


def make_model(config: ModelConfig, *, rng: np.random.Generator) -> Any:
    """A new model for the task that `config` names."""
    from theano_rnn.model import RNNLM
    from theano_rnn.tasks.fill import Cloze

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
        from theano_rnn.tasks.fill import batches

        return batches(ids, vocabulary, batch_size=common["batch_size"], rng=rng, dtype=dtype)
    return Sentences(ids, lengths=sentence_lengths(ids, vocabulary.eos_id), rng=rng, **common)


class LanguageModel:
    """The best parameters of a checkpoint, its vocabulary and its settings.

    Parameters
    ----------
    path
        A checkpoint.
    task
        What it must have been trained for.
    engine, device
        As the flags of those names.
    compiled : optional
        In place of `plainly_compiled`: shows the wait.

    Raises
    ------
    UserError
        The checkpoint was trained for another task, or is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        task: str = "next",
        engine: str = "auto",
        device: str = "auto",
        compiled: Callable[..., Any] | None = None,
    ) -> None:
        self.engine, self.device = resolve_engine(engine), device
        self.checkpoint = load(path)
        config = from_checkpoint(ModelConfig, self.checkpoint.settings["model"])
        if config.task != task:
            raise UserError(f"{path} is a {KINDS[config.task]}, this needs a {KINDS[task]}: "
                            f"train one with --task {task}")  # fmt: skip
        self.vocabulary = self.checkpoint.vocabulary
        self.training = from_checkpoint(TrainingConfig, self.checkpoint.settings["training"])
        self.model = make_model(config, rng=np.random.default_rng(0))
        assign(self.model.params, self.checkpoint.best)
        self.compile = compiled or plainly_compiled
        self.functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """One of the model's functions, compiled when first asked for."""
        if name not in self.functions:
            self.functions[name] = self.compiled(name)
        return self.functions[name]

    def compiled(self, name: str, **options: Any) -> Any:
        """One of the model's functions, compiled anew with `options`, as of `WordModel.compile`."""
        return self.compile(self.model, name, engine=self.engine, device=self.device, **options)

    @property
    def end_id(self) -> int:
        """The id that ends a sentence, of characters a line."""
        return sentence_end(self.vocabulary)

    @property
    def start_id(self) -> int:
        """The id that stands before the first token of a text."""
        return start_id(self.vocabulary, self.training.batching)

    def scorer(self) -> Scorer:
        """What texts are measured with."""
        return Scorer(self.function("loss"), self.model.initial_state, self.vocabulary, self.start_id,
                      self.model.config.dtype)  # fmt: skip

    def score(self, sentences: Iterable[str]) -> Iterator[SentenceScore]:
        """Log-probabilities of the tokens of each sentence, its end included, in nats; every one from a zero state."""
        return self.scorer().sentences(sentences)

    def generator(self, config: GenerationConfig) -> TextGenerator:
        """What writes texts."""
        return TextGenerator(self.function("step"), self.model.initial_state, self.vocabulary, start=self.start_id,
                             config=config)  # fmt: skip

    def generate(self, prompt: str = "", *, num_samples: int = 1, seed: int = 1, **config: Any) -> list[str]:
        """Texts that begin with `prompt`; `config` as of `GenerationConfig`. Sample i depends on (seed, i) alone."""
        generator = self.generator(GenerationConfig(**config))
        return generator.samples(prompt_ids(prompt, self.vocabulary)[0], num_samples, seed=[seed])

    def complete(
        self, prompt: str = "", *, num_best: int = 5, beam_size: int = 8, **config: Any
    ) -> list[tuple[float, str]]:
        """The likeliest texts that begin with `prompt`, each after the score that they are ranked by."""
        generator = self.generator(GenerationConfig(beam_size=beam_size, **config))
        return generator.best(prompt_ids(prompt, self.vocabulary)[0], num_best)


def plainly_compiled(model: Any, name: str, *, engine: str, device: str, **options: Any) -> Any:
    """One of a model's functions."""
    return getattr(model.compile(name, engine=engine, device=device, **options), name)
