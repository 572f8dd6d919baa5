"""The recognition task: from recorded speech to its phonemes or letters, and with a lexicon to its words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from theano_rnn.learning.measures import LOSS, Measure
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import RecognitionConfig
from theano_rnn.settings.recognition import RecognitionTrainingConfig
from theano_rnn.settings.speech import FeaturesConfig, RecordingsConfig
from theano_rnn.tasks.task import Compiled, Data, Progress, Sections, Task

if TYPE_CHECKING:
    import numpy as np

NOT_USED = ("batching", "bptt_steps", "random_windows", "state_reset", "label_smoothing", "embedding_dropout")
DIGIT_EPOCHS = 40  # on the synthetic digits
MIN_UPDATES, MIN_EPOCHS, MAX_EPOCHS = 3_180, 12, 100  # of a run, whatever the number of its recordings
MAX_SHOWN = 40  # labels of an example
WARNING_LABELS = 20  # fewer recordings than this times the number of labels teach little
ALL_BLANK = (
    "(it reads nothing but blanks so far. This is usual in the first epochs: the network learns where there is silence "
    "before it learns labels. It may take some 300 updates)"
)


def label_error(sums: Mapping[str, Any], num_targets: int) -> float:
    return 100 * float(sums["errors"]) / max(float(sums["labels"]), 1.0)


def utterance_error(sums: Mapping[str, Any], num_targets: int) -> float:
    return 100 * float(sums["wrong"]) / max(float(sums["utterances"]), 1.0)


LABEL_ERROR = Measure("label_error", unit="% of labels wrong", of_sums=label_error, before_learning=100.0)
UTTERANCE_ERROR = Measure(
    "utterance_error", unit="% of recordings wrong", digits=1, of_sums=utterance_error, before_learning=100.0
)


class Recognize(Task):
    """Recognize speech. Its parts are `Utterances`; its facts are labels, features and lexicon."""

    name = "recognize"
    kind = "recognizer"
    commands = ("recognize", "serve")
    summary = "the phonemes or letters of recorded speech"
    reading = "reading recordings"
    target_name = "labels"
    sections = {  # noqa: RUF012
        "corpus": RecordingsConfig, "features": FeaturesConfig, "model": RecognitionConfig,
        "training": RecognitionTrainingConfig,
    }  # fmt: skip
    measures: ClassVar[tuple[Measure, ...]] = (LOSS, LABEL_ERROR, UTTERANCE_ERROR)

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        for name in NOT_USED:
            if name in given:
                raise UserError(f"--{name.replace('_', '-')} cannot be used with --task recognize: leave it out")
        training = dataclasses.replace(sections["training"], batching="sentences")
        return super().settled({**sections, "training": training}, given)

    def chosen(self, sections: Sections, data: Data) -> dict[str, Any]:
        """Returns the number of epochs: the more, the fewer the recordings."""
        if not sections["corpus"].train:
            return {"epochs": DIGIT_EPOCHS}
        num_batches = -(-data.parts["train"].num_utterances // sections["training"].batch_size)
        return {"epochs": min(max(MIN_EPOCHS, -(-MIN_UPDATES // num_batches)), MAX_EPOCHS)}

    def warnings(self, sections: Sections, data: Data) -> list[str]:
        train, num_labels = data.parts["train"], len(data.facts["labels"])
        if train.num_utterances >= WARNING_LABELS * num_labels:
            return []
        if len(train.labels) >= 2 * WARNING_LABELS * num_labels:
            return []
        return [f"warning: {len(train.labels):,} labels to train on are few for {num_labels} different ones: expect "
                "many errors on other recordings"]  # fmt: skip

    def check_devices(self, sections: Sections, num_devices: int) -> None:
        from theano_rnn.tasks.labelled_batches import check_shared_columns

        check_shared_columns(sections["training"], num_devices)

    def check_stored(self, sections: Sections, facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        from theano_rnn.learning.stored_values import expect
        from theano_rnn.sound.extraction import FeatureExtractor
        from theano_rnn.tasks.word_decoder import NGRAM_FACT

        labels, lexicon, model = facts.get("labels"), facts.get("lexicon"), sections["model"]
        names = {label for label in labels if isinstance(label, str)} if isinstance(labels, list) else set()
        if not isinstance(labels, list) or not len(names) == len(labels) == model.num_labels:
            raise UserError("the checkpoint is damaged: its labels do not fit its network")
        expect(isinstance(facts.get("features"), dict), "features", "an object", facts.get("features"))
        extractor = FeatureExtractor.from_facts(facts["features"])
        if extractor.num_features * extractor.config.stacking != model.num_inputs:
            raise UserError("the checkpoint is damaged: its features do not fit its network")
        is_lexicon = isinstance(lexicon, dict) and all(
            isinstance(each, list) and all(isinstance(text, str) and set(text.split()) <= names for text in each)
            for each in lexicon.values()
        )
        expect(is_lexicon, "lexicon", "an object of lists of pronunciations", lexicon)
        ngram = facts.get(NGRAM_FACT, "")
        expect(isinstance(ngram, str), NGRAM_FACT, "the text of an ARPA file", ngram)
        available, hidden = sum(int(array.size) for array in tensors.values()), model.hidden_size
        needed = hidden * max(hidden, model.num_inputs, 1 + model.num_labels)
        if needed > available or model.num_layers > len(tensors):
            raise UserError(f"the checkpoint is damaged: {model.num_layers} x {hidden:,} hidden units for "
                            f"{model.num_inputs:,} inputs do not fit its {available:,} parameters")  # fmt: skip

    def default_files(self, corpus: Any, root: Any) -> Any:
        """Returns `corpus`. If it names no files, `load_utterances` reads synthetic digits."""
        for name in ("valid", "test", "lexicon", "init_from"):
            if getattr(corpus, name) and not corpus.train:
                raise UserError(f"--{name.replace('_', '-')} needs --train: name a manifest of training recordings, "
                                "with the columns audio and text")  # fmt: skip
        return corpus

    def read(
        self,
        sections: Sections,
        *,
        known: Mapping[str, Any] | None = None,
        is_resumed: bool = False,
        progress: Progress | None = None,
    ) -> Data:
        from theano_rnn.tasks.utterance_batches import without_long
        from theano_rnn.tasks.utterances import load_utterances
        from theano_rnn.tasks.word_decoder import NGRAM_FACT
        from theano_rnn.text.ngrams import estimated_small

        if known is not None and "features" not in known:
            raise UserError("--init-from needs a recognizer, because --task recognize reads sound: name a model "
                            "trained with --task recognize")  # fmt: skip
        found = load_utterances(sections["corpus"], sections["features"], known=known, progress=progress)
        limit, notes = sections["training"].max_frames, list(found.notes)
        train, num_long = without_long(found.parts["train"], limit)
        if num_long and not train.num_utterances:
            raise UserError(f"every training recording has more than {limit:,} frames: cut them into sentences, or "
                            "raise --max-frames")  # fmt: skip
        if num_long:
            notes.append(f"{num_long:,} training recordings with more than {limit:,} frames are left out: cut them "
                         "into sentences, or raise --max-frames")  # fmt: skip
        ngram = estimated_small(train.transcripts, words=found.facts["lexicon"])
        facts = {**found.facts, NGRAM_FACT: ngram.arpa()}
        return Data({**found.parts, "train": train}, facts, found.fingerprint, tuple(notes))

    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        from theano_rnn.sound.extraction import FeatureExtractor
        from theano_rnn.tasks.recognition_model import RecognitionModel

        extractor = FeatureExtractor.from_facts(facts["features"])
        sizes = {"num_inputs": extractor.num_features * extractor.config.stacking, "num_labels": len(facts["labels"])}
        return RecognitionModel(dataclasses.replace(sections["model"], **sizes), rng=rng)

    def batches(
        self,
        part: Any,
        sections: Sections,
        facts: Mapping[str, Any],
        *,
        dtype: str,
        epoch: int | None = None,
        shapes: Mapping[int, int] | None = None,
    ) -> Any:
        from theano_rnn.learning.batching import evaluation_batch_size
        from theano_rnn.tasks.utterance_batches import UtteranceBatches

        config, features = sections["training"], facts["features"]
        size = evaluation_batch_size(config) if epoch is None else config.batch_size
        return UtteranceBatches(
            part, batch_size=size, stacking=features["stacking"], groups=1 + features["deltas"],
            has_bands=features["features"] == "log-mel", config=config, epoch=epoch, shapes=shapes, dtype=dtype,
        )  # fmt: skip

    def size(self, part: Any) -> int:
        return len(part.labels)

    def sums(self, batch: Any, values: Sequence[Any]) -> Mapping[str, Any]:
        """Returns the loss, and the errors of the likeliest path. Recordings too short for their labels lack a loss."""
        import numpy as np

        from theano_rnn.scoring.error_rates import count_errors

        count = len(batch.numbers)
        losses = np.asarray(values[0], np.float64)[:count]
        read = self.read_out(values[1], batch.mask)[:count]
        said = [column[column > 0].tolist() for column in batch.labels.T[:count]]
        errors = count_errors(read, said)
        return {"loss": float(losses[np.isfinite(losses)].sum()), "errors": errors.errors, "labels": errors.num_labels,
                "wrong": errors.wrong_sentences, "utterances": count}  # fmt: skip

    def read_out(self, log_probabilities: Any, mask: Any) -> list[list[int]]:
        """Returns the labels of the likeliest path of each column of log-probabilities (time, batch, 1 + labels)."""
        import numpy as np

        from theano_rnn.generation.ctc_decoding import collapsed

        paths, lengths = np.asarray(log_probabilities).argmax(axis=2), mask.sum(axis=0).astype(int)
        return [collapsed(path[:length]) for path, length in zip(paths.T, lengths)]

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns what was said and what is read, for utterances of the validation part."""
        import numpy as np

        from theano_rnn.tasks.utterance_batches import kept

        part, labels = data.parts["valid"], data.facts["labels"]
        is_shown = np.zeros(part.num_utterances, bool)
        is_shown[np.random.default_rng(seed).permutation(part.num_utterances)[:count]] = True
        lines, is_blank, dtype = [], True, model.config.dtype
        shapes = self.batches(part, sections, data.facts, dtype=dtype).shapes  # those are compiled
        for batch in self.batches(kept(part, is_shown), sections, data.facts, dtype=dtype, shapes=shapes):
            read = self.read_out(compiled("loss")(*batch.arrays)[1], batch.mask)
            for column, ids in zip(batch.labels.T[: len(batch.numbers)], read):
                is_blank = is_blank and not ids
                lines.append(f"said {spelled(column[column > 0].tolist(), labels)}\nread {spelled(ids, labels)}")
        return [ALL_BLANK] if is_blank and np.asarray(part.label_lengths)[is_shown].any() else lines

    def describe(self, data: Data) -> str:
        sizes = " / ".join(f"{part.num_utterances:,}" for part in data.parts.values())
        is_tested = " / test" if "test" in data.parts else ""
        train, facts = data.parts["train"], data.facts
        minutes = len(train.frames) * facts["features"]["shift_ms"] / 60_000
        labels = facts["labels"]
        listed = " ".join(map(shown, labels))
        unit = "phonemes" if facts["lexicon"] else "letters"
        return (f"{sizes} recordings to train / validate{is_tested} on; {minutes:.1f} minutes and "
                f"{len(train.labels):,} labels to train on,\n{len(labels)} different {unit}: {listed}")  # fmt: skip

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        return {self.target_name: num_targets, "recordings": part.num_utterances}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        return f"over {facts['recordings']:,} recordings"

    def drawn(self, sections: Sections) -> Measure:
        return LABEL_ERROR

    def select(self, sections: Sections) -> Measure:
        """Returns the measure that decides which parameters are the best: the label error, unless ``--select`` differs.

        The label error still falls when the loss no longer does.
        """
        name = sections["training"].select or LABEL_ERROR.name
        return next(measure for measure in self.measures if measure.name == name)


def shown(label: str) -> str:
    """Returns a label as it is displayed: a space between words as an underscore."""
    return "_" if label == " " else label


def spelled(ids: Sequence[int], labels: Sequence[str]) -> str:
    """Returns label ids as text, at most `MAX_SHOWN` of them; nothing as "(nothing)".

    >>> spelled([2, 1], ["AA", "B"]), spelled([], ["AA"])
    ('B AA', '(nothing)')
    """
    text = " ".join(shown(labels[i - 1]) for i in ids[:MAX_SHOWN])
    return (text + (" ..." if len(ids) > MAX_SHOWN else "")) or "(nothing)"
