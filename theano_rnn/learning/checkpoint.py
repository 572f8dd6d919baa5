"""Checkpoints: a safetensors file with everything needed to score, generate and resume.

Tensors: ``last/ROLE`` (the parameters after the last step), ``best/ROLE`` (the parameters with the best validation
loss, if they differ), ``optimizer/NAME``, and ``carried/0`` ... (the hidden state after the last step). Everything else
is one JSON object in the file's metadata: format version, kind of model, settings, vocabulary and counters. Nothing
depends on the clock or on the machine, so equal runs write equal bytes.

The JSON object starts with ``checksum``, the CRC-32 of the rest of its text, and has in ``tensors`` the CRC-32 of each
tensor with its name, dtype and shape. `load` checks them, so it notices damage to all that it reads. A file without
them, such as one of an older version, is accepted.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from theano_rnn.learning.atomic_files import write_atomically
from theano_rnn.learning.pretrained import DEFAULT_MODEL, find_checkpoint
from theano_rnn.learning.stored_values import check_stored_values
from theano_rnn.settings.base import UserError
from theano_rnn.text.vocabulary import Vocabulary

FORMAT_VERSION = 1
RESERVED = ("format_version", "kind", "settings", "fingerprint", "progress", "checksum", "tensors")  # others are facts
CHECKSUM = re.compile(r'\{"checksum": "([0-9a-f]{8})", ')
COPY = "Use another copy of it, or train the model again"
KEY = "theano_rnn"  # a single key, because safetensors does not keep the order of keys
Arrays = dict[str, Any]


@dataclass
class Checkpoint:
    """The complete state of a training run.

    `settings`: JSON values by section; `facts`: what the task needs to use the model, by name, each a `Vocabulary` or a
    JSON value; `progress`: counters; `fingerprint`: a hash of the encoded data, empty if the model was imported;
    `last`, `best`, `optimizer`: arrays by name; `carried`: the hidden state, a list of arrays; `kind`: the kind of
    model, as the task calls it.
    """

    settings: dict[str, Any]
    facts: Mapping[str, Any]
    fingerprint: str
    progress: dict[str, Any]
    last: Arrays
    best: Arrays
    optimizer: Arrays = field(default_factory=dict)
    carried: list[Any] = field(default_factory=list)
    kind: str = "language model"

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, which every model of text has."""
        vocabulary: Vocabulary = self.facts["vocabulary"]
        return vocabulary


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` atomically: at any moment the file is the complete old or new one.

    Raises
    ------
    OSError
        The disk is full, or the folder is not writable. The old file is unchanged.
    """
    tensors = {f"last/{name}": value for name, value in checkpoint.last.items()}
    if any(not np.array_equal(value, checkpoint.last[name]) for name, value in checkpoint.best.items()):
        tensors |= {f"best/{name}": value for name, value in checkpoint.best.items()}
    tensors |= {f"optimizer/{name}": value for name, value in checkpoint.optimizer.items()}
    tensors |= {f"carried/{i}": value for i, value in enumerate(checkpoint.carried)}
    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    stored = {
        "format_version": FORMAT_VERSION,
        "tensors": {name: tensor_checksum(name, array) for name, array in arrays.items()},
        "kind": checkpoint.kind,
        "settings": checkpoint.settings,
        "fingerprint": checkpoint.fingerprint,
        "progress": checkpoint.progress,
        **{name: v.to_json() if isinstance(v, Vocabulary) else v for name, v in checkpoint.facts.items()},
    }
    text = json.dumps(stored, sort_keys=True)  # ASCII, because file names need not be UTF-8
    text = f'{{"checksum": "{zlib.crc32(text.encode()):08x}", {text[1:]}'
    write_atomically(path, safetensors.numpy.save(arrays, {KEY: text}))


def tensor_checksum(name: str, array: Any) -> int:
    """Returns the CRC-32 of a tensor: of its name, dtype, shape and values."""
    seed = zlib.crc32(f"{name} {array.dtype.name} {list(array.shape)} ".encode())
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, seed)


def load(path: str | os.PathLike[str], *, resume: bool = False) -> Checkpoint:
    """Read a checkpoint: only the best parameters, or everything if `resume` is true.

    `path` is a file, or the name of a model that comes with the package, such as "austen".

    Raises
    ------
    UserError
        The file is damaged, is not a checkpoint of this package, has a newer format, has weights that are not finite,
        or was imported and cannot resume.
    FileNotFoundError, IsADirectoryError, PermissionError
    """
    path = find_checkpoint(path)
    try:
        with open(path, "rb"):  # raises a clear OSError before safetensors opens the file
            pass
    except FileNotFoundError:
        raise FileNotFoundError(f"cannot find the model {path}: train one, name another{others(path)}, or name "
                                f"{DEFAULT_MODEL}, which comes with the package") from None  # fmt: skip
    except IsADirectoryError:
        raise IsADirectoryError(f"{path} is a folder: name a model in it{others(Path(path, 'model'))}") from None
    try:
        with safetensors.safe_open(os.fspath(path), "np") as file:
            facts = parse_facts(path, file.metadata())
            names = list(file.keys())
            has_best = any(name.startswith("best/") for name in names) and not should_use_last(facts)
            skipped = () if resume else ("optimizer/", "carried/", "last/" if has_best else "best/")
            tensors = {name: file.get_tensor(name) for name in names if not name.startswith(skipped)}
    except (safetensors.SafetensorError, TypeError) as error:  # a TypeError for dtypes that NumPy lacks
        raise UserError(f"{path} is damaged or not a checkpoint ({error}): give a checkpoint of theano_rnn") from None
    check_tensors(path, facts, names, tensors)
    if resume and not facts.get("fingerprint", True):
        raise UserError(f"{path} was imported or exported without the optimizer's state, which --resume needs: start a "
                        f"new run with --init-from {path} and another --checkpoint")  # fmt: skip
    tensors = {name: widened(array, stored_dtype(facts)) for name, array in tensors.items()}
    group = {kind: {n[len(kind) + 1 :]: v for n, v in tensors.items() if n.startswith(f"{kind}/")}
             for kind in ("last", "best", "optimizer", "carried")}  # fmt: skip
    try:
        check_stored_values(facts)
        return Checkpoint(
            facts["settings"],
            {name: decode_fact(name, value) for name, value in facts.items() if name not in RESERVED},
            facts["fingerprint"],
            facts["progress"],
            last=group["last"],
            best=group["best"] or group["last"],
            optimizer=group["optimizer"],
            carried=[group["carried"][name] for name in sorted(group["carried"], key=int)],
            kind=facts["kind"],
        )
    except UserError as error:
        raise UserError(f"{path} is a damaged checkpoint: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is a damaged checkpoint ({type(error).__name__}: {error})") from None


def widened(array: Any, dtype: str | None) -> Any:
    """Returns an array of floats converted to the wider `dtype`; any other array unchanged."""
    is_narrower = dtype is not None and array.dtype.kind == "f" and array.itemsize < np.dtype(dtype).itemsize
    return array.astype(dtype) if is_narrower else array


def stored_dtype(facts: Mapping[str, Any]) -> str | None:
    """Returns the dtype in the model's settings, or None. Parameters may be stored in a dtype of half the size."""
    try:
        dtype = facts["settings"]["model"]["dtype"]
    except (KeyError, TypeError, IndexError):
        return None
    return dtype if dtype in ("float32", "float64") else None


def others(path: str | os.PathLike[str]) -> str:
    """Returns the names of checkpoints in the folder of `path`, for an error message; "" if there are none."""
    found = sorted(file.name for file in Path(path).parent.glob("*.safetensors") if file.is_file())
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f" ({Path(path).parent} has {', '.join(found[:5])}{more})" if found else ""


def should_use_last(facts: Mapping[str, Any]) -> bool:
    """Returns whether the last parameters are the ones to use: they are better, or nothing was validated before."""
    progress = facts.get("progress")
    if not isinstance(progress, dict):
        return False
    best = progress.get("best_value", progress.get("best_loss"))  # the latter in older checkpoints
    return bool(progress.get("use_last")) or (best is None and progress.get("step", 0) > 0)


def parse_facts(path: str | os.PathLike[str], metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Returns the JSON object in the file's metadata. Raises `UserError` if this version cannot read its format."""
    if not metadata or KEY not in metadata:
        raise UserError(f"{path} is a safetensors file, but not a checkpoint of theano_rnn: if it is a PyTorch model, "
                        "convert it with theano-rnn import")  # fmt: skip
    try:
        facts: dict[str, Any] = json.loads(metadata[KEY])
        version = facts["format_version"]
        is_damaged = not has_valid_checksum(metadata[KEY], facts)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path} is a damaged checkpoint: its settings cannot be read") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise UserError(f"{path} was written by a newer theano_rnn (format {version}; this one reads up to "
                        f"{FORMAT_VERSION}): update theano_rnn")  # fmt: skip
    if is_damaged:
        raise UserError(f"{path} is a damaged checkpoint: the checksum of its settings is wrong. {COPY}")
    return facts


def has_valid_checksum(text: str, facts: Mapping[str, Any]) -> bool:
    """Returns whether the JSON object's text matches its checksum; True if it has none, as in older checkpoints."""
    found = CHECKSUM.match(text)
    if found is None or not isinstance(facts.get("tensors"), dict):
        return found is None and "tensors" not in facts and "checksum" not in facts
    return int(found[1], 16) == zlib.crc32(f"{{{text[found.end() :]}".encode())


def check_tensors(
    path: str | os.PathLike[str], facts: Mapping[str, Any], names: Iterable[str], tensors: Mapping[str, Any]
) -> None:
    """Raises `UserError` if the file lacks a tensor, if one of `tensors` is damaged, or if a weight is not finite."""
    if "tensors" in facts:
        damaged = set(facts["tensors"]) ^ set(names)
        damaged |= {n for n, array in tensors.items() if tensor_checksum(n, array) != facts["tensors"].get(n)}
        if damaged:
            raise UserError(f"{path} is a damaged checkpoint: the checksum of {min(damaged)} is wrong. {COPY}")
    for name, array in tensors.items():
        if name.startswith(("last/", "best/")) and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{path} has weights that are not finite numbers ({name}), because its training diverged: "
                            "train it again with a smaller --learning-rate")  # fmt: skip


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Returns whether the file at `path` exists and is a checkpoint of this package."""
    if not os.path.isfile(path):
        return False
    try:
        with safetensors.safe_open(os.fspath(path), "np") as file:
            return KEY in (file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return False


def holds_trained_model(path: str | os.PathLike[str]) -> bool:
    """Returns whether the file at `path` may hold a trained model; False only if a run saved it before its first step.

    Also True for a file that cannot be read, and for a model that started from another one.
    """
    try:
        with safetensors.safe_open(os.fspath(path), "np") as file:
            facts = parse_facts(path, file.metadata())
        is_new = facts["progress"]["step"] == 0 and bool(facts["fingerprint"])
        return not is_new or facts["settings"]["corpus"]["init_from"] is not None
    except (safetensors.SafetensorError, OSError, UserError, KeyError, TypeError):
        return True


def decode_fact(name: str, value: Any) -> Any:
    """Returns a fact of a `Checkpoint`: a `Vocabulary` if its name ends in "vocabulary", else the JSON value."""
    return Vocabulary.from_json(value) if name.endswith("vocabulary") else value


def assign(params: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Set shared variables to arrays of the same names, shapes and dtypes.

    Raises
    ------
    UserError
        Names, shapes or dtypes differ.
    """
    if set(params) != set(values):
        raise UserError(f"the checkpoint's tensors do not fit: {', '.join(sorted(set(params) ^ set(values)))}")
    for name, variable in params.items():
        old, new = variable.get_value(borrow=True), values[name]
        if old.shape != new.shape or old.dtype != new.dtype:
            raise UserError(f"{name} must be {old.dtype} {old.shape}, the checkpoint has {new.dtype} {new.shape}")
    for name, variable in params.items():
        variable.set_value(values[name])


def values_of(params: Mapping[str, Any]) -> Arrays:
    """Returns copies of the arrays in shared variables, by name."""
    return {name: np.array(variable.get_value(borrow=True)) for name, variable in params.items()}
