"""Train translators to copy strings and to reverse them, and measure how many come out exactly.

    python benchmarks/string_tasks.py --seeds 1 2 3

A string has 1 to 20 letters, each one token. Both tasks need attention: an encoder-decoder without it must put the
whole string into one vector. Settings are the defaults of ``train --task translate`` with words as tokens; training
ends after ``--max-seconds``. The percentages are those of the best epoch on 500 strings that were not trained on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NUM_TRAIN, NUM_VALID, MOST = 30_000, 500, 20
LETTERS = list("abcdefghijklmnopqrstuvwxyz")


def write_pairs(folder: Path, task: str) -> None:
    """Write train.tsv and valid.tsv of a task, with different strings."""
    rng = np.random.default_rng(1)
    strings = {tuple(rng.choice(LETTERS, rng.integers(1, MOST + 1)).tolist()): None for _ in range(2 * NUM_TRAIN)}
    chosen = list(strings)[: NUM_TRAIN + NUM_VALID]
    for name, part in (("train", chosen[NUM_VALID:]), ("valid", chosen[:NUM_VALID])):
        lines = [f"{' '.join(text)}\t{' '.join(text[::-1] if task == 'reverse' else text)}\n" for text in part]
        (folder / f"{name}.tsv").write_text("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description="Copy and reverse strings by an encoder-decoder with attention.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--max-seconds", type=int, default=150)
    args, more = parser.parse_known_args()
    for task in ("copy", "reverse"):
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write_pairs(folder, task)
                began = time.monotonic()
                subprocess.run(
                    [sys.executable, "-m", "theano_rnn", "train", "--task", "translate", "--train",
                     str(folder / "train.tsv"), "--valid", str(folder / "valid.tsv"), "--unit", "word", "--tokens",
                     "whitespace", "--checkpoint", str(folder / "model.safetensors"), "--seed", str(seed),
                     "--max-seconds", str(args.max_seconds), *more],
                    check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                seconds = time.monotonic() - began
                records = [json.loads(line) for line in (folder / "model.jsonl").read_text().splitlines()]
            exact = [record["valid_exact"] for record in records if "valid_exact" in record]
            print(f"{task}, seed {seed}: {max(exact):.1f} % exact (by epoch {exact}), {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
