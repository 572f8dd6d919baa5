"""Read picture files as arrays, with Pillow (extra `describe`). No other module of the package imports Pillow.

A picture is turned as its camera says (EXIF), transparent parts become white, and 16 bits per channel become 8. Grey,
palette and CMYK pictures become RGB, and of an animation the first frame is read.
"""

from __future__ import annotations

import importlib.util
import io
import os
import warnings
from typing import Any

import numpy as np

from theano_rnn.settings.base import UserError

MAX_PIXELS = 1 << 28  # of a file
SHOWN_SIZE = 384  # greatest width and height of a picture on a page


def check_pillow() -> None:
    """Raises `UserError` if Pillow is not installed."""
    if importlib.util.find_spec("PIL") is None:
        raise UserError("pictures are read with Pillow, which is not installed: run pip install 'theano_rnn[describe]'")


def open_picture(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Any:
    """Returns a picture as an RGB image of Pillow.

    Parameters
    ----------
    source
        A file, or its bytes.
    name : optional
        The name of the picture, for messages.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file, or it is a folder.
    UserError
        It is not a picture, is damaged or too large, or Pillow is not installed.
    """
    check_pillow()
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = name or (os.fspath(source) if not isinstance(source, bytes) else "the picture")
    if not isinstance(source, bytes):
        if os.path.isdir(source):
            raise IsADirectoryError(f"{name} is a folder, not a picture: name a file in it")
        if not os.path.exists(source):
            folder = os.path.dirname(os.path.abspath(source))
            raise FileNotFoundError(f"cannot find {name} (looked in {folder}). Check the name, or give the full path")
        if not os.path.getsize(source):
            raise UserError(f"{name} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged details such as EXIF, and of large pictures
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(f"{name} has {image.width:,} x {image.height:,} pixels: make it smaller")
                image.load()
                return rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that Pillow can read: convert it to PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name} has too many pixels: make it smaller") from None
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is damaged ({str(error)[:80]}): save it again") from None


def rgb(image: Any) -> Any:
    """Returns an image of Pillow in RGB, with 8 bits per channel, on white."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":  # one channel of more than 8 bits
        values = np.asarray(image, np.float64)
        most = float(values.max(initial=0))
        scale = 255 / 65_535 if most > 255 else 255 if image.mode == "F" and most <= 1 else 1
        image = Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def pixels_of(picture: Any, height: int, width: int) -> Any:
    """Returns an RGB image of Pillow at another size, uint8 (height, width, 3). It is stretched, not cut."""
    from PIL import Image

    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8)


def read_pixels(source: str | os.PathLike[str] | bytes, height: int, width: int, name: str | None = None) -> Any:
    """Returns a picture, uint8 (height, width, 3). Parameters and errors are those of `open_picture`."""
    return pixels_of(open_picture(source, name), height, width)


def picture_of(pixels: Any) -> Any:
    """Returns pixels, uint8 (height, width, 3), as an image of Pillow."""
    check_pillow()
    from PIL import Image

    return Image.fromarray(np.asarray(pixels, np.uint8))


def jpeg_of(picture: Any) -> bytes:
    """Returns an RGB image of Pillow, made smaller if it is large, as the bytes of a JPEG file for a page."""
    shown = picture.copy()
    shown.thumbnail((SHOWN_SIZE, SHOWN_SIZE))
    found = io.BytesIO()
    shown.save(found, "JPEG", quality=88)
    return found.getvalue()
