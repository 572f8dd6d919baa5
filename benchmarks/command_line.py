"""The command-line parser shared by the benchmarks."""

from __future__ import annotations

import argparse


def parser_of(doc: str) -> argparse.ArgumentParser:
    """A parser whose help is a script's docstring."""
    summary, _, details = doc.partition("\n")
    return argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
