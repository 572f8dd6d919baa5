"""What ``recognize`` prints: words with their labels, n-best lists, errors, each as text or as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.streams import visible

if TYPE_CHECKING:
    from theano_rnn.scoring.error_rates import ErrorCounts
    from theano_rnn.tasks.recognition_results import Recognized, RecognizedLabel, SpeechReport

MOSES = "|||"
MOST_SHOWN = 5  # confusions


def word_lines(found: Recognized) -> Iterator[str]:
    """Yields the words of a recording, a line for each with its labels, and the likeliest labels if they differ."""
    yield f"{visible(found.name)}: {found.text or '(no words)'}"
    width = max((len(each.word) for each in found.words), default=0)
    for each in found.words:
        place = f"{each.start:7.2f} {each.end:7.2f}  {each.word:{width}}"
        yield f"  {place}  {each.probability:.2f}  {label_text(each.labels)}"
    if [each.label for each in found.labels] != [label.label for each in found.words for label in each.labels]:
        yield f"  likeliest labels: {label_text(found.labels) or '(none)'}"


def label_text(labels: Sequence[RecognizedLabel]) -> str:
    """Returns labels with their probabilities, such as ``W 0.98 AH 0.95``."""
    return "  ".join(f"{shown(each.label)} {each.probability:.2f}" for each in labels)


def shown(label: Any) -> str:
    """Returns a label as it is displayed: a space between words as an underscore."""
    return "_" if label == " " else str(label)


def nbest_lines(number: int, found: Recognized) -> Iterator[str]:
    """Yields the readings of a recording in Moses' format."""
    for each in found.results:
        text = " ".join(each.words).replace(MOSES, "| | |")
        yield f"{number} {MOSES} {text} {MOSES} log_p= {each.log_probability:.6f} {MOSES} {each.score:.6f}"


def as_json(found: Recognized) -> dict[str, Any]:
    """Returns a recording as plain values. Times are seconds, log-probabilities nats."""
    return {
        "audio": found.name.encode("utf-8", "replace").decode(),
        "text": found.text,
        "seconds": round(found.seconds, 3),
        "words": [{"word": each.word, **times(each), "labels": [{"label": label.label, **times(label)} for label in
                                                                each.labels]} for each in found.words],
        "labels": [{"label": each.label, **times(each)} for each in found.labels],
        "nbest": [{"text": " ".join(each.words), "log_probability": round(each.log_probability, 6),
                   "score": round(each.score, 6)} for each in found.results],
    }  # fmt: skip


def times(placed: Any) -> dict[str, float]:
    """Returns when a word or label is recognized, and its probability."""
    return {"start": round(placed.start, 3), "end": round(placed.end, 3), "probability": round(placed.probability, 4)}


def report_lines(report: SpeechReport, is_lettered: bool) -> Iterator[str]:
    """Yields the errors in words."""
    label = "letters" if is_lettered else "phonemes"
    yield error_line(label, report.labels)
    yield error_line("words", report.words)
    words = report.words
    yield (f"{'recordings':10} {100 * words.sentence_rate:6.2f} % with a wrong word: {words.wrong_sentences:,} of "
           f"{words.num_sentences:,}, {report.seconds / 60:.1f} minutes")  # fmt: skip
    for name, found in ((label, report.label_confusions), ("words", report.word_confusions)):
        if found:
            listed = ", ".join(f"{confusion(pair)} {count}" for pair, count in found[:MOST_SHOWN])
            yield f"most frequent errors in {name}: {listed}"


def error_line(name: str, counts: ErrorCounts) -> str:
    return (f"{name:10} {100 * counts.rate:6.2f} % wrong: {counts.substitutions:,} substituted, {counts.insertions:,} "
            f"inserted, {counts.deletions:,} missing of {counts.num_labels:,}")  # fmt: skip


def confusion(pair: tuple[Any, Any]) -> str:
    """Returns an error as text: said -> recognized."""
    recognized, said = pair
    if said is None:
        return f"+{shown(recognized)}"
    return f"-{shown(said)}" if recognized is None else f"{shown(said)}->{shown(recognized)}"


def report_json(report: SpeechReport) -> dict[str, Any]:
    """Returns the errors as plain values. Rates are shares; a rate that is infinite is None."""

    def counted(counts: ErrorCounts) -> dict[str, Any]:
        rate = counts.rate if counts.num_labels else None
        return {"error_rate": rate, "substitutions": counts.substitutions, "insertions": counts.insertions,
                "deletions": counts.deletions, "count": counts.num_labels}  # fmt: skip

    def listed(found: Sequence[tuple[tuple[Any, Any], int]]) -> list[dict[str, Any]]:
        return [{"said": pair[1], "recognized": pair[0], "count": count} for pair, count in found]

    return {
        "labels": {**counted(report.labels), "confusions": listed(report.label_confusions)},
        "words": {**counted(report.words), "confusions": listed(report.word_confusions)},
        "recordings": {"error_rate": report.words.sentence_rate, "wrong": report.words.wrong_sentences,
                       "count": report.words.num_sentences},
        "seconds": round(report.seconds, 3),
    }  # fmt: skip
