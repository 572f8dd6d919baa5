"""Ready-made features of pictures: a safetensors file with an array (regions, channels) for each picture's name.

Any pretrained network can make them: the activations of its last convolution, one region for each place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from theano_rnn.settings.base import UserError


class FeatureFile:
    """An open file of features.

    Attributes
    ----------
    names : list of str
    shape : (int, int)
        The number of regions and of channels.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    UserError
        It is not a file of features.
    """

    def __init__(self, path: str) -> None:
        if not os.path.exists(path):
            raise FileNotFoundError(f"cannot find {path} (looked in {os.path.dirname(os.path.abspath(path))}). Check "
                                    "the name, or give the full path")  # fmt: skip
        self.path = path
        try:
            opened: Any = safe_open  # which has no types
            self.file = opened(path, framework="numpy")
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is not a file of features in the format safetensors ({str(error)[:80]})") from None
        self.names = sorted(self.file.keys())
        if not self.names:
            raise UserError(f"{path} contains no features")
        self.shape: tuple[int, ...] = tuple(self.file.get_slice(self.names[0]).get_shape())
        if len(self.shape) != 2 or not all(self.shape):
            raise UserError(f"{path}: the features of {self.names[0]} must be an array (regions, channels), got shape "
                            f"{self.shape}")  # fmt: skip

    def features(self, names: Sequence[str]) -> Any:
        """Returns the features of pictures, float32 (pictures, regions, channels).

        Raises
        ------
        UserError
            A picture has no features, or they have another shape or are not finite numbers.
        """
        found = np.zeros((len(names), *self.shape), np.float32)
        known = set(self.names)
        for number, name in enumerate(names):
            if name not in known:
                raise UserError(f"{self.path} has no features of {name}: the names of its arrays must be those of the "
                                "pictures")  # fmt: skip
            try:
                array = self.file.get_tensor(name)
            except (SafetensorError, TypeError) as error:
                raise UserError(f"{self.path}: the features of {name} cannot be read ({str(error)[:80]})") from None
            if array.shape != self.shape or not np.issubdtype(array.dtype, np.floating):
                raise UserError(f"{self.path}: the features of {name} must be numbers of shape {self.shape}, as those "
                                f"before, got {array.dtype} {array.shape}")  # fmt: skip
            found[number] = array
            if not np.isfinite(found[number]).all():
                raise UserError(f"{self.path}: the features of {name} are not finite: compute them again")
        return found
