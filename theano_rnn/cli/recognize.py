"""``recognize``: recognize speech with a trained model, measure its errors, and show where words are recognized."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import Bar, advise
from theano_rnn.cli.files import check_output
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.cli.recognition_reports import as_json, nbest_lines, report_json, report_lines, word_lines
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.word_search import WordSearchConfig

if TYPE_CHECKING:
    from theano_rnn.recognizer import Recognizer

MOST_TUNED = 5  # lines of --tune
MAX_SHOWN_SECONDS = 1800.0  # of sound on a page


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Recognize speech with a trained model. Prints the words of each recording, and when each is "
        "recognized, with its phonemes and their probabilities.",
        epilog=f"examples:\n  {prog} runs/digits.safetensors a.wav b.wav\n"
        f"  {prog} runs/digits.safetensors a.wav --align page.html\n"
        f"  {prog} runs/digits.safetensors --evaluate test.jsonl\n"
        f"  {prog} runs/digits.safetensors *.wav --nbest 20 > lists.txt     for rescore\n"
        "train the model with: train.py --task recognize --train train.jsonl --lexicon words.dict --checkpoint "
        "runs/digits.safetensors",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a model trained with --task recognize")
    parser.add_argument("files", nargs="*", metavar="FILE", help="sound files: WAV, and with the extra speech FLAC, "
                        "Ogg and others; or ready-made features (.npy, .npz) for a model that reads them")  # fmt: skip
    parser.add_argument("--microphone", action="store_true", help="recognize what you say into the microphone")
    words = parser.add_argument_group("words")
    words.add_argument("--lexicon", metavar="FILE", help="pronunciations in the format of CMUdict (default: those of "
                       "the checkpoint)")  # fmt: skip
    language = words.add_mutually_exclusive_group()
    language.add_argument("--arpa", metavar="FILE", help="an n-gram language model in the ARPA format (default: one of "
                          "the training transcripts)")  # fmt: skip
    language.add_argument("--lm", metavar="CHECKPOINT", help="a language model of words, trained with train.py, which "
                          "scores words during the search")  # fmt: skip
    add_flags(parser, "search", WordSearchConfig)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print a JSON object for each recording, or for the errors")
    output.add_argument("--evaluate", nargs="+", metavar="MANIFEST", help="print the errors in the recordings of a "
                        "manifest, or of features packed in .npz")  # fmt: skip
    output.add_argument("--tune", nargs="+", metavar="MANIFEST", help="print the errors in words with several "
                        "--lm-weight and --word-bonus, the fewest first")  # fmt: skip
    output.add_argument("--align", metavar="PAGE", help="write an HTML page with the sound, its spectrogram, the "
                        "probabilities of all labels, and words and labels in time")  # fmt: skip
    output.add_argument("--text", metavar="WORDS", help="recognize nothing: find where these words are said")
    output.add_argument("--force", action="store_true", help="replace an existing page")
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    sections = sections_from(vars(args), {"machine": MachineConfig, "search": WordSearchConfig})
    check_flags(args)
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_recognizer

    config = sections["search"]
    model = open_recognizer(args.checkpoint, machine, lexicon=args.lexicon, arpa=args.arpa, language_model=args.lm)
    if model.decoder.num_lacking:
        advise([f"{model.decoder.num_lacking:,} words of the lexicon have phonemes that the model does not know, and "
                "cannot be recognized"])  # fmt: skip
    if args.evaluate is not None:
        report = model.evaluate(args.evaluate, config)
        advise(report.notes)
        lines = [json.dumps(report_json(report))] if args.json else report_lines(report, model.decoder.is_lettered)
        sys.stdout.write("".join(line + "\n" for line in lines))
        return 0
    if args.tune is not None:
        bar = Bar("tuning", unit=" settings", delay=2.0)
        try:
            tuned = model.tune(args.tune, config, progress=bar.to)
        finally:
            bar.close()
        for weight, bonus, words in tuned[:MOST_TUNED]:
            print(f"--lm-weight {weight:g} --word-bonus {bonus:g}: {100 * words.rate:.2f} % of words wrong, "
                  f"{words.errors:,} of {words.num_labels:,}")  # fmt: skip
        return 0
    found = Readings(args, model, config)
    if args.align is not None:
        write_page(args, model, found)
    else:
        for number, each in enumerate(found):
            if args.json:
                lines = [json.dumps(as_json(each))]
            elif "nbest" in vars(args):
                lines = list(nbest_lines(number, each))
            else:
                lines = list(word_lines(each))
            sys.stdout.write("".join(line + "\n" for line in lines))
            sys.stdout.flush()
    return 2 if found.num_failed else 0


def check_flags(args: argparse.Namespace) -> None:
    """Raises `UserError` if flags contradict each other, or a file cannot be read or written."""
    sources = [bool(args.files), args.microphone, args.evaluate is not None, args.tune is not None]
    if sum(sources) != 1:
        raise UserError("name sound files, or add --microphone, or --evaluate or --tune MANIFEST"
                        + (": only one of these" if sum(sources) else ""))  # fmt: skip
    others = [name for name in ("align", "evaluate", "tune", "text") if getattr(args, name) is not None]
    if "nbest" in vars(args) and others:
        raise UserError(f"--nbest cannot be used with --{others[0]}: leave one out")
    for name, contrary in (
        ("align", ("json", "evaluate", "tune")),
        ("text", ("evaluate", "tune")),
        ("tune", ("json",)),
    ):
        other = next((each for each in contrary if getattr(args, each)), None)
        if getattr(args, name) is not None and other:
            raise UserError(f"--{name} cannot be used with --{other}: leave one out")
    for path in (args.lexicon, args.arpa, *(args.evaluate or args.tune or ())):
        if path is not None and not Path(path).exists():  # before anything is compiled
            raise UserError(f"cannot find {path}: check the name")
    if args.microphone:
        from theano_rnn.cli.microphone import check_microphone

        check_microphone()
    if args.align is not None:
        if Path(args.align).suffix != ".html":
            raise UserError(f"--align must end in .html, got {args.align or 'an empty name'}")
        check_output(Path(args.align), [args.checkpoint, *args.files], is_forced=args.force, flag="--align")


class Readings:
    """What is recognized in each recording, in order. A file that cannot be used is reported and left out."""

    def __init__(self, args: argparse.Namespace, model: Recognizer, config: WordSearchConfig) -> None:
        self.args, self.model, self.config = args, model, config
        self.num_failed = 0

    def __iter__(self) -> Iterator[Any]:
        for recording in self.recordings() if self.args.text is not None else ():
            try:
                yield self.model.align(recording, self.args.text)
            except UserError as error:
                self.fail(f"{recording.name}: {error}")
        if self.args.text is None:
            yield from self.model.stream(self.recordings(), self.config)

    def recordings(self) -> Iterator[Any]:
        """Yields the recordings that can be read."""
        from theano_rnn.tasks.recognition_results import Recording

        if self.args.microphone:
            from theano_rnn.cli.microphone import record

            rate = self.model.extractor.config.sample_rate
            if rate is None:
                raise UserError("this model reads ready-made features, not sound: name files of features")
            self.spoken = record(rate, self.partial_results(rate))
            yield Recording("microphone", self.model.extractor.frames_of_samples(self.spoken, rate))
        for path in self.args.files:
            try:
                recording = self.model.recording(path)
            except FileNotFoundError:
                self.fail(f"cannot find {path}: check the name")
            except OSError as error:
                self.fail(f"cannot read {path}: {(error.strerror or str(error)).lower()}")
            except UserError as error:
                self.fail(str(error))
            else:
                yield recording

    def partial_results(self, rate: int) -> Callable[[Any], None] | None:
        """Returns a function that prints the words so far if they have changed; None if the model cannot listen."""
        try:
            listening = self.model.listen(rate, self.config)
        except UserError:  # it needs the end of a recording
            return None

        def heard(samples: Any) -> None:
            before = listening.words
            if listening.push(samples) != before:
                advise([" ".join(listening.words)])

        return heard

    def fail(self, line: str) -> None:
        self.num_failed += 1
        advise([line])


def write_page(args: argparse.Namespace, model: Recognizer, found: Readings) -> None:
    """Write a page with the recordings."""
    from tqdm import tqdm

    from theano_rnn.learning.atomic_files import write_atomically
    from theano_rnn.view.alignment_page import alignment_page

    shown: list[dict[str, Any]] = []
    seconds = 0.0
    num_left_out = 0
    for each in found:
        if seconds + each.seconds > MAX_SHOWN_SECONDS:
            num_left_out += 1
            continue
        seconds += each.seconds
        shown.append(page_record(model, each, found))
    if num_left_out:
        advise([f"{num_left_out} recordings are left out, because a page has at most {MAX_SHOWN_SECONDS / 60:.0f} "
                "minutes of sound"])  # fmt: skip
    if not shown:
        raise UserError("there is no recording to show: name one that can be read")
    page, path = alignment_page(shown, about=Path(args.checkpoint).name), Path(args.align)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data := page.encode())
    print(f"{args.align}  ({tqdm.format_sizeof(len(data), 'B')})", flush=True)


def page_record(model: Recognizer, recognized: Any, found: Readings) -> dict[str, Any]:
    """Returns a recording for a page, with its sound if it has one."""
    from theano_rnn.settings.speech import READY_MADE
    from theano_rnn.sound.audio import read_samples
    from theano_rnn.view.alignment_page import alignment_record

    config, about = model.extractor.config, (model.labels, model.seconds_per_step)
    if config.features == READY_MADE:
        return alignment_record(recognized, *about, frames=model.recording(recognized.name).frames)
    samples, rate = (found.spoken, config.sample_rate) if found.args.microphone else read_samples(recognized.name)
    return alignment_record(recognized, *about, samples=samples, rate=int(rate or 0))
