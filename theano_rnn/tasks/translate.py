"""The translation task: write the target sentence of a source sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from theano_rnn.learning.measures import LOSS, PERPLEXITY, Measure
from theano_rnn.scoring.bleu import check_sacrebleu, translation_scores
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import TranslationConfig
from theano_rnn.settings.presets import MIN_UPDATES
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.translation import ParallelTextsConfig, TranslationTextConfig, TranslationTrainingConfig
from theano_rnn.tasks.task import Compiled, Data, Progress, Sections, Task
from theano_rnn.tasks.text_task import UNITS, TextTask, check_subwords

if TYPE_CHECKING:
    import numpy as np

    from theano_rnn.learning.evaluation import Evaluation

FOR_STREAMS = ("batching", "bptt_steps", "random_windows", "state_reset")
DATE_SETTINGS = {"embedding_size": 64, "hidden_size": 96, "epochs": 8}  # for generated dates
PAIR_SETTINGS: dict[str, Any] = {
    "batch_size": 64, "dropout": 0.2, "label_smoothing": 0.1, "clip_norm": 1.0, "epochs": 9, "patience": 3,
}  # fmt: skip
MAX_TRANSLATED = 2_000  # pairs of a part that are translated to measure BLEU and chrF


def bleu(sums: Mapping[str, Any], num_targets: int) -> float:
    return float(sums["bleu"])


def chrf(sums: Mapping[str, Any], num_targets: int) -> float:
    return float(sums["chrf"])


def exact(sums: Mapping[str, Any], num_targets: int) -> float:
    return float(sums["exact"])


BLEU = Measure("bleu", is_higher_better=True, before_learning=0.0, of_sums=bleu)
CHRF = Measure("chrf", is_higher_better=True, before_learning=0.0, of_sums=chrf)
EXACT = Measure("exact", unit="% exact", digits=1, is_higher_better=True, before_learning=0.0, of_sums=exact)


def banned_ids(facts: Mapping[str, Any], *, may_be_unknown: bool = False) -> list[int]:
    """Returns the ids that no translation may have: those of the source language only, and that of unknown words."""
    return [*([] if may_be_unknown else [facts["vocabulary"].unk_id]), *facts.get("unseen_ids", ())]


class Translate(TextTask):
    """Translate sentences. Its parts are `Pairs`; its facts are the vocabularies of source and target."""

    name = "translate"
    kind = "translator"
    commands = ("translate", "serve")
    summary = "the translation of a sentence"
    sections = {  # noqa: RUF012
        "corpus": ParallelTextsConfig, "text": TranslationTextConfig, "model": TranslationConfig,
        "training": TranslationTrainingConfig,
    }  # fmt: skip
    measures: ClassVar[tuple[Measure, ...]] = (LOSS, PERPLEXITY, BLEU, CHRF, EXACT)

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        for name in FOR_STREAMS:
            if name in given:
                raise UserError(f"--{name.replace('_', '-')} cannot be used with --task translate, which reads whole "
                                "sentences: leave it out")  # fmt: skip
        check_sacrebleu()
        if sections["corpus"].add_words:
            raise UserError(
                "--add-words cannot be used with --task translate, which keeps the vocabularies: leave it out"
            )
        training = dataclasses.replace(sections["training"], batching="sentences")
        values = dataclasses.asdict(sections["text"]) | {"sentences": "line"}
        if not sections["corpus"].train and "unit" not in given:
            values["unit"] = "word"  # of a date, there are few words
        text = TextConfig(**values)  # as the vocabularies keep it
        check_subwords({**sections, "text": text}, given)
        return Task.settled(self, {**sections, "text": text, "training": training}, given)  # also for characters

    def chosen(self, sections: Sections, data: Data) -> dict[str, Any]:
        """Returns settings that were good for 29,000 pairs, and more passes for fewer pairs."""
        if not sections["corpus"].train:
            return DATE_SETTINGS
        updates = max(1, len(data.parts["train"].lines) // PAIR_SETTINGS["batch_size"])
        epochs = max(PAIR_SETTINGS["epochs"], -(-MIN_UPDATES // updates))
        return PAIR_SETTINGS | {"epochs": epochs}

    def warnings(self, sections: Sections, data: Data) -> list[str]:
        return []

    def check_devices(self, sections: Sections, num_devices: int) -> None:
        from theano_rnn.tasks.labelled_batches import check_shared_columns

        check_shared_columns(sections["training"], num_devices)

    def check_stored(self, sections: Sections, facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        from theano_rnn.learning.stored_values import check_sizes
        from theano_rnn.text.vocabulary import Vocabulary

        for name in ("source_vocabulary", "vocabulary"):
            if not isinstance(facts.get(name), Vocabulary):
                raise UserError(f"the checkpoint is damaged: it has no {name.replace('_', ' ')}")
            check_sizes(sections["model"], len(facts[name]), tensors)
        model, source, target = sections["model"], facts["source_vocabulary"], facts["vocabulary"]
        if (model.source_vocab_size, model.vocab_size) != (len(source), len(target)):
            raise UserError("the checkpoint is damaged: its vocabularies do not fit its network")
        if model.shared_embedding and source != target:
            raise UserError("the checkpoint is damaged: its languages do not have the same vocabulary")
        unseen = facts.get("unseen_ids", [])
        if not isinstance(unseen, list) or not all(type(i) is int and 1 < i < len(target) for i in unseen):
            raise UserError("the checkpoint is damaged: its list of unseen ids does not fit its vocabulary")

    def default_files(self, corpus: Any, root: Any) -> Any:
        """Returns `corpus`. If it names no files, generated dates are read; see `tasks.date_pairs`."""
        for name in ("valid", "test", "source_column", "target_column", "init_from"):
            if getattr(corpus, name) and not corpus.train:
                raise UserError(f"--{name.replace('_', '-')} needs --train: name the training pairs, two files whose "
                                "lines belong together, or a table with two columns")  # fmt: skip
        return corpus

    def read(
        self,
        sections: Sections,
        *,
        known: Mapping[str, Any] | None = None,
        is_resumed: bool = False,
        progress: Progress | None = None,
    ) -> Data:
        from theano_rnn.tasks.parallel_corpus import load_pairs

        if known is not None and "source_vocabulary" not in known:
            raise UserError("--init-from needs a translator, because --task translate has a source vocabulary: name a "
                            "model trained with --task translate")  # fmt: skip
        corpus = load_pairs(
            sections["corpus"], sections["text"], is_shared=sections["model"].shared_embedding,
            vocabularies=None if known is None else (known["source_vocabulary"], known["vocabulary"]),
            progress=progress,
        )  # fmt: skip
        unseen = set(corpus.unseen_ids)
        if known is not None:  # what the initial model has seen, it may still write
            unseen &= set(known.get("unseen_ids", ()))
        facts: dict[str, Any] = {"source_vocabulary": corpus.source_vocabulary, "vocabulary": corpus.vocabulary}
        facts["unseen_ids"] = sorted(unseen)
        return Data(corpus.parts, facts, corpus.fingerprint, corpus.notes)

    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        from theano_rnn.tasks.translation_model import TranslationModel

        sizes = {"source_vocab_size": facts["source_vocabulary"].vocab_size}
        sizes["vocab_size"] = facts["vocabulary"].vocab_size
        return TranslationModel(dataclasses.replace(sections["model"], **sizes), rng=rng)

    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Any:
        import numpy as np

        from theano_rnn.learning.batching import evaluation_batch_size
        from theano_rnn.tasks.pair_batches import PairBatches

        config, vocabulary = sections["training"], facts["vocabulary"]
        rng = None if epoch is None else np.random.default_rng([config.seed, epoch])
        size = evaluation_batch_size(config) if epoch is None else config.batch_size
        return PairBatches(
            part, batch_size=size, start_id=vocabulary.bos_id, source_pad_id=facts["source_vocabulary"].pad_id,
            pad_id=vocabulary.pad_id, rng=rng, dtype=dtype,
        )  # fmt: skip

    def size(self, part: Any) -> int:
        return int(part.target_lengths.sum())

    def completed(
        self, evaluation: Evaluation, compiled: Compiled, model: Any, part: Any, facts: Mapping[str, Any]
    ) -> Evaluation:
        """Returns the evaluation with BLEU, chrF and the percentage of exact translations, all of greedy ones."""
        texts = self.translations(compiled, model, part, facts, range(min(len(part.lines), MAX_TRANSLATED)))
        references = part.references[: len(texts)]
        scores = {each.name.lower(): each.score for each in translation_scores(texts, references)}
        is_exact = [text.split() == reference.split() for text, reference in zip(texts, references)]
        scores["exact"] = 100 * sum(is_exact) / len(is_exact)
        return evaluation._replace(sums={**evaluation.sums, **scores})

    def translations(
        self, compiled: Compiled, model: Any, part: Any, facts: Mapping[str, Any], numbers: Sequence[int]
    ) -> list[str]:
        """Returns greedy translations of pairs."""
        import numpy as np

        from theano_rnn.generation.hypotheses import SearchRules
        from theano_rnn.generation.translating import translate
        from theano_rnn.text.words import detokenize

        vocabulary = facts["vocabulary"]
        begins = np.cumsum(part.source_lengths) - part.source_lengths
        found = translate(
            compiled, [part.source[begins[i] : begins[i] + part.source_lengths[i]] for i in numbers],
            start_id=vocabulary.bos_id, end_id=vocabulary.eos_id, source_pad_id=facts["source_vocabulary"].pad_id,
            vocab_size=vocabulary.vocab_size, banned_ids=banned_ids(facts), rules=SearchRules(beam_size=1),
            dtype=model.config.dtype,
        )  # fmt: skip
        return [detokenize(vocabulary.decode(each[0].ids), vocabulary.text) for each in found]

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns lines with a source sentence of the validation part and its translation."""
        import numpy as np

        from theano_rnn.text.words import detokenize

        part, vocabulary = data.parts["valid"], data.facts["source_vocabulary"]
        numbers = [int(i) for i in np.random.default_rng(seed).permutation(len(part.lines))[:count]]
        begins = np.cumsum(part.source_lengths) - part.source_lengths
        texts = self.translations(compiled, model, part, data.facts, numbers)
        sources = [vocabulary.decode(part.source[begins[i] : begins[i] + part.source_lengths[i] - 1]) for i in numbers]
        return [f"{detokenize(source, vocabulary.text)}\n-> {text}" for source, text in zip(sources, texts)]

    def describe(self, data: Data) -> str:
        sizes = " / ".join(f"{len(part.lines):,}" for part in data.parts.values())
        is_tested = " / test" if "test" in data.parts else ""
        source, target = data.facts["source_vocabulary"], data.facts["vocabulary"]
        train = data.parts["train"]
        return (f"{sizes} pairs to train / validate{is_tested} on, {len(train.source):,} source and "
                f"{len(train.target):,} target tokens to train on,\n{source.vocab_size:,} source and "
                f"{target.vocab_size:,} target {UNITS[target.text.unit]} in the vocabularies")  # fmt: skip

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        return {self.target_name: num_targets, "pairs": len(part.lines)}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        return f"over {facts['pairs']:,} pairs"

    def drawn(self, sections: Sections) -> Measure:
        return BLEU

    def select(self, sections: Sections) -> Measure:
        """Returns the measure that decides which parameters are the best: BLEU, unless ``--select`` names one."""
        name = sections["training"].select or BLEU.name
        return next(measure for measure in self.measures if measure.name == name)
