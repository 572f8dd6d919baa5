"""Train recognizers on AN4, and measure phonemes and words wrong on speakers that were not trained on.

    python benchmarks/recognition.py an4_train.npz --seeds 1 2 3

AN4 (CMU 1991) is 948 spoken spellings, dates and numbers of 74 speakers, here as packed features: 13 MFCCs a frame.
Every ninth of the sorted speakers, from the fifth, is for validation: 8 speakers, 100 recordings. Two words get another
reference pronunciation than the first of the dictionary, because they are spoken so in this corpus: A is EY, and ONE is
W AH N. All pronunciations are recognized. Settings that are not named are the defaults of ``train --task recognize``.

Phonemes are those of the likeliest path. Words are found with the lexicon and the bigram of the training transcripts,
with the defaults of ``recognize``. Seconds are those from the start of the command to its end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

REFERENCES = "A EY", "ONE W AH N"
STEP, FIRST = 9, 4  # of the sorted speakers


def packed(arrays: dict[str, Any], is_chosen: Any) -> dict[str, Any]:
    """Returns the arrays of the recordings for which `is_chosen`, bool (recordings,), is true."""
    chosen = {name: arrays[name][is_chosen] for name in ("lengths", "names", "speakers", "texts")}
    frames = arrays["mfcc"][np.repeat(is_chosen, arrays["lengths"])]
    lines = [" ".join(str(line).split()) for line in arrays["lexicon"]]
    lexicon = [*REFERENCES, *(line for line in lines if line not in REFERENCES)]
    return {**chosen, "mfcc": frames, "lexicon": np.array(lexicon)}


def prepare(source: str, folder: Path) -> None:
    """Write train.npz and valid.npz to a folder."""
    with np.load(source) as file:
        arrays = {name: file[name] for name in file}
    is_valid = np.isin(arrays["speakers"], np.unique(arrays["speakers"])[FIRST::STEP])
    np.savez(folder / "train.npz", **packed(arrays, ~is_valid))
    np.savez(folder / "valid.npz", **packed(arrays, is_valid))


def train(folder: Path, seed: int, more: list[str]) -> tuple[Path, float]:
    """Train with a seed. Returns the checkpoint, and how many seconds it took."""
    checkpoint = folder / f"an4-{seed}.safetensors"
    command = [
        sys.executable, "-m", "theano_rnn", "train", "--task", "recognize", "--train", str(folder / "train.npz"),
        "--valid", str(folder / "valid.npz"), "--deltas", "2", "--seed", str(seed), "--checkpoint", str(checkpoint),
        *more,
    ]  # fmt: skip
    began = time.monotonic()
    subprocess.run(command, check=True)
    return checkpoint, time.monotonic() - began


def measure(folder: Path, checkpoint: Path) -> tuple[float, float, float]:
    """Returns the percentages of phonemes, words and sentences that are wrong in the validation part."""
    from theano_rnn.recognizer import Recognizer

    report = Recognizer(checkpoint).evaluate([str(folder / "valid.npz")])
    return 100 * report.labels.rate, 100 * report.words.rate, 100 * report.words.sentence_rate


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of recognizers on AN4. Further flags are passed to train.")
    parser.add_argument("source", help="an4_train.npz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    args, more = parser.parse_known_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    prepare(args.source, args.folder)
    found = []
    for seed in args.seeds:
        checkpoint, seconds = train(args.folder, seed, more)
        found.append((*measure(args.folder, checkpoint), seconds))
    print(f"\n{'seed':>6} {'phonemes':>10} {'words':>10} {'sentences':>10} {'seconds':>10}   (% wrong)")
    for seed, values in zip(args.seeds, found):
        print(f"{seed:>6} " + " ".join(f"{value:10.2f}" for value in values))
    if len(found) > 1:
        print("median " + " ".join(f"{statistics.median(column):10.2f}" for column in zip(*found)))


if __name__ == "__main__":
    main()
