"""Text generation with a model: read the prompt, generate ids with `generation.search`, and write them as text."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.generation.prompts import Prompt
from theano_rnn.generation.search import beam_search, generate, generate_stepwise
from theano_rnn.settings.base import UserError
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.paragraphs import PlaceInParagraph
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenized_pieces

MAX_TOKENS = 300  # of a text
MAX_SENTENCE_TOKENS = 60  # for each of the sentences asked for


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
        How tokens are chosen, and where a text ends.
    restarts
        Whether the model reads the start id, with a zero state, after each sentence: it has learned sentences one by
        one.

    Raises
    ------
    UserError
        `config` asks for a number of sentences, but the model writes characters.
    """

    def __init__(
        self,
        step: Any,
        initial_state: Any,
        vocabulary: Vocabulary,
        *,
        start: int,
        config: GenerationConfig,
        restarts: bool = False,
    ) -> None:
        self.step, self.initial_state, self.vocabulary, self.start = step, initial_state, vocabulary, start
        self.config, self.restarts = config, restarts
        has_sentences = vocabulary.text.has_sentences
        if config.num_sentences is not None and not has_sentences:
            raise UserError("num_sentences needs a model of words; this one writes characters: use --length")
        self.end_id = vocabulary.eos_id if has_sentences else None
        banned = [] if config.allow_unknown else [vocabulary.unk_id]
        self.options: dict[str, Any] = {
            "end_id": self.end_id, "config": config, "max_tokens": self.max_tokens(),
            "banned": banned if has_sentences else [*banned, vocabulary.eos_id],
        }  # fmt: skip

    def max_tokens(self) -> int:
        """Returns the largest number of tokens in a text."""
        config = self.config
        if config.length is not None:
            return config.length
        if config.max_tokens is not None:
            return config.max_tokens
        most = MAX_TOKENS if config.num_sentences is None else MAX_SENTENCE_TOKENS * config.num_sentences
        return max(most, config.min_tokens)

    def read_ids(self, prompt: Prompt) -> list[int]:
        """Returns the ids that the model reads before the first new token."""
        ids = prompt.ids
        if self.restarts and self.end_id in ids:
            del ids[: len(ids) - ids[::-1].index(self.end_id)]
        return [self.start, *ids]

    def samples(self, prompt: Prompt, num_samples: int, *, seed: Sequence[int], first: int = 0) -> list[str]:
        """Sample texts that begin with the prompt, in one batch; sample i depends on ``(*seed, first + i)`` alone."""
        writers = [SampleWriter(prompt, self.vocabulary, self.config, [*seed, first + i]) for i in range(num_samples)]
        found = generate(
            self.step, self.initial_state(num_samples),
            is_complete=(lambda i, ids: writers[i].is_stopped(ids)) if self.config.stop else None,
            **self.sampling_options(prompt, writers),
        )  # fmt: skip
        return ["".join(writer.pieces(ids)) for writer, ids in zip(writers, found)]

    def live(self, prompt: Prompt, *, seed: Sequence[int], number: int = 0) -> Iterator[str]:
        """Yield sample number `number` of `samples` piece by piece, as soon as each is generated."""
        writer = SampleWriter(prompt, self.vocabulary, self.config, [*seed, number])
        turns = generate_stepwise(self.step, self.initial_state(1), **self.sampling_options(prompt, [writer]))
        yield from writer.pieces(token for (token,) in turns if token is not None)

    def sampling_options(self, prompt: Prompt, writers: Sequence[SampleWriter]) -> dict[str, Any]:
        """Returns the arguments of `generate`, except the step and the state."""
        options = {
            "prompt": self.read_ids(prompt), "rngs": [np.random.default_rng(writer.seed) for writer in writers],
            "restart_id": self.start if self.restarts else None,
        }  # fmt: skip
        if self.end_id is not None:  # the writers see to it that a text is long enough
            options |= {"goes_on": lambda i, ids: writers[i].goes_on(ids),
                        "config": dataclasses.replace(self.config, min_tokens=0)}  # fmt: skip
        return self.options | options

    def best(self, prompt: Prompt, num_best: int) -> list[tuple[float, str]]:
        """Search for the likeliest sentences, or ends of the prompt's sentence, by beam search.

        Returns pairs of score and text, best first.
        """
        found = beam_search(self.step, self.initial_state(self.config.beam_size), prompt=self.read_ids(prompt),
                            num_best=num_best, **self.options)  # fmt: skip
        writer = SampleWriter(prompt, self.vocabulary, self.config, [0])
        return [(hypothesis.score, "".join(writer.pieces(hypothesis.ids))) for hypothesis in found]


class SampleWriter:
    """Turns the ids of one sample into text, and decides after each sentence whether the sample continues.

    Where paragraphs end is drawn with the vocabulary's rates, from random numbers other than those of the tokens.

    Parameters
    ----------
    prompt, vocabulary, config
    seed
        The seed of the sample's tokens.
    """

    def __init__(self, prompt: Prompt, vocabulary: Vocabulary, config: GenerationConfig, seed: Sequence[int]) -> None:
        self.prompt, self.vocabulary, self.config, self.seed = prompt, vocabulary, config, seed
        self.by_line = vocabulary.text.sentences == "line"
        self.end_id = vocabulary.eos_id if vocabulary.text.has_sentences else None
        self.context = prompt.last_paragraph
        self.place = PlaceInParagraph(vocabulary.paragraph_ends or {}, vocabulary.text.unit)
        for token in self.context:
            self.place.read(token)
        self.rng = np.random.default_rng([*seed, 1])
        self.breaks: list[bool] = []  # for each end of a sentence: does a paragraph end with it?
        self.num_seen = self.num_sentences = 0  # ids that `goes_on` has seen, and their sentences
        self.is_within = bool(prompt.pieces and prompt.pieces[-1].text)  # a sentence that has not ended

    def goes_on(self, ids: Sequence[int]) -> bool:
        """Returns whether the sample continues after the sentence that ends with the last of `ids`."""
        for token in ids[self.num_seen :]:
            self.place.read(self.vocabulary.id_to_token(token))
        is_new = len(ids) > self.num_seen  # else it is the prompt's last sentence that ends here, or an empty one
        counts = is_new or (self.by_line and self.is_within)
        is_break = counts and (self.by_line or self.rng.random() < self.place.end_rate())
        if is_break:
            self.place.end_paragraph()
        self.breaks.append(is_break)
        self.num_seen, self.is_within = len(ids) + 1, False
        self.num_sentences += counts
        if self.config.length is not None or not counts or len(ids) < self.config.min_tokens:
            return True
        if self.config.num_sentences is not None:
            return self.num_sentences < self.config.num_sentences
        return not is_break

    def pieces(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the prompt and the text of `ids` up to a stop, each piece as soon as it is certain."""
        yield self.prompt.text
        yield from until_stop(self.appended(ids, self.context), self.config.stop)

    def appended(self, ids: Iterable[int], context: Sequence[str] = (), num_ends: int = 0) -> Iterator[str]:
        """Yield the text that `ids` append to the prompt.

        `context`: the tokens before them in the same paragraph. `num_ends`: ends of sentences before them.
        """
        remaining, is_over = iter(ids), False
        has_text, mark = bool(self.prompt.text), ""
        has_blank = self.end_id is not None and self.prompt.text[-1:].isspace()

        def paragraph() -> Iterator[str]:
            nonlocal is_over, num_ends
            yield from context
            for token in remaining:
                if token != self.end_id:
                    yield self.vocabulary.id_to_token(token)
                    continue
                num_ends += 1
                if self.breaks[num_ends - 1]:
                    return
            is_over = True

        while not is_over:
            pieces = itertools.islice(detokenized_pieces(paragraph(), self.vocabulary.text), len(context), None)
            for piece in pieces:
                yield mark + (piece.lstrip() if mark or has_blank else piece)
                has_text, has_blank, mark = True, False, ""
            context = ()
            if has_text:
                mark = "\n" if self.by_line else "\n\n"

    def is_stopped(self, ids: Sequence[int]) -> bool:
        """Returns whether the text of `ids` contains a stop.

        It is called after each token, so for speed it first checks the last few tokens alone.
        """
        recent = ids[-4 * max(map(len, self.config.stop)) - 8 :]  # a character may be four bytes
        num_before = len(self.breaks) - recent.count(self.end_id) if self.end_id is not None else 0
        return self.has_stop(self.appended(recent, num_ends=num_before)) and self.has_stop(
            self.appended(ids, self.context)
        )

    def has_stop(self, pieces: Iterable[str]) -> bool:
        text = "".join(pieces)
        return any(stop in text for stop in self.config.stop)
