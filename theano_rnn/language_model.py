"""Chapter 4: use a trained language model to score sentences, generate texts and complete a prompt.

model = LanguageModel("runs/model.safetensors")
model.generate("She was", num_samples=3, temperature=0.7)
[score.total for score in model.score(["It is a truth.", "A truth it is."])]

The commands use this class. `generate` samples one token after another (`generation.texts`), `complete` runs a beam
search for the most likely texts, and `score` sums log-probabilities (`scoring.sentences`). `scorer` returns the object
that scores whole texts, mixtures of models and n-best lists (`scoring.texts`, `scoring.interpolation`,
`scoring.rescoring`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from theano_rnn.generation.prompts import Prompt, read_prompt
from theano_rnn.generation.texts import TextGenerator
from theano_rnn.learning.batching import sentence_end, start_id
from theano_rnn.scoring.sentences import Scorer, SentenceScore
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.tasks.trained_model import TrainedModel


class LanguageModel(TrainedModel):
    """A trained language model, with the best parameters, the vocabulary and the settings of its checkpoint.

    Parameters
    ----------
    path
        The checkpoint: a file, or the name of a model that comes with the package, such as "austen".
    sentences : optional
        How to split scored texts into sentences, as in the setting ``sentences``. Default: as in training.
    engine, device, compiler
        As for `TrainedModel`.

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
        """The id that ends a sentence; in a character model, a line."""
        return sentence_end(self.vocabulary)

    @property
    def start_id(self) -> int:
        """The id that the model reads before the first token of a text."""
        return start_id(self.vocabulary, self.training.batching)

    def scorer(self) -> Scorer:
        """Returns a scorer: the model's loss function, with its vocabulary and initial state."""
        return Scorer(self.function("loss"), self.model.initial_state, self.vocabulary, self.start_id,
                      self.model.config.dtype)  # fmt: skip

    def score(self, sentences: Iterable[str]) -> Iterator[SentenceScore]:
        """Yield the log-probabilities in nats of each sentence's tokens and its end; each starts from a zero state."""
        return self.scorer().sentences(sentences)

    def generator(self, config: GenerationConfig) -> TextGenerator:
        """Returns a text generator with the settings `config`."""
        return TextGenerator(self.function("step"), self.model.initial_state, self.vocabulary, start=self.start_id,
                             config=config, restarts=self.training.batching == "sentences")  # fmt: skip

    def read_prompt(self, prompt: str) -> Prompt:
        """Split a prompt into tokens, as training reads text."""
        return read_prompt(prompt, self.vocabulary, self.end_id)

    def generate(self, prompt: str = "", *, num_samples: int = 1, seed: int = 1, **config: Any) -> list[str]:
        """Sample texts that start with `prompt`, each to the end of a paragraph, unless `config` says otherwise.

        `config`: see `GenerationConfig`. Sample i depends on (seed, i).
        """
        generator = self.generator(GenerationConfig(**config))
        return generator.samples(self.read_prompt(prompt), num_samples, seed=[seed])

    def complete(
        self, prompt: str = "", *, num_best: int = 5, beam_size: int = 8, **config: Any
    ) -> list[tuple[float, str]]:
        """Returns the most likely texts that start with `prompt`: (score, text), the best first."""
        generator = self.generator(GenerationConfig(beam_size=beam_size, **config))
        return generator.best(self.read_prompt(prompt), num_best)
