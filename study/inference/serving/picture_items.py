"""Items of a network that reads pixels: a picture file in base64, or the pixels themselves."""

import base64
import binascii
import re
from dataclasses import dataclass

import numpy as np

from study.base.errors import StudyError
from study.data.picture_headers import MOST_BYTES, MOST_WORK, WANTED, ImageError, read_header
from study.inference import pictures
from study.inference.contract import Contract
from study.inference.serving import items
from study.inference.serving.admission import Admission

MOST_BASE64 = 2 * MOST_BYTES  # characters of a picture, line ends and all


@dataclass(frozen=True)
class Picture:
    """A picture file of a request that has not been decoded yet: where it stands, its bytes and its work."""

    where: str
    content: bytes
    work: int


class PictureItems:
    """Items of pixels: ``{"image": base64}``, which is brought into the network's form, or ``{"pixels": [[…]]}``."""

    def __init__(self, contract: Contract):
        self._contract = contract
        self._expected = items.form(contract.row_shape, " from 0 to 255")

    def checked(self, item: object, where: str) -> np.ndarray | Picture:
        """Return an item's pixels, or its picture, not yet decoded; raises StudyError."""
        keys = ("image", "pixels") if pictures.can_show(self._contract.row_shape) else ("pixels",)
        key = items.only_key(item, keys, where)
        assert isinstance(item, dict)
        return _picture(item[key], f"{where}.image") if key == "image" else self._pixels(item[key], f"{where}.pixels")

    def work(self, checked: list[np.ndarray | Picture]) -> int:
        """Return the work that all pictures make; raises StudyError if that is too much for one request."""
        files = [item for item in checked if isinstance(item, Picture)]
        work, size = sum(picture.work for picture in files), sum(len(picture.content) for picture in files)
        if size > MOST_BYTES:
            expected, got = f"at most {MOST_BYTES / 1e6:.0f} MB in all", f"{size / 1e6:.1f} MB"
            raise StudyError("too many bytes for one request", where="inputs", expected=expected, got=got)
        if work > MOST_WORK:
            expected = f"pictures, scans and transparency worth at most {MOST_WORK:,} pixels"
            raise StudyError("too much work for one request", where="inputs", expected=expected, got=f"{work:,}")
        return work

    def rows(self, checked: list[np.ndarray | Picture], work: int, admission: Admission) -> np.ndarray:
        """Return the items of a request with so much work as the network sees them: (n, …) of uint8."""
        return np.stack([self._seen(item, work, admission) for item in checked])

    def _seen(self, item: np.ndarray | Picture, of_request: int, admission: Admission) -> np.ndarray:
        if isinstance(item, np.ndarray):
            return item
        with admission.picture(item.work, of_request):
            try:
                return pictures.read(item.content, self._contract)
            except ImageError as failure:
                raise StudyError(str(failure), where=item.where) from None

    def _pixels(self, value: object, where: str) -> np.ndarray:
        pixels = items.numbers(value, self._contract.row_shape, where, self._expected)
        if not ((pixels >= 0) & (pixels <= 255)).all():  # NaN is neither
            got = "NaN" if np.isnan(pixels).any() else "a smaller one" if pixels.min() < 0 else "a larger one"
            raise StudyError("a number out of range", where=where, expected=self._expected, got=got)
        return np.rint(pixels).astype(np.uint8)


def _picture(value: object, where: str) -> Picture:
    expected = f"base64 of {WANTED}"
    if not isinstance(value, str):
        raise StudyError("not text", where=where, expected=expected, got=items.kind(value))
    if len(value) > MOST_BASE64:
        expected = f"at most {MOST_BYTES / 1e6:.0f} MB"
        raise StudyError("too many bytes for one picture", where=where, expected=expected)
    try:
        content = base64.b64decode(re.sub(r"\s+", "", value), validate=True)
    except (binascii.Error, ValueError):
        raise StudyError("not base64", where=where, expected=expected) from None
    return Picture(where, content, read_header(content, where).work)
