"""Where the cache is, and how large it may be: tokenized texts and functions that XLA has compiled."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_MEGABYTES = 2048


def cache_folder() -> Path | None:
    """Returns the folder of the cache; None if the cache is disabled or the user has no home folder.

    `$THEANO_RNN_CACHE`, else `$XDG_CACHE_HOME/theano_rnn`, else `~/.cache/theano_rnn`.
    """
    if not max_cache_bytes():
        return None
    if named := os.environ.get("THEANO_RNN_CACHE"):
        return Path(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "theano_rnn"
    try:
        return Path.home() / ".cache" / "theano_rnn"
    except RuntimeError:  # a user without a home
        return None


def max_cache_bytes() -> int:
    """Returns the maximum size of the cache in bytes, from `$THEANO_RNN_CACHE_MB` (megabytes).

    0 disables the cache; so does a value that is not a number.
    """
    try:
        return max(int(float(os.environ.get("THEANO_RNN_CACHE_MB", DEFAULT_MEGABYTES)) * 1e6), 0)
    except (ValueError, OverflowError):
        return 0
