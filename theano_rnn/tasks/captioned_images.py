"""Pictures and captions as arrays: the training, validation and test parts, and what is known about them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.images.feature_files import FeatureFile
from theano_rnn.images.reading import check_pillow, read_pixels
from theano_rnn.preprocessing import stable_description
from theano_rnn.settings.base import UserError
from theano_rnn.settings.description import CaptionedImagesConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.caption_batches import CaptionedImages
from theano_rnn.tasks.date_pairs import PairTexts
from theano_rnn.tasks.parallel_corpus import with_ends
from theano_rnn.tasks.picture_progress import PictureProgress
from theano_rnn.tasks.scenes import SIZE, scene_parts
from theano_rnn.text.caption_files import ListedImage, read_captions
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.tokenizing import NUM_ENDS, Progress, tokenize_source, worker_pool
from theano_rnn.text.type_ids import TypeIds
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.vocabulary_extension import new_vocabulary

PARTS = ("train", "valid", "test")
MORE_TOKENS = 10  # that a caption may have beyond the longest one in training


class Listed(NamedTuple):
    """The pictures of a part that the file `name` lists, with at least one caption each, and their arrays, if any."""

    name: str
    rows: list[ListedImage]
    folder: str = ""
    images: Any = None

    def paths(self) -> list[str]:
        """Returns the picture files."""
        return [os.path.join(self.folder, row.image) for row in self.rows]


class CaptionedParts(NamedTuple):
    """The parts by name, the facts of the task, a hash of all, and advice on the data."""

    parts: dict[str, CaptionedImages]
    facts: dict[str, Any]
    fingerprint: str
    notes: tuple[str, ...]


def load_captioned_images(
    corpus: CaptionedImagesConfig,
    text: TextConfig,
    *,
    known: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> CaptionedParts:
    """Returns the pictures of the files that `corpus` names, or drawn scenes if it names none.

    Parts without files are taken from the end of the training pictures: the last `test_fraction`, and `valid_fraction`
    before them.

    Parameters
    ----------
    known
        The facts of an existing model, whose vocabulary, sizes and scales are kept.
    progress
        Called with the bytes read so far and the total, of the captions, and then of all pictures.

    Raises
    ------
    OSError, UserError
        As of `read_captions`, `open_picture` and `FeatureFile`.
    """
    notes: list[str] = []
    listed = listed_parts(corpus, notes)
    features = None if corpus.image_features is None else FeatureFile(corpus.image_features)
    if features is None and any(part.images is None for part in listed.values()):
        check_pillow()
    pixels, known_images = image_size_of(corpus, listed), None if known is None else known["images"]
    if known_images is not None:
        check_known(known_images, features, corpus)
        pixels = (known_images.get("height", 0), known_images.get("width", 0))
    num_read = PictureProgress(progress)
    for found in listed.values() if features is None else ():
        num_read.expect(found.paths() if found.images is None else [], found.name)
    tokens = {part: tokenized(found, text, progress) for part, found in listed.items()}
    vocabulary: Vocabulary
    if known is None:
        types, ids, _ = tokens["train"]
        counts = np.bincount(ids, minlength=len(types))[NUM_ENDS:]
        vocabulary = new_vocabulary(types[NUM_ENDS:], counts, corpus, text)
    else:
        vocabulary = known["vocabulary"]
    digest = hashlib.sha256(json.dumps(stable_description(vocabulary), sort_keys=True).encode())
    parts = {}
    for part, found in listed.items():
        types, ids, lengths = tokens[part]
        encoded, lengths = TypeIds(vocabulary, types).texts(ids, lengths)
        owners = np.repeat(np.arange(len(found.rows)), [len(row.captions) for row in found.rows])
        images = arrays_of(found, features, pixels, num_read)
        references = [] if part == "train" else [row.captions for row in found.rows]
        made = CaptionedImages(images, encoded, lengths, owners, [row.image for row in found.rows], references)
        if part == "train":
            made = without_long(made, corpus.max_caption_tokens, found.name, notes)
        parts[part] = made
        digest.update(json.dumps([part, *references]).encode())
        for array in made[:4]:
            digest.update(f"{array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
    train = parts["train"]
    facts: dict[str, Any] = {"vocabulary": vocabulary, "images": known_images}
    if known_images is None:
        names = ("regions", "channels") if features is not None else ("height", "width")
        sizes = dict(zip(names, map(int, train.images.shape[1:3])))
        facts["images"] = {**sizes, **scales_of(train.images), "longest": int(train.lengths.max()) + MORE_TOKENS}
    return CaptionedParts(parts, facts, digest.hexdigest(), tuple(notes))


def listed_parts(corpus: CaptionedImagesConfig, notes: list[str]) -> dict[str, Listed]:
    """Returns the pictures of each part, without those that have no caption, which are counted in `notes`."""
    if not corpus.train:
        return {
            part: Listed("scenes", [ListedImage(f"scene {number}", [caption])
                                    for number, caption in enumerate(scenes.captions)], images=scenes.images)
            for part, scenes in scene_parts().items()
        }  # fmt: skip
    files: dict[str, Listed] = {}
    for part, paths in zip(PARTS, (corpus.train, corpus.valid, corpus.test)):
        if not paths:
            continue
        if len(paths) > 1:
            raise UserError(f"--{part} must be one file of captions (.jsonl, .tsv, .csv, or COCO's .json), got "
                            f"{len(paths)} files")  # fmt: skip
        rows = read_captions(paths[0], corpus.column)
        kept = [row for row in rows if row.captions]
        if len(kept) < len(rows):
            notes.append(f"{paths[0]}: {len(rows) - len(kept):,} of {len(rows):,} pictures have no caption and are "
                         "left out")  # fmt: skip
        if not kept:
            raise UserError(f"{paths[0]} contains no captions")
        folder = corpus.images if corpus.images is not None else os.path.dirname(paths[0])
        files[part] = Listed(paths[0], kept, folder)
    return with_fractions(corpus, files)


def with_fractions(corpus: CaptionedImagesConfig, files: dict[str, Listed]) -> dict[str, Listed]:
    """Returns the parts; those without files are taken from the end of the training pictures.

    Raises
    ------
    UserError
        Too few pictures are left.
    """
    test_fraction = Fraction(str(corpus.test_fraction)) if files.keys() == {"train"} else Fraction(0)
    valid_fraction = Fraction(str(corpus.valid_fraction)) if "valid" not in files else Fraction(0)
    if valid_fraction + test_fraction >= 1:
        raise UserError(f"valid_fraction + test_fraction must be less than 1, got {corpus.valid_fraction:g} + "
                        f"{corpus.test_fraction:g}: lower one of them, to leave pictures to train on")  # fmt: skip
    train = files["train"]
    count = len(train.rows)
    edges = [0, floor(count * (1 - valid_fraction - test_fraction)), floor(count * (1 - test_fraction)), count]
    found = {}
    for part, begin, end in zip(PARTS, edges, edges[1:]):
        if part in files and part != "train":
            found[part] = files[part]
        elif begin < end:
            found[part] = train._replace(rows=train.rows[begin:end])
    if "train" not in found or len(found["train"].rows) < 2:
        raise UserError("the training part has fewer than two pictures: give more")
    if "valid" not in found:
        raise UserError("the validation part has no pictures: give more, or name a file with --valid")
    return found


def image_size_of(corpus: CaptionedImagesConfig, listed: Mapping[str, Listed]) -> tuple[int, int]:
    """Returns the height and width of the pictures that the network sees."""
    if listed["train"].images is not None:
        return SIZE, SIZE
    return corpus.image_size[0], corpus.image_size[-1]


def arrays_of(found: Listed, features: FeatureFile | None, pixels: tuple[int, int], num_read: PictureProgress) -> Any:
    """Returns the pictures of a part, uint8 (pictures, height, width, 3), or their features."""
    if found.images is not None:
        return found.images
    if features is not None:
        return features.features([row.image for row in found.rows])
    images = np.zeros((len(found.rows), *pixels, 3), np.uint8)
    for number, path in enumerate(found.paths()):
        images[number] = read_pixels(path, *pixels)
        num_read.add(path)
    return images


def tokenized(found: Listed, text: TextConfig, progress: Progress | None) -> tuple[Sequence[str], Any, Any]:
    """Returns the types of the tokens of all captions, the tokens as numbers of types, int32 (tokens,), and the number
    of tokens of each caption, int64 (captions,), their ends included.

    Raises
    ------
    UserError
        A caption has no letters that can be read.
    """
    captions = [" ".join(normalize(caption, text).split()) for row in found.rows for caption in row.captions]
    if blank := [number for number, caption in enumerate(captions) if not caption]:
        raise UserError(f"{found.name}: caption {blank[0] + 1:,} has no characters that can be read: remove it")
    source = PairTexts(found.name, [(caption, "") for caption in captions])
    with worker_pool(text, source.num_bytes) as pool:
        tokens = with_ends(tokenize_source(source.side(0, np.arange(len(captions))), text, pool, progress))
    ends = np.flatnonzero(tokens.ids < NUM_ENDS)
    if len(ends) != len(captions):
        raise RuntimeError(f"{found.name}: {len(captions)} captions became {len(ends)}")
    return tokens.types, tokens.ids, np.diff(ends + 1, prepend=0)


def without_long(part: CaptionedImages, most: int, name: str, notes: list[str]) -> CaptionedImages:
    """Returns a part without the captions of more than `most` tokens, and adds a note that counts them.

    Raises
    ------
    UserError
        No caption is left.
    """
    is_short = part.lengths <= most
    if is_short.all():
        return part
    notes.append(f"{name}: {int((~is_short).sum()):,} training captions have more than {most} tokens and are left out "
                 "(--max-caption-tokens)")  # fmt: skip
    if not is_short.any():
        raise UserError(f"no training caption has at most {most} tokens: raise --max-caption-tokens")
    ids = part.ids[np.repeat(is_short, part.lengths)]
    return part._replace(ids=ids, lengths=part.lengths[is_short], owners=part.owners[is_short])


def scales_of(images: Any) -> dict[str, list[float]]:
    """Returns the mean and the standard deviation of pictures, for each of 3 colours, or of features, for all channels.

    >>> scales_of(np.full((2, 1, 1, 3), [3, 4, 5], np.uint8))
    {'mean': [3.0, 4.0, 5.0], 'scale': [1.0, 1.0, 1.0]}
    """
    rows = images.reshape(-1, 3 if images.dtype == np.uint8 else 1)
    mean, square = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for begin in range(0, len(rows), 1 << 20):
        part = rows[begin : begin + (1 << 20)].astype(np.float64)
        mean, square = mean + part.sum(axis=0), square + (part**2).sum(axis=0)
    mean, square = mean / len(rows), square / len(rows)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return {"mean": mean.tolist(), "scale": np.where(deviation > 1e-6, deviation, 1.0).tolist()}


def check_known(images: Mapping[str, Any], features: FeatureFile | None, corpus: CaptionedImagesConfig) -> None:
    """Raises `UserError` if an existing model does not see such pictures or features."""
    if features is None and "height" not in images:
        raise UserError("the initial model reads ready-made features: add --image-features FILE")
    if features is not None and features.shape != (images.get("regions"), images.get("channels")):
        seen = f"features of shape ({images['regions']}, {images['channels']})" if "regions" in images else "pictures"
        raise UserError(f"the initial model reads {seen}, but {corpus.image_features} has features of shape "
                        f"{features.shape}")  # fmt: skip
