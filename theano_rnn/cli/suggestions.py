"""Guess what a user meant by an argument that a command does not have."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection

OTHER_NAMES = {
    "batch": "--batch-size", "bptt": "--bptt-steps", "corpus": "--train", "cpu": "--device cpu",
    "cuda": "--device gpu", "data": "--train", "emsize": "--embedding-size", "file": "--train",
    "gpu": "--device gpu", "hidden": "--hidden-size", "input": "--train", "layers": "--num-layers",
    "lr": "--learning-rate", "model": "--cell", "name": "--checkpoint", "nhid": "--hidden-size",
    "nlayers": "--num-layers", "out": "--output", "output": "--checkpoint", "rnn_size": "--hidden-size",
    "save": "--checkpoint", "seq_length": "--bptt-steps", "temp": "--temperature", "text": "--train",
    "tied": "--tie-weights", "units": "--hidden-size", "vocab": "--vocab-size", "wd": "--weight-decay",
}  # fmt: skip


def suggestion(argument: str, flags: Collection[str]) -> str:
    """Returns what the user may have meant, as the end of an error message; "" if there is no guess.

    >>> suggestion("--hidden_size=5", ["--hidden-size", "--train"])
    ': did you mean --hidden-size?'
    >>> suggestion("--gpu", ["--device"]), suggestion("-lr", ["--learning-rate"]), suggestion("--xyz", ["--train"])
    (': did you mean --device gpu?', ': did you mean --learning-rate?', '')
    """
    if not argument.startswith("-"):
        if "--train" in flags and (os.path.exists(argument) or "." in argument):
            return f": did you mean --train {argument}?"
        return f': did you mean --prompt "{argument}"?' if "--prompt" in flags else ""
    name = argument.lstrip("-").partition("=")[0].lower()
    meant = "--" + name.replace("_", "-")
    other = OTHER_NAMES.get(name.replace("-", "_"), "")
    close = difflib.get_close_matches(meant, sorted(flags), n=1, cutoff=0.75)
    starting = sorted(flag for flag in flags if flag.startswith(meant))
    for guess in (meant, other, *starting[:1], *close):
        if guess and guess.split()[0] in flags:
            return f": did you mean {guess}?"
    return ""
