"""Settings of translation: which files have which language, and how good a translation is measured."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting, with_default
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.settings.training import TrainingConfig

SOURCE_COLUMN_HELP = "column with the source text in .csv, .tsv and .jsonl files (default: the first column)"
TARGET_COLUMN_HELP = "column with the target text (default: the second column)"
MAX_WORDS_HELP = "leave out training pairs with a longer side than this many tokens"


MANY_PAIRS = 300_000  # from here up, there are examples enough for rarer pieces


@dataclass(frozen=True)
class TranslationTextConfig(TextConfig):
    """How both languages become tokens: by default pieces of words, because a word-level translator must skip words."""

    unit: str = with_default(TextConfig, "unit", "subword")


@dataclass(frozen=True)
class ParallelTextsConfig(CorpusConfig):
    """Which pairs of texts are read: two files with a sentence on each line, or tables with two columns."""

    source_column: str | None = setting(None, SOURCE_COLUMN_HELP, metavar="NAME")
    target_column: str | None = setting(None, TARGET_COLUMN_HELP, metavar="NAME")
    max_tokens_in_pair: int = setting(200, MAX_WORDS_HELP, kind=int, at_least=1)
    vocab_size: int | None = with_default(CorpusConfig, "vocab_size", None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.column is not None:
            raise UserError("column is for one text: use --source-column and --target-column")

    def largest_vocabulary(self, unit: str, num_pairs: int) -> int:
        """Returns the maximum size of a vocabulary: `vocab_size`, or by default one that suits the number of pairs.

        >>> ParallelTextsConfig().largest_vocabulary("subword", 29_000)
        4000
        """
        if self.vocab_size is not None:
            return int(self.vocab_size)
        return 10_000 if unit != "subword" or num_pairs >= MANY_PAIRS else 4_000


@dataclass(frozen=True)
class TranslationTrainingConfig(TrainingConfig):
    """Settings of training a translator."""


@dataclass(frozen=True)
class SearchConfig(Section):
    """How translations are searched."""

    beam_size: int = setting(
        5, "number of hypotheses in the beam search; 1: always take the likeliest next word", kind=int, at_least=1
    )
    nbest: int = setting(1, "number of translations of each line, the best first", kind=int, at_least=1)
    length_power: float = setting(
        1.0, "rank translations by log-probability divided by length to this power: 0 favors short ones, 1 ranks by "
        "the mean per token", kind=float, at_least=0,
    )  # fmt: skip
    no_repeat_ngram_size: int = setting(
        0, "never repeat a sequence of this many tokens; 0: no such rule", kind=int, at_least=0
    )
    coverage: float = setting(
        0.0, "weight of a penalty for translations that hardly attend to a part of the source; 0: none", kind=float,
        at_least=0,
    )  # fmt: skip
    lm_weight: float = setting(
        0.1, "with --lm, weight of the language model's log-probability beside the translator's", kind=float, at_least=0
    )
    copy_unknown: bool = setting(
        False, "allow unknown words, and replace each by the source word that it attends to most, such as a name. "
        "Otherwise, only words in the vocabulary are written", kind=bool,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nbest > self.beam_size:
            raise UserError(f"nbest must be at most beam_size, {self.beam_size}, got {self.nbest}: raise --beam-size")


@dataclass(frozen=True)
class FurtherModelsConfig(Section):
    """Models that search for translations together with the translator."""

    ensemble: tuple[str, ...] = setting(
        (), "more translators that were trained on the same pairs, for example with other seeds: search by the mean of "
        "the log-probabilities of all. The flag takes all names after it, so put it last", kind=tuple, metavar="MODEL",
    )  # fmt: skip
    lm: str | None = setting(
        None, "a language model of the target language that helps to search. Train it with train.py --vocab-from "
        "CHECKPOINT", metavar="MODEL",
    )  # fmt: skip


@dataclass(frozen=True)
class ServedTranslatorConfig(FurtherModelsConfig):
    """Models that search for translations together with a served translator."""

    lm_weight: float = with_default(SearchConfig, "lm_weight", SearchConfig.lm_weight)
