"""Settings of classification: the columns and labels of the texts, and how each label counts in training."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import setting, with_default
from theano_rnn.settings.text import CorpusConfig
from theano_rnn.settings.training import TrainingConfig

LABEL_COLUMN_HELP = (
    "column with the label in .csv, .tsv and .jsonl files (default: label, or class, category, sentiment, ...)"
)


@dataclass(frozen=True)
class LabelledTextsConfig(CorpusConfig):
    """Which labelled texts are read, and how they are split into parts."""

    label_column: str | None = setting(None, LABEL_COLUMN_HELP, metavar="NAME")


@dataclass(frozen=True)
class ClassifierTrainingConfig(TrainingConfig):
    """Settings of training a classifier. The defaults are measured on film reviews; see BENCHMARKS.md."""

    dropout: float = with_default(TrainingConfig, "dropout", 0.5)
    embedding_dropout: float = with_default(TrainingConfig, "embedding_dropout", 0.2)
    average_decay: float = with_default(TrainingConfig, "average_decay", 0.99)
    batch_size: int = with_default(TrainingConfig, "batch_size", 32)
    epochs: int = with_default(TrainingConfig, "epochs", 6)
    class_weights: str = setting(
        "equal",
        "how much each text counts in the training loss. equal: all texts the same; balanced: all labels the same, so "
        "a text of a rare label counts more",
        choices=("equal", "balanced"),
    )
