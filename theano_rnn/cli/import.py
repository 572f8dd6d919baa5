"""``import``: a checkpoint of a PyTorch model. (A keyword is a module's name here: commands are found by theirs.)"""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.files import check_output
from theano_rnn.cli.options import Parser
from theano_rnn.engine.aesara_flags import disable_c_compiler


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Make a checkpoint of the state_dict of a PyTorch model, a safetensors file with the names of "
        "PyTorch's example word_language_model: encoder.weight, rnn.weight_ih_l0, ..., decoder.bias. A file of export "
        "says itself what its words are; of another file --like says it. The checkpoint scores, generates, serves, and "
        "can be trained on from with --init-from; it has no optimizer's state to resume with.",
        epilog=f"examples:\n  {prog} runs/model.pytorch.safetensors --output runs/back.safetensors\n"
        f"  {prog} tuned.safetensors --like runs/model.safetensors --output runs/tuned.safetensors",
    )
    parser.add_argument("file", metavar="FILE", help="a safetensors file; PyTorch writes one with "
                        "safetensors.torch.save_model(model, path)")  # fmt: skip
    parser.add_argument("--output", required=True, metavar="CHECKPOINT", help="where to write the checkpoint")
    parser.add_argument("--like", metavar="CHECKPOINT", help="take vocabulary and settings from this model, whose rows "
                        "are those of the same words (default: from FILE)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace a checkpoint that is there")
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    output = Path(args.output)
    check_output(output, [args.file, *([args.like] if args.like else [])], is_forced=args.force)
    disable_c_compiler()
    from theano_rnn.exchange.state_dict_files import imported
    from theano_rnn.learning.checkpoint import load, save

    checkpoint = imported(args.file, like=load(args.like) if args.like else None)
    output.parent.mkdir(parents=True, exist_ok=True)
    save(output, checkpoint)
    print(f"wrote {output}, {len(checkpoint.vocabulary):,} words; next: theano-rnn score {output} TEXT, or train on "
          f"with theano-rnn train --init-from {output}")  # fmt: skip
    return 0
