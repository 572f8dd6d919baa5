"""``export``: write a trained model as a small file, for PyTorch, or as ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.files import DEFAULT_CHECKPOINT_HELP, check_output, choose_checkpoint, sibling_path
from theano_rnn.cli.options import Parser
from theano_rnn.engine.aesara_flags import disable_c_compiler
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.text_task import UNITS

ENDINGS = {"pytorch": ".pytorch.safetensors", "onnx": ".onnx", "model": ".model.safetensors"}


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Write the best parameters of a model, to share them or to use them in other software. --format "
        "model writes a checkpoint without the optimizer's state. It is a quarter as large, and all commands can read "
        "it except train --resume. --format pytorch writes a safetensors file with the state_dict of nn.Embedding, "
        "nn.RNN, nn.GRU or nn.LSTM, and nn.Linear; settings and vocabulary are in its metadata, and the command "
        "import reads it back. --format onnx writes a graph from token ids and states to log-probabilities and new "
        "states. If the format cannot express the model, an error names the missing part.",
        epilog=f"examples:\n  {prog} runs/model.safetensors\n"
        f"  {prog} runs/model.safetensors --format model --dtype float16\n"
        f"  python examples/score_in_pytorch.py runs/model.pytorch.safetensors ptb.valid.txt\n"
        f"  {prog} runs/model.safetensors --format onnx --output model.onnx\n"
        "The default model has an adaptive softmax. examples/adaptive_decoder.py computes it in PyTorch. For "
        "models trained with --head softmax, an nn.Linear is enough.",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=DEFAULT_CHECKPOINT_HELP)
    parser.add_argument("--format", choices=list(ENDINGS), default="pytorch", help="format to write "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--output", metavar="FILE", help="file to write (default: next to the checkpoint, "
                        f"{' or '.join(ENDINGS.values())})")  # fmt: skip
    parser.add_argument("--dtype", choices=("float32", "float16"), default=None, help="with --format model: the dtype "
                        "of the stored parameters (default: that of the model)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    if args.dtype and args.format != "model":
        raise UserError(f"--dtype cannot be used with --format {args.format}: add --format model")
    args.checkpoint = choose_checkpoint(args.checkpoint)
    output = Path(args.output) if args.output else sibling_path(args.checkpoint, ENDINGS[args.format])
    check_output(output, [args.checkpoint], is_forced=args.force)
    disable_c_compiler()
    from theano_rnn.learning.atomic_files import write_atomically

    if args.format == "model":
        output.parent.mkdir(parents=True, exist_ok=True)
        return export_model(args, output)
    from theano_rnn.language_model import LanguageModel

    model = LanguageModel(args.checkpoint, engine="c")  # nothing is compiled
    if args.format == "onnx":
        from theano_rnn.exchange.onnx_export import export_onnx

        data = export_onnx(model)
    else:
        from theano_rnn.exchange.state_dict_files import export_state_dict

        data = export_state_dict(model)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, data)
    config, text = model.model.config, model.vocabulary.text
    next_step = f"docs/exchange.md shows how to use it with {'onnxruntime' if args.format == 'onnx' else 'PyTorch'}"
    if args.format == "pytorch" and text == TextConfig(sentences="line", tokens="whitespace"):
        next_step = f"next: python examples/score_in_pytorch.py {output} TEXT"
    print(f"wrote {output}: {config.num_layers} x {config.cell} of {config.hidden_size}, {config.vocab_size:,} "
          f"{UNITS[text.unit]}; {next_step}")  # fmt: skip
    return 0


def export_model(args: argparse.Namespace, output: Path) -> int:
    """Write a checkpoint with the best parameters alone, for models of every task."""
    from theano_rnn.learning.checkpoint import load, save
    from theano_rnn.learning.pretrained import find_checkpoint
    from theano_rnn.learning.sharing import without_training_state
    from theano_rnn.tasks.registry import task_of_checkpoint

    checkpoint = load(args.checkpoint)
    task_of_checkpoint(checkpoint)  # or an error, if its values do not fit
    save(output, without_training_state(checkpoint, args.dtype))
    before, after = Path(find_checkpoint(args.checkpoint)).stat().st_size, output.stat().st_size
    print(f"wrote {output}: {checkpoint.kind}, {after / 1e6:.1f} MB instead of {before / 1e6:.1f}; "
          f"next: theano-rnn info {output}")  # fmt: skip
    return 0
