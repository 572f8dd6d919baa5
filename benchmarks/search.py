r"""Search for good settings: train a recipe with several combinations of values and log the results.

Runs are ranked by their best validation loss; the test text is never measured. If there are more combinations than
`--trials`, they are sampled at random (seeded, without repetition), otherwise all are tried. After an interruption, the
same command continues with the combinations that the log lacks. Each run is `scripts/train.py` with these settings.
`--jobs` runs share the cores, so the seconds in the log are only a rough guide.

    python benchmarks/search.py austen results/search/austen.jsonl \
        --vary dropout 0.3 0.4 0.5 --vary learning-rate 0.002 0.003 --trials 4
    python benchmarks/search.py ptb-small results/search/ptb-small.jsonl --vary epochs 2 \
        --set train=ptb.train.txt valid=ptb.valid.txt
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def combinations(varied: Sequence[Sequence[str]], trials: int, seed: int) -> Iterator[dict[str, str]]:
    """At most `trials` different choices of one value for each name; `varied` holds lists ``[name, value, ...]``."""
    names = [name for name, *_ in varied]
    found = [dict(zip(names, values)) for values in itertools.product(*(values for _, *values in varied))]
    if len(found) > trials:
        found = random.Random(seed).sample(found, trials)
    yield from found


def flags(settings: dict[str, str]) -> list[str]:
    """Flags of `train.py`; a value of several words is a list, ``true`` a switch, ``false`` none."""
    found = []
    for name, value in settings.items():
        if value != "false":
            found += [f"--{name}", *([] if value == "true" else value.split())]
    return found


def measure(recipe: Path, settings: dict[str, str], files: dict[str, str], cores: str) -> dict[str, Any]:
    """Train with `settings` in place of the recipe's own; the record for the log."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "model.jsonl")
        command = [*(["taskset", "-c", cores] if cores else []), sys.executable, str(ROOT / "scripts" / "train.py"),
                   "--config", str(recipe), "--checkpoint", str(Path(folder, "model.safetensors")),
                   *flags({**files, **settings})]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        record: dict[str, Any] = {"recipe": recipe.stem, "settings": settings}
        if done.returncode != 0:
            return record | {"failed": done.stderr.strip().splitlines()[-1:]}
        epochs = [line for line in map(json.loads, log.read_text().splitlines()) if "valid_loss" in line]
    best = min(epochs, key=lambda line: line["valid_loss"])
    return record | {
        "valid_loss": best["valid_loss"],
        "valid_perplexity": best["valid_perplexity"],
        "train_loss": best["train_loss"],
        "epoch": best["epoch"],
        "valid_losses": [round(line["valid_loss"], 4) for line in epochs],
        "tokens_per_second": epochs[-1]["tokens_per_second"],
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="the fixed settings: the name of a recipe or a TOML file")
    parser.add_argument("log", type=Path, help="JSON lines, one for each combination; results are appended")
    parser.add_argument("--vary", nargs="+", action="append", default=[], metavar="X", help="a flag's name and values")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE",
                        help="settings of all runs that are not logged: files")
    parser.add_argument("--trials", type=int, default=16, help="maximum number of combinations (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1,
                        help="random seed for sampling combinations (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1,
                        help="parallel runs, each on its own cores by taskset (default: %(default)s)")
    args = parser.parse_args()
    files = dict(item.split("=", 1) for item in args.set)
    args.log.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in args.log.read_text().splitlines()] if args.log.exists() else []
    done = [record["settings"] for record in known if record["recipe"] == args.recipe.stem]
    left = [settings for settings in combinations(args.vary, args.trials, args.seed) if settings not in done]
    print(f"{len(left)} runs to do, {len(done)} in {args.log}", flush=True)

    free: queue.Queue[str] = queue.Queue()
    all_cores = sorted(os.sched_getaffinity(0)) if args.jobs > 1 else []
    for job in range(args.jobs):
        free.put(",".join(map(str, all_cores[job :: args.jobs])))

    def run(settings: dict[str, str]) -> dict[str, Any]:
        cores = free.get()
        try:
            return measure(args.recipe, settings, files, cores)
        finally:
            free.put(cores)

    with ThreadPoolExecutor(args.jobs) as pool, open(args.log, "a", encoding="utf-8") as log:
        for record in pool.map(run, left):
            print(json.dumps(record), file=log, flush=True)
            found = f"{record['valid_perplexity']:.2f}" if "valid_loss" in record else f"failed: {record['failed']}"
            print(f"validation perplexity {found} {record['settings']}", flush=True)


if __name__ == "__main__":
    main()
