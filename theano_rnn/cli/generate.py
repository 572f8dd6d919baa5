"""``generate``: sentences from a checkpoint, on standard output; all else on standard error."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.config import MachineConfig, RunConfig, UserError


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Write text with a trained model: one sample a line. Samples of a character model keep their line "
        "breaks and are separated by an empty line.",
        epilog=f'examples:\n  {prog}\n  {prog} runs/model.safetensors --num-samples 3 --prompt "She was"\n'
        f"  {prog} --temperature 0.7       less surprising text; 0 takes the likeliest token each time",
        add_help=True,
    )
    parser.add_argument("checkpoint", nargs="?", default=RunConfig.checkpoint, metavar="CHECKPOINT",
                        help="a trained model (default: %(default)s)")  # fmt: skip
    parser.add_argument("--num-samples", type=int, default=10, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="how every sample begins")
    parser.add_argument("--max-tokens", type=int, default=None, metavar="N",
                        help="the most tokens a sample may have (default: 60 words or 300 characters)")  # fmt: skip
    parser.add_argument("--temperature", type=float, default=1.0, metavar="X",
                        help="below 1 likelier, above 1 bolder text (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same text (default: %(default)s)")
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    for name, least in (("num_samples", 1), ("max_tokens", 0), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    if not 0 <= args.temperature < float("inf"):
        raise UserError(f"--temperature must be a number of at least 0, got {args.temperature}")
    machine = prepare_machine(sections_from(vars(args), {"machine": MachineConfig})["machine"])
    from theano_rnn.cli.trained import Trained, prompt_ids, samples

    trained = Trained(args.checkpoint, machine)
    prompt, unknown = prompt_ids(args.prompt, trained.vocabulary)
    if unknown:
        print(f"not in the vocabulary, read as <unk>: {' '.join(unknown)}", file=sys.stderr)
    texts = samples(
        trained.compiled("step"), trained.model, trained.vocabulary, start=trained.start_id,
        prompt=prompt, num_samples=args.num_samples, max_tokens=args.max_tokens, temperature=args.temperature,
        seed=[args.seed],
    )  # fmt: skip
    separator = "\n\n" if trained.vocabulary.text.unit == "char" else "\n"
    sys.stdout.write(separator.join(texts) + "\n")
    return 0
