"""Progress of reading pictures: bytes of all parts, the end included; a missing picture is known before any is read."""

import json

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.description import CaptionedImagesConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks import captioned_images

Image = pytest.importorskip("PIL.Image")
NAMES = [f"{number}.png" for number in range(5)]
TEXT = TextConfig(sentences="line")


@pytest.fixture
def config(tmp_path):
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8 + 4 * number, 8), "red").save(tmp_path / name)
    for file, names in (("a.jsonl", NAMES), ("b.jsonl", NAMES[:2])):  # two pictures are in both parts
        rows = [{"image": name, "caption": "a red picture"} for name in names]
        (tmp_path / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {part: (str(tmp_path / file),) for part, file in (("train", "a.jsonl"), ("valid", "b.jsonl"))}
    return CaptionedImagesConfig(**files, image_size=(8,))


def test_all_bytes_are_counted(config, tmp_path, monkeypatch):
    monkeypatch.setattr("theano_rnn.tasks.picture_progress.PROGRESS_SECONDS", 0)
    calls = []
    captioned_images.load_captioned_images(config, TEXT, progress=lambda *numbers: calls.append(numbers))
    sizes = [(tmp_path / name).stat().st_size for name in [*NAMES, *NAMES[:2]]]
    expected = [(int(done), sum(sizes)) for done in np.cumsum(sizes)]
    assert calls[-len(expected) :] == expected


def test_a_missing_picture_is_known_before_any_is_read(config, tmp_path, monkeypatch):
    monkeypatch.setattr(captioned_images, "read_pixels", lambda *arguments: pytest.fail("a picture was read"))
    (tmp_path / NAMES[-1]).unlink()
    with pytest.raises(UserError, match=r"cannot find .*4.png, which .*a.jsonl names: check the name"):
        captioned_images.load_captioned_images(config, TEXT)
