"""The fill-in task: predict each word of a sentence from all other words."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from theano_rnn.settings.base import UserError
from theano_rnn.tasks.task import Compiled, Data, Sections
from theano_rnn.tasks.text_task import TextTask

if TYPE_CHECKING:
    import numpy as np


class Fill(TextTask):
    """Fill in a missing word from the words on both sides of it."""

    name = "fill"
    kind = "fill-in model"
    commands = ("fill",)
    summary = "a missing word, from the words on both sides"

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        if given.get("batching") == "stream":
            raise UserError(
                "--batching stream cannot be used with --task fill, which reads single sentences: leave it out"
            )
        if sections["text"].unit == "subword":
            raise UserError(
                "--task fill cannot be used with --unit subword: it fills in one whole word, not the pieces of one. "
                "Use --unit word"
            )
        training = dataclasses.replace(sections["training"], batching="sentences")
        return super().settled({**sections, "training": training}, given)

    def needs_sentences(self) -> str:
        return "--task fill"

    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        from theano_rnn.tasks.cloze import Cloze

        return Cloze(self.model_config(sections, facts, num_devices), rng=rng)

    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Any:
        import numpy as np

        from theano_rnn.learning.batching import evaluation_batch_size
        from theano_rnn.tasks.blanks import batches

        config = sections["training"]
        rng = None if epoch is None else np.random.default_rng([config.seed, epoch])
        size = evaluation_batch_size(config) if epoch is None else config.batch_size
        return batches(part, facts["vocabulary"], batch_size=size, rng=rng, dtype=dtype)

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns lines with a sentence of the validation text without one word, that word, and the model's guesses."""
        import numpy as np

        from theano_rnn.tasks.blanks import examples
        from theano_rnn.text.words import detokenize

        vocabulary = data.facts["vocabulary"]
        found = examples(compiled("predict"), model.initial_state, vocabulary, data.parts["valid"],
                         rng=np.random.default_rng(seed), num_words=3, dtype=model.config.dtype)  # fmt: skip
        return [
            f"{detokenize(tokens, vocabulary.text)}   ({word}: {', '.join(f'{guess} {p:.2f}' for guess, p in guesses)})"
            for tokens, word, guesses in itertools.islice(found, count)
        ]
