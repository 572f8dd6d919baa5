"""Files with features that are already computed.

``.npy``: one array (frames, features). ``.npz``: one such array for each recording, named ``FILE.npz#NAME``. Packed
features: an ``.npz`` with a whole data set, all recordings one after another:

==========  ======================  ================================================================================
array       shape                   content
==========  ======================  ================================================================================
frames      (frames, features)      the features; `mfcc` and `features` are other names for it
lengths     (recordings,)           the number of frames of each recording
texts       (recordings,)           what is said
names       (recordings,)           optional: names of the recordings
speakers    (recordings,)           optional
lexicon     (pronunciations,)       optional: lines of a lexicon, "WORD P H O N E M E S"
step        (features,)             optional: the features are ``offset + step * frames``, frames being small integers
offset      (features,)             with `step`
settings    one text                optional: JSON of the `FeaturesConfig` that the features were computed with, so that
                                    a model that is trained on them can read sound
about       one text                optional: origin and licence
==========  ======================  ================================================================================
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.settings.base import UserError

FRAMES = ("frames", "mfcc", "features")
DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class PackedFeatures(NamedTuple):
    """The content of a file of packed features.

    `frames` float32 (frames, features), which may have numbers that are not finite; `lengths` int64 (recordings,);
    `lexicon` is lines, empty if there is none; `settings` are JSON values or None. `others` has all further arrays,
    such as the places of words.
    """

    frames: Any
    lengths: Any
    names: list[str]
    texts: list[str]
    speakers: list[str]
    lexicon: list[str]
    settings: Mapping[str, Any] | None
    about: str
    others: Mapping[str, Any]


def read_arrays(path: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """Returns the arrays of an ``.npz`` file by name; the array of an ``.npy`` file has the name "".

    Raises
    ------
    FileNotFoundError
        There is no such file.
    UserError
        It is not a file of arrays, or is damaged.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"cannot find {name} (looked in {os.path.dirname(os.path.abspath(path))}). Check the "
                                "name, or give the full path")  # fmt: skip
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except DAMAGE as error:
        raise UserError(f"{name} is not a file of NumPy arrays of numbers and texts, or is damaged "
                        f"({str(error)[:100]}): write it again with numpy.save or numpy.savez") from None  # fmt: skip


def read_features(path: str) -> Any:
    """Returns the features of one recording, float32 (frames, features), of ``FILE.npy``, ``FILE.npz#NAME`` or, if it
    has one array only, ``FILE.npz``.

    Raises
    ------
    FileNotFoundError, UserError
        As in `read_arrays`; or the array is not a matrix of finite numbers.
    """
    file, mark, key = (path, "", "") if os.path.exists(path) else path.rpartition("#")
    if not mark:
        file = path
    arrays = read_arrays(file, file)
    if not mark and len(arrays) != 1:
        raise UserError(f"{file} has {len(arrays)} arrays: name one of them, {file}#{next(iter(arrays), 'NAME')}")
    if mark and key not in arrays:
        raise UserError(f"{file} has no array {key!r}: check the name behind #")
    frames = as_frames(arrays[key] if mark else next(iter(arrays.values())), path)
    check_finite(frames, path)
    return frames


def is_packed(path: str) -> bool:
    """Returns whether a file is an ``.npz`` of packed features. A file that cannot be read is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return "lengths" in names and any(name in names for name in FRAMES)


def read_packed(path: str) -> PackedFeatures:
    """Returns the content of a file of packed features.

    Raises
    ------
    FileNotFoundError, UserError
        As in `read_arrays`; or the arrays do not fit together.
    """
    arrays = read_arrays(path, path)
    key = next((name for name in FRAMES if name in arrays), None)
    if key is None or "lengths" not in arrays:
        raise UserError(f"{path} has no arrays frames and lengths (it has {', '.join(arrays)[:200] or 'none'}): "
                        "packed features are frames, lengths and texts")  # fmt: skip
    frames, lengths = arrays.pop(key), arrays.pop("lengths")
    if frames.ndim != 2 or lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise UserError(f"{path}: {key} must be (frames, features) and lengths whole numbers, got shapes "
                        f"{frames.shape} and {lengths.shape}, {lengths.dtype}")  # fmt: skip
    lengths = lengths.astype(np.int64)
    if (lengths < 0).any() or int(lengths.sum()) != len(frames):
        raise UserError(f"{path}: the lengths add up to {int(lengths.sum()):,} frames, but there are {len(frames):,}")
    if "step" in arrays:
        step, offset = arrays.pop("step"), arrays.pop("offset", np.float32(0))
        try:
            frames = (frames * step.astype(np.float32) + np.asarray(offset, np.float32)).astype(np.float32)
        except ValueError:
            raise UserError(f"{path}: step and offset must have a number for each of the {frames.shape[1]} "
                            f"features, got shapes {np.shape(step)} and {np.shape(offset)}") from None  # fmt: skip
    frames = as_frames(frames, path)
    count = len(lengths)
    texts = strings(arrays, "texts", count, path)
    if texts is None:
        raise UserError(f"{path} has no array texts, which says what each recording says: add it")
    names = strings(arrays, "names", count, path) or [f"{number}" for number in range(1, count + 1)]
    speakers = strings(arrays, "speakers", count, path) or [""] * count
    lexicon = [line for part in [arrays.pop("lexicon", [])] for line in np.asarray(part).astype(str).ravel().tolist()]
    try:
        settings = json.loads(str(arrays.pop("settings"))) if "settings" in arrays else None
    except ValueError as error:
        raise UserError(f"{path}: settings must be JSON ({error})") from None
    about = str(arrays.pop("about", ""))
    return PackedFeatures(frames, lengths, names, texts, speakers, lexicon, settings, about, arrays)


def strings(arrays: dict[str, Any], key: str, count: int, path: str) -> list[str] | None:
    """Returns an array of texts and removes it from `arrays`; None if it is not there."""
    if key not in arrays:
        return None
    found = arrays.pop(key)
    if found.shape != (count,):
        raise UserError(f"{path}: {key} must have {count:,} values, one for each of lengths, got shape {found.shape}")
    return [str(value) for value in found.tolist()]


def as_frames(array: Any, name: str) -> Any:
    """Returns features as float32 (frames, features). Raises `UserError` if they are not a matrix of real numbers."""
    if array.ndim != 2 or array.dtype.kind not in "fiub" or not array.shape[1]:
        raise UserError(
            f"{name} must be an array (frames, features) of numbers, got shape {array.shape}, {array.dtype}"
        )
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def check_finite(frames: Any, name: str) -> None:
    """Raises `UserError` if a number is infinite or not a number."""
    is_finite = np.isfinite(frames).all(axis=1)
    if not is_finite.all():
        raise UserError(f"{name}: frame {int(np.flatnonzero(~is_finite)[0]):,} has a number that is not finite")
