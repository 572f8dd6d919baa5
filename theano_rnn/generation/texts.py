"""Text generation with a model: encode the prompt, generate ids with `generation.search`, and detokenize them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.generation.search import beam_search, generate, generate_stepwise
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenized_pieces, sentence_splitter, word_tokenizer

DEFAULT_MAX_TOKENS = {"word": 60, "char": 300}


def prompt_ids(prompt: str, vocabulary: Vocabulary) -> tuple[list[int], list[str]]:
    """Tokenize a prompt like the training text. Returns its ids, and its tokens that are not in the vocabulary."""
    text = vocabulary.text
    tokenize, prompt = word_tokenizer(text), normalize(prompt, text)
    pieces = [prompt] if text.unit == "char" else sentence_splitter(text)(prompt)
    tokens = [token for piece in pieces for token in tokenize(piece)]
    return [int(i) for i in vocabulary.encode(tokens)], [token for token in tokens if token not in vocabulary]


def until_stop(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield the text of `pieces` up to the first of `stops`, holding back text that may be the start of a stop.

    >>> "".join(until_stop(["to ", "be", " o", "r not"], ["or"])), list(until_stop("abcab", ["abd"]))
    ('to be ', ['a', 'b', 'c', 'ab'])
    """
    held = ""
    longest = max(map(len, stops), default=1)
    for piece in pieces:
        held += piece
        places = [place for place in map(held.find, stops) if place >= 0]
        if places:
            held = held[: min(places)]
            break
        safe = len(held) - (longest - 1)
        if safe > 0:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


class TextGenerator:
    """Writes texts with a model.

    Parameters
    ----------
    step
        The model's step function, as of `Functions`.
    initial_state
        ``initial_state(batch_size)``, the model's zero state.
    vocabulary
    start
        The start id, read before the first token.
    config
        How tokens are chosen. If its `max_tokens` is None, the limit is 60 words or 300 characters.
    """

    def __init__(
        self, step: Any, initial_state: Any, vocabulary: Vocabulary, *, start: int, config: GenerationConfig
    ) -> None:
        self.step, self.initial_state, self.vocabulary, self.start = step, initial_state, vocabulary, start
        self.config = config
        unit, banned = vocabulary.text.unit, [] if config.allow_unknown else [vocabulary.unk_id]
        default = max(DEFAULT_MAX_TOKENS[unit], config.min_tokens)
        self.options: dict[str, Any] = {
            "end_id": vocabulary.eos_id if unit == "word" else None,
            "max_tokens": default if config.max_tokens is None else config.max_tokens,
            "banned": banned if unit == "word" else [*banned, vocabulary.eos_id],
            "config": config,
        }

    def samples(self, prompt: Sequence[int], num_samples: int, *, seed: Sequence[int], first: int = 0) -> list[str]:
        """Sample texts that begin with the prompt, in one batch; sample i depends on ``(*seed, first + i)`` alone."""
        found = generate(
            self.step, self.initial_state(num_samples), prompt=[self.start, *prompt],
            rngs=[np.random.default_rng([*seed, first + i]) for i in range(num_samples)],
            is_complete=(lambda ids: self.is_stopped(prompt, ids)) if self.config.stop else None, **self.options,
        )  # fmt: skip
        return ["".join(self.pieces(prompt, ids)) for ids in found]

    def live(self, prompt: Sequence[int], *, seed: Sequence[int], number: int = 0) -> Iterator[str]:
        """Yield sample number `number` of `samples` piece by piece, as soon as each is generated."""
        turns = generate_stepwise(
            self.step, self.initial_state(1), prompt=[self.start, *prompt],
            rngs=[np.random.default_rng([*seed, number])], **self.options,
        )  # fmt: skip
        yield from self.pieces(prompt, (token for (token,) in turns if token is not None))

    def best(self, prompt: Sequence[int], num_best: int) -> list[tuple[float, str]]:
        """Search for the likeliest texts by beam search. Returns pairs of score and text, best first."""
        found = beam_search(self.step, self.initial_state(self.config.beam_size), prompt=[self.start, *prompt],
                            num_best=num_best, **self.options)  # fmt: skip
        return [(hypothesis.score, "".join(self.pieces(prompt, hypothesis.ids))) for hypothesis in found]

    def pieces(self, prompt: Sequence[int], ids: Iterable[int]) -> Iterator[str]:
        """Detokenize the prompt and the ids after it, up to a stop. Yields text as soon as it is certain."""
        tokens = map(self.vocabulary.id_to_token, itertools.chain(prompt, ids))
        pieces = detokenized_pieces(tokens, self.vocabulary.text)
        yield from itertools.islice(pieces, len(prompt))
        yield from until_stop(pieces, self.config.stop)

    def is_stopped(self, prompt: Sequence[int], ids: Sequence[int]) -> bool:
        """Returns whether the text after the prompt contains a stop.

        It is called after each token, so for speed it first checks the last few tokens alone.
        """
        near = 2 * max(map(len, self.config.stop)) + 8
        return self.has_stop((), ids[-near:]) and self.has_stop(prompt, ids)

    def has_stop(self, prompt: Sequence[int], ids: Sequence[int]) -> bool:
        pieces = detokenized_pieces(self.vocabulary.decode([*prompt, *ids]), self.vocabulary.text)
        text = "".join(itertools.islice(pieces, len(prompt), None))
        return any(stop in text for stop in self.config.stop)
