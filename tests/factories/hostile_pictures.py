"""Small picture files that are a lot of work, made by code: repeated scans, large blank pictures, odd headers."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def blank(side: int, kind: str, mode: str = "L", **options: object) -> bytes:
    """A white picture, a few kilobytes at any size."""
    return file_of(Image.new(mode, (side, side), "white"), kind, **options)


def many_scans(side: int, size: int) -> bytes:
    """A progressive JPEG of about `size` bytes whose last scan is repeated; Pillow decodes every one of them."""
    content = blank(side, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    scan = content[last:-2]
    return content[:last] + scan * max(1, (size - last) // len(scan)) + b"\xff\xd9"


def many_texts(count: int) -> bytes:
    """A PNG of 30 × 30 pixels in which each of `count` texts of a kilobyte unpacks to a megabyte."""
    content = blank(30, "PNG")
    text = b"k\0\0" + zlib.compress(bytes(1_000_000))
    return content[:33] + chunk(b"zTXt", text) * count + content[33:]


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def many_blocks(count: int) -> bytes:
    """A GIF whose picture comes after `count` comments of one byte."""
    content = blank(30, "GIF")
    flags = content[10]
    start = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    return content[:start] + b"!\xfe" + b"\x01c" * count + b"\0" + content[start:]


def larger_inside(side: int) -> bytes:
    """A GIF whose screen has 30 × 30 pixels, and its picture `side` × `side`."""
    content = bytearray(blank(side, "GIF"))
    content[6:10] = struct.pack("<HH", 30, 30)
    return bytes(content)


def runs(side: int) -> bytes:
    """A BMP of `side` × `side` pixels in a hundred bytes: run lengths that end at once, which Pillow fills up."""
    palette = bytes(4 * 256)
    body = b"\0\0" * side + b"\0\1"
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


def noise(side: int, mode: str, seed: int = 0) -> Image.Image:
    """A picture of noise, in which every step of finding a digit has the most to do."""
    shape = (side, side, len(mode)) if len(mode) > 1 else (side, side)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
