"""The language-modelling task: predict the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from theano_rnn.settings.text import LanguageModelCorpusConfig
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.tasks.task import Compiled, Data, Sections
from theano_rnn.tasks.text_task import TextTask

if TYPE_CHECKING:
    import numpy as np


class NextToken(TextTask):
    """Predict the next token, a word, a character or a piece of a word, from the tokens before it."""

    name = "next"
    kind = "language model"
    commands = ("generate", "score", "look", "serve")
    summary = "the next token"
    sections = {**TextTask.sections, "corpus": LanguageModelCorpusConfig}  # noqa: RUF012

    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        from theano_rnn.model import RNNLM

        return RNNLM(self.model_config(sections, facts, num_devices), rng=rng)

    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Any:
        from theano_rnn.learning.batching import text_batches

        return text_batches(part, facts["vocabulary"], sections["training"], dtype=dtype, epoch=epoch)

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns texts that the model generates."""
        from theano_rnn.generation.prompts import Prompt
        from theano_rnn.generation.texts import TextGenerator
        from theano_rnn.learning.batching import start_id

        vocabulary = data.facts["vocabulary"]
        num_sentences = 1 if vocabulary.text.has_sentences else None
        generator = TextGenerator(
            compiled("step"), model.initial_state, vocabulary,
            start=start_id(vocabulary, sections["training"].batching),
            config=GenerationConfig(temperature=0.8, num_sentences=num_sentences),
        )  # fmt: skip
        return generator.samples(Prompt(), count, seed=seed)
