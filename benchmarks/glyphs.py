"""Train a captioner to name glyphs: pictures of characters, captioned by their Unicode names.

    python benchmarks/glyphs.py glyphs --max-seconds 1200

The pictures are those of DejaVu Sans, the font that matplotlib brings along, on a common baseline, so that height means
something; "A" is "latin capital letter a". Nobody invented these captions for a test: 2,800 names of 385 words, up to
13 words long, many of which ("with tilde", "double struck", "rotated") are about one part of the picture. A name whose
words do not all occur at least five times is left out. A glyph that looks exactly like another one (the A of Latin,
Greek and Cyrillic) is in the training part, because no network could tell which name is meant. The other glyphs are
split by a hash of their code point: 80 % train, 10 % valid, 10 % test.

The folder gets the pictures (PNG), ``train.tsv``, ``valid.tsv``, ``test.tsv``, the model, and ``page.html``, which
shows where each word of twenty names looks. Further flags are those of ``train``; FLAGS are the best of those that were
tried (RESULTS.md).
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 32  # of a picture, in pixels
ENLARGED = 4  # drawn so many times larger, and made smaller
FONT_SIZE, BASELINE = 0.62, 0.72  # of the picture
FAINTEST = 40  # the greatest value of a picture that is blank
NUM_SHOWN = 20
FLAGS = ["--image-size", str(SIDE), "--channels", "32", "64", "128", "128", "--tokens", "whitespace",
         "--select", "exact", "--batch-size", "16", "--optimizer", "adamw", "--learning-rate", "0.003",
         "--weight-decay", "0.1", "--average-decay", "0.998", "--dropout", "0", "--layer-dropout", "0.1",
         "--output-dropout", "0.3", "--image-shift", "0", "--epochs", "100", "--patience", "100"]  # fmt: skip


def names_of(characters: list[str], min_count: int) -> dict[str, list[str]]:
    """Returns the words of the name of each character, if all of them occur at least `min_count` times."""
    found = {each: unicodedata.name(each, "").lower().replace("-", " - ").split() for each in characters}
    found = {each: words for each, words in found.items() if words}
    while True:
        counts = collections.Counter(word for words in found.values() for word in words)
        kept = {each: words for each, words in found.items() if min(counts[word] for word in words) >= min_count}
        if len(kept) == len(found):
            return kept
        found = kept


def drawn(character: str, font: Any) -> Any:
    """Returns the picture of a character, white on black, uint8 (side, side)."""
    from PIL import Image, ImageDraw

    side = ENLARGED * SIDE
    image = Image.new("L", (side, side), 0)
    place = (side / 2, BASELINE * side)
    ImageDraw.Draw(image).text(place, character, font=font, fill=255, anchor="ms")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def part_of(character: str) -> str:
    """Returns the part that a character belongs to, unless it looks like another one."""
    number = int(hashlib.sha256(str(ord(character)).encode()).hexdigest(), 16) % 10
    return {0: "valid", 1: "test"}.get(number, "train")


def write_glyphs(folder: Path, min_count: int) -> dict[str, int]:
    """Write pictures and captions. Returns the number of pictures of each part."""
    import matplotlib
    from fontTools.ttLib import TTFont
    from PIL import Image, ImageFont

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = ImageFont.truetype(str(path), int(ENLARGED * SIDE * FONT_SIZE))
    names = names_of(list(map(chr, sorted(TTFont(path).getBestCmap()))), min_count)
    pictures = {each: drawn(each, font) for each in names}
    pictures = {each: pixels for each, pixels in pictures.items() if pixels.max() > FAINTEST}
    alike = collections.Counter(pixels.tobytes() for pixels in pictures.values())
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for each, pixels in pictures.items():
        part, name = part_of(each), f"{ord(each):05x}.png"
        Image.fromarray(pixels).save(folder / name)
        rows["train" if alike[pixels.tobytes()] > 1 else part].append(f"{name}\t{' '.join(names[each])}\n")
    for part, lines in rows.items():
        (folder / f"{part}.tsv").write_text("image\tcaption\n" + "".join(lines))
    return {part: len(lines) for part, lines in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a captioner to name glyphs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-seconds", type=int, default=1200, help="of training")
    parser.add_argument("--min-count", type=int, default=5, help="of the words of a name")
    args, more = parser.parse_known_args()
    print("pictures:", write_glyphs(args.folder, args.min_count), flush=True)
    checkpoint = str(args.folder / "model.safetensors")
    files = [word for part in ("train", "valid", "test") for word in (f"--{part}", str(args.folder / f"{part}.tsv"))]

    def command(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "theano_rnn", *arguments], check=True)

    command("train", "--task", "describe", *files, *FLAGS, "--checkpoint", checkpoint, "--max-seconds",
            str(args.max_seconds), *more)  # fmt: skip
    for part in ("valid", "test"):
        command("describe", checkpoint, "--evaluate", str(args.folder / f"{part}.tsv"))
    rows = (args.folder / "valid.tsv").read_text().splitlines()[1:]
    shown = [str(args.folder / row.split("\t")[0]) for row in rows[:: max(1, len(rows) // NUM_SHOWN)][:NUM_SHOWN]]
    command("describe", checkpoint, *shown, "--nbest", "3", "--page", str(args.folder / "page.html"), "--force")


if __name__ == "__main__":
    main()
