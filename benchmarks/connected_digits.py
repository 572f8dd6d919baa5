"""Train recognizers on strings of spoken digits, and measure strings that are not recognized exactly.

    python benchmarks/connected_digits.py fsdd_four_speakers.npz                        recordings of the same speakers
    python benchmarks/connected_digits.py fsdd_four_speakers.npz --leave-out jackson    a speaker who was not trained on
    python benchmarks/connected_digits.py fsdd_four_speakers.npz --with-validation      trained on recordings 5 to 49

The recordings are those of the Free Spoken Digit Dataset: single digits, 50 of each digit and speaker, 8 kHz. A string
is 3 to 7 digits of one speaker with pauses of 0 to 0.3 s, of which one in four is 0, digits that differ by up to 3 dB,
and white or pink noise 20 to 35 dB below. Strings are joined from single recordings, so they are easier than digits
spoken in one breath.

Trained on recordings 10 to 49 of each digit, validated on recordings 5 to 9 (the best epoch is chosen there), and
tested on recordings 0 to 4 or, with --leave-out, on all recordings of those speakers; with --others FILE, also on all
speakers of another file of the same kind. With --with-validation, recordings 5 to 9 are trained on as well, and their
figures mean nothing. In half of the strings to train on, each speaker gets other voices: a string
is played faster, and so higher, or slower, and so lower, by up to 15 %; loudness and noise vary more than in the other
strings. Further flags are passed to ``train``, after those of RECIPE, the best of those that were tried (RESULTS.md).
Seconds are those from the start of training to its end, without making the strings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import to_mapping
from theano_rnn.settings.speech import FeaturesConfig
from theano_rnn.sound.augmentation import with_noise
from theano_rnn.sound.features import extract

RATE, TRAINED, VALIDATED, TESTED, ALL = 8000, range(10, 50), range(5, 10), range(5), range(50)
RECIPE = ["--epochs", "4", "--band-masks", "2", "--max-masked-bands", "6", "--average-decay", "0.999"]
LEXICON = ["ZERO Z IH R OW", "ONE W AH N", "TWO T UW", "THREE TH R IY", "FOUR F AO R", "FIVE F AY V", "SIX S IH K S",
           "SEVEN S EH V AH N", "EIGHT EY T", "NINE N AY N"]  # fmt: skip
LOUDNESS, LONGEST = 1600.0, 1.2  # of the louder half of a digit, of 32,768; seconds
FADE = 40  # samples


def read_digits(path: str) -> dict[tuple[int, str, int], Any]:
    """Returns the samples of each recording, float (samples,), by digit, speaker and number. They are mu-law codes."""
    with np.load(path) as file:
        codes = file["codes"].astype(np.float64)
        samples = np.sign(codes) * (256 ** (np.abs(codes) / 127) - 1) / 255 * 32768
        parts = np.split(samples, np.cumsum(file["lengths"])[:-1])
        names = zip(file["digits"], file["speakers"], file["indices"])
        return {(int(d), str(s), int(i)): levelled(part) for (d, s, i), part in zip(names, parts)}


def levelled(samples: Any) -> Any:
    """Returns a digit without its mean, at one loudness, with soft ends."""
    samples = samples[: int(LONGEST * RATE)] - samples[: int(LONGEST * RATE)].mean()
    powers = np.sort([np.mean(piece**2) for piece in np.array_split(samples, max(1, len(samples) // 160))])
    samples = samples * (LOUDNESS / np.sqrt(powers[len(powers) // 2 :].mean()))
    ramp = np.linspace(0, 1, FADE)
    samples[:FADE] *= ramp
    samples[-FADE:] *= ramp[::-1]
    return samples


class Variety(NamedTuple):
    """How much strings vary: digits by up to `loudness` dB, noise from `snr_db` dB below the digits to 35 dB.

    The speed of a string, and with it the pitch and formants of its voice, is changed by a factor between
    ``1 / (1 + speed)`` and ``1 + speed``, and that of each digit by up to `digit_speed` more.
    """

    loudness: float = 3.0
    snr_db: float = 20.0
    speed: float = 0.0
    digit_speed: float = 0.0


USUAL, VARIED = Variety(), Variety(loudness=5.0, snr_db=8.0, speed=0.15, digit_speed=0.04)


def at_speed(samples: Any, factor: float) -> Any:
    """Returns samples that are played faster by a factor: all frequencies are multiplied by it."""
    count = max(2, round(len(samples) / factor))
    spectrum, found = np.fft.rfft(samples), np.zeros(count // 2 + 1, complex)
    kept = min(len(spectrum), len(found))
    found[:kept] = spectrum[:kept]
    return np.fft.irfft(found, count) * (count / len(samples))


def spoken(
    digits: dict[Any, Any], speakers: list[str], numbers: range, rng: np.random.Generator, variety: Variety = USUAL
) -> Any:
    """Returns the samples of a string without noise, its digits and its speaker."""
    speaker = speakers[rng.integers(len(speakers))]
    said = rng.integers(0, 10, rng.integers(3, 8)).tolist()
    speed = np.exp(rng.uniform(-1, 1) * np.log1p(variety.speed)) if variety.speed else 1.0
    parts = [np.zeros(int(rng.uniform(0.1, 0.3) * RATE))]
    for place, digit in enumerate(said):
        samples = digits[digit, speaker, int(rng.choice(numbers))]
        if variety.speed:
            samples = at_speed(samples, speed * np.exp(rng.uniform(-1, 1) * np.log1p(variety.digit_speed)))
        parts.append(samples * 10 ** (rng.uniform(-variety.loudness, variety.loudness) / 20))
        pause = rng.uniform(0, 0.3) * (rng.random() > 0.25) if place < len(said) - 1 else rng.uniform(0.1, 0.3)
        parts.append(np.zeros(int(pause * RATE)))
    return np.concatenate(parts), said, speaker


def make_string(
    digits: dict[Any, Any], speakers: list[str], numbers: range, rng: np.random.Generator, variety: Variety = USUAL
) -> Any:
    """Returns the samples of a string with noise, its digits and its speaker."""
    samples, said, speaker = spoken(digits, speakers, numbers, rng, variety)
    color = ("white", "pink")[rng.integers(2)]
    return with_noise(samples, rng, snr_db=rng.uniform(variety.snr_db, 35), color=color), said, speaker


def write_strings(path: Path, strings: list[Any]) -> None:
    """Write packed features of strings: samples, digits and speaker of each."""
    config = FeaturesConfig(features="log-mel", sample_rate=RATE, bands=40)
    frames = [extract(samples.round(), RATE, config) for samples, _, _ in strings]
    words = [line.split()[0] for line in LEXICON]
    np.savez(
        path, frames=np.concatenate(frames), lengths=np.array(list(map(len, frames))),
        texts=np.array([" ".join(words[digit] for digit in said) for _, said, _ in strings]),
        speakers=np.array([speaker for *_, speaker in strings]), lexicon=np.array(LEXICON),
        settings=np.array(json.dumps(to_mapping(config))),
    )  # fmt: skip


def make_strings(
    digits: dict[Any, Any], speakers: list[str], numbers: range, count: int, seed: int, variety: Variety = USUAL
) -> list[Any]:
    """Returns strings with noise; each depends on its number and the seed alone."""
    return [make_string(digits, speakers, numbers, np.random.default_rng([seed, i]), variety) for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Recognizers of connected digits.")
    parser.add_argument("source", help="fsdd_four_speakers.npz")
    parser.add_argument("--leave-out", nargs="+", default=[], help="speakers to measure instead of training on them")
    parser.add_argument("--others", help="a file with other speakers, to test on")
    parser.add_argument("--with-validation", action="store_true", help="train on recordings 5 to 9, too")
    parser.add_argument("--strings", type=int, default=24000, help="to train on")
    parser.add_argument("--measured", type=int, default=600, help="to validate on, and to test on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--folder", type=Path, default=Path("runs/digits"))
    args, more = parser.parse_known_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    digits = read_digits(args.source)
    speakers = sorted({speaker for _, speaker, _ in digits} - set(args.leave_out))
    trained = range(VALIDATED.start, TRAINED.stop) if args.with_validation else TRAINED
    varied = make_strings(digits, speakers, trained, args.strings // 2, 1, VARIED)
    write_strings(args.folder / "train.npz",
                  varied + make_strings(digits, speakers, trained, args.strings - len(varied), 5))  # fmt: skip
    write_strings(args.folder / "valid.npz", make_strings(digits, speakers, VALIDATED, args.measured, 2))
    tested = make_strings(digits, args.leave_out or speakers, ALL if args.leave_out else TESTED, args.measured, 3)
    write_strings(args.folder / "test.npz", tested)
    measured = {"valid": "recordings 5 to 9", "test": ", ".join(args.leave_out) or "recordings 0 to 4"}
    if args.others:
        others = read_digits(args.others)
        names = sorted({speaker for _, speaker, _ in others})
        write_strings(args.folder / "others.npz", make_strings(others, names, ALL, args.measured, 4))
        measured["others"] = ", ".join(names)
    command = [sys.executable, "-m", "theano_rnn"]
    for seed in args.seeds:
        checkpoint, began = args.folder / f"seed{seed}.safetensors", time.monotonic()
        files = ["--train", str(args.folder / "train.npz"), "--valid", str(args.folder / "valid.npz")]
        subprocess.run([*command, "train", "--task", "recognize", *files, "--checkpoint", str(checkpoint), "--seed",
                        str(seed), *RECIPE, *more], check=True)  # fmt: skip
        print(f"seed {seed}: {time.monotonic() - began:.0f} s of training", flush=True)
        for name, title in measured.items():
            print(f"{name}, {title}:", flush=True)
            subprocess.run([*command, "recognize", str(checkpoint), "--evaluate", str(args.folder / f"{name}.npz")],
                           check=True)  # fmt: skip


if __name__ == "__main__":
    main()
