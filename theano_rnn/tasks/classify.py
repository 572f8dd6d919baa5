"""The classification task: predict the label of a whole text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from theano_rnn.learning.measures import LOSS, Measure
from theano_rnn.settings.base import UserError
from theano_rnn.settings.classification import ClassifierTrainingConfig, LabelledTextsConfig
from theano_rnn.settings.network import ClassifierConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.task import Compiled, Data, Progress, Sections, Task
from theano_rnn.tasks.text_task import UNITS, TextTask

if TYPE_CHECKING:
    import numpy as np

    from theano_rnn.learning.evaluation import Evaluation

FOR_STREAMS = ("batching", "bptt_steps", "random_windows", "state_reset")
MIN_UPDATES = 1_000  # of a run, if its texts are few
MAX_EPOCHS = 30
ACCURACY = Measure("accuracy", digits=4, is_higher_better=True)
MAX_SHOWN = 60  # characters of an example
MAX_COUNTED = 12  # labels whose numbers of texts are shown


def macro_f1(sums: Mapping[str, Any], num_texts: int) -> float:
    from theano_rnn.learning import label_measures

    return label_measures.macro_f1(sums, num_texts)


def calibration_error(sums: Mapping[str, Any], num_texts: int) -> float:
    from theano_rnn.learning import calibration

    return calibration.calibration_error(sums, num_texts)


MEASURES = (
    LOSS,
    ACCURACY,
    Measure("macro_f1", digits=4, is_higher_better=True, of_sums=macro_f1),
    Measure("calibration_error", digits=4, of_sums=calibration_error),
)


class Classify(TextTask):
    """Predict the label of a text. Its parts are `LabelledTexts`; its facts are vocabulary, labels and temperature."""

    name = "classify"
    kind = "classifier"
    commands = ("classify", "serve")
    summary = "the label of a whole text, such as its sentiment or its author"
    target_name = "texts"
    sections = {  # noqa: RUF012
        "corpus": LabelledTextsConfig, "text": TextConfig, "model": ClassifierConfig,
        "training": ClassifierTrainingConfig,
    }  # fmt: skip
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        for name in FOR_STREAMS:
            if name in given:
                raise UserError(f"--{name.replace('_', '-')} cannot be used with --task classify, which reads whole "
                                "texts: leave it out")  # fmt: skip
        training = dataclasses.replace(sections["training"], batching="sentences")
        return Task.settled(self, {**sections, "training": training}, given)  # a text of characters is whole, too

    def initial_settings(self, origin: Task) -> dict[str, Any]:
        """Returns the directions of the initial model: a fill-in model has both."""
        return {"bidirectional": origin.name == "fill"}

    def chosen(self, sections: Sections, data: Data) -> dict[str, Any]:
        training = sections["training"]
        updates = max(1, len(data.parts["train"]) // training.batch_size)
        epochs = min(max(training.epochs, -(-MIN_UPDATES // updates)), MAX_EPOCHS)
        return {"epochs": epochs, "patience": max(2, epochs // 3)}

    def warnings(self, sections: Sections, data: Data) -> list[str]:
        return []

    def check_devices(self, sections: Sections, num_devices: int) -> None:
        from theano_rnn.tasks.labelled_batches import check_shared_columns

        check_shared_columns(sections["training"], num_devices)

    def check_stored(self, sections: Sections, facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        from theano_rnn.learning.stored_values import check_sizes, expect, is_number
        from theano_rnn.text.vocabulary import Vocabulary

        vocabulary, labels, temperature = facts.get("vocabulary"), facts.get("labels"), facts.get("temperature", 1.0)
        if not isinstance(vocabulary, Vocabulary):
            raise UserError("the checkpoint is damaged: it has no vocabulary")
        names = {label for label in labels if isinstance(label, str)} if isinstance(labels, list) else set()
        if not isinstance(labels, list) or not len(names) == len(labels) == sections["model"].num_labels:
            raise UserError("the checkpoint is damaged: its labels do not fit its network")
        expect(is_number(temperature) and 0 < temperature < 1000, "temperature", "a number above 0", temperature)
        check_sizes(sections["model"], len(vocabulary), tensors)

    def read(
        self,
        sections: Sections,
        *,
        known: Mapping[str, Any] | None = None,
        is_resumed: bool = False,
        progress: Progress | None = None,
    ) -> Data:
        from theano_rnn.tasks.labelled_corpus import load_labelled_texts

        corpus = load_labelled_texts(
            sections["corpus"], sections["text"], vocabulary=None if known is None else known["vocabulary"],
            labels=known["labels"] if known is not None and is_resumed else None,
            add_words=0 if is_resumed else sections["corpus"].add_words, progress=progress,
        )  # fmt: skip
        facts = {"vocabulary": corpus.vocabulary, "labels": list(corpus.labels)}
        return Data(corpus.parts, facts, corpus.fingerprint, corpus.notes)

    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        from theano_rnn.tasks.text_classifier import TextClassifier

        config = dataclasses.replace(
            sections["model"], vocab_size=facts["vocabulary"].vocab_size, num_labels=len(facts["labels"])
        )
        return TextClassifier(config, rng=rng)

    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Any:
        import numpy as np

        from theano_rnn.learning.batching import evaluation_batch_size
        from theano_rnn.tasks.labelled_batches import TextBatches

        config = sections["training"]
        options = {"pad_id": facts["vocabulary"].pad_id, "dtype": dtype}
        if epoch is None:
            return TextBatches(part, batch_size=evaluation_batch_size(config), **options)
        weights = None
        if config.class_weights == "balanced":
            counts = np.bincount(part.labels, minlength=len(facts["labels"]))
            weights = len(part) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        rng = np.random.default_rng([config.seed, epoch])
        return TextBatches(part, batch_size=config.batch_size, label_weights=weights, rng=rng, **options)

    def sums(self, batch: Any, values: Sequence[Any]) -> Mapping[str, Any]:
        import numpy as np

        from theano_rnn.learning.label_measures import label_sums

        losses, log_probabilities = values
        count = len(batch.numbers)
        found = label_sums(np.asarray(log_probabilities).T[:count], batch.labels[:count])
        return {"loss": float(np.asarray(losses).sum(dtype=np.float64)), **found}

    def completed(
        self, evaluation: Evaluation, compiled: Compiled, model: Any, part: Any, facts: Mapping[str, Any]
    ) -> Evaluation:
        """Returns the evaluation with the temperature that suits it."""
        from theano_rnn.learning.calibration import fitted_temperature

        return evaluation._replace(facts={"temperature": round(fitted_temperature(evaluation.sums), 4)})

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns lines with a text of the validation part, its label, and the label and probability of the model."""
        import numpy as np

        from theano_rnn.learning.batching import evaluation_batch_size
        from theano_rnn.tasks.labelled_batches import TextBatches
        from theano_rnn.tasks.labelled_corpus import LabelledTexts
        from theano_rnn.text.words import detokenize

        part, vocabulary, labels = data.parts["valid"], data.facts["vocabulary"], data.facts["labels"]
        begins = np.cumsum(part.lengths) - part.lengths
        numbers = np.random.default_rng(seed).permutation(len(part))[:count]
        found = [part.ids[begins[number] : begins[number] + part.lengths[number]] for number in numbers]
        texts = LabelledTexts(np.concatenate(found), part.lengths[numbers], part.labels[numbers])
        size = evaluation_batch_size(sections["training"])  # which several devices can share
        batches: Any = TextBatches(texts, batch_size=size, pad_id=vocabulary.pad_id, dtype=model.config.dtype)
        probabilities = np.zeros((len(numbers), len(labels)))
        for batch in batches:
            log_p = np.asarray(compiled("loss")(*batch.arrays)[1], np.float64)
            probabilities[batch.numbers] = np.exp(log_p.T[: len(batch.numbers)])
        lines = []
        for number, ids, p in zip(numbers, found, probabilities):
            words = [token for token in vocabulary.decode(ids[: MAX_SHOWN // 2]) if token != "</s>"]
            written = detokenize(words, vocabulary.text)
            shown = written if len(written) <= MAX_SHOWN else written[: MAX_SHOWN - 3] + "..."
            best, label = int(p.argmax()), labels[part.labels[number]]
            mark = "" if labels[best] == label else f", not {label}"
            lines.append(f"{shown}   ({labels[best]} {p[best]:.2f}{mark})")
        return lines

    def describe(self, data: Data) -> str:
        import numpy as np

        vocabulary, labels = data.facts["vocabulary"], data.facts["labels"]
        counts = np.bincount(data.parts["train"].labels, minlength=len(labels))
        order = np.argsort(-counts, kind="stable")[:MAX_COUNTED]
        more = f" and {len(labels) - MAX_COUNTED} more" if len(labels) > MAX_COUNTED else ""
        shown = ", ".join(f"{labels[i]} {counts[i]:,}" for i in order)
        sizes = " / ".join(f"{len(part):,}" for part in data.parts.values())
        is_tested = " / test" if "test" in data.parts else ""
        longest = max(int(part.lengths.max()) for part in data.parts.values())
        return (f"{sizes} texts to train / validate{is_tested} on, {len(labels)} labels ({shown}{more}),\n"
                f"up to {longest:,} tokens in a text, {vocabulary.vocab_size:,} {UNITS[vocabulary.text.unit]} in the "
                "vocabulary")  # fmt: skip

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        return {self.target_name: num_targets}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        return f"over {facts[self.target_name]:,} {self.target_name}"

    def drawn(self, sections: Sections) -> Measure:
        return ACCURACY

    def select(self, sections: Sections) -> Measure:
        """Returns the measure that decides which parameters are the best: accuracy, unless ``--select`` names one."""
        name = sections["training"].select or ACCURACY.name
        return next(measure for measure in self.measures if measure.name == name)
