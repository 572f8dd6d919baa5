"""Errors of a recognizer of digits in noise.

    python benchmarks/noise.py runs/digits.safetensors                                 synthetic digits of new voices
    python benchmarks/noise.py runs/digits/seed1.safetensors --source fsdd_four_speakers.npz       connected digits

The first recognizer is that of ``train --task recognize``. Its strings are spoken anew by espeak-ng (see
tools/synthetic_digits.py), by the voices that are not trained on. The second one is that of connected_digits.py, and
its strings are joined from recordings 0 to 4. Noise is added to strings that have none. It is white, or babble:
`BABBLING` other strings at once, of which each has the same power. The signal-to-noise ratio is that of the mean powers
over the whole string, with its pauses. Babble consists of digits too, so it is harder than that of other words.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BABBLING = 5
SEED = 5


def synthetic_strings(count: int) -> Iterator[tuple[Any, list[str]]]:
    """Yields the samples of strings without noise, and their words."""
    import multiprocessing

    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    import synthetic_digits

    voices = synthetic_digits.divided_voices()["valid"]
    arguments = [(voices, np.random.default_rng([SEED, number])) for number in range(count)]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:  # a process for each voice
        for _, _, words, samples, _ in pool.starmap(synthetic_digits.spoken, arguments, chunksize=1):
            yield samples, words


def connected_strings(source: str, count: int) -> Iterator[tuple[Any, list[str]]]:
    """Yields the samples of strings without noise, and their words."""
    from connected_digits import LEXICON, TESTED, read_digits, spoken

    digits = read_digits(source)
    speakers, words = sorted({speaker for _, speaker, _ in digits}), [line.split()[0] for line in LEXICON]
    for number in range(count):
        samples, said, _ = spoken(digits, speakers, TESTED, np.random.default_rng([SEED, number]))
        yield samples, [words[digit] for digit in said]


def babble(strings: list[Any], number: int, rng: np.random.Generator) -> Any:
    """Returns other strings at once, as long as the string with this number."""
    others = rng.choice(np.delete(np.arange(len(strings)), number), BABBLING, replace=False)
    parts = [np.resize(np.roll(strings[other], rng.integers(len(strings[other]))), len(strings[number]))
             for other in others]  # fmt: skip
    return sum(part / np.sqrt(np.mean(part**2)) for part in parts)


def mixed(samples: Any, noise: Any, snr_db: float) -> Any:
    """Returns samples with noise at a signal-to-noise ratio."""
    return samples + noise * np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of a recognizer of digits in noise.")
    parser.add_argument("checkpoint")
    parser.add_argument("--source", help="fsdd_four_speakers.npz (default: synthetic digits)")
    parser.add_argument("--strings", type=int, default=300)
    parser.add_argument("--noise-db", type=float, nargs="+", default=[20, 10], help="signal-to-noise ratios")
    args = parser.parse_args()
    import theano_rnn  # noqa: F401 - sets Aesara's flags
    from theano_rnn.recognizer import Recognizer
    from theano_rnn.scoring.error_rates import count_errors
    from theano_rnn.tasks.recognition_results import Recording

    model = Recognizer(args.checkpoint)
    found = list(connected_strings(args.source, args.strings) if args.source else synthetic_strings(args.strings))
    strings, said = [samples for samples, _ in found], [words for _, words in found]
    phonemes = [[label for word in words for label in model.decoder.lexicon.pronunciations[word][0].split()]
                for words in said]  # fmt: skip
    print(f"{'noise':8} {'dB':>5} {'phonemes':>9} {'words':>9} {'strings':>9}   (% wrong)", flush=True)
    for kind, snr_db in [("none", np.inf), *((kind, db) for kind in ("white", "babble") for db in args.noise_db)]:
        recordings = []
        for number, samples in enumerate(strings):
            rng = np.random.default_rng([SEED, 1, number])
            noise = babble(strings, number, rng) if kind == "babble" else rng.standard_normal(len(samples))
            frames = model.extractor.frames_of_samples(mixed(samples, noise, snr_db).round(), 8000)
            recordings.append(Recording(str(number), frames))
        read = list(model.stream(recordings))
        labels = count_errors([[label.label for label in each.labels] for each in read], phonemes)
        words = count_errors([list(each.results[0].words) for each in read], said)
        rates = (100 * labels.rate, 100 * words.rate, 100 * words.sentence_rate)
        print(f"{kind:8} {snr_db:5g} " + " ".join(f"{rate:9.2f}" for rate in rates), flush=True)


if __name__ == "__main__":
    main()
