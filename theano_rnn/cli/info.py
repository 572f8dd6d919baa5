"""``info``: show the contents of a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.files import DEFAULT_CHECKPOINT_HELP, choose_checkpoint
from theano_rnn.cli.options import Parser
from theano_rnn.engine.kernels import describe_kernels
from theano_rnn.settings.strict_json import to_json


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Show the contents of a checkpoint: settings, progress, losses, tensors.")
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=DEFAULT_CHECKPOINT_HELP)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    from theano_rnn.learning.checkpoint import load
    from theano_rnn.tasks.text_task import UNITS
    from theano_rnn.text.vocabulary import Vocabulary

    args.checkpoint = choose_checkpoint(args.checkpoint)
    checkpoint = load(args.checkpoint)
    progress = checkpoint.progress
    state = "finished" if progress["is_finished"] else "can be resumed"
    state = state if checkpoint.fingerprint else "imported or exported"
    print(f"{args.checkpoint}: {checkpoint.kind}, {state}")
    print(f"step {progress['step']}, {progress['epoch']} epochs done, best after step {progress['best_step']}")
    for record in progress["records"]:
        print("  " + ", ".join(f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in record.items()))
    for section, values in checkpoint.settings.items():
        print(f"{section}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    for name, fact in checkpoint.facts.items():
        if isinstance(fact, Vocabulary):
            most_frequent = " ".join(repr(word)[1:-1] for word in fact.words[:10])
            what = f" ({len(fact.words):,} {UNITS[fact.text.unit]}, <unk> and </s>)" if fact.text.unit != "word" else ""
            print(f"{name}: {len(fact):,} tokens{what}; most frequent: {most_frequent} ...")
        else:
            print(f"{name}: {to_json(fact)[:200]}")
    print(f"parameters: {sum(value.size for value in checkpoint.best.values()):,}")
    for name, value in checkpoint.best.items():
        print(f"  {name:16} {value.dtype} {tuple(value.shape)}")
    print(f"kernels of this machine: {describe_kernels()}")
    return 0
