"""Files of captions: which picture has which captions.

JSON lines such as ``{"image": "a.jpg", "caption": "a red circle"}``, also with a list of captions; tab- or
comma-separated values with these columns; or COCO's ``captions_*.json``. A picture may have several captions, in one
row or in several, and columns may have other usual names.

>>> table = CaptionTable("captions.tsv", "tsv")
>>> [(row.image, row.captions) for row in table.captioned(["file_name\\tcaption\\n", "a.jpg\\ta red circle\\n"])]
[('a.jpg', ['a red circle'])]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from theano_rnn.settings.base import UserError
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import MAX_ROW_CHARACTERS, Table, listed, split_lines

IMAGE_COLUMNS = ("image", "image_path", "file_name", "filename", "file", "path", "image_id")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence", "sentences", "description")


class ListedImage(NamedTuple):
    """A picture, by its name in the file, and its captions, in the order of the file; blank ones are left out."""

    image: str
    captions: list[str]


class CaptionTable(Table):
    """A table with a column of pictures and one of captions.

    Parameters
    ----------
    name, kind
        As of `Table`.
    column : optional
        The column with the captions.
    """

    def __init__(self, name: str, kind: str, column: str | None = None) -> None:
        super().__init__(name, kind, None)
        self.caption_column = column

    def check_column(self, names: list[str]) -> None:
        """Any columns will do until `captioned` looks for its own."""

    def json_text(self, name: str, value: Any) -> str | None:
        """Returns a value of a JSON object as text: a number as its digits, a list of captions as lines."""
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return "\n".join(map(one_line, value))
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return one_line(value) if isinstance(value, str) else None

    def captioned(self, blocks: Iterable[str]) -> Iterator[ListedImage]:
        """Yields the rows of a table that comes in blocks.

        Raises
        ------
        UserError
            A row cannot be read or names no picture, or there is no column of pictures or of captions.
        """
        sample, rows = self.read(split_lines(blocks, MAX_ROW_CHARACTERS))
        if not sample:
            return
        names = list(dict.fromkeys(name for row in sample for name in row.values))
        image = self.find_column(names, IMAGE_COLUMNS, "the pictures")
        captions = self.find_column(names, (self.caption_column,) if self.caption_column else CAPTION_COLUMNS,
                                    "the captions")  # fmt: skip
        for row in rows:
            if not any(map(str.strip, row.values.values())):
                continue
            if not (name := row.values.get(image, "").strip()):
                raise self.error(row.line, f"the row names no picture in column {image}: add it, or remove the row")
            texts = row.values.get(captions, "")
            given = texts.split("\n") if self.kind == "jsonl" else [texts]
            yield ListedImage(name, [one_line(text) for text in given if text.strip()])

    def find_column(self, names: list[str], usual: Iterable[str], what: str) -> str:
        """Returns the name of the first of the `usual` columns that there is."""
        lower = {name.lower(): name for name in reversed(names)}
        found = next((lower[name.lower()] for name in usual if name.lower() in lower), None)
        if found is None:
            first = next(iter(usual))
            raise UserError(f"{self.name} has no column {first} (its columns: {listed(names)}): name the column with "
                            f"{what} {first}" + (", or use --column" if what == "the captions" else ""))  # fmt: skip
        return found


def one_line(text: str) -> str:
    """Returns a text without line breaks, and with single blanks."""
    return " ".join(text.split())


def read_captions(path: str, column: str | None = None) -> list[ListedImage]:
    """Returns the pictures of a file with all their captions, in the order in which they are first named.

    Parameters
    ----------
    column : optional
        The column of a table with the captions.

    Raises
    ------
    OSError
        The file cannot be opened.
    UserError
        It is not a file of captions, or has none.
    """
    with Source(path) as source:
        name, kind = source.name, source.format.table
        source.file.seek(0)
        if kind is not None:
            rows = list(CaptionTable(name, kind, column).captioned(source.decoded_blocks()))
        elif path.lower().endswith(".json"):
            rows = coco_rows("".join(source.decoded_blocks()), name)
        else:
            raise UserError(f"{name} is not a file of captions: name a table (.jsonl, .tsv, .csv) with the columns "
                            "image and caption, or COCO's captions_*.json")  # fmt: skip
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.image, []).extend(row.captions)
    if not found:
        raise UserError(f"{name} contains no captions")
    return [ListedImage(image, captions) for image, captions in found.items()]


def coco_rows(text: str, name: str) -> list[ListedImage]:
    """Returns the pictures and captions of a file in COCO's format.

    Raises
    ------
    UserError
        It is not such a file.
    """
    try:
        content = json.loads(text)
        files = {each["id"]: str(each["file_name"]) for each in content["images"]}
        captions: dict[Any, list[str]] = {number: [] for number in files}
        for each in content["annotations"]:
            if each["caption"].strip():
                captions[each["image_id"]].append(one_line(each["caption"]))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not JSON ({str(error)[:80]})") from None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{name} is not in COCO's format for captions, with images (id, file_name) and annotations "
                        f"(image_id, caption): {type(error).__name__} {str(error)[:60]}") from None  # fmt: skip
    return [ListedImage(files[number], texts) for number, texts in captions.items()]
