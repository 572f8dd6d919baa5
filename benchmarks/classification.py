"""Accuracy of text classifiers over several seeds or folds: each run is the command `train --task classify`.

    python benchmarks/classification.py --train train.tsv --valid valid.tsv --seeds 1 2 3 4 5 --output results.jsonl
    python benchmarks/classification.py --train train.tsv valid.tsv --folds 10 --output folds.jsonl
    python benchmarks/classification.py --train train.tsv --valid valid.tsv -- --init-from lm.safetensors

Flags after ``--`` are those of `train`. With `--folds N`, the labelled lines of all files are shuffled with seed 1 and
divided into N folds; each fold is the test part of one run, the next fold its validation part, on which the best epoch
is chosen, and the others its training part. A line of the output is one run: flags, seed or fold, the measures of
the best epoch, those of the test part, and the seconds of the whole command.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run(files: list[str], flags: list[str], threads: int, folder: Path) -> dict[str, Any]:
    """Train a classifier. Returns the measures of its best epoch and of its test part, and the seconds."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--task", "classify", *files, "--no-curves",
               "--checkpoint", str(folder / "model.safetensors"), "--threads", str(threads), *flags]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    records = [json.loads(line) for line in (folder / "model.jsonl").read_text().splitlines()]
    last = records[-1]
    epochs = [record for record in records if "valid_loss" in record]
    best = next(record for record in epochs if record["step"] == last["best_step"])
    line = {name: round(best[name], 4) for name in best if name.startswith("valid_")}
    line |= {name: round(value, 4) for name, value in last.items() if name.startswith("test_")}
    return line | {"best_epoch": best["epoch"], "epochs": len(epochs), "seconds": round(seconds, 1)}


def folds_of(paths: list[str], count: int) -> list[list[str]]:
    """Returns the labelled lines of the files in `count` parts, after a shuffle with seed 1. Headers are left out."""
    lines = [line for path in paths for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    lines = [line for line in lines if line != "label\ttext"]
    random.Random(1).shuffle(lines)
    return [lines[number::count] for number in range(count)]


def main() -> None:
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description="Accuracy of text classifiers over seeds or folds.")
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--valid")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("classification.jsonl"))
    args = parser.parse_args(own)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs: list[tuple[dict[str, Any], list[str], list[str]]] = []
        if args.folds:
            parts = folds_of(args.train, args.folds)
            for fold in range(args.folds):
                held_out = {"test": fold, "valid": (fold + 1) % args.folds}
                named = []
                for part in ("train", "valid", "test"):
                    chosen = [number for number in range(args.folds) if number not in held_out.values()]
                    lines = [line for number in (chosen if part == "train" else [held_out[part]])
                             for line in parts[number]]  # fmt: skip
                    path = folder / f"{part}{fold}.tsv"
                    path.write_text("\n".join(["label\ttext", *lines]) + "\n", encoding="utf-8")
                    named += [f"--{part}", str(path)]
                jobs.append(({"fold": fold}, named, []))
        else:
            files = ["--train", *args.train, *(["--valid", args.valid] if args.valid else [])]
            jobs = [({"seed": seed}, files, ["--seed", str(seed)]) for seed in args.seeds]
        for key, files, more in jobs:
            line = {"flags": " ".join(flags), **key, **run(files, [*flags, *more], args.threads, folder)}
            found.append(line)
            with open(args.output, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    for name in ("valid_accuracy", "valid_macro_f1", "test_accuracy", "test_calibration_error"):
        values = [line[name] for line in found if name in line]
        if values:
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{name}: mean {statistics.mean(values):.4f}, standard deviation {deviation:.4f}, {len(values)} runs")
    print(f"seconds: median {statistics.median(line['seconds'] for line in found):.1f}")


if __name__ == "__main__":
    main()
