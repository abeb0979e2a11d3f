"""Turns picture files into pixels: upright, of one size, grey or in colour."""

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from PIL import Image

from study.data.picture_headers import DRAFT_SIDE, WANTED, Header, ImageError, draft_scale, read_header

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
ORIENTATION = 0x0112  # of EXIF: how the camera was held
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
PAPER = (255, 255, 255, 255)

Result = TypeVar("Result")

# Pillow warns of odd files; all that matters is whether it can read them. This is said once, for all threads: a filter
# for the time of one picture would have to keep other threads out.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decoded(content: bytes, convert: Callable[[Image.Image], Result], where: object = None) -> Result:
    """Return what `convert` makes of the picture in a file's bytes, upright, of an animation its first picture.

    Its headers are checked before it is decoded. Raises ImageError.
    """
    header = read_header(content, where)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return convert(_upright(_opened(image, header)))
    except Image.UnidentifiedImageError:
        raise ImageError("not a picture that can be read", where=where, expected=WANTED) from None
    except Exception:  # a damaged file makes Pillow raise almost anything: OSError, SyntaxError, struct.error, …
        raise ImageError("a damaged or incomplete picture", where=where, expected=WANTED) from None


def pixels(content: bytes, height: int, width: int, where: object = None) -> np.ndarray:
    """Return the picture in a file's bytes scaled to (height, width, 3) of uint8, or (height, width) if it is grey.

    The whole picture is scaled, whatever its aspect ratio; what is transparent becomes white. Raises ImageError.
    """
    return decoded(content, lambda image: _scaled(image, height, width), where)


def _scaled(image: Image.Image, height: int, width: int) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would cut off at 255
        image = Image.fromarray(np.clip(np.asarray(image, np.float32) / 257, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, PAPER), image)
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    if array.ndim == 3 and (array == array[..., :1]).all():  # colours in name only
        array = array[..., 0]
    return np.ascontiguousarray(array)


def _opened(image: Image.Image, header: Header) -> Image.Image:
    """Check that Pillow has read the size that was allowed, and let a large JPEG be decoded at a part of it."""
    if image.size != (header.width, header.height):
        raise ValueError("Pillow reads another header")
    if image.format in ("JPEG", "MPO") and draft_scale(*image.size) > 1:
        image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
    return image


def _upright(image: Image.Image) -> Image.Image:
    orientation = None
    with contextlib.suppress(Exception):  # damaged EXIF data do not make a picture unreadable
        orientation = image.getexif().get(ORIENTATION)
    image.load()
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
