"""Brings a picture file into the form that a network reads: MNIST's for handwriting, else its size and its colours."""

import numpy as np

from study.base.errors import DataError
from study.data.pictures import pixels
from study.inference import preprocessing
from study.inference.contract import Contract

GREY, COLOUR = 1, 3  # channels


def can_show(row_shape: tuple[int, ...]) -> bool:
    """Return whether rows of this shape are grey pictures or pictures in colour."""
    return len(row_shape) == 2 or (len(row_shape) == 3 and row_shape[2] in (GREY, COLOUR))


def read(content: bytes, contract: Contract) -> np.ndarray:
    """Return the picture in a file's bytes as the network sees it: of `row_shape`, uint8; raises ImageError.

    A handwritten digit is found and centred, light on dark. Any other picture is scaled as a whole, and turned to grey
    or to RGB as the network has it.
    """
    if contract.handwriting:
        return preprocessing.read(content)
    return in_form(content, contract.row_shape)


def check(contract: Contract, where: object) -> None:
    """Raise DataError unless the network reads pictures."""
    if contract.kind != "pixels" or not can_show(contract.row_shape):
        got = f"rows of {'×'.join(map(str, contract.row_shape))} {'features' if contract.kind == 'features' else ''}"
        hint = "Ask it with row= or index=." if contract.features else "Ask it with index=."
        raise DataError("the network reads no pictures", where=where, got=got.strip(), hint=hint)


def in_form(content: bytes, row_shape: tuple[int, ...], where: object = None) -> np.ndarray:
    """Return the picture in a file's bytes scaled to `row_shape`, grey or RGB, of uint8; raises ImageError."""
    height, width, *channels = row_shape
    picture = pixels(content, height, width, where)
    if channels == [COLOUR]:
        return picture if picture.ndim == 3 else np.repeat(picture[..., None], COLOUR, axis=2)
    grey = picture if picture.ndim == 2 else np.rint(picture @ preprocessing.LUMINANCE).astype(np.uint8)
    return grey.reshape(row_shape)
