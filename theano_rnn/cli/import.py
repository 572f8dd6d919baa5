"""``import``: make a checkpoint from a PyTorch model.

The module's name is a Python keyword, because commands are imported by their names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.files import check_output
from theano_rnn.cli.options import Parser
from theano_rnn.engine.aesara_flags import disable_c_compiler


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Make a checkpoint from the state_dict of a PyTorch model. The safetensors file must use the "
        "tensor names of PyTorch's example word_language_model: encoder.weight, rnn.weight_ih_l0, ..., decoder.bias. "
        "Files written by the command export contain their vocabulary; for other files, give it with --like. The "
        "checkpoint can score, generate, serve, and start a new training with --init-from. It has no optimizer state, "
        "so it cannot be resumed.",
        epilog=f"examples:\n  {prog} runs/model.pytorch.safetensors --output runs/back.safetensors\n"
        f"  {prog} tuned.safetensors --like runs/model.safetensors --output runs/tuned.safetensors",
    )
    parser.add_argument("file", metavar="FILE", help="a safetensors file, written in PyTorch with "
                        "safetensors.torch.save_model(model, path)")  # fmt: skip
    parser.add_argument("--output", required=True, metavar="CHECKPOINT", help="checkpoint to write")
    parser.add_argument("--like", metavar="CHECKPOINT", help="take vocabulary and settings from this checkpoint; its "
                        "vocabulary must have the same words in the same order (default: from FILE)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing checkpoint")
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    output = Path(args.output)
    check_output(output, [args.file, *([args.like] if args.like else [])], is_forced=args.force)
    disable_c_compiler()
    from theano_rnn.exchange.state_dict_files import import_state_dict
    from theano_rnn.learning.atomic_files import lock
    from theano_rnn.learning.checkpoint import load, save

    checkpoint = import_state_dict(args.file, like=load(args.like) if args.like else None)
    with lock(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        save(output, checkpoint)
    print(f"wrote {output}, {len(checkpoint.vocabulary):,} words; next: theano-rnn score {output} TEXT, or continue "
          f"training with theano-rnn train --init-from {output}")  # fmt: skip
    return 0
