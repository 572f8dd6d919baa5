"""Read a pipe while it is being written: each block has the bytes that have arrived.

>>> file = ArrivingBytes(io.BytesIO(b"It is a truth."))
>>> file.read(5), file.seek(0), file.read(2), file.read(100), file.read(1)
(b'It is', 0, b'It', b' is a truth.', b'')
"""

from __future__ import annotations

import io
from typing import Any

FIRST_BYTES = 1 << 16


class ArrivingBytes(io.RawIOBase):
    """A pipe in the form of a file. `seek` works until more than the first block has been read.

    `closes` says whether `close` closes the pipe, too.
    """

    def __init__(self, stream: Any, *, closes: bool = False) -> None:
        self.stream, self.closes, self.position = stream, closes, 0
        self.first: bytes = stream.read1(FIRST_BYTES)

    def read(self, size: int = -1) -> bytes:
        """Returns at most `size` of the bytes that have arrived; waits if there are none. Returns b"" at the end."""
        if self.position < len(self.first):
            block = self.first[self.position :][: size if size >= 0 else None]
        else:
            block = self.stream.read1(size)
        self.position += len(block)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go back to the beginning."""
        if offset or whence or self.position > len(self.first):
            raise io.UnsupportedOperation("a pipe can be read only once")
        self.position = 0
        return 0

    def tell(self) -> int:
        """Returns the number of bytes that have been read."""
        return self.position

    def close(self) -> None:
        """Close the pipe, if this is to be done here."""
        if self.closes:
            self.stream.close()
        super().close()

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True
