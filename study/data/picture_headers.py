"""Reads from a picture file's headers how large it is and how much work it makes, before anything is decoded.

A small file can be a lot of work: a JPEG may send one picture in thousands of scans, and a kilobyte of WebP can unpack
to 25 million pixels. Work is counted in pixels that take about 30 ns each, from the file to MNIST's form, and never
too low: where a header can be read in two ways, `preprocessing` compares what is counted here with what Pillow opens.
"""

import re
import struct
from dataclasses import dataclass

from study.base.errors import StudyError

SYNTHETIC = "synthetic"  # in place of a picture file: asks for drawings of digits
WANTED = "a PNG, JPEG, GIF, BMP or WebP picture"
MOST_BYTES = 20_000_000
MOST_PIXELS = 25_000_000
LEAST_SIDE, MOST_SIDE = 3, 65_535
MOST_WORK = 60_000_000  # of a picture, and of all pictures of a request: two seconds on one core
# A JPEG whose sides are all at least twice this long is decoded at half of its size, and so on.
DRAFT_SIDE = 2_000

PER_PICTURE = 100_000  # finding a digit takes 1 to 5 ms in the smallest picture too
PER_TEXT = 100_000  # a compressed text of a PNG, of which Pillow unpacks up to a megabyte
PER_PART = 300  # a chunk, segment or block, which Pillow reads in Python
SCANS = 8  # of a JPEG that take as long as decoding it once and finding the digit
SLOW_RUNS = 4  # Pillow unpacks a compressed BMP in Python
MOST_PARTS = 10_000

_PNG_TEXTS = (b"zTXt", b"iTXt", b"iCCP")
# What begins a segment of a JPEG or ends the file. Inside a scan, 0xFF is followed by 0 or by a restart marker.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_READ = (0xC0, 0xC1, 0xC2)  # baseline and progressive; no browser shows the others, and arithmetic coding is slow
_END, _SCAN = 0xD9, 0xDA


class ImageError(StudyError):
    """The picture cannot be found or read."""


@dataclass(frozen=True)
class Header:
    """Says how large a picture is, in pixels, and how much work it makes."""

    width: int
    height: int
    work: int


def read_header(content: bytes, where: object = None) -> Header:
    """Return size and work of the picture in a file's bytes; raises ImageError if either is out of bounds."""
    if not content:
        raise ImageError("an empty file", where=where, expected=WANTED)
    if len(content) > MOST_BYTES:
        raise ImageError("too many bytes for one picture", where=where, expected=f"at most {MOST_BYTES / 1e6:.0f} MB")
    read = next((read for start, read in _READERS.items() if content.startswith(start)), None)
    if read is None:
        raise ImageError("not a picture that can be read", where=where, expected=WANTED)
    try:
        header = read(content)
    except _TooManyParts:
        what = "too many parts in one file"
        raise ImageError(what, where=where, expected=f"at most {MOST_PARTS:,} chunks, segments or scans") from None
    except _UncommonJpeg:
        expected = "a baseline or progressive one"
        raise ImageError("an uncommon kind of JPEG", where=where, expected=expected) from None
    except (IndexError, ValueError, struct.error):
        raise ImageError("a damaged or incomplete picture", where=where, expected=WANTED) from None
    _check(header, where)
    return header


def draft_scale(width: int, height: int) -> int:
    """Return the divisor, 1 to 8, of the sides at which a JPEG of this size is decoded."""
    return next(scale for scale in (8, 4, 2, 1) if min(width, height) // DRAFT_SIDE >= scale or scale == 1)


def _check(header: Header, where: object) -> None:
    width, height = header.width, header.height
    got = f"{width} × {height}"
    if width * height > MOST_PIXELS:
        raise ImageError("too many pixels", where=where, expected=f"at most {MOST_PIXELS:,}", got=got)
    if min(width, height) < LEAST_SIDE:
        raise ImageError("too few pixels", where=where, expected=f"at least {LEAST_SIDE} × {LEAST_SIDE}", got=got)
    if max(width, height) > MOST_SIDE:
        raise ImageError("too long a side", where=where, expected=f"at most {MOST_SIDE:,} pixels", got=got)
    if header.work > MOST_WORK:
        expected = f"scans, transparency and parts worth at most {MOST_WORK:,} pixels"
        raise ImageError("too much work for one picture", where=where, expected=expected, got=f"{header.work:,}")


class _TooManyParts(Exception):
    pass


class _UncommonJpeg(Exception):
    pass


def _work(pixels: int, parts: int) -> int:
    if parts > MOST_PARTS:
        raise _TooManyParts
    return pixels + PER_PICTURE + PER_PART * parts


def _png(content: bytes) -> Header:
    width = height = parts = texts = 0
    transparent, at = False, 8
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        body = at + 8
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", content, body)
            transparent |= bool(content[body + 9] & 4)
        transparent |= name == b"tRNS"
        texts += name in _PNG_TEXTS
        parts += 1
        if name == b"IEND" or parts > MOST_PARTS:
            break
        at = body + length + 4
    return Header(width, height, _work(width * height * (1 + transparent) + PER_TEXT * texts, parts))


def _jpeg(content: bytes) -> Header:
    width = height = scans = parts = 0
    at = 2
    # From marker to marker as libjpeg goes. What lies inside a segment is skipped: EXIF may hold a small JPEG.
    while (found := _JPEG_MARKER.search(content, at)) and parts <= MOST_PARTS:
        kind = content[found.start() + 1]
        if kind == _END:
            break
        (length,) = struct.unpack_from(">H", content, found.end())
        if kind in _JPEG_FRAMES:
            if kind not in _JPEG_READ:
                raise _UncommonJpeg
            height, width = struct.unpack_from(">HH", content, found.end() + 3)
        scans += kind == _SCAN
        parts += 1
        at = found.end() + length
    pixels = width * height
    return Header(width, height, _work(pixels // draft_scale(width, height) ** 2 + pixels * scans // SCANS, parts))


def _gif(content: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    at, parts, transparent = 13 + _colours(flags), 0, False
    while content[at] != ord(","):
        if content[at] == ord("!"):
            label, length = content[at + 1], content[at + 2]
            transparent |= label == 0xF9 and bool(content[at + 3] & 1)
            at += 2
            # Pillow takes an empty first block for one of the blocks, not for their end.
            at, parts = _after_blocks(content, at + 1 if length == 0 and label != 0xFE else at, parts + 1)
        elif content[at] == ord(";"):
            raise ValueError("no picture")
        else:
            at, parts = at + 1, parts + 1
        if parts > MOST_PARTS:
            break
    else:
        # A picture that is larger than the screen makes the screen larger.
        left, top, right, bottom = struct.unpack_from("<HHHH", content, at + 1)
        width, height = max(width, left + right), max(height, top + bottom)
    return Header(width, height, _work(width * height * (1 + transparent), parts))


def _after_blocks(content: bytes, at: int, parts: int) -> tuple[int, int]:
    while content[at] and parts <= MOST_PARTS:
        at, parts = at + 1 + content[at], parts + 1
    return at + 1, parts


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def _bmp(content: bytes) -> Header:
    (length,) = struct.unpack_from("<I", content, 14)
    if length == 12:
        (width, height), bits, packing = struct.unpack_from("<HH", content, 18), 24, 0
    else:
        width, height, _, bits, packing = struct.unpack_from("<iiHHI", content, 18)
    width, height = abs(width), abs(height)
    times = SLOW_RUNS if packing in (1, 2) else 1 + (bits == 32)  # 1 and 2 are run lengths; 32 bits may have alpha
    return Header(width, height, _work(width * height * times, 0))


def _webp(content: bytes) -> Header:
    kind, body = content[12:16], 20
    if content[8:12] != b"WEBP":
        raise ValueError("not a WebP file")
    if kind == b"VP8X":
        transparent = bool(content[body] & 16)
        width, height = (int.from_bytes(struct.unpack_from("3s", content, at)[0], "little") + 1
                         for at in (body + 4, body + 7))  # fmt: skip
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, body + 1)
        width, height, transparent = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, body + 6))
        transparent = False
    else:
        raise ValueError("an unknown kind of WebP")
    return Header(width, height, _work(width * height * (1 + transparent), 0))


_READERS = {
    b"\x89PNG\r\n\x1a\n": _png, b"\xff\xd8\xff": _jpeg, b"GIF87a": _gif, b"GIF89a": _gif, b"BM": _bmp, b"RIFF": _webp,
}  # fmt: skip
