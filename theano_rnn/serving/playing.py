"""Scoring and continuing texts for the web page and the JSON interface of ``serve``, with plain values in and out.

Each operation has three parts: tokenize the text, run requests in `request_batching`, and turn their results into an
answer. Only the second part uses the model; the others may run in any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.prompts import Prompt
from theano_rnn.generation.search import TokenRules
from theano_rnn.generation.texts import SampleWriter
from theano_rnn.language_model import LanguageModel
from theano_rnn.serving.model_requests import TextScore, next_token_candidates, sample_request, score_request
from theano_rnn.serving.request_batching import BATCH_SIZES, ModelRequest
from theano_rnn.settings.base import UserError
from theano_rnn.settings.use import GenerationConfig, effective_temperature
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


class TokenizedText(NamedTuple):
    """A text and its tokens; `rest` holds the blanks after the last token."""

    text: str
    pieces: list[Piece]
    rest: str

    @property
    def ids(self) -> list[int]:
        return [piece.id for piece in self.pieces]

    @property
    def tokens(self) -> list[str]:
        """The typed tokens, without ends of sentences."""
        return [piece.token for piece in self.pieces if not piece.is_end]


class Samples(NamedTuple):
    """Continuations of a prompt: requests to the model, and what turns their results into text."""

    writers: Sequence[SampleWriter]
    requests: Sequence[ModelRequest]

    def texts(self, found: Sequence[Sequence[int]]) -> list[str]:
        """Returns the continuations, without the prompt, given the results of the requests."""
        return ["".join(writer.appended(ids, writer.context)) for writer, ids in zip(self.writers, found)]


def check_length(num_tokens: int) -> None:
    """Raises `UserError` if a text has too many tokens."""
    if num_tokens > LIMITS["tokens"]:
        raise UserError(f"the text must have at most {LIMITS['tokens']:,} tokens, got {num_tokens:,}")


class ServedModel:
    """A language model as the page and the JSON interface use it.

    Parameters
    ----------
    model
    name
        The name that is shown for it.
    """

    def __init__(self, model: LanguageModel, name: str) -> None:
        self.model, self.vocabulary = model, model.vocabulary
        self.name = name.encode("utf-8", "replace").decode()  # names of files need not be UTF-8, answers must
        self.unit, has_sentences = self.vocabulary.text.unit, self.vocabulary.text.has_sentences
        reset_id = model.end_id if model.training.batching == "sentences" else None
        self.input_options: dict[str, Any] = {"start_id": model.start_id, "reset_id": reset_id}
        self.banned = [self.vocabulary.unk_id] + ([] if has_sentences else [self.vocabulary.eos_id])
        self.end_id = self.vocabulary.eos_id if has_sentences else None  # of a sample

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

    def tokenize(self, text: str) -> TokenizedText:
        """Split a text into the tokens that the model reads.

        Raises
        ------
        UserError
            It has too many tokens.
        """
        pieces, rest = tokenize_incomplete_text(text, self.vocabulary, self.model.end_id)
        check_length(len(pieces))
        return TokenizedText(text, pieces, rest)

    def score_request(self, text: TokenizedText) -> ModelRequest:
        """Request that scores a text."""
        return score_request(text.ids, num_guesses=NUM_GUESSES, **self.input_options)

    def score_answer(
        self, text: TokenizedText, score: TextScore, *, temperature: float, num_candidates: int
    ) -> dict[str, Any]:
        """Returns the answer for a scored text: log-probabilities of its tokens in nats, and likely next tokens."""
        name, unk_id = self.vocabulary.id_to_token, self.vocabulary.unk_id
        total = float(score.log_probabilities.sum())
        pieces = [
            {
                "text": piece.text,
                "token": piece.token,
                "is_unknown": piece.id == unk_id,
                "log_probability": round(float(log_probability), 6),
                "guesses": [[name(int(i)), round(float(p), 6)] for i, p in zip(ids, probabilities)],
            }
            for piece, log_probability, ids, probabilities in zip(
                text.pieces, score.log_probabilities, score.guesses, np.exp(score.guess_log_probabilities)
            )
        ]
        return {
            "pieces": pieces,
            "rest": text.rest,
            "total": round(total, 6),
            "perplexity": math.exp(min(-total / len(pieces), 700.0)) if pieces else None,
            "unknown": sum(piece.id == unk_id for piece in text.pieces),
            "candidates": self.candidates(text, score.next_log_probabilities, temperature, num_candidates),
        }

    def candidates(
        self, text: TokenizedText, log_probabilities: Any, temperature: float, count: int
    ) -> list[dict[str, Any]]:
        """Returns the likeliest next tokens and the text that each appends, empty if typing cannot append it."""
        ids, probabilities = next_token_candidates(
            log_probabilities, temperature=effective_temperature(temperature), banned=self.banned, count=count
        )
        tokens = text.tokens
        return [
            {
                "token": self.vocabulary.id_to_token(int(i)),
                "text": self.end_text(text) if i == self.end_id else self.appended_text(int(i), text, tokens),
                "probability": round(float(p), 6),
            }
            for i, p in zip(ids, probabilities)
        ]

    def end_text(self, text: TokenizedText) -> str:
        """Returns the blank or line break that ends the last sentence, or "" if more than that must be typed."""
        mark = "\n" if self.vocabulary.text.sentences == "line" else " "
        pieces, _ = tokenize_incomplete_text(text.text + mark, self.vocabulary, self.model.end_id)
        return mark if len(pieces) > len(text.pieces) else ""

    def appended_text(self, number: int, text: TokenizedText, tokens: Sequence[str]) -> str:
        """Returns the text that a token appends."""
        return text_to_append([self.vocabulary.id_to_token(number)], text.text, tokens, self.vocabulary.text)

    def read_prompt(self, text: str) -> Prompt:
        """Split a prompt into tokens.

        Raises
        ------
        UserError
            It has too many tokens.
        """
        prompt = self.model.read_prompt(text)
        check_length(len(prompt.pieces))
        return prompt

    def samples(
        self, prompt: Prompt, *, num_samples: int, max_tokens: int, length: int | None, seed: int, **config: Any
    ) -> Samples:
        """Samples of `LanguageModel.generate`, to be run. `config` is as of `GenerationConfig`."""
        config["temperature"] = effective_temperature(config["temperature"])
        settings = GenerationConfig(length=length, **config)
        rules = TokenRules(settings, end_id=self.end_id, banned=self.banned)
        writers = [SampleWriter(prompt, self.vocabulary, settings, [seed, i]) for i in range(num_samples)]
        return Samples(writers, [
            sample_request(prompt.ids, rules=rules, rng=np.random.default_rng(writer.seed),
                           max_tokens=max_tokens if length is None else length, goes_on=writer.goes_on,
                           **self.input_options)
            for writer in writers
        ])  # fmt: skip


def warm_up(step: Callable[..., Any], initial_state: Callable[[int], Any], vocab_size: int) -> None:
    """Call `step` once with each of `BATCH_SIZES`, so that XLA compiles all of them before the first request.

    Raises
    ------
    UserError
        The model's outputs are not finite numbers.
    """
    for batch_size in BATCH_SIZES:
        log_probabilities = np.asarray(step(np.zeros(batch_size, np.int32), *initial_state(batch_size))[0])
        if log_probabilities.shape != (batch_size, vocab_size) or not np.isfinite(log_probabilities).all():
            raise UserError("the model's outputs are not finite numbers, because its training diverged: train it again "
                            "with a smaller --learning-rate")  # fmt: skip
