"""Progress of reading pictures: counts the bytes of their files, and finds missing ones before any is read."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from theano_rnn.settings.base import UserError
from theano_rnn.text.tokenizing import PROGRESS_SECONDS, Progress


class PictureProgress:
    """Counts the bytes of picture files that are read, and calls `progress` with them and the total.

    >>> PictureProgress(None).total
    0
    """

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.sizes, self.total, self.done, self.next_time = progress, dict[str, int](), 0, 0, 0.0

    def expect(self, paths: Sequence[str], name: str) -> None:
        """Add the sizes of the pictures that the file `name` names.

        Raises
        ------
        UserError
            A picture is missing.
        """
        for path in paths:
            try:
                self.sizes[path] = os.stat(path).st_size
            except OSError:
                raise UserError(f"cannot find {path}, which {name} names: check the name, or name the folder of the "
                                "pictures with --images") from None  # fmt: skip
            self.total += self.sizes[path]

    def add(self, path: str) -> None:
        """Count a picture that was read. Reports every tenth of a second and at the end."""
        self.done += self.sizes[path]
        if self.progress is not None and (time.monotonic() >= self.next_time or self.done == self.total):
            self.progress(self.done, self.total)
            self.next_time = time.monotonic() + PROGRESS_SECONDS
