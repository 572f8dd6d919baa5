r"""Learning curves of runs as a picture: perplexity, or nats a character, of each epoch's training and validation text.

    python benchmarks/curves.py results/austen.png results/austen.jsonl --published 70.5 "PyTorch, the same minutes"
    python benchmarks/curves.py results/char.png results/char.*.jsonl --unit char --published 1.4697 nanoGPT

Needs matplotlib (`pip install -e '.[dev]'`).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

HIGHEST = {"word": 2.5, "char": 1.5}  # of what is shown, times the lowest: a first epoch is far above all others


def epochs_of(log: Path) -> list[dict[str, Any]]:
    """The records of a log that are of epochs, the part of one at the end included."""
    return [record for record in map(json.loads, log.read_text().splitlines()) if "valid_loss" in record]


def draw(logs: list[Path], unit: str, published: list[tuple[float, str]]) -> Any:
    """A figure of all logs; horizontal lines are what others reached."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    shown, lowest = (math.exp if unit == "word" else float), min((value for value, _ in published), default=math.inf)
    for number, log in enumerate(logs):
        records, color = epochs_of(log), f"C{number}"
        epochs = range(1, len(records) + 1)
        valid = [shown(record["valid_loss"]) for record in records]
        train = [shown(record["train_loss"]) for record in records]
        lowest = min(lowest, *valid, *train)
        name = f"{log.stem}: " if len(logs) > 1 else ""
        axes.plot(epochs, valid, color=color, marker=".", label=f"{name}validation, best {min(valid):.4g}")
        axes.plot(epochs, train, color=color, linestyle=":", label=f"{name}training, with dropout")
    for number, (value, title) in enumerate(published):
        style = ("--", "-.", ":")[number % 3]
        axes.axhline(value, color="black", linestyle=style, linewidth=1, label=f"{title}: {value:g}")
    axes.set_ylim(0.95 * lowest, HIGHEST[unit] * lowest)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("perplexity" if unit == "word" else "nats per character")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("logs", type=Path, nargs="+", help="logs of train.py")
    parser.add_argument("--unit", choices=("word", "char"), default="word", help="char: nats instead of perplexity")
    parser.add_argument("--published", nargs=2, action="append", default=[], metavar=("VALUE", "TITLE"), help="a line")
    args = parser.parse_args()
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    published = [(float(value), title) for value, title in args.published]
    draw(args.logs, args.unit, published).savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main()
