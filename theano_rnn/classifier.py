"""Use a trained classifier: label texts, measure how often the labels are right, and explain them.

model = Classifier("runs/reviews.safetensors")
[(each.label, each.probability) for each in model.classify(["A charming film.", "Dull and far too long."])]
model.explain("A charming film.").contributions

The commands use this class. `stream` labels any number of texts in constant memory. A text is split into tokens as in
training (`text.whole_texts`), and read in a batch of texts of similar length, which do not change its probabilities.
`evaluate` compares the labels with true ones (`scoring.label_report`), and `explain` shows what each token contributes
(`tasks.attribution`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.calibration import with_temperature
from theano_rnn.scoring.label_report import LabelReport, LabelSums
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.attribution import contributions, removals
from theano_rnn.tasks.labelled_batches import TextBatches
from theano_rnn.tasks.labelled_corpus import as_texts
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.text.pools import pools
from theano_rnn.text.token_spans import Piece
from theano_rnn.text.whole_texts import pieces_of_text, text_encoder

BATCH_SIZE = 32
EXPLAINED = 64, 4  # texts are padded to 64, 256, 1024, ... for explanations, because each takes seconds to compile
MAX_EXPLAINED_TOKENS = 1 << 14  # more would need much memory
LONG = 1 << 12  # tokens; longer texts are read one at a time, to limit the memory
SHORTEST = 16  # the smallest length that texts are padded to; the others are twice, four times, ... as long


class Classified(NamedTuple):
    """A text with its probabilities.

    `label` is the likeliest label and `probability` its probability; `probabilities` has those of all labels, float64
    (labels,), in the order of `Classifier.labels`. A blank text has the label "" and probabilities that are nan.
    `num_tokens` counts the tokens of the text.
    """

    text: str
    label: str
    probability: float
    probabilities: Any
    num_tokens: int


class Explanation(NamedTuple):
    """What each token of a text adds to the log-odds ``ln P / (1 - P)`` of a label, in nats, before the temperature.

    `result` is the `Classified` text, `label` the label that is explained, `pieces` the tokens with their parts of the
    text. `contributions` are integrated gradients, float64 (tokens,); `removals` are by how much the log-odds fall if a
    token is left out, or None if they were not asked for.
    """

    result: Classified
    label: str
    pieces: list[Piece]
    contributions: Any
    removals: Any


class Classifier(TrainedModel):
    """A trained classifier of texts, with the best parameters, the labels and the temperature of its checkpoint.

    Parameters
    ----------
    path
        The checkpoint.
    temperature : optional
        Divides the scores of the labels before they become probabilities. Default: the one that training has found on
        the validation part.
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
        temperature: float | None = None,
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(path, task="classify", engine=engine, device=device, compiler=compiler)
        facts = self.checkpoint.facts
        self.vocabulary = self.checkpoint.vocabulary
        self.labels: list[str] = list(facts["labels"])
        self.temperature = float(facts.get("temperature", 1.0) if temperature is None else temperature)
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise UserError(f"temperature must be a number above 0, got {self.temperature:g}")
        self.encode = text_encoder(self.vocabulary)

    def classify(self, texts: Sequence[str]) -> list[Classified]:
        """Returns the label and the probabilities of each text."""
        return list(self.stream(texts))

    def stream(self, texts: Iterable[str | None]) -> Iterator[Classified]:
        """Yields the label and the probabilities of each text, in order. Reads at most 1,600 texts ahead.

        None among the texts means that the next one has not arrived yet: the results of those before it come first.
        """
        for pool in pools(texts):
            encoded = list(map(self.encode, pool))
            for text, ids, row in zip(pool, encoded, self.log_probabilities(encoded)):
                yield self.result(text, row, len(ids))

    def evaluate(self, texts: Iterable[tuple[str, str]]) -> LabelReport:
        """Returns the measures over pairs of a text and its true label; blank texts are left out.

        Raises
        ------
        UserError
            The model does not have the label of a text, or there are no texts.
        """
        numbers, sums = {label: number for number, label in enumerate(self.labels)}, LabelSums(self.temperature)
        for pool in pools(texts):
            encoded = []
            for text, label in pool:
                if label not in numbers:
                    raise UserError(self.unknown_label(label))
                if ids := self.encode(text):
                    encoded.append((ids, numbers[label]))
            sums.add(self.log_probabilities(ids for ids, _ in encoded), np.array([n for _, n in encoded], int))
        return sums.report(self.labels)

    def unknown_label(self, label: str) -> str:
        """Returns the message for a label that the model does not have."""
        listed = ", ".join(self.labels[:10]) + (", ..." if len(self.labels) > 10 else "")
        return f"the model has no label {label[:60]!r} (its labels are {listed}): correct it, or leave the text out"

    def explain(self, text: str, label: str | None = None, *, with_removals: bool = True) -> Explanation:
        """Returns what each token of a text adds to the log-odds of a label, by default of the likeliest.

        Raises
        ------
        UserError
            The text is blank, or the model does not have this label.
        """
        pieces = pieces_of_text(text, self.vocabulary)
        if not pieces:
            raise UserError("the text is blank, so there is nothing to explain: give a text")
        if label is not None and label not in self.labels:
            raise UserError(self.unknown_label(label))
        if len(pieces) > MAX_EXPLAINED_TOKENS:
            raise UserError(f"the text must have at most {MAX_EXPLAINED_TOKENS:,} tokens to be explained, got "
                            f"{len(pieces):,}: shorten it")  # fmt: skip
        ids = [piece.id for piece in pieces]
        result = self.result(text, self.log_probabilities([ids])[0], len(ids))
        label = result.label if label is None else label
        number = self.labels.index(label)
        steps = padded_lengths(len(ids), *EXPLAINED)[-1]
        added = contributions(self.function("attributions"), ids, number, pad_id=self.vocabulary.pad_id, steps=steps,
                              dtype=self.model.config.dtype)  # fmt: skip
        removed = removals(self.log_probabilities, ids, number) if with_removals else None
        return Explanation(result, label, pieces, added, removed)

    def result(self, text: str, log_probabilities: Any, num_tokens: int) -> Classified:
        """Returns a text with its label and its probabilities at the temperature."""
        probabilities = np.exp(with_temperature(log_probabilities, self.temperature))
        if np.isnan(probabilities).any():
            return Classified(text, "", math.nan, probabilities, num_tokens)
        best = int(probabilities.argmax())
        return Classified(text, self.labels[best], float(probabilities[best]), probabilities, num_tokens)

    def log_probabilities(self, texts: Iterable[Sequence[int]]) -> Any:
        """Returns the log-probabilities of the labels before the temperature, float64 (texts, labels).

        `texts` are the ids of the texts; a text without ids has nan.

        Raises
        ------
        UserError
            The model's outputs are not finite numbers.
        """
        encoded = list(texts)
        found, predict = np.full((len(encoded), len(self.labels)), math.nan), self.function("predict")
        for is_long, batch_size in ((False, BATCH_SIZE), (True, 1)):
            places = np.array([i for i, ids in enumerate(encoded) if ids and (len(ids) > LONG) == is_long], int)
            given = as_texts([encoded[place] for place in places])
            lengths = padded_lengths(int(given.lengths.max(initial=1)))
            batches = TextBatches(given, batch_size=batch_size, lengths=lengths, pad_id=self.vocabulary.pad_id,
                                  dtype=self.model.config.dtype)  # fmt: skip
            for batch in map(batches.batch, range(len(batches))):
                (values,) = predict(batch.tokens, batch.mask)
                rows = np.asarray(values).T[: len(batch.numbers)]
                if np.isnan(rows).any():
                    raise UserError("the model's outputs are not numbers, because its training diverged: train it "
                                    "again with a smaller --learning-rate")  # fmt: skip
                found[places[batch.numbers]] = rows
        return found


def padded_lengths(longest: int, shortest: int = SHORTEST, factor: int = 2) -> list[int]:
    """Returns the lengths to pad to, up to the first that is not less than `longest`: few, as each is compiled.

    >>> padded_lengths(100)
    [16, 32, 64, 128]
    """
    found = [shortest]
    while found[-1] < longest:
        found.append(factor * found[-1])
    return found
