"""Pictures of many kinds become the right pixels; what is no picture is named in one line."""

import io

import numpy as np
import pytest

from theano_rnn.images.reading import jpeg_of, open_picture, picture_of, read_pixels
from theano_rnn.settings.base import UserError

Image = pytest.importorskip("PIL.Image")

COLOURS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)  # of four pixels


def saved(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.tiff", "a.webp"])
def test_colours_and_places_are_those_of_the_picture(tmp_path, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, Image.fromarray(COLOURS), name, **options)
    np.testing.assert_array_equal(read_pixels(path, 2, 2), COLOURS)
    np.testing.assert_array_equal(read_pixels(path.read_bytes(), 2, 2), COLOURS)


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    path = saved(tmp_path, Image.fromarray(COLOURS), "a.png", exif=exif)
    np.testing.assert_array_equal(read_pixels(path, 2, 2), np.rot90(COLOURS, -1))


def test_grey_pictures_of_16_bits_keep_their_shades(tmp_path):
    shades = np.array([[0, 257], [32_896, 65_535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(shades), "a.png")
    expected = np.repeat(np.array([[0, 1], [128, 255]], np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_pixels(path, 2, 2), expected)


def test_numbers_from_0_to_1_are_shades(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[0.0, 0.2], [0.4, 1.0]], np.float32)), "a.tiff")
    np.testing.assert_array_equal(read_pixels(path, 2, 2)[:, :, 0], [[0, 51], [102, 255]])


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "CMYK"])
def test_other_kinds_of_colours_become_rgb(tmp_path, mode):
    image = Image.fromarray(np.full((4, 4, 3), 255, np.uint8)).convert(mode)
    path = saved(tmp_path, image, "a.tiff" if mode == "CMYK" else "a.png")
    np.testing.assert_array_equal(read_pixels(path, 2, 2), np.full((2, 2, 3), 255))


def test_transparent_parts_are_white(tmp_path):
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    path = saved(tmp_path, image, "a.png")
    np.testing.assert_array_equal(read_pixels(path, 1, 2), [[(200, 0, 0), (255, 255, 255)]])
    palette = Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE)
    red = int(np.asarray(palette)[0, 0])
    path = saved(tmp_path, palette, "b.png", transparency=red)
    np.testing.assert_array_equal(read_pixels(path, 2, 2)[0], [(255, 255, 255), (0, 255, 0)])


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_the_smallest_and_narrowest_pictures_are_stretched(tmp_path, size):
    path = saved(tmp_path, Image.new("RGB", size, (10, 20, 30)), "a.png")
    np.testing.assert_array_equal(read_pixels(path, 8, 9), np.broadcast_to([10, 20, 30], (8, 9, 3)))


def test_a_page_gets_a_small_jpeg():
    picture = picture_of(np.full((1_000, 500, 3), 7, np.uint8))
    shown = Image.open(io.BytesIO(jpeg_of(picture)))
    assert shown.format == "JPEG" and shown.size == (192, 384) and picture.size == (500, 1_000)


def test_what_is_no_picture_is_named(tmp_path):
    whole = saved(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "a.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("a dog runs")
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:2_000])
    for name, told in (("empty.png", "empty.png is empty"), ("text.jpg", "text.jpg is not a picture"),
                       ("half.png", "half.png is damaged")):  # fmt: skip
        with pytest.raises(UserError, match=told) as error:
            open_picture(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="cannot find .*none.png"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError, match="is a folder, not a picture"):
        open_picture(tmp_path)
    with pytest.raises(UserError, match="dropped is not a picture"):
        open_picture(b"no picture", "dropped")


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("theano_rnn.images.reading.MAX_PIXELS", 3)
    with pytest.raises(UserError, match="has 2 x 2 pixels: make it smaller"):
        open_picture(saved(tmp_path, Image.fromarray(COLOURS), "a.png"))


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'theano_rnn\[describe\]'"):
        open_picture("a.png")
