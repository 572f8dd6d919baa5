"""``generate``: write text with a trained model. Samples go to standard output, messages to standard error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from theano_rnn.cli.console import advise
from theano_rnn.cli.files import DEFAULT_CHECKPOINT_HELP, choose_checkpoint
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.use import GenerationConfig

if TYPE_CHECKING:
    from theano_rnn.generation.prompts import Prompt
    from theano_rnn.generation.texts import TextGenerator
    from theano_rnn.language_model import LanguageModel
    from theano_rnn.text.vocabulary import Vocabulary


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Write text with a trained model: a paragraph for each sample, on a line of its own. Longer "
        "samples keep their line breaks, and a line of hyphens or an empty line separates them.",
        epilog=f'examples:\n  {prog}\n  {prog} runs/model.safetensors --num-samples 3 --prompt "She was"\n'
        f"  {prog} --temperature 0.7 --top-p 0.95       less surprising text\n"
        f"  {prog} --length 1000 --num-samples 1        1,000 tokens, in paragraphs\n"
        f"  {prog} --live                               print words as they are generated\n"
        f'  {prog} --beam-size 8 --prompt "It is a truth" --num-samples 5\n'
        f"                                              the likeliest texts, each after its score",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=DEFAULT_CHECKPOINT_HELP)
    parser.add_argument("--num-samples", type=int, default=None, metavar="N",
                        help="number of samples (default: 10; 1 with --live or --interactive)")  # fmt: skip
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", default=None, metavar="TEXT", help="text that every sample starts with")
    prompts.add_argument("--prompt-file", default=None, metavar="FILE", help="read this text from a file, also a "
                         "compressed one; - for standard input")  # fmt: skip
    parser.add_argument("--output", default=None, metavar="FILE", help="write the samples to this file, when all are "
                        "complete (default: standard output)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="random seed; the same seed gives the same text "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--live", action="store_true", help="print each sample while it is being generated")
    parser.add_argument("--interactive", action="store_true", help="read prompts from standard input, one per line")
    add_flags(parser, "sampling and search", GenerationConfig)
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    for name, least in (("num_samples", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    for name in ("prompt", "prompt_file"):
        if args.interactive and getattr(args, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{flag} cannot be used with --interactive, which reads prompts from standard input: "
                "leave one of them out"
            )
    args.checkpoint = choose_checkpoint(args.checkpoint)
    if args.output is not None:
        if args.live or args.interactive:
            raise UserError(
                "--output cannot be used with --live or --interactive, which print while they generate: "
                "leave --output out"
            )
        check_output(args.output, args.checkpoint, args.prompt_file)
    sections = sections_from(vars(args), {"machine": MachineConfig, "generation": GenerationConfig})
    config = sections["generation"]
    if config.beam_size and args.live:
        raise UserError("--live cannot be used with --beam-size, because a beam search knows its texts only at the end")
    machine = prepare_machine(sections["machine"])
    from theano_rnn.cli.model_loading import open_language_model

    trained = open_language_model(args.checkpoint, machine)
    num_samples = args.num_samples or (1 if args.live or args.interactive else 10)
    if args.prompt_file is not None:
        prompts = iter([read_prompt_file(args.prompt_file, trained.vocabulary)])
    else:
        prompts = read_prompts() if args.interactive else iter([args.prompt or ""])
    generator = trained.generator(config)
    for number, prompt in enumerate(prompts):
        read = read_prompt(trained, prompt)
        if args.live:
            print_live(generator, read, num_samples, seed=args.seed, first=number * num_samples)
            continue
        text = samples(generator, read, num_samples, seed=args.seed, first=number * num_samples)
        if args.output is None:
            print(text, flush=True)
        else:
            write_atomically(args.output, f"{text}\n".encode("utf-8", "backslashreplace"))
    return 0


def check_output(output: str, *inputs: str | None) -> None:
    """Raises an error, before anything is computed, if a file cannot be written there, or is also read."""
    if os.path.isdir(output):
        raise IsADirectoryError(f"{output} is a folder: name a file for the samples")
    folder = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot write {output}: there is no folder {os.path.dirname(output)}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"cannot write {output}: files cannot be created in {folder}")
    for path in inputs:
        if path is not None and os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise UserError(f"--output {output} would replace a file that is read: name another file")


def read_prompt_file(path: str, vocabulary: Vocabulary) -> str:
    """Returns the text of a file, without the line break at its end."""
    from theano_rnn.text.sources import Source

    with Source(path) as source:
        return "".join(source.blocks(vocabulary.text)).removesuffix("\n")


def read_prompts() -> Iterator[str]:
    """Yield the lines of standard input until it ends, with a prompt sign if it is a terminal."""
    sign = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(sign).lstrip("\ufeff")  # a byte order mark, if the prompts come from a file
        except EOFError:
            return
        except UnicodeDecodeError:
            raise UserError("standard input is not UTF-8 text: convert it to UTF-8") from None


def read_prompt(model: LanguageModel, text: str) -> Prompt:
    """Returns the tokens of a prompt. Prints which of its words are not in the vocabulary."""
    prompt = model.read_prompt(text)
    if unknown := prompt.unknown(model.vocabulary):
        advise([f"not in the vocabulary, read as <unk>: {' '.join(unknown)}"])
    return prompt


def separator(generator: TextGenerator, prompt: Prompt) -> str:
    """Returns what is between two samples: a line break, if each is one line.

    Otherwise it is an empty line, or, if there may be empty lines within a sample, a line of hyphens.
    """
    config, text = generator.config, generator.vocabulary.text
    if text.unit == "char":
        return "\n\n"
    is_one = config.length is None and config.num_sentences in (None, 1) and not config.min_tokens
    if is_one and "\n" not in prompt.text:
        return "\n"
    return "\n\n" if text.sentences == "line" else "\n\n---\n\n"


def print_live(generator: TextGenerator, prompt: Prompt, num_samples: int, *, seed: int, first: int) -> None:
    """Print samples to standard output while they are generated."""
    for number in range(first, first + num_samples):
        for piece in generator.live(prompt, seed=[seed], number=number):
            print(piece, end="", flush=True)
        print(end="\n" if number == first + num_samples - 1 else separator(generator, prompt), flush=True)


def samples(generator: TextGenerator, prompt: Prompt, num_samples: int, *, seed: int, first: int) -> str:
    """Returns samples, or the results of a beam search with their scores, as one text."""
    if generator.config.beam_size:
        texts = [f"{score:.6f}\t{text}" for score, text in generator.best(prompt, num_samples)]
    else:
        texts = generator.samples(prompt, num_samples, seed=[seed], first=first)
    return separator(generator, prompt).join(texts)
