"""``look``: a page with a model's predictions and activations for a text, or a plot of how far back gradients reach."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.console import Bar, compiling_progress
from theano_rnn.cli.files import DEFAULT_CHECKPOINT_HELP, check_output, choose_checkpoint, sibling_path
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.text import COLUMN_HELP
from theano_rnn.tasks.text_task import UNITS

if TYPE_CHECKING:
    from theano_rnn.language_model import LanguageModel
    from theano_rnn.text.token_spans import Piece

CHARACTERS_PER_TOKEN = 40  # characters read from a file for each token that may be shown
CELLS = {"tanh": "tanh", "relu": "ReLU", "gru": "GRU", "lstm": "LSTM", "mogrifier": "Mogrifier LSTM"}
NUM_WINDOWS = 64
NUM_SAMPLES = {"word": 30, "char": 10, "subword": 30}  # generated if no text is given


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="See inside a trained model. Writes one HTML page of a text: each token is coloured by its "
        "surprisal or by the activation of a unit, and comes with the model's best guesses. The page needs no network "
        "and no server.",
        epilog=f"examples:\n  {prog} runs/model.safetensors                 on text that the model generates\n"
        f"  {prog} runs/model.safetensors data/austen/emma.txt --max-tokens 2000\n"
        f"  {prog} runs/lstm.safetensors data/austen/emma.txt --gradients --compare runs/tanh.safetensors\n"
        "                                    how far back gradients reach, before and after training (PNG)",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=DEFAULT_CHECKPOINT_HELP)
    parser.add_argument("text", nargs="?", metavar="TEXT",
                        help="a text file, - for standard input (default: text that the model generates)")  # fmt: skip
    parser.add_argument("--column", metavar="NAME", help=COLUMN_HELP)
    parser.add_argument("--output", metavar="FILE", help="file to write (default: next to the checkpoint, "
                        "NAME.look.html or NAME.gradients.png)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing --output file")
    parser.add_argument("--max-tokens", type=int, default=10_000, metavar="N",
                        help="read the first N tokens of the text (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--gradients",
        action="store_true",
        help="plot how far back gradients reach, before and after training: the norm of d loss_t / d h_(t-k) for each "
        "number of steps k",
    )
    parser.add_argument("--compare", nargs="+", default=[], metavar="CHECKPOINT",
                        help="more models for the plot of --gradients")  # fmt: skip
    parser.add_argument("--lags", type=int, default=50, metavar="N",
                        help="number of steps back for --gradients (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="random seed of the text that the model generates (default: %(default)s)")  # fmt: skip
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    for name, least in (("max_tokens", 1), ("lags", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(args, name)}")
    if args.compare and not args.gradients:
        raise UserError("--compare needs --gradients: add --gradients, or leave out --compare")
    if args.compare and args.text == "-":
        raise UserError("--compare reads the text once for each model: give a file instead of -")
    if args.gradients and window_length(args) > args.max_tokens:
        raise UserError(f"--lags {args.lags} needs windows of {window_length(args)} tokens, more than --max-tokens "
                        f"{args.max_tokens}: increase --max-tokens, or use fewer --lags")  # fmt: skip
    args.checkpoint = choose_checkpoint(args.checkpoint)
    output = output_path(args)
    machine = prepare_machine(sections_from(vars(args), {"machine": MachineConfig})["machine"])
    data = plot_gradients(args, machine) if args.gradients else build_html(args, machine)
    from tqdm import tqdm

    from theano_rnn.learning.atomic_files import write_atomically

    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, data)
    print(f"{output}  ({tqdm.format_sizeof(len(data), 'B')})", flush=True)
    return 0


def output_path(args: argparse.Namespace) -> Path:
    """Returns the file to write. Without ``--output`` it has a default name, and an older file is replaced."""
    default = sibling_path(args.checkpoint, ".gradients.png" if args.gradients else ".look.html")
    output = Path(args.output) if args.output else default
    if output.suffix != default.suffix:
        raise UserError(f"--output must end in {default.suffix}, got {output}")
    inputs = [args.checkpoint, *args.compare, *([args.text] if args.text else [])]
    check_output(output, inputs, is_forced=args.force or not args.output)
    return output


def build_html(args: argparse.Namespace, machine: MachineConfig) -> bytes:
    """Build the HTML page for a model and a text."""
    import numpy as np

    from theano_rnn.cli.model_loading import open_language_model
    from theano_rnn.view.inspection import inspect_tokens, state_names
    from theano_rnn.view.look_page import look_page

    trained = open_language_model(args.checkpoint, machine)
    model, vocabulary = trained.model, trained.vocabulary
    pieces = text_pieces(trained, args, NUM_SAMPLES[vocabulary.text.unit])
    step = trained.function("step")
    bar = Bar("reading", unit=" tokens", total=len(pieces), delay=2.0)
    inspection = inspect_tokens(
        step, model.initial_state(1), [piece.id for piece in pieces], start_id=trained.start_id,
        reset_id=trained.end_id if trained.training.batching == "sentences" else None, on_token=bar.to,
    )  # fmt: skip
    bar.close()
    if not all(np.isfinite(values).all() for values in (inspection.log_probabilities, *inspection.states)):
        raise UserError("the model's outputs are not finite numbers, because its training diverged: train it again "
                        "with a smaller --learning-rate")  # fmt: skip
    page = look_page(pieces, inspection, names=state_names(model.layers), vocabulary=vocabulary, end_id=trained.end_id,
                     about=describe_model(args.checkpoint, trained))  # fmt: skip
    return page.encode()


def text_pieces(trained: LanguageModel, args: argparse.Namespace, num_samples: int) -> list[Piece]:
    """Returns the tokens of the text, or of a text that the model generates; at most `--max-tokens`."""
    from theano_rnn.text.incremental_tokenizing import tokenize_incomplete_text

    text = read_beginning(args, trained) if args.text else generate_text(trained, num_samples, args.seed)
    pieces, _ = tokenize_incomplete_text(text, trained.vocabulary, trained.end_id)
    if not pieces:
        raise UserError("the text has no tokens" if args.text else "the model generates no text: give a TEXT to read")
    return pieces[: args.max_tokens]


def read_beginning(args: argparse.Namespace, trained: LanguageModel) -> str:
    """Read enough of a text for `--max-tokens`, and not much more if it is long."""
    from theano_rnn.text.sources import Source

    limit, length, blocks = CHARACTERS_PER_TOKEN * args.max_tokens + 20_000, 0, []
    with Source(args.text, args.column) as source:
        for block in source.blocks(trained.vocabulary.text):
            blocks.append(block)
            length += len(block)
            if length >= limit and any(map(str.strip, blocks)):
                break
    return "".join(blocks)[:limit] if length > limit else "".join(blocks)


def generate_text(trained: LanguageModel, num_samples: int, seed: int) -> str:
    """Returns text generated by the model: the samples of ``generate --seed``, joined."""
    samples = trained.generate(num_samples=num_samples, seed=seed)
    line_by_line = trained.vocabulary.text.sentences == "line" or not trained.vocabulary.text.has_sentences
    return ("\n" if line_by_line else "\n\n").join(samples)


def describe_model(path: str, trained: LanguageModel) -> str:
    """Returns one line that describes a model."""
    config, unit = trained.model.config, trained.vocabulary.text.unit
    parameters = sum(int(p.get_value().size) for p in trained.model.params.values())
    return (f"{Path(path).name}: {CELLS.get(config.cell, config.cell)}, {config.num_layers} \u00d7 "
            f"{config.hidden_size} units, {parameters:,} parameters, vocabulary of {config.vocab_size:,} "
            f"{UNITS[unit]}")  # fmt: skip


def plot_gradients(args: argparse.Namespace, machine: MachineConfig) -> bytes:
    """Plot how far back the gradients of the models reach, for each model before and after training."""
    from theano_rnn.cli.model_loading import open_language_model
    from theano_rnn.view.plots import as_png, gradient_flow, new_figure

    new_figure()  # fails early if matplotlib is missing
    norms: dict[str, tuple[Any, Any]] = {}
    for path in [args.checkpoint, *args.compare]:
        trained = open_language_model(path, machine)
        norms[unique_label(trained, path, norms)] = gradient_norms(trained, args, machine)
    return as_png(gradient_flow(norms))


def unique_label(trained: LanguageModel, path: str, labels: Any) -> str:
    """Returns a label for a model in the plot: its cell, plus its file's name if `labels` has this cell already."""
    cell: str = CELLS.get(trained.model.config.cell, trained.model.config.cell)
    with_file = f"{cell} {Path(path).stem}"
    candidates = itertools.chain([cell, with_file], (f"{with_file} {number}" for number in itertools.count(2)))
    return next(label for label in candidates if label not in labels)


def window_length(args: argparse.Namespace) -> int:
    """Returns the number of tokens in a window: twice the number of lags, plus the predicted token."""
    return 2 * int(args.lags) + 1


def gradient_norms(trained: LanguageModel, args: argparse.Namespace, machine: MachineConfig) -> tuple[Any, Any]:
    """Returns gradient norms (lags + 1, windows) of a model after and before training, over windows of the same text.

    A window has twice as many tokens as there are lags, so the model has read some text before the measured steps.
    """
    import numpy as np

    from theano_rnn.view.gradient_flow import GradientFlow, evenly_spaced_windows

    model, length = trained.model, window_length(args)
    default = NUM_SAMPLES[trained.vocabulary.text.unit]
    num_samples = default + min(default * (length // 20), args.max_tokens // 10)
    ids = [piece.id for piece in text_pieces(trained, args, num_samples)]
    if len(ids) < length:
        raise UserError(f"{args.lags} lags need a text of at least {length} tokens, this one has {len(ids)}: "
                        "give a longer TEXT, or use fewer --lags")  # fmt: skip
    windows = evenly_spaced_windows(ids, length=length, count=NUM_WINDOWS)
    progress, close = compiling_progress(machine.engine)
    try:
        flow = GradientFlow(model, engine=machine.engine, device=machine.device, progress=progress)
        after = flow.norms(windows, lags=args.lags)
        untrained = trained.task.make_model(
            trained.sections, trained.checkpoint.facts, rng=np.random.default_rng(trained.training.seed)
        )
        for name, parameter in model.params.items():
            parameter.set_value(untrained.params[name].get_value())
        before = flow.norms(windows, lags=args.lags)
    finally:
        close()
    return after, before
