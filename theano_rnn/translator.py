"""Use a trained translator: translate lines, score given translations, and show what each target word attends to.

translator = Translator("runs/en-de.safetensors")
[each.text for each in translator.translate(["A dog is running.", "It is late."])]
translator.score("A dog is running.", "Ein Hund rennt.")
translator.attention("A dog is running.").weights

`Translator(path, ensemble=[...], lm=...)` searches with several translators and a language model. The commands use
this class. `stream` translates any number of lines in constant memory. A line is one sentence, split
into tokens as in training; its translation does not depend on the other lines.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.hypotheses import Hypothesis, SearchRules
from theano_rnn.settings.base import UserError
from theano_rnn.settings.translation import SearchConfig
from theano_rnn.tasks.fused_language_model import FusedLanguageModel
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.tasks.translator_ensemble import TranslatorEnsemble
from theano_rnn.text.parallel_sources import line_tokenizer
from theano_rnn.text.pools import pools
from theano_rnn.text.spacing import without_marks
from theano_rnn.text.vocabulary import EOS, Vocabulary
from theano_rnn.text.words import detokenize

VOCABULARIES = ("vocabulary", "source_vocabulary")
MAX_ATTENTION_TOKENS = 1 << 11  # of each side


class Translation(NamedTuple):
    """A translation. `log_probability` is ln P(text | source) with its end, in nats; `score` is what ranks it.

    `ids` are its tokens in the target vocabulary, without the end. `lm_log_probability` is ln P(text) of the language
    model, if one took part; `coverage` is the coverage penalty.
    """

    text: str
    log_probability: float
    score: float
    ids: tuple[int, ...]
    lm_log_probability: float | None = None
    coverage: float = 0.0


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
    ensemble
        The checkpoints of further translators with the same vocabularies. Log-probabilities are then the mean of those
        of all translators, and attention is the mean of their weights.
    lm : optional
        The checkpoint of a language model with the target vocabulary, which helps to search.
    engine, device, compiler
        As for `TrainedModel`.

    Raises
    ------
    UserError
        A checkpoint was trained for another task, has another vocabulary, or is not a checkpoint.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ensemble: Sequence[str | os.PathLike[str]] = (),
        lm: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        options: dict[str, Any] = {"engine": engine, "device": device, "compiler": compiler}
        super().__init__(path, task="translate", **options)
        self.vocabulary: Vocabulary = self.checkpoint.facts["vocabulary"]
        self.source_vocabulary: Vocabulary = self.checkpoint.facts["source_vocabulary"]
        self.split_source = line_tokenizer(self.source_vocabulary)
        self.split_target = line_tokenizer(self.vocabulary)
        others = [TrainedModel(each, task="translate", **options) for each in ensemble]
        for each, other in zip(ensemble, others):
            if any(other.checkpoint.facts[name] != self.checkpoint.facts[name] for name in VOCABULARIES):
                raise UserError(f"{each} has other vocabularies than {path}: an ensemble needs translators that were "
                                "trained on the same pairs")  # fmt: skip
        fused = None if lm is None else FusedLanguageModel(lm, self.vocabulary, path, **options)
        self.ensemble = TranslatorEnsemble([self, *others], fused)

    def translate(
        self,
        lines: Sequence[str],
        num_best: int = 1,
        *,
        beam_size: int | None = None,
        length_power: float = SearchConfig.length_power,
        no_repeat_ngram_size: int = SearchConfig.no_repeat_ngram_size,
        coverage: float = SearchConfig.coverage,
        copy_unknown: bool = SearchConfig.copy_unknown,
        lm_weight: float | None = None,
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
        coverage
            The weight of the penalty for parts of the source that were hardly looked at; 0: none.
        copy_unknown
            Allow unknown words, and replace each by the source word that it attends to most.
        lm_weight
            The weight of the log-probability of the language model; by default 0.1.

        Raises
        ------
        UserError
            A setting is out of range, or there is a weight but no language model.
        """
        if lm_weight is not None and self.ensemble.language_model is None:
            raise UserError(f"lm_weight {lm_weight} needs a language model: open Translator(path, lm=...)")
        config = SearchConfig(
            max(SearchConfig.beam_size, num_best) if beam_size is None else beam_size, num_best, length_power,
            no_repeat_ngram_size, coverage, SearchConfig.lm_weight if lm_weight is None else lm_weight, copy_unknown,
        )  # fmt: skip
        return list(self.stream(lines, config))

    def stream(self, lines: Iterable[str | None], config: SearchConfig | None = None) -> Iterator[Translated]:
        """Yields each line with its translations, in order. Reads at most 1,600 lines ahead.

        None among the lines means that the next one has not arrived yet: the results of those before it come first.
        """
        config = config or SearchConfig()
        if config.copy_unknown and self.vocabulary.text.unit == "subword":
            raise UserError("a translator of subwords can write every word, so there are none to copy: leave "
                            "--copy-unknown (copy_unknown) out")  # fmt: skip
        rules = SearchRules(config.beam_size, config.nbest, config.length_power, config.no_repeat_ngram_size,
                            config.coverage)  # fmt: skip
        for pool in pools(lines):
            sources = list(map(self.source_ids, pool))
            found = self.ensemble.search([ids for ids in sources if len(ids)], rules, lm_weight=config.lm_weight,
                                         may_be_unknown=config.copy_unknown)  # fmt: skip
            for line, ids in zip(pool, sources):
                unknown = int((ids == self.source_vocabulary.unk_id).sum())
                translations = [self.translation(each, line, ids) for each in next(found)] if len(ids) else []
                yield Translated(line, translations, max(len(ids) - 1, 0), unknown)

    def translation(self, found: Hypothesis, source: str, source_ids: Any) -> Translation:
        """Returns what the search found for a source line as text, each unknown word replaced by a source word."""
        tokens = self.vocabulary.decode(found.ids)
        if self.vocabulary.unk_id in found.ids:
            weights = self.ensemble.attention(source_ids, [*found.ids, self.vocabulary.eos_id])
            tokens = with_copies(tokens, found.ids, self.split_source(source), weights)
        log_p, lm_log_p = found.features or (found.log_probability, None)
        text = detokenize(tokens, self.vocabulary.text)
        return Translation(text, log_p, found.score, found.ids, lm_log_p, found.coverage)

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
            values = self.ensemble.log_probabilities([sources[i] for i in places], [targets[i] for i in places])
            found: list[PairScore | None] = [None] * len(pool)
            for place, value in zip(places, values):
                unknown = int((targets[place] == self.vocabulary.unk_id).sum())
                found[place] = PairScore(float(value), len(targets[place]), unknown)
            yield from found

    def log_probabilities(self, sources: Sequence[Any], targets: Sequence[Any]) -> Any:
        """Returns ln P(target | source) of each pair of ids, float64 (pairs,)."""
        return self.ensemble.log_probabilities(sources, targets)

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
        weights = self.ensemble.attention(self.source_ids(source), ids)
        source_names, target_names = (list(map(without_marks, tokens)) for tokens in (names, target_names))
        return Attention(source_names, target_names, weights)


def with_end(vocabulary: Vocabulary, tokens: Sequence[str]) -> Any:
    """Returns the ids of the tokens and of the end, int32; none if there are no tokens."""
    ids = [*map(vocabulary.token_to_id, tokens), vocabulary.eos_id] if tokens else []
    return np.array(ids, np.int32)


def with_copies(tokens: Sequence[str], ids: Sequence[int], source: Sequence[str], weights: Any) -> list[str]:
    """Returns the tokens of a translation, each unknown one replaced by the source token that it attends to most.

    `weights` (target, source) include the ends of both, but the end of the source is not copied.

    >>> with_copies(["Herr", "<unk>"], [5, 0], ["Mr.", "Quux"], np.array([[0.9, 0.1, 0.0], [0.1, 0.3, 0.6]]))
    ['Herr', 'Quux']
    """
    best = weights[:, : len(source)].argmax(axis=1)
    return [source[place] if number == Vocabulary.unk_id else token for token, number, place in zip(tokens, ids, best)]
