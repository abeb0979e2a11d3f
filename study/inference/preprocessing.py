"""Turns any picture of one handwritten digit into MNIST's form: (28, 28) of uint8, light on dark.

`read` takes a file's bytes and works in two steps: `decode` turns them into a luminance picture (h, w), `normalize`
finds the digit in it. MNIST's form is from LeCun et al. (1998), section III.A: the digit's box is scaled to fit 20×20
and keeps its aspect ratio, and its centre of mass is in the middle of 28×28.
"""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from study.data.picture_headers import MOST_BYTES, WANTED, ImageError
from study.data.pictures import decoded

SIDE, BOX = 28, 20  # of MNIST's pictures, and of the digit in them
MIDDLE = 14.0  # MNIST's centre of mass, in pixels counted from 0; every image is within 0.51 of it
WIDTHS = (2.5, 3.3)  # of MNIST's strokes, in its pixels; half of its test images have 2.0 to 2.8

STRIP = 1_000_000  # pixels whose colours are weighed at a time, which needs sixteen times as many bytes

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow has it

FINE, COARSE, DETAIL = 1_000, 150, 80  # pixels of the longer side: where strokes are measured, found, and redrawn
FAINTEST = 0.05  # contrast that may still be ink, where 1 is black on white
EDGE = 0.45  # of the ink's contrast: where a stroke ends
SOFT = 3.0  # width of a stroke's edge in pixels of the detail; about as many pixels are saturated as in MNIST


def read_file(path: str | Path) -> np.ndarray:
    """Return the digit in a picture file in MNIST's form (28, 28) of uint8; ImageError names the file."""
    return normalize(decode_file(path))


def decode_file(path: str | Path) -> np.ndarray:
    """Return a picture file's luminance as `decode` does; ImageError names the file."""
    path = Path(os.path.expanduser(path))
    return _decode(content_of(path), where=path)


def content_of(path: Path) -> bytes:
    """Return the bytes of a picture file, no more than are allowed and one; ImageError names the file."""
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ImageError("no such file", where=path, expected=WANTED) from None
    except IsADirectoryError:
        raise ImageError("a folder", where=path, expected=WANTED) from None
    except (OSError, ValueError) as failure:  # ValueError: a zero byte in the path
        raise ImageError(f"cannot be read ({getattr(failure, 'strerror', failure)})", where=path) from None


def read(content: bytes) -> np.ndarray:
    """Return the digit in a picture file's bytes in MNIST's form (28, 28) of uint8; raises ImageError."""
    return normalize(decode(content))


# --- from bytes to luminance ------------------------------------------------------------------------


def decode(content: bytes) -> np.ndarray:
    """Return a picture file's luminance (h, w) of float32 from 0 to 255, upright, transparency filled in.

    An animation's first picture is used. If colours differ much more than their luminance (yellow on white), their
    difference replaces it. Raises ImageError.
    """
    return _decode(content, where=None)


def _decode(content: bytes, where: object) -> np.ndarray:
    return decoded(content, _luminance, where)


def _luminance(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would cut off at 255
        return np.clip(np.asarray(image, np.float32) / 257, 0, 255)
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        return _on_paper(_grey(image.convert("RGB"), alpha > 0), alpha)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"), np.float32)
    return _grey(image.convert("RGB"), True)


def _grey(image: Image.Image, visible: np.ndarray | bool) -> np.ndarray:
    """Return the luminance (h, w) of colours, or the colour axis on which they differ most if that shows much more."""
    stride = (slice(None, None, max(1, max(image.size) // 200)),) * 2
    shown = np.broadcast_to(visible, image.size[::-1])[stride]
    sample = np.asarray(image)[stride][shown].astype(np.float32)
    if len(sample) > 1:
        axis = np.linalg.eigh(np.cov(sample, rowvar=False))[1][:, -1].astype(np.float32)
        axis /= np.abs(axis).sum()
        axis *= np.sign(axis @ LUMINANCE) or 1
        if (sample @ axis).std() > 2.5 * (sample @ LUMINANCE).std():
            return _along(np.asarray(image), axis)
    return np.asarray(image.convert("L"), np.float32)


def _along(colours: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return colours (h, w, 3) weighed by an axis (3,), from 0 to 255: (h, w) of float32."""
    weighed = np.empty(colours.shape[:2], np.float32)
    rows = max(1, STRIP // colours.shape[1])
    for start in range(0, len(colours), rows):
        strip = colours[start : start + rows]
        np.clip(strip @ axis - 255 * np.minimum(axis, 0).sum(), 0, 255, out=weighed[start : start + rows])
    return weighed


def _on_paper(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay a transparent picture on paper: of the opposite shade if it is ink alone, otherwise of its own shade."""
    visible = grey[alpha > 127] if (alpha > 127).any() else grey[alpha > 0]
    if not visible.size:
        return np.full_like(grey, 255)
    low, middle, high = np.percentile(visible, (5, 50, 95)).astype(np.float32)
    if high - low < 64 or visible.size < 0.25 * grey.size:
        middle = np.float32(255 if middle < 128 else 0)
    # In place, because a large picture has a hundred megabytes.
    del visible
    grey -= middle
    grey *= alpha / np.float32(255)
    grey += middle
    return grey


# --- from luminance to MNIST's form -----------------------------------------------------------------


def normalize(picture: np.ndarray) -> np.ndarray:
    """Return the digit in a luminance picture (h, w), from 0 to 255, in MNIST's form: (28, 28) of uint8.

    The paper may be lighter or darker than the ink, and unevenly lit. Without ink the result is all zeros. A picture
    that is already in MNIST's form is returned unchanged.
    """
    picture = np.asarray(picture, np.float32)
    if picture.ndim != 2 or 0 in picture.shape or not np.isfinite(picture).all():
        raise ImageError("not a luminance picture", expected="an array (height, width) of numbers", got=picture.shape)
    if _is_mnists(picture):
        return np.rint(picture).astype(np.uint8)
    fine = _reduced(picture, FINE)
    found = _find(fine)
    if found is None:
        return np.zeros((SIDE, SIDE), np.uint8)
    ink = _even_strokes(_detail(fine, found))
    return np.zeros((SIDE, SIDE), np.uint8) if ink is None else _place(ink)


def _is_mnists(picture: np.ndarray) -> bool:
    if picture.shape != (SIDE, SIDE) or not 128 < picture.max() <= 255 or picture.min() != 0:
        return False
    rows, columns = _box(picture > 0)
    centre = np.array(ndimage.center_of_mass(picture))
    return max(rows.stop - rows.start, columns.stop - columns.start) == BOX and np.abs(centre - MIDDLE).max() < 0.6


def _reduced(picture: np.ndarray, side: int) -> np.ndarray:
    """Return the picture averaged over squares, so that its longer side is at most `side` pixels."""
    factor = -(-max(picture.shape) // side)
    return picture if factor == 1 else np.asarray(Image.fromarray(picture).reduce(factor))


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and the columns of the smallest box around all true pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@dataclass(frozen=True, eq=False)
class Found:
    """Says where the ink is, on a coarse grid: the paper's luminance, a mask of the digit (h, w), and the polarity.

    `bias` is the contrast that comes from the paper's grain.
    """

    paper: np.ndarray
    mask: np.ndarray
    dark_ink: bool
    bias: float


def _find(fine: np.ndarray) -> Found | None:
    """Return where in the picture the digit's ink is; None if there is no ink."""
    coarse = _reduced(fine, COARSE)
    dark_ink = _ink_is_dark(coarse)
    papers = [_paper(coarse, share, dark_ink) for share in (0.1, 0.2, 0.4)]
    # Wide strokes need a wide window. If a narrower one shows as much ink, use it: it follows the light more closely.
    full = 0.65 * papers[-1][1].max()
    amounts = [(contrast > full).sum() for _, contrast in papers]
    enough = [narrow > 0.98 * wide for narrow, wide in itertools.pairwise(amounts)]
    paper, contrast = papers[[*enough, True].index(True)]
    low, middle = np.percentile(contrast, (10, 35))
    noise = (middle - low) / 0.90  # a normal distribution's sd, unaffected by the upper half of the pixels
    bias = middle + 0.39 * noise
    contrast = contrast - bias
    few = min(20, contrast.size // 16)
    strongest = np.partition(contrast, -few - 1, axis=None)[-few - 1]
    if strongest < max(FAINTEST, 5 * noise):
        return None
    # Fading light looks like ink at the darkest border, but has no edge.
    smooth = ndimage.gaussian_filter(contrast, 1.5)
    steps = (np.abs(smooth[3:] - smooth[:-3]), np.abs(smooth[:, 3:] - smooth[:, :-3]))
    if max(step.max(initial=0) for step in steps) < 0.2 * strongest:
        return None
    strength = np.median(contrast[contrast >= strongest / 2])
    mask = _digit(contrast, max(0.3 * strength, 3 * noise), 0.55 * strength)
    return None if mask is None else Found(paper, mask, dark_ink, bias)


def _paper(coarse: np.ndarray, share: float, dark_ink: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the luminance of the paper under the ink and the contrast to it, each (h, w)."""
    # A closing fills strokes: what is darker than its surroundings and narrower than the window, a `share` of the
    # longer side. Shadows, slopes and vignettes are wider and stay in the paper.
    window = (max(3, round(share * max(coarse.shape))),) * 2
    paper = (ndimage.grey_closing if dark_ink else ndimage.grey_opening)(coarse, window, mode="nearest")
    return paper, _contrast(coarse, paper, dark_ink)


def _contrast(picture: np.ndarray, paper: np.ndarray, dark_ink: bool) -> np.ndarray:
    # Dark ink absorbs a fixed share of the light that falls on it, so in a shadow the quotient stays the same.
    return (paper - picture) / np.maximum(paper, 32) if dark_ink else (picture - paper) / 255


def _ink_is_dark(coarse: np.ndarray) -> bool:
    """Return whether the ink is darker than its paper.

    Most of the border is paper; if it has one shade, the rest is compared with it. In uneven light, the ink is
    whichever of dark and light comes in narrower strokes.
    """
    border = np.concatenate([coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]])
    low, paper, high = np.percentile(border, (25, 50, 75))
    # Cubes, because a few strong pixels are ink and many weak ones are grain.
    if high - low < 0.05 * np.ptp(coarse):
        return bool(((coarse - paper) ** 3).sum() <= 0)
    half = _reduced(coarse, COARSE // 2)
    windows = [max(3, round(share * max(half.shape))) for share in (0.04, 0.08, 0.16, 0.32)]
    dark = np.array([((ndimage.grey_closing(half, (size, size)) - half) ** 3).sum() for size in windows]) + 1e-9
    light = np.array([((half - ndimage.grey_opening(half, (size, size))) ** 3).sum() for size in windows]) + 1e-9
    if not 1 / 8 < dark[-1] / light[-1] < 8:
        return bool(dark[-1] > light[-1])
    return bool((dark / dark[-1]).sum() >= (light / light[-1]).sum())


def _digit(contrast: np.ndarray, low: float, high: float) -> np.ndarray | None:
    """Return a mask of the digit: the main one of the patches above `low` that reach `high`, and those near it."""
    labels, count = ndimage.label(contrast > low, np.ones((3, 3)))
    reaching = np.zeros(count + 1, bool)
    reaching[labels[contrast > high]] = True
    mass = np.bincount(labels.ravel(), contrast.ravel(), count + 1) * reaching
    mass[0] = 0  # pixels outside every patch
    if not mass.any():
        return None
    touching = np.zeros(count + 1, bool)
    touching[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    # Lines, shadows and table edges touch the border; a digit does so only if the picture is cropped too tightly.
    main = int((mass * np.where(touching, 0.2, 1)).argmax())
    boxes = [None, *ndimage.find_objects(labels)]
    reach = 0.12 * max(side.stop - side.start for side in boxes[main])
    kept = np.zeros(count + 1, bool)
    for number in np.flatnonzero(mass > 0.02 * mass[main]):
        apart = max(max(a.start - b.stop, b.start - a.stop) for a, b in zip(boxes[main], boxes[number], strict=True))
        belongs = apart <= reach or mass[number] > 0.25 * mass[main]
        kept[number] = number == main or (belongs and touching[number] <= touching[main])
    return kept[labels]


def _detail(fine: np.ndarray, found: Found) -> np.ndarray:
    """Return the digit's contrast cut out and scaled to 80 pixels on the longer side, with a margin of zeros."""
    factor = -(-max(fine.shape) // COARSE)
    near = ndimage.binary_dilation(found.mask, np.ones((3, 3)), iterations=1)
    rows, columns = _box(near)
    left, top = columns.start * factor, rows.start * factor
    right, bottom = min(columns.stop * factor, fine.shape[1]), min(rows.stop * factor, fine.shape[0])
    coarse_box = (
        columns.start,
        rows.start,
        columns.start + (right - left) / factor,
        rows.start + (bottom - top) / factor,
    )
    size = (right - left, bottom - top)
    paper = np.asarray(Image.fromarray(found.paper).resize(size, Image.Resampling.BILINEAR, coarse_box))
    contrast = _contrast(fine[top:bottom, left:right], paper, found.dark_ink) - np.float32(found.bias)
    belongs = np.asarray(Image.fromarray(near).resize(size, Image.Resampling.NEAREST, coarse_box))
    scale = DETAIL / max(size)
    small = tuple(max(1, round(side * scale)) for side in size)
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    detail = Image.fromarray(np.where(belongs, contrast, 0).astype(np.float32)).resize(small, method)
    return np.pad(np.asarray(detail), 12)


def _even_strokes(detail: np.ndarray) -> np.ndarray | None:
    """Return the digit's ink from 0 to 1, with strokes as wide as MNIST's and soft edges."""
    detail = ndimage.gaussian_filter(detail, 0.8)
    if detail.max() <= 0:
        return None
    strongest = np.percentile(detail[detail > 0.5 * detail.max()], 60)
    mask = detail > EDGE * strongest
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    distance = np.where(mask, inside - 0.5, 0.5 - outside)  # to the edge, which runs between the pixels
    rows, columns = _box(mask)
    pixel = max(rows.stop - rows.start, columns.stop - columns.start) / BOX
    # Across a stroke the distance to its edge rises from 0 to half the width, so the width is 4 times its mean.
    width = 4 * distance[mask].mean()
    wanted = np.clip(width, WIDTHS[0] * pixel, WIDTHS[1] * pixel)
    # Thinning must not erase the thin parts of a stroke.
    growth = max((wanted - width) / 2, -0.3 * width, -0.9 * inside.max())
    ink = np.clip((distance + growth) / SOFT + 0.5, 0, 1).astype(np.float32)
    return ink if ink.max() > 0.5 else None  # thinning can leave nothing of a spot


def _place(ink: np.ndarray) -> np.ndarray:
    """Scale the ink's box to fit 20×20 and put its centre of mass in the middle of (28, 28), without losing pixels."""
    rows, columns = _box(ink > 0.5)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    box = (columns.start, rows.start, columns.stop, rows.stop)
    digit = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BOX, box))
    digit = np.rint(255 * digit / digit.max()).astype(np.uint8)
    offsets = [
        int(np.clip(round(MIDDLE - centre), 0, SIDE - side))
        for centre, side in zip(ndimage.center_of_mass(digit), digit.shape, strict=True)
    ]
    result = np.zeros((SIDE, SIDE), np.uint8)
    result[tuple(slice(first, first + side) for first, side in zip(offsets, digit.shape, strict=True))] = digit
    return result
