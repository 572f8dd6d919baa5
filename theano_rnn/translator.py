"""Use a trained translator: translate lines, score given translations, and show what each target word attends to.

translator = Translator("runs/en-de.safetensors")
[each.text for each in translator.translate(["A dog is running.", "It is late."])]
translator.score("A dog is running.", "Ein Hund rennt.")
translator.attention("A dog is running.").weights

The commands use this class. `stream` translates any number of lines in constant memory. A line is one sentence, split
into tokens as in training; its translation does not depend on the other lines.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.batched_search import SearchRules, num_proposals
from theano_rnn.generation.translating import padded_length, translate
from theano_rnn.settings.base import UserError
from theano_rnn.settings.translation import SearchConfig
from theano_rnn.tasks.pair_batches import PairBatches, Pairs
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.tasks.translate import banned_ids
from theano_rnn.text.parallel_sources import line_tokenizer
from theano_rnn.text.pools import pools
from theano_rnn.text.spacing import without_marks
from theano_rnn.text.vocabulary import EOS, Vocabulary
from theano_rnn.text.words import detokenize

BATCH_SIZE = 32  # of pairs that are scored
MAX_ATTENTION_TOKENS = 1 << 11  # of each side
DIVERGED = ("the model's outputs are not numbers, because its training diverged: train it again with a smaller "
            "--learning-rate")  # fmt: skip


class Translation(NamedTuple):
    """A translation. `log_probability` is ln P(text | source) with its end, in nats; `score` is what ranks it.

    `ids` are its tokens in the target vocabulary, without the end.
    """

    text: str
    log_probability: float
    score: float
    ids: tuple[int, ...]


class Translated(NamedTuple):
    """A source line and its translations, the best first; a blank line has none.

    `num_tokens` and `num_unknown` count the tokens of the source, and those that are not in the vocabulary.
    """

    source: str
    translations: list[Translation]
    num_tokens: int
    num_unknown: int

    @property
    def text(self) -> str:
        """The best translation; "" for a blank line."""
        return self.translations[0].text if self.translations else ""


class Attention(NamedTuple):
    """How much each target token attends to each source token when it is chosen: float64 (target, source) `weights`.

    Both sides end with ``</s>``. A row sums to 1. The source has the tokens of the line, in the vocabulary or not.
    """

    source: list[str]
    target: list[str]
    weights: Any


class PairScore(NamedTuple):
    """ln P(target | source) in nats with the end of the target; its number of tokens with the end; unknown ones."""

    log_probability: float
    num_tokens: int
    num_unknown: int


class Translator(TrainedModel):
    """A trained translator, with the best parameters and the vocabularies of its checkpoint.

    Parameters
    ----------
    path
        The checkpoint.
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
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(path, task="translate", engine=engine, device=device, compiler=compiler)
        self.vocabulary: Vocabulary = self.checkpoint.facts["vocabulary"]
        self.source_vocabulary: Vocabulary = self.checkpoint.facts["source_vocabulary"]
        self.split_source = line_tokenizer(self.source_vocabulary)
        self.split_target = line_tokenizer(self.vocabulary)

    def translate(
        self,
        lines: Sequence[str],
        num_best: int = 1,
        *,
        beam_size: int | None = None,
        length_power: float = SearchConfig.length_power,
        no_repeat_ngram_size: int = SearchConfig.no_repeat_ngram_size,
    ) -> list[Translated]:
        """Returns each line with its `num_best` best translations.

        Parameters
        ----------
        lines
        num_best
        beam_size
            The number of hypotheses; by default 5, or `num_best` if that is larger. 1 takes the likeliest word at each
            step.
        length_power
            Translations are ranked by ``log P / length ** length_power``.
        no_repeat_ngram_size
            Never repeat a sequence of this many tokens; 0: no such rule.

        Raises
        ------
        UserError
            A setting is out of range.
        """
        width = max(SearchConfig.beam_size, num_best) if beam_size is None else beam_size
        config = SearchConfig(width, num_best, length_power, no_repeat_ngram_size)
        return list(self.stream(lines, config))

    def stream(self, lines: Iterable[str | None], config: SearchConfig | None = None) -> Iterator[Translated]:
        """Yields each line with its translations, in order. Reads at most 1,600 lines ahead.

        None among the lines means that the next one has not arrived yet: the results of those before it come first.
        """
        config = config or SearchConfig()
        rules = SearchRules(config.beam_size, config.nbest, config.length_power, config.no_repeat_ngram_size)
        for pool in pools(lines):
            sources = list(map(self.source_ids, pool))
            found = self.search([ids for ids in sources if len(ids)], rules)
            for line, ids in zip(pool, sources):
                unknown = int((ids == self.source_vocabulary.unk_id).sum())
                translations = next(found) if len(ids) else []
                yield Translated(line, translations, max(len(ids) - 1, 0), unknown)

    def search(self, sources: Sequence[Any], rules: SearchRules) -> Iterator[list[Translation]]:
        """Yields the translations of each source, an int32 array with its end."""
        vocabulary = self.vocabulary
        for hypotheses in translate(
            self.search_functions(rules.beam_size), sources, start_id=vocabulary.bos_id, end_id=vocabulary.eos_id,
            source_pad_id=self.source_vocabulary.pad_id, vocab_size=vocabulary.vocab_size,
            banned_ids=banned_ids(self.checkpoint.facts), rules=rules, dtype=self.model.config.dtype,
        ):  # fmt: skip
            yield [
                Translation(detokenize(vocabulary.decode(each.ids), vocabulary.text), each.log_probability, each.score,
                            each.ids)
                for each in hypotheses
            ]  # fmt: skip

    def search_functions(self, beam_size: int) -> Callable[[str], Any]:
        """Returns a function that returns the compiled ``encode`` and ``search_step`` for a beam of this size."""
        name = f"search_step {beam_size}"
        if name not in self.functions:
            self.model.num_top = num_proposals(beam_size)
            self.functions[name] = self.compile("search_step")

        def checked_step(*arguments: Any) -> list[Any]:
            results: list[Any] = self.functions[name](*arguments)
            if np.isnan(np.asarray(results[0])).any():
                raise UserError(DIVERGED)
            return results

        return lambda wanted: checked_step if wanted == "search_step" else self.function(wanted)

    def source_ids(self, line: str) -> Any:
        """Returns the ids of a source line with its end, int32; none if it is blank."""
        return with_end(self.source_vocabulary, self.split_source(line))

    def target_ids(self, line: str) -> Any:
        """Returns the ids of a target line with its end, int32; only the end if it is blank."""
        ids = with_end(self.vocabulary, self.split_target(line))
        return ids if len(ids) else np.array([self.vocabulary.eos_id], np.int32)

    def score(self, source: str, target: str) -> float:
        """Returns ln P(target | source), in nats, with the end of the target.

        Raises
        ------
        UserError
            The source is blank.
        """
        (found,) = self.scores([(source, target)])
        if found is None:
            raise UserError("the source is blank, so no translation can be scored: give a sentence")
        return found.log_probability

    def scores(self, pairs: Iterable[tuple[str, str]]) -> Iterator[PairScore | None]:
        """Yields the score of each pair of a source and a target line; None if the source is blank."""
        for pool in pools(pairs):
            sources, targets = [self.source_ids(each) for each, _ in pool], [self.target_ids(each) for _, each in pool]
            places = [place for place, ids in enumerate(sources) if len(ids)]
            values = self.log_probabilities([sources[i] for i in places], [targets[i] for i in places])
            found: list[PairScore | None] = [None] * len(pool)
            for place, value in zip(places, values):
                unknown = int((targets[place] == self.vocabulary.unk_id).sum())
                found[place] = PairScore(float(value), len(targets[place]), unknown)
            yield from found

    def log_probabilities(self, sources: Sequence[Any], targets: Sequence[Any]) -> Any:
        """Returns ln P(target | source) of each pair of ids, float64 (pairs,)."""
        found = np.zeros(len(sources))
        if not len(sources):
            return found
        source_lengths, target_lengths = (np.array(list(map(len, side)), np.int64) for side in (sources, targets))
        pairs = Pairs(np.concatenate(sources), np.concatenate(targets), source_lengths, target_lengths,
                      np.arange(len(sources)))  # fmt: skip
        batches = PairBatches(
            pairs, batch_size=BATCH_SIZE, start_id=self.vocabulary.bos_id, pad_id=self.vocabulary.pad_id,
            source_pad_id=self.source_vocabulary.pad_id, dtype=self.model.config.dtype,
        )  # fmt: skip
        loss = self.function("loss")
        for batch in map(batches.batch, range(len(batches))):
            (losses,) = loss(*batch.arrays)
            sums = np.asarray(losses, np.float64).sum(axis=0)[: len(batch.numbers)]
            if np.isnan(sums).any():
                raise UserError(DIVERGED)
            found[batch.numbers] = -sums
        return found

    def attention(self, source: str, target: str | Translation | None = None) -> Attention:
        """Returns what each token of a target attends to; by default of the best translation.

        Raises
        ------
        UserError
            The source is blank, or a side is too long.
        """
        names = [*self.split_source(source), EOS]
        if len(names) == 1:
            raise UserError("the source is blank, so there is no attention to show: give a sentence")
        if target is None:
            target = self.translate([source])[0].translations[0]
        if isinstance(target, Translation):
            ids = np.array([*target.ids, self.vocabulary.eos_id], np.int32)
            target_names = [*self.vocabulary.decode(ids[:-1]), EOS]
        else:
            ids, target_names = self.target_ids(target), [*self.split_target(target), EOS]
        if max(len(names), len(ids)) > MAX_ATTENTION_TOKENS:
            raise UserError(f"attention can be shown for at most {MAX_ATTENTION_TOKENS:,} tokens, got "
                            f"{max(len(names), len(ids)):,}: shorten the sentence")  # fmt: skip
        steps, dtype = padded_length(max(len(names), len(ids))), self.model.config.dtype
        arrays = []
        for given, pad_id in ((self.source_ids(source), self.source_vocabulary.pad_id),
                              ([self.vocabulary.bos_id, *ids[:-1]], self.vocabulary.pad_id)):  # fmt: skip
            padded, mask = np.full((steps, 1), pad_id, np.int32), np.zeros((steps, 1), dtype)
            padded[: len(given), 0], mask[: len(given), 0] = given, 1
            arrays += [padded, mask]
        (weights,) = self.function("attention")(*arrays)
        source_names, target_names = (list(map(without_marks, tokens)) for tokens in (names, target_names))
        return Attention(source_names, target_names, np.asarray(weights, np.float64)[: len(ids), 0, : len(names)])


def with_end(vocabulary: Vocabulary, tokens: Sequence[str]) -> Any:
    """Returns the ids of the tokens and of the end, int32; none if there are no tokens."""
    ids = [*map(vocabulary.token_to_id, tokens), vocabulary.eos_id] if tokens else []
    return np.array(ids, np.int32)
