"""N-gram language models of words: estimated from sentences (Witten-Bell), or read from an ARPA file.

A model is a table of log-probabilities and one of backoff weights:

    P(w | h) = table[h w] if it is there, else backoff[h] P(w | h without its first word)

Witten-Bell smoothing (Witten & Bell 1991) reserves for new words after h as much as there were different ones:

    P(w | h) = (c(h w) + t(h) P(w | h without its first word)) / (c(h) + t(h))

with c(h w) the number of times that w follows h, c(h) their sum, and t(h) the number of different words after h.
Without h, the lower probability is equal for all words of the vocabulary. It includes the end of the sentence and
``<unk>``, which stands for all other words, so the probabilities of the next word sum to one.

>>> model = estimated(["go to five", "stop", "go to nine"], order=2)
>>> round(model.log_probability("to", ["go"]), 4), round(model.log_probability("five", ["to"]), 4)
(-0.3199, -1.1775)
>>> again = parse_arpa(model.arpa().splitlines(), "file")
>>> round(again.log_probability("to", ["go"]), 4)
-0.3199
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import UserError

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
MAX_ORDER = 5
MAX_GRAMS = 100_000  # of a small model
NEVER = -99.0  # ARPA files write this log10 for the probability 0
LN10 = math.log(10.0)
Gram = tuple[str, ...]


class SentenceScore(NamedTuple):
    """ln P of a sentence with its end; `num_words` with the end; the words that the model does not know."""

    log_probability: float
    num_words: int
    num_unknown: int


class NGramModel:
    """An n-gram model of words.

    Parameters
    ----------
    log_probabilities
        ln P of the last word of each n-gram after the others, in nats. An n-gram of one word for each known word.
    backoffs
        ln of the backoff weight of each history; 0 for the others.

    Attributes
    ----------
    order : int
        The greatest number of words of an n-gram.
    words : list of str
        The words that it knows, sorted, without ``<s>``, ``</s>`` and ``<unk>``.
    """

    def __init__(self, log_probabilities: Mapping[Gram, float], backoffs: Mapping[Gram, float]) -> None:
        self.log_probabilities, self.backoffs = dict(log_probabilities), dict(backoffs)
        self.order = max(map(len, self.log_probabilities), default=1)
        known = {gram[0] for gram in self.log_probabilities if len(gram) == 1}
        self.words = sorted(known - {START, END, UNKNOWN})
        self.known = known
        self.followers: dict[Gram, list[tuple[str, float]]] = {}
        for gram, value in self.log_probabilities.items():
            self.followers.setdefault(gram[:-1], []).append((gram[-1], value))

    def context(self, words: Sequence[str]) -> Gram:
        """Returns the part of a history that the next word depends on; unknown words are ``<unk>``.

        A history that begins a sentence must begin with ``<s>``.
        """
        kept = words[max(len(words) - self.order + 1, 0) :]
        found = tuple(word if word in self.known or word == START else UNKNOWN for word in kept)
        while found and found not in self.backoffs and found not in self.followers:
            found = found[1:]
        return found

    def log_probability(self, word: str, history: Sequence[str]) -> float:
        """Returns ln P of a word, or ``</s>``, after a history. For an unknown word it is that of ``<unk>``."""
        word, total, context = word if word in self.known else UNKNOWN, 0.0, self.context(history)
        while (gram := (*context, word)) not in self.log_probabilities:
            if not context:
                return -math.inf  # a model without <unk>
            total += self.backoffs.get(context, 0.0)
            context = context[1:]
        return total + self.log_probabilities[gram]

    def distribution(self, history: Sequence[str], words: Mapping[str, int], size: int) -> Any:
        """Returns ln P of many words at once, float64 (size,): of each of `words` at its place, -inf elsewhere.

        Unknown words share the probability of ``<unk>`` equally, so that knowing fewer words is no advantage.
        """
        unknown = [place for word, place in words.items() if word not in self.known]
        found = np.full(size, -math.inf)

        def add(context: Gram) -> None:
            if context:
                add(context[1:])
                found[:] += self.backoffs.get(context, 0.0)
            for word, value in self.followers.get(context, ()):
                if word == UNKNOWN:
                    found[unknown] = value - math.log(max(len(unknown), 1))
                elif word in words:
                    found[words[word]] = value

        add(self.context(history))
        return found

    def score(self, words: Sequence[str]) -> SentenceScore:
        """Returns ln P of a sentence with its end."""
        history, total = [START], 0.0
        for word in [*words, END]:
            total += self.log_probability(word, history)
            history.append(word)
        return SentenceScore(total, len(words) + 1, sum(word not in self.known for word in words))

    def arpa(self) -> str:
        """Returns the model as the text of an ARPA file."""
        return "".join(line + "\n" for line in self.arpa_lines())

    def arpa_lines(self) -> Iterator[str]:
        """Yields the lines of an ARPA file: n-grams with the base-10 logarithms of their probabilities and backoffs."""
        grams: dict[Gram, float] = {**dict.fromkeys(self.backoffs, -math.inf), **self.log_probabilities}
        yield "\\data\\"
        for order in range(1, self.order + 1):
            yield f"ngram {order}={sum(len(gram) == order for gram in grams)}"
        for order in range(1, self.order + 1):
            yield from ("", f"\\{order}-grams:")
            for gram in sorted(gram for gram in grams if len(gram) == order):
                value = grams[gram] / LN10 if grams[gram] > -math.inf else NEVER
                backoff = f"\t{self.backoffs[gram] / LN10:.7g}" if gram in self.backoffs else ""
                yield f"{value:.7g}\t{' '.join(gram)}{backoff}"
        yield from ("", "\\end\\")


def estimated(sentences: Iterable[str], *, order: int = 2, words: Iterable[str] = ()) -> NGramModel:
    """Returns a model with Witten-Bell smoothing.

    Parameters
    ----------
    sentences
        Texts whose words are separated by blanks.
    order
        From 1 to 5: the probability of a word depends on the `order` - 1 words before it.
    words
        Further words of the vocabulary, such as those of a lexicon. They are as likely as words that the sentences
        lack: more than ``<unk>`` only if they occur.

    Raises
    ------
    UserError
        The order is out of range.
    """
    if not 1 <= order <= MAX_ORDER:
        raise UserError(f"order must be from 1 to {MAX_ORDER}, got {order}")
    counts: dict[Gram, Counter[str]] = {(): Counter()}
    vocabulary = {word for word in words if word not in (START, END, UNKNOWN)}
    for sentence in sentences:
        found = [word if word not in (START, END) else UNKNOWN for word in sentence.split()]
        vocabulary.update(found)
        history = [START]
        for word in [*found, END]:
            for length in range(min(order - 1, len(history)) + 1):
                counts.setdefault(tuple(history[len(history) - length :]), Counter())[word] += 1
            history.append(word)
    outcomes = sorted((vocabulary | {END, UNKNOWN}) - {START})
    total, kinds = counts[()].total(), len(counts[()])
    base = kinds / len(outcomes) if total else 1 / len(outcomes)
    probabilities: dict[Gram, float] = {(word,): (counts[()][word] + base) / max(total + kinds, 1) for word in outcomes}
    backoffs = {}
    for context in sorted(counts, key=lambda each: (len(each), each)):
        if not context:
            continue
        total, kinds = counts[context].total(), len(counts[context])
        backoffs[context] = math.log(kinds / (total + kinds))
        for word, count in counts[context].items():
            gram = (*context, word)
            probabilities[gram] = (count + kinds * probabilities[gram[1:]]) / (total + kinds)
    return NGramModel({gram: math.log(value) for gram, value in probabilities.items()}, backoffs)


def estimated_small(sentences: Sequence[str], *, words: Iterable[str] = ()) -> NGramModel:
    """Returns a model of order 3, or of a lower order if it would have more than 100,000 n-grams of that order."""
    for order in (3, 2):
        grams = set[Gram]()
        for sentence in sentences:
            padded = [START, *sentence.split(), END]
            grams.update(tuple(padded[place : place + order]) for place in range(len(padded) - order + 1))
            if len(grams) > MAX_GRAMS:
                break
        else:
            return estimated(sentences, order=order, words=words)
    return estimated(sentences, order=1, words=words)


def parse_arpa(lines: Iterable[str], name: str) -> NGramModel:
    """Returns the model of an ARPA file.

    Raises
    ------
    UserError
        The file is not in this format, or is cut short; the message gives `name` and the number of the line.
    """
    probabilities: dict[Gram, float] = {}
    backoffs: dict[Gram, float] = {}
    order, is_ended, expected = 0, False, Counter[int]()
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        if fields[0] == "\\end\\":
            is_ended = True
            break
        if fields[0].startswith("\\"):
            order = int(fields[0][1:-7]) if fields[0].endswith("-grams:") and fields[0][1:-7].isdigit() else 0
        elif order:
            try:
                value, backoff = float(fields[0]), float(fields[order + 1]) if len(fields) == order + 2 else None
                if len(fields) not in (order + 1, order + 2) or math.isnan(value) or value > 1e-4:
                    raise ValueError
            except ValueError:
                raise UserError(f"{name} line {number} must be a base-10 logarithm of a probability, {order} words and "
                                f"perhaps a backoff weight, got {line.strip()[:60]!r}") from None  # fmt: skip
            gram = tuple(UNKNOWN if word == "<UNK>" else word for word in fields[1 : order + 1])
            probabilities[gram] = value * LN10 if value > NEVER else -math.inf
            if backoff is not None:
                backoffs[gram] = backoff * LN10
        elif fields[0] == "ngram" and "=" in line:
            size, _, count = line.split(None, 1)[1].partition("=")
            if size.strip().isdigit() and count.strip().isdigit():
                expected[int(size)] = int(count)
    found = Counter(map(len, probabilities))
    if not is_ended or not found[1] or any(found[size] != count for size, count in expected.items()):
        raise UserError(f"{name} is not a whole ARPA file: it must have a line \\1-grams:, the numbers of n-grams that "
                        "its head says, and a last line \\end\\")  # fmt: skip
    probabilities.pop((START,), None)  # never predicted; files have it for the sake of its backoff weight
    return NGramModel(probabilities, backoffs)


def read_arpa(path: str) -> NGramModel:
    """Returns the model of an ARPA file at `path`.

    Raises
    ------
    UserError
        The file is not such a file, or not UTF-8 text.
    OSError
        It cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parse_arpa(file, path)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: give an ARPA file, as tools for language models write it") from None
