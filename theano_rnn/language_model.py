"""Chapter 4: a trained language model at work. It scores sentences, writes texts, and completes a prompt.

model = LanguageModel("runs/model.safetensors")
model.generate("She was", num_samples=3, temperature=0.7)
[score.total for score in model.score(["It is a truth.", "A truth it is."])]

The commands do what is here. `generate` draws token after token (`generation.texts`), `complete` searches for the
likeliest texts with a beam, `score` adds up log-probabilities (`scoring.sentences`); `scorer` is what whole texts,
mixtures of models and n-best lists are measured with (`scoring.texts`, `scoring.interpolation`, `scoring.rescoring`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from theano_rnn.generation.texts import TextGenerator, prompt_ids
from theano_rnn.learning.batching import sentence_end, start_id
from theano_rnn.scoring.sentences import Scorer, SentenceScore
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.tasks.trained_model import TrainedModel


class LanguageModel(TrainedModel):
    """A checkpoint of a language model, with its best parameters, its vocabulary and its settings.

    Parameters
    ----------
    path
        A checkpoint.
    sentences : optional
        Where sentences end in the texts that are scored, if not as in training; as the setting of that name.
    engine, device, compiler
        As of `TrainedModel`.

    Raises
    ------
    UserError
        The checkpoint was trained for another task, or is not a checkpoint.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sentences: str | None = None,
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(path, task="next", engine=engine, device=device, compiler=compiler)
        self.vocabulary = self.checkpoint.vocabulary
        if sentences:
            text = dataclasses.replace(self.vocabulary.text, sentences=sentences)
            self.vocabulary = dataclasses.replace(self.vocabulary, text=text)

    @property
    def end_id(self) -> int:
        """The id that ends a sentence, or in a model of characters a line."""
        return sentence_end(self.vocabulary)

    @property
    def start_id(self) -> int:
        """The id that stands before the first token of a text."""
        return start_id(self.vocabulary, self.training.batching)

    def scorer(self) -> Scorer:
        """The model's loss, and how it takes text."""
        return Scorer(self.function("loss"), self.model.initial_state, self.vocabulary, self.start_id,
                      self.model.config.dtype)  # fmt: skip

    def score(self, sentences: Iterable[str]) -> Iterator[SentenceScore]:
        """Log-probabilities in nats of each sentence's tokens, its end included; every sentence from a zero state."""
        return self.scorer().sentences(sentences)

    def generator(self, config: GenerationConfig) -> TextGenerator:
        """A generator of texts by the rules of `config`."""
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
