r"""Plot the learning curves of runs: training and validation perplexity, or nats per character, by epoch.

    python benchmarks/curves.py results/austen.png results/austen.jsonl --published 70.5 "PyTorch, the same minutes"
    python benchmarks/curves.py results/char.png results/char.*.jsonl --unit char --published 1.4697 nanoGPT

Needs matplotlib (`pip install -e '.[plot]'`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from theano_rnn.learning.measures import CHARACTER_LOSS, PERPLEXITY
from theano_rnn.view.plots import as_png, learning_curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("logs", type=Path, nargs="+", help="logs of train.py")
    parser.add_argument("--unit", choices=("word", "char"), default="word",
                        help="char: show nats per character instead of perplexity")
    parser.add_argument("--published", nargs=2, action="append", default=[], metavar=("VALUE", "TITLE"),
                        help="a horizontal line")
    args = parser.parse_args()
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    published = [(float(value), title) for value, title in args.published]
    logs = {log.stem: [json.loads(line) for line in log.read_text().splitlines()] for log in args.logs}
    measure = PERPLEXITY if args.unit == "word" else CHARACTER_LOSS
    args.picture.write_bytes(as_png(learning_curves(logs, measure, published)))


if __name__ == "__main__":
    main()
