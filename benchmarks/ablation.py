"""What each part of the default recipe is worth: one run with all of them, and one without each.

    python benchmarks/ablation.py --seeds 1 2 --output results/ablation.jsonl
    python benchmarks/ablation.py --output results/ablation.jsonl --table
    python benchmarks/ablation.py --recipe austen --text data/austen --seeds 1 --output results/ablation-austen.jsonl

Each run is the command `train` on one novel with the same fixed settings, plus the flags of one row of `ROWS`; or a
recipe on its text, plus the flags of one row of `RECIPE_ROWS`, which leaves one part of the recipe out. The parameters
of the best epoch count, chosen by the validation loss. A line of the output is one run. Runs that the file
already has are not repeated. `--table` prints the mean perplexity of each row over its seeds, without training.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIXED = {"preset": "none", "hidden-size": 100, "embedding-size": 100, "batch-size": 10, "epochs": 12,
         "valid-fraction": 0.1, "test-fraction": 0.1, "engine": "jax"}  # fmt: skip
ROWS = {
    "default": "",
    "no dropout": "--dropout 0",
    "constant rate": "--schedule constant",
    "no clipping": "--clip-norm 0",
    "average": "--average-decay 0.99",
    "SGD, rate 20": "--optimizer sgd --learning-rate 20",
    "GRU": "--cell gru",
    "tanh": "--cell tanh",
    "full softmax": "--head softmax",
    "full softmax, not tied": "--head softmax --no-tie-weights",
    "24 epochs": "--epochs 24",
    "24 epochs, no dropout": "--epochs 24 --dropout 0",
    "batch of 20": "--batch-size 20",
    "batch of 20, full softmax": "--batch-size 20 --head softmax",
    "batch of 20, constant rate": "--batch-size 20 --schedule constant",
    "windows of 5 steps": "--bptt-steps 5 --batch-size 70",
}
RECIPE_ROWS = {
    "the recipe": "",
    "no weight decay": "--optimizer adam --weight-decay 0",
    "no dropout": "--dropout 0 --input-dropout 0",
    "no decay of the rate": "--schedule constant",
    "not tied": "--no-tie-weights",
    "full softmax": "--head softmax",
    "sentences in random order": "--batching sentences",
    "no clipping": "--clip-norm 0",
    "GRU": "--cell gru",
    "tanh": "--cell tanh",
}


def train(text: Path, flags: list[str], threads: int, recipe: str | None) -> dict[str, float]:
    """Run the command. Returns the perplexities of the best epoch, and the seconds of CPU time that the run took."""
    fixed = {"config": recipe} if recipe else FIXED
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--train", str(text), "--threads", str(threads),
                   "--checkpoint", "m.safetensors", "--no-curves",
                   *(part for name, value in fixed.items() for part in (f"--{name}", str(value))), *flags]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            return {"failed": done.stderr.strip().splitlines()[-1]}  # type: ignore[dict-item]
        records = [json.loads(line) for line in Path(folder, "m.jsonl").read_text().splitlines()]
    best = min((record for record in records if "valid_loss" in record), key=lambda record: record["valid_loss"])
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"valid_perplexity": round(best["valid_perplexity"], 2),
            "test_perplexity": round(records[-1]["test_perplexity"], 2),
            "best_epoch": best["epoch"], "cpu_seconds": round(seconds, 1)}  # fmt: skip


def read_lines(path: Path) -> list[dict[str, float]]:
    """Returns the lines of the output file, none if there is no file yet. Another process may be writing to it."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def print_table(lines: list[dict[str, float]]) -> None:
    """Print the geometric mean of the perplexities of each row, with the least and the greatest of its seeds."""
    for row, flags in (ROWS | RECIPE_ROWS).items():
        found = [line for line in lines if line["row"] == row and "failed" not in line]
        if not found:
            continue
        means = []
        for part in ("valid", "test"):
            values = [line[f"{part}_perplexity"] for line in found]
            mean = math.exp(statistics.fmean(map(math.log, values)))
            means.append(f"{mean:7.1f} ({min(values):.1f} to {max(values):.1f})")
        seconds = statistics.fmean(line["cpu_seconds"] for line in found)
        print(f"{row:26} {flags:41} {len(found)} seeds  valid {means[0]}  test {means[1]}  {seconds:4.0f} s of CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each part of the default recipe is worth.")
    parser.add_argument("--text", type=Path, default=ROOT / "data" / "austen" / "persuasion.txt")
    parser.add_argument("--recipe", metavar="NAME", help="a recipe, instead of the fixed settings")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", nargs="+", choices=ROWS | RECIPE_ROWS, metavar="ROW")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--table", action="store_true", help="print what the output file has; train nothing")
    args = parser.parse_args()
    if args.table:
        return print_table(read_lines(args.output))
    rows = RECIPE_ROWS if args.recipe else ROWS
    for seed in args.seeds:
        for row in args.rows or rows:
            key = {"text": args.text.name, "row": row, "seed": seed}
            if any(key.items() <= line.items() for line in read_lines(args.output)):
                continue
            flags = [*rows[row].split(), "--precision", args.precision, "--seed", str(seed)]
            line = key | train(args.text.resolve(), flags, args.threads, args.recipe)
            with open(args.output, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    return None


if __name__ == "__main__":
    main()
