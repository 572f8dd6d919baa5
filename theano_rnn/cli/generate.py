"""``generate``: sentences from a checkpoint, on standard output; all else on standard error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.training import RunConfig
from theano_rnn.settings.use import GenerationConfig

if TYPE_CHECKING:
    from theano_rnn.generation.texts import TextGenerator
    from theano_rnn.text.vocabulary import Vocabulary


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Write text with a trained model: one sample a line. Samples of a character model keep their line "
        "breaks and are separated by an empty line.",
        epilog=f'examples:\n  {prog}\n  {prog} runs/model.safetensors --num-samples 3 --prompt "She was"\n'
        f"  {prog} --temperature 0.7 --top-p 0.95       less surprising text\n"
        f"  {prog} --live                               words as they come\n"
        f'  {prog} --beam-size 8 --prompt "It is a truth" --num-samples 5\n'
        f"                                              the likeliest texts, the score of each before it",
    )
    parser.add_argument("checkpoint", nargs="?", default=RunConfig.checkpoint, metavar="CHECKPOINT",
                        help="a trained model (default: %(default)s)")  # fmt: skip
    parser.add_argument("--num-samples", type=int, default=None, metavar="N",
                        help="how many (default: 10; 1 with --live or --interactive)")  # fmt: skip
    parser.add_argument("--prompt", default=None, metavar="TEXT", help="how every sample begins")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same text (default: %(default)s)")
    parser.add_argument("--live", action="store_true", help="show each sample as it is written, one after the other")
    parser.add_argument("--interactive", action="store_true", help="read prompts from standard input, one a line")
    add_flags(parser, "what is written", GenerationConfig)
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    for name, least in (("num_samples", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    if args.interactive and args.prompt is not None:
        raise UserError("--prompt cannot be used with --interactive, which reads prompts from standard input")
    sections = sections_from(vars(args), {"machine": MachineConfig, "generation": GenerationConfig})
    config = sections["generation"]
    if config.beam_size and args.live:
        raise UserError("--live cannot be used with --beam-size: a text is known when the search has ended")
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_language_model

    trained = open_language_model(args.checkpoint, machine)
    num_samples = args.num_samples or (1 if args.live or args.interactive else 10)
    generator = trained.generator(config)
    prompts = typed_prompts() if args.interactive else iter([args.prompt or ""])
    for number, prompt in enumerate(prompts):
        ids = known_ids(prompt, trained.vocabulary)
        write(generator, ids, num_samples, seed=args.seed, first=number * num_samples, is_live=args.live)
    return 0


def typed_prompts() -> Iterator[str]:
    """Lines of standard input until it ends; in a terminal each is asked for."""
    mark = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(mark)
        except EOFError:
            return


def known_ids(prompt: str, vocabulary: Vocabulary) -> list[int]:
    """The ids of a prompt; what the vocabulary does not know is said."""
    from theano_rnn.generation.texts import prompt_ids

    ids, unknown = prompt_ids(prompt, vocabulary)
    if unknown:
        print(f"not in the vocabulary, read as <unk>: {' '.join(unknown)}", file=sys.stderr)
    return ids


def write(
    generator: TextGenerator, prompt: list[int], num_samples: int, *, seed: int, first: int, is_live: bool
) -> None:
    """What is asked for, on standard output."""
    separator = "\n\n" if generator.vocabulary.text.unit == "char" else "\n"
    if is_live:
        for number in range(first, first + num_samples):
            for piece in generator.live(prompt, seed=[seed], number=number):
                print(piece, end="", flush=True)
            print(end="\n" if number == first + num_samples - 1 else separator, flush=True)
        return
    if generator.config.beam_size:
        texts = [f"{score:.6f}\t{text}" for score, text in generator.best(prompt, num_samples)]
    else:
        texts = generator.samples(prompt, num_samples, seed=[seed], first=first)
    print(separator.join(texts), flush=True)
