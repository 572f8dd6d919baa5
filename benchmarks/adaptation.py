"""Measure how much a neural cache and dynamic evaluation improve the perplexity of a text.

    python benchmarks/adaptation.py runs/ptb.safetensors ptb.valid.txt --statistics-from ptb.train.txt

Their settings are tuned on the text, or on its first N lines with `--tune-on N`: each setting in turn moves to the best
neighbour on its grid, until no move helps. Then the whole text is measured as one stream: without either method, with
each of them, and with the default settings.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import parser_of

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.use import AdaptationConfig

GRIDS: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "cache": (
        {"cache_size": 2000},
        {"cache_theta": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5], "cache_weight": [0.03, 0.05, 0.1, 0.15, 0.2, 0.3],
         "cache_size": [100, 500, 1000, 2000, 4000]},
    ),
    "sgd": (
        {"dynamic": "sgd"},
        {"dynamic_rate": [0.02, 0.05, 0.1, 0.2, 0.5, 1.0], "dynamic_decay": [0.0, 0.0003, 0.001, 0.003, 0.01, 0.02]},
    ),
    "rms": (
        {"dynamic": "rms"},
        {"dynamic_rate": [0.0005, 0.001, 0.002, 0.003, 0.005], "dynamic_decay": [0.0, 0.003, 0.01, 0.02, 0.05]},
    ),
}  # fmt: skip


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("text", metavar="FILE")
    parser.add_argument("--statistics-from", metavar="FILE",
                        help="training text, for the gradient statistics of the rule rms (default: no rms)")
    parser.add_argument("--tune-on", type=int, metavar="N", help="tune on the first N lines (default: all)")
    parser.add_argument("--kinds", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    args = parser.parse_args()
    machine = prepare_machine(MachineConfig())

    from theano_rnn.language_model import LanguageModel
    from theano_rnn.learning.measures import perplexity
    from theano_rnn.scoring.texts import stream_totals

    model = LanguageModel(args.checkpoint, engine=machine.engine)

    def measured(path: str, config: AdaptationConfig, label: str) -> float:
        began = time.perf_counter()
        totals = stream_totals(path, model, adaptation=config, columns=1)
        value = perplexity(totals.nats / totals.tokens)
        print(f"{label}: {value:.2f} over {totals.tokens:,} tokens, {time.perf_counter() - began:.0f} s", flush=True)
        return value

    with tempfile.TemporaryDirectory() as folder:
        part = args.text
        if args.tune_on:
            part = f"{folder}/part.txt"
            with open(args.text, encoding="utf-8") as text:
                Path(part).write_text("".join(itertools.islice(text, args.tune_on)), encoding="utf-8")
        best = {}
        for kind in args.kinds:
            given, grid = GRIDS[kind]
            if kind == "rms":
                if not args.statistics_from:
                    continue
                given = given | {"statistics_from": args.statistics_from}
            defaults = AdaptationConfig(**given)
            best[kind] = defaults, tuned(defaults, grid, lambda config, label: measured(part, config, label))
    static = measured(args.text, AdaptationConfig(), "static")
    for kind, configs in best.items():
        for label, config in zip(("defaults", "tuned"), configs):
            value = measured(args.text, config, f"{kind}, {label}, {settings(config, GRIDS[kind][1])}")
            print(f"  {value / static - 1:+.1%}")


def settings(config: AdaptationConfig, names: Any) -> str:
    return " ".join(f"{name.split('_')[1]} {getattr(config, name)}" for name in names)


def tuned(config: AdaptationConfig, grid: dict[str, list[Any]], measure: Any) -> AdaptationConfig:
    """The best of the grid that moves of one setting at a time reach from its default."""
    known: dict[AdaptationConfig, float] = {}

    def value(candidate: AdaptationConfig) -> float:
        if candidate not in known:
            known[candidate] = measure(candidate, settings(candidate, grid))
        return known[candidate]

    while True:
        before = config
        for name, values in grid.items():
            while True:
                place = min(range(len(values)), key=lambda i: abs(values[i] - getattr(config, name)))
                near = values[max(place - 1, 0) : place + 2]
                best = min([dataclasses.replace(config, **{name: one}) for one in near], key=value)
                if best == config:
                    break
                config = best
        if config == before:
            return config


if __name__ == "__main__":
    main()
