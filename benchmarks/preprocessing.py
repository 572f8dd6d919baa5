"""Measure time and memory of tokenizing a large text: `python benchmarks/preprocessing.py --megabytes 200`.
With `--unit subword` the time to learn the pieces is part of both starts, because only tokens are cached.

The text repeats the novels of data/austen. Each repetition renames a third of the longer words, so that the vocabulary
grows like that of a real corpus. Memory is the sum over this process and its workers, sampled twenty times a second
(Linux only). Pages of mapped files, which the system can reclaim, are counted separately.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from theano_rnn.preprocessing import load_corpus
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.sources import Source

NOVELS = Path(__file__).parents[1] / "data" / "austen"


def write_text(path: Path, num_bytes: int, *, is_plain: bool = False) -> None:
    """A text of about `num_bytes` bytes."""
    texts = [novel.read_text(encoding="utf-8") for novel in sorted(NOVELS.glob("*.txt"))]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(1_000_000):
            for text in texts:
                ending = "abcdefghijklmnopqrstuvwxyz"[number % 26] * (1 + number // 26)
                if number and not is_plain:
                    text = re.sub(r"\b([a-z]{6,})(?<=[aeg-ln-rt-z])\b", rf"\g<1>{ending}", text)
                file.write(f"{text}\n\n")
                if file.tell() >= num_bytes:
                    return


def resident_bytes() -> tuple[int, int]:
    """Memory of this process and its children now: its own, and pages of mapped files."""
    own = mapped = 0
    me = str(os.getpid())
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
            if folder.name == me or fields["PPid"].strip() == me:
                own += 1024 * int(fields["RssAnon"].split()[0])
                mapped += 1024 * (int(fields["RssFile"].split()[0]) + int(fields["RssShmem"].split()[0]))
        except (OSError, KeyError):
            continue  # it has just ended
    return own, mapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=20, help="size of the text in MB (default: %(default)s)")
    parser.add_argument("--unit", default="word", help="word, char or subword (default: %(default)s)")
    parser.add_argument("--vocab-size", type=int, default=10_000, help="size of the vocabulary (default: %(default)s)")
    parser.add_argument("--plain", action="store_true", help="repeat the novels without renaming words")
    args = parser.parse_args()
    megabytes = args.megabytes
    with tempfile.TemporaryDirectory() as folder:
        os.environ["THEANO_RNN_CACHE"] = str(Path(folder, "cache"))
        path = Path(folder, "text.txt")
        write_text(path, megabytes * 1_000_000, is_plain=args.plain)
        with Source(path) as source:
            num_words, _ = source.count(TextConfig())
        peaks = [0, 0]
        is_done = threading.Event()

        def sample() -> None:
            while not is_done.wait(0.05):
                peaks[:] = map(max, peaks, resident_bytes())

        threading.Thread(target=sample, daemon=True).start()
        for name in ("first start", "second start"):
            peaks[:] = [0, 0]
            begin, processor = time.perf_counter(), time.process_time()
            corpus = load_corpus(CorpusConfig(train=(str(path),), vocab_size=args.vocab_size), TextConfig(args.unit))
            seconds, processor = time.perf_counter() - begin, time.process_time() - processor
            parts = [part for part in (corpus.train, corpus.valid, corpus.test) if part is not None]
            tokens = sum(part.size for part in parts)
            per_word = sum(np.count_nonzero(part != corpus.vocabulary.eos_id) for part in parts) / num_words
            size = path.stat().st_size / 1e6
            print(
                f"{name}: {size:.1f} MB, {tokens:,} tokens, {per_word:.3f} per word without ends of sentences, "
                f"{seconds:.1f} s ({processor:.1f} s of processor time in this process), {size / seconds:.2f} MB/s, "
                f"peak memory {peaks[0] / 2**20:.0f} MiB and {peaks[1] / 2**20:.0f} MiB of mapped files",
                flush=True,
            )
            del corpus
        is_done.set()


if __name__ == "__main__":
    main()
