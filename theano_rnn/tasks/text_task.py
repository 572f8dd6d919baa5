"""The base class of tasks on plain text: text files, a vocabulary of the training part, ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from theano_rnn.learning.measures import CHARACTER_LOSS, LOSS, PERPLEXITY, Measure
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.presets import TOO_FEW_TOKENS, chosen_settings, is_too_small, without_optimizer
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.settings.training import TrainingConfig, check_head, resolved_head
from theano_rnn.tasks.task import Data, Progress, Sections, Task

UNITS = {"word": "words", "char": "characters", "subword": "pieces"}


def check_subwords(sections: Sections, given: Mapping[str, Any]) -> None:
    """Raises `UserError` if the settings of subwords contradict others, or if their package is not installed."""
    corpus = sections["corpus"]
    if sections["text"].unit != "subword":
        if corpus.subword_model is not None:
            raise UserError("--subword-model needs --unit subword: add it, or leave --subword-model out")
        return
    if corpus.add_words:
        raise UserError("--add-words cannot be used with --unit subword, whose pieces can write every word: leave it "
                        "out")  # fmt: skip
    if corpus.subword_model is not None:
        if corpus.init_from is not None:
            raise UserError("--subword-model cannot be used with --init-from, which keeps the model's pieces: leave it "
                            "out")  # fmt: skip
        for name in given.keys() & {"vocab_size", "min_count"}:
            raise UserError(f"--{name.replace('_', '-')} cannot be used with --subword-model, which has its pieces: "
                            "leave it out")  # fmt: skip
    from theano_rnn.text.subwords import MIN_SIZE, library

    if corpus.vocab_size is not None and corpus.vocab_size < MIN_SIZE:
        raise UserError(f"--vocab-size must be at least {MIN_SIZE} with --unit subword, which has 256 pieces for "
                        f"single bytes, got {corpus.vocab_size}")  # fmt: skip
    library()


class TextTask(Task):
    """A task on text. Its parts are int32 ids (tokens,); its only fact is their `Vocabulary`."""

    sections = {"corpus": CorpusConfig, "text": TextConfig, "model": ModelConfig, "training": TrainingConfig}  # noqa: RUF012
    measures: ClassVar[tuple[Measure, ...]] = (LOSS, PERPLEXITY)

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        sections = super().settled(sections, given)
        check_subwords(sections, given)
        if sections["training"].batching == "sentences":
            if sections["text"].unit == "char":
                raise UserError(f"{self.needs_sentences()} needs --unit word: a text of characters is not split into "
                                "sentences")  # fmt: skip
            if given.get("random_windows"):
                raise UserError("--random-windows needs --batching stream: sentences are not cut into windows")
            if given.get("state_reset"):
                raise UserError("--state-reset needs --batching stream: sentences begin from a zero state anyway")
        return sections

    def chosen(self, sections: Sections, data: Data) -> dict[str, Any]:
        settings = chosen_settings(self.size(data.parts["train"]), sections["text"].unit)
        if sections["training"].batching == "sentences":  # the table's columns and windows are those of a stream
            del settings["batch_size"], settings["bptt_steps"]
            settings = without_optimizer(settings)
        return settings

    def warnings(self, sections: Sections, data: Data) -> list[str]:
        unit = sections["text"].unit
        if not is_too_small(self.size(data.parts["train"]), unit):
            return []
        enough = f"{5 * TOO_FEW_TOKENS[unit]:,}"
        return [
            f"a text this small can teach little more than how frequent its {UNITS[unit]} are: {enough} are a start"
        ]

    def check_devices(self, sections: Sections, num_devices: int) -> None:
        check_head(sections["model"], sections["training"], num_devices)

    def check_stored(self, sections: Sections, facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        from theano_rnn.learning.stored_values import check_sizes
        from theano_rnn.text.vocabulary import Vocabulary

        vocabulary = facts.get("vocabulary")
        if not isinstance(vocabulary, Vocabulary):
            raise UserError("the checkpoint is damaged: it has no vocabulary")
        check_sizes(sections["model"], len(vocabulary), tensors)

    def needs_sentences(self) -> str:
        """Returns the flag that requires batches of sentences."""
        return "--batching sentences"

    def default_files(self, corpus: Any, root: Path | None) -> Any:
        """Returns `corpus`. If it names no files, the result names the novels of a clone's folder ``data/austen``."""
        if corpus.train:
            return corpus
        root = root or Path(__file__).resolve().parents[2]
        novels = sorted(str(path) for path in (root / "data" / "austen").glob("*.txt"))
        if not novels:
            raise UserError("no training text: give your own, for example --train book.txt, or clone the repository, "
                            "which includes the six novels used by default")  # fmt: skip
        return dataclasses.replace(corpus, train=tuple(novels))

    def read(
        self,
        sections: Sections,
        *,
        known: Mapping[str, Any] | None = None,
        is_resumed: bool = False,
        progress: Progress | None = None,
    ) -> Data:
        from theano_rnn.preprocessing import load_corpus

        corpus = load_corpus(
            sections["corpus"], sections["text"], vocabulary=None if known is None else known["vocabulary"],
            add_words=0 if is_resumed else sections["corpus"].add_words, progress=progress,
        )  # fmt: skip
        parts = {"train": corpus.train, "valid": corpus.valid} | ({} if corpus.test is None else {"test": corpus.test})
        return Data(parts, {"vocabulary": corpus.vocabulary}, corpus.fingerprint, corpus.notes)

    def model_config(self, sections: Sections, facts: Mapping[str, Any], num_devices: int) -> ModelConfig:
        """Returns the network's settings, completed with the size of the vocabulary."""
        config = dataclasses.replace(sections["model"], vocab_size=facts["vocabulary"].vocab_size)
        return resolved_head(config, sections["training"], num_devices)

    def describe(self, data: Data) -> str:
        vocabulary = data.facts["vocabulary"]
        return f"{super().describe(data)}, {vocabulary.vocab_size:,} {UNITS[vocabulary.text.unit]} in the vocabulary"

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        """Returns the number of targets, and the fraction of tokens that are not in the vocabulary."""
        unknown = int((part == facts["vocabulary"].unk_id).sum())
        return {self.target_name: num_targets, "unk_rate": unknown / num_targets}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        return f"{super().describe_test(facts)}, {100 * facts['unk_rate']:.1f} % unknown"

    def drawn(self, sections: Sections) -> Measure:
        """Returns perplexity for words and their pieces, nats per character for characters."""
        return PERPLEXITY if sections["text"].has_sentences else CHARACTER_LOSS
