"""Damaged and hostile checkpoints, made from a good one by a seed: bytes, JSON values and tensors are changed.

Those of which bytes were changed have wrong checksums. In the others the checksums are right, as one who means harm
would make them, or missing, as in older files.
"""

import copy
import json
import math
import struct
import zlib

import numpy as np
import safetensors
import safetensors.numpy

from theano_rnn.learning.checkpoint import KEY, tensor_checksum

DEEP = "[" * 3000 + "]" * 3000
VALUES = [
    None, True, False, -1, 0, 1, 2, 12_000, 2**31, 2**63, 10**30, -0.5, 0.5, 1e-300, 1e308, math.nan, math.inf, "", "x",
    "tanh", "adam", "float16", "object", "auto", "\x1b[2J", "\0", "x" * 50_000, [], [1], ["a"], [[]], [None], {},
    {"a": 1}, [2, 1], ["a", "a"],
]  # fmt: skip


def read(path):
    """Returns the tensors of a checkpoint and the JSON object in its metadata."""
    with safetensors.safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()[KEY])  # noqa: SIM118


def write(tensors, facts, *, has_checksums):
    """Returns the bytes of a checkpoint, with right checksums or none."""
    for name in ("checksum", "tensors"):
        facts.pop(name, None)
    if has_checksums:
        facts["tensors"] = {name: tensor_checksum(name, array) for name, array in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    if has_checksums:
        text = f'{{"checksum": "{zlib.crc32(text.encode()):08x}", {text[1:]}'
    return safetensors.numpy.save(tensors, {KEY: text})


def mutated(path, seed):
    """Returns the bytes of a checkpoint that differs from the one at `path`, and a description of the change."""
    rng = np.random.default_rng([20, seed])
    kind = rng.choice(["bytes", "header", "json", "json", "json", "json", "tensors"])
    if kind == "bytes":
        return change_bytes(bytearray(path.read_bytes()), rng)
    if kind == "header":
        return change_header(path.read_bytes(), rng)
    tensors, facts = read(path)
    if kind == "json":
        what = "; ".join(change_json(facts, rng) for _ in range(rng.integers(1, 3)))
    else:
        what = change_tensor(tensors, rng)
    has_checksums = bool(rng.integers(2))
    return write(tensors, facts, has_checksums=has_checksums), f"{what} (checksums: {has_checksums})"


def change_bytes(content, rng):
    """Flip, cut, repeat or erase bytes; most changes are near the beginning, where the names and settings are."""
    place = int(len(content) * rng.random() ** 2)
    how = rng.choice(["flip", "cut", "repeat", "erase"])
    if how == "flip":
        content[place] ^= 1 << int(rng.integers(8))
    elif how == "cut":
        del content[place:]
    elif how == "repeat":
        content[place:place] = content[place : place + 64]
    else:
        content[place : place + 64] = bytes(64)
    return bytes(content), f"{how} at {place}"


def change_header(content, rng):
    """Change the description of a tensor in safetensors' own header, or put deeply nested JSON into the metadata."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = str(rng.choice([name for name in header if name != "__metadata__"]))
    how = rng.choice(["dtype", "shape", "offsets", "deep", "metadata"])
    if how == "dtype":
        header[name]["dtype"] = str(rng.choice(["BF16", "F16", "F64", "I32", "BOOL", "F8_E5M2", "U64"]))
    elif how == "shape":
        header[name]["shape"] = [[], [0], [2**40], [1, *header[name]["shape"]]][int(rng.integers(4))]
    elif how == "offsets":
        header[name]["data_offsets"] = [0, int(rng.integers(2**40))]
    elif how == "deep":
        header["__metadata__"][KEY] = header["__metadata__"][KEY].replace('"kind"', f'"deep": {DEEP}, "kind"', 1)
    else:
        header["__metadata__"] = {KEY: str(rng.choice(["", "null", "[]", "{}", "1", DEEP, '{"format_version": 1}']))}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data, f"{how} of {name}"


def change_json(facts, rng):
    """Replace, remove or rename one value somewhere in the JSON object, in place."""
    place, path = facts, []
    while True:
        names = list(place) if isinstance(place, dict) else range(len(place))
        name = names[int(rng.integers(len(names)))]
        path.append(name)
        if not isinstance(place[name], (dict, list)) or not place[name] or rng.random() < 0.2:
            break
        place = place[name]
    where = ".".join(map(str, path))
    how = rng.choice(["replace", "replace", "replace", "replace", "remove", "rename", "nest"])
    if how == "remove":
        del place[name]
    elif how == "rename" and isinstance(place, dict):
        place[f"{name}x"] = place.pop(name)
    elif how == "nest":
        place[name] = [place[name]]
    else:
        place[name] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
        return f"{where} = {str(place[name])[:30]!r}"
    return f"{how} {where}"


def change_tensor(tensors, rng):
    """Change one tensor, in place."""
    name = str(rng.choice(list(tensors)))
    array = tensors[name]
    how = rng.choice(["drop", "rename", "add", "nan", "huge", "dtype", "transpose", "cut", "rank", "empty"])
    if how == "drop":
        del tensors[name]
    elif how == "rename":
        tensors[f"{name}x"] = tensors.pop(name)
    elif how == "add":
        tensors[str(rng.choice(["best/W", "last/W", "optimizer/W", "carried/x", "carried/7", "W"]))] = array
    elif how in ("nan", "huge") and array.size and array.dtype.kind == "f":
        tensors[name] = np.full_like(array, math.nan if how == "nan" else 1e30)
    elif how == "dtype":
        tensors[name] = array.astype(rng.choice(["float64", "float16", "int64", "bool"]))
    elif how == "transpose":
        tensors[name] = np.ascontiguousarray(array.T)
    elif how == "cut":
        tensors[name] = np.ascontiguousarray(array[:-1]) if array.ndim else array[None]
    elif how == "rank":
        tensors[name] = array[None]
    else:
        tensors[name] = np.zeros(0, array.dtype)
    return f"{how} {name}"
