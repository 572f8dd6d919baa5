"""Which settings suit a text of a given size: the grid behind `theano_rnn/settings/presets.py`.

    python benchmarks/presets.py --sizes 3000 65000 300000 1000000 --output results/presets.jsonl

Each text is the beginning of the six novels in `data/austen`, in the order of their names, up to the last paragraph
that fits. Each run is the command `train` with the settings of one point of the grid, and the fixed defaults of all
others (`--preset none`). A line of the output is one run: the size, the settings, and the best validation perplexity.
Points that the file already has are not run again. `--defaults` runs the command without any setting instead.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GRID = {"hidden_size": (100, 200), "dropout": (0.4, 0.6), "batch_size": (5, 20), "updates": (1000, 2500)}


def text_of(size: int) -> str:
    """Returns the beginning of the novels: at most `size` bytes, up to the end of a paragraph."""
    novels = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "data" / "austen").glob("*.txt")))
    return novels.encode()[:size].decode(errors="ignore").rsplit("\n\n", 1)[0] + "\n"


def train(text: str, flags: list[str], threads: int) -> tuple[dict[str, object], float]:
    """Run the command. Returns the best epoch's record, and the seconds that the run took."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "text.txt").write_text(text, encoding="utf-8")
        command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--train", "text.txt", "--no-curves",
                   "--threads", str(threads), "--checkpoint", "m.safetensors", *flags]  # fmt: skip
        started = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        seconds = time.monotonic() - started
        if done.returncode:
            raise SystemExit(done.stderr)
        records = [json.loads(line) for line in Path(folder, "m.jsonl").read_text().splitlines()]
        epochs = [record for record in records if "valid_loss" in record]
        return min(epochs, key=lambda record: record["valid_loss"]) | {"epochs_run": len(epochs)}, seconds


def flags_of(point: dict[str, float], num_tokens: int, unit: str) -> list[str]:
    """Returns the flags of a point of the grid. Early stopping waits for a sixth of the epochs."""
    windows = max(1, round(num_tokens / (point["batch_size"] * point.get("bptt_steps", 35))))
    epochs = max(2, round(point["updates"] / windows))
    flags = {"epochs": epochs, "patience": max(3, epochs // 6), "unit": unit, "embedding_size": point["hidden_size"]}
    flags |= {"preset": "none"} | {name: value for name, value in point.items() if name != "updates"}
    return [part for name, value in flags.items() for part in ("--" + name.replace("_", "-"), str(value))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure settings for texts of several sizes.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[3_000, 65_000, 300_000, 1_000_000])
    parser.add_argument("--unit", default="word")
    parser.add_argument("--grid", type=json.loads, default=GRID, help="JSON: a list of values for each setting")
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("presets.jsonl"))
    args = parser.parse_args()
    known = [json.loads(line) for line in args.output.read_text().splitlines()] if args.output.exists() else []
    for size in args.sizes:
        text = text_of(size)
        num_tokens = len(text) if args.unit == "char" else len(text) // 5 + 1
        points = [dict(zip(args.grid, values)) for values in itertools.product(*args.grid.values())]
        for point in [{}] if args.defaults else points:
            key = {"size": size, "unit": args.unit, **point}
            if any(all(line.get(name) == value for name, value in key.items()) for line in known) and point:
                continue
            flags = flags_of(point, num_tokens, args.unit) if point else ["--unit", args.unit]
            best, seconds = train(text, flags, args.threads)
            line = key | {"perplexity": round(best["valid_perplexity"], 2), "nats": round(best["valid_loss"], 4),
                          "best_step": best["step"], "best_epoch": best["epoch"], "epochs_run": best["epochs_run"],
                          "seconds": round(seconds, 1)}  # fmt: skip
            with open(args.output, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
