"""What the page and the interface of ``serve`` ask of a model: a text scored and a text continued, as plain values.

Each question has three parts: the text is cut into tokens, columns let the model read them (`columns`), and the answer
is made of what these found. Only the second needs the model; the first and the last may run in any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.search import Rules
from theano_rnn.language_model import LanguageModel
from theano_rnn.serving.model_requests import Scored, candidates, sampled, scored
from theano_rnn.serving.request_batching import WIDTHS, Column
from theano_rnn.settings.base import UserError
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.incremental_tokenizing import text_to_append, tokenize_incomplete_text
from theano_rnn.text.token_spans import Piece

LIMITS = {
    "characters": 10_000,  # of a text
    "tokens": 2_000,  # of a text
    "candidates": 50,
    "samples": 8,
    "new_tokens": 200,  # of a sample
    "temperature": 5,
}
NUM_GUESSES = 5
COLDEST = 0.001  # a lower temperature counts as 0: single precision would not do


class Typed(NamedTuple):
    """A text and what a model reads of it; `rest`: blanks after the last piece."""

    text: str
    pieces: list[Piece]
    rest: str

    @property
    def ids(self) -> list[int]:
        return [piece.id for piece in self.pieces]

    @property
    def tokens(self) -> list[str]:
        """As they were typed, without ends of sentences."""
        return [piece.token for piece in self.pieces if piece.text]


class Player:
    """A model that texts are scored and continued with.

    Parameters
    ----------
    model
    name
        What the model is called.
    """

    def __init__(self, model: LanguageModel, name: str) -> None:
        self.model, self.name, self.vocabulary = model, name, model.vocabulary
        self.unit = self.vocabulary.text.unit
        reset_id = model.end_id if model.training.batching == "sentences" else None
        self.reading: dict[str, Any] = {"start_id": model.start_id, "reset_id": reset_id}
        self.banned = [self.vocabulary.unk_id] + ([self.vocabulary.eos_id] if self.unit == "char" else [])
        self.end_id = self.vocabulary.eos_id if self.unit == "word" else None  # of a sample

    def about(self) -> dict[str, Any]:
        """Name, sizes and limits."""
        config = self.model.model.config
        return {
            "name": self.name,
            "unit": self.unit,
            "cell": config.cell,
            "num_layers": config.num_layers,
            "hidden_size": config.hidden_size,
            "vocab_size": config.vocab_size,
            "parameters": sum(int(p.get_value().size) for p in self.model.model.params.values()),
            "limits": LIMITS,
        }

    def typed(self, text: str) -> Typed:
        """The text as the model reads it.

        Raises
        ------
        UserError
            It has too many tokens.
        """
        pieces, rest = tokenize_incomplete_text(text, self.vocabulary, self.model.end_id)
        if len(pieces) > LIMITS["tokens"]:
            raise UserError(f"the text must have at most {LIMITS['tokens']:,} tokens, got {len(pieces):,}")
        return Typed(text, pieces, rest)

    def scoring(self, typed: Typed) -> Column:
        """A column that scores a text."""
        return scored(typed.ids, num_guesses=NUM_GUESSES, **self.reading)

    def scores(self, typed: Typed, found: Scored, *, temperature: float, num_candidates: int) -> dict[str, Any]:
        """What is said of a text: log-probabilities in nats of its tokens, and which may come next."""
        name, unk_id = self.vocabulary.id_to_token, self.vocabulary.unk_id
        total = float(found.log_probabilities.sum())
        pieces = [
            {
                "text": piece.text,
                "token": piece.token,
                "is_unknown": piece.id == unk_id,
                "log_probability": round(float(log_probability), 6),
                "guesses": [[name(int(i)), round(float(p), 6)] for i, p in zip(ids, probabilities)],
            }
            for piece, log_probability, ids, probabilities in zip(
                typed.pieces, found.log_probabilities, found.guesses, np.exp(found.guess_log_probabilities)
            )
        ]
        return {
            "pieces": pieces,
            "rest": typed.rest,
            "total": round(total, 6),
            "perplexity": math.exp(min(-total / len(pieces), 700.0)) if pieces else None,
            "unknown": sum(piece.id == unk_id for piece in typed.pieces),
            "candidates": self.next_tokens(typed, found.following, temperature, num_candidates),
        }

    def next_tokens(self, typed: Typed, following: Any, temperature: float, count: int) -> list[dict[str, Any]]:
        """The likeliest next tokens, and what each would add to the text; empty where typing cannot add it."""
        ids, probabilities = candidates(following, temperature=settled(temperature), banned=self.banned, count=count)
        tokens = typed.tokens
        return [
            {
                "token": self.vocabulary.id_to_token(int(i)),
                "text": self.end_text(typed) if i == self.end_id else self.added([int(i)], typed, tokens),
                "probability": round(float(p), 6),
            }
            for i, p in zip(ids, probabilities)
        ]

    def end_text(self, typed: Typed) -> str:
        """What ends the last sentence of a text when it is typed; empty where that takes more than a blank."""
        mark = "\n" if self.vocabulary.text.sentences == "line" else " "
        pieces, _ = tokenize_incomplete_text(typed.text + mark, self.vocabulary, self.model.end_id)
        return mark if len(pieces) > len(typed.pieces) else ""

    def added(self, ids: Sequence[int], typed: Typed, tokens: Sequence[str]) -> str:
        """The text that `ids` add, ends of sentences left out."""
        new = [self.vocabulary.id_to_token(i) for i in ids if i != self.end_id]
        return text_to_append(new, typed.text, tokens, self.vocabulary.text)

    def sampling(self, typed: Typed, *, num_samples: int, max_tokens: int, seed: int, **config: Any) -> list[Column]:
        """Columns that continue a text; `config` as of `GenerationConfig`. Sample i depends on (seed, i) alone."""
        config["temperature"] = settled(config["temperature"])
        rules = Rules(GenerationConfig(**config), end_id=self.end_id, banned=self.banned)
        return [
            sampled(typed.ids, rules=rules, rng=np.random.default_rng([seed, i]), max_tokens=max_tokens,
                    is_end_passed=True, **self.reading)
            for i in range(num_samples)
        ]  # fmt: skip

    def texts(self, typed: Typed, samples: Sequence[Sequence[int]]) -> list[str]:
        """The continuations that `sampling` found."""
        tokens = typed.tokens
        return [self.added(ids, typed, tokens) for ids in samples]


def settled(temperature: float) -> float:
    """The temperature, 0 where it is next to it."""
    return temperature if temperature >= COLDEST else 0.0


def warm_up(step: Callable[..., Any], initial_state: Callable[[int], Any], vocab_size: int) -> None:
    """Call `step` with all batch sizes that it will have, since XLA compiles it for each.

    Raises
    ------
    UserError
        The model's outputs are not numbers.
    """
    for width in WIDTHS:
        log_probabilities = np.asarray(step(np.zeros(width, np.int32), *initial_state(width))[0])
        if log_probabilities.shape != (width, vocab_size) or not np.isfinite(log_probabilities).all():
            raise UserError("the model's outputs are not finite numbers: its training has diverged")
