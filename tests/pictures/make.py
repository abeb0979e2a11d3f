"""Draws the kept pictures LABEL_method_NN.ext beside this file: ``python tests/pictures/make.py``.

Deterministic: the same Pillow and numpy write the same files. Two hands write every digit as pen strokes through given
points (not those of `study.drawings.draw`); each method then does with the strokes what people and cameras do. Nothing
here is taken from MNIST, and nothing is chosen by what a network makes of it.
"""

import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

HERE = Path(__file__).resolve().parent

# Strokes of each digit in two hands: the points (x, y) that the pen goes through, in a box of 100 by 140, y downwards.
HANDS = {
    0: (["55,2 22,18 6,70 24,126 56,138 88,108 92,52 76,12 50,3"],
        ["70,10 40,4 10,50 14,110 48,136 84,106 90,50 62,6 48,10"]),
    1: (["52,2 50,70 48,138"],
        ["30,34 44,20 58,4 57,70 55,138"]),
    2: (["8,34 22,8 56,2 84,24 78,62 44,100 8,134 8,135 50,133 96,134"],
        ["10,30 40,3 80,16 82,50 46,96 14,122 10,132 26,118 44,122 70,136 96,126"]),
    3: (["12,16 48,2 82,20 76,50 40,64 41,65 82,80 88,112 52,138 8,122"],
        ["10,4 50,3 88,5 88,6 64,30 42,56 43,56 80,68 90,100 62,134 10,128"]),
    4: (["18,4 12,50 10,84 11,84 50,82 96,80", "74,30 70,90 68,138"],
        ["66,3 40,44 6,92 6,93 50,93 98,91", "68,4 68,70 66,138"]),
    5: (["88,5 50,5 24,6 24,7 20,34 18,60 19,60 54,52 86,76 82,116 46,138 8,124"],
        ["26,8 22,36 18,62 18,62 56,54 88,80 78,122 42,138 8,120", "26,8 60,8 92,3"]),
    6: (["74,4 40,28 14,78 18,120 50,138 82,118 80,84 50,72 20,96"],
        ["60,2 34,40 16,90 26,128 56,136 78,112 68,86 40,86 20,108"]),
    7: (["6,8 50,8 92,5 92,6 68,60 40,138"],
        ["8,10 50,8 90,8 90,9 62,70 38,138", "34,72 60,70 84,68"]),
    8: (["78,20 50,3 22,20 34,52 70,82 84,112 52,138 18,114 34,82 70,48 80,22"],
        ["50,66 22,44 30,8 60,3 78,28 56,62 22,90 18,122 52,138 84,116 76,84 48,65"]),
    9: (["84,30 54,3 18,22 16,58 46,72 80,48 84,28 84,28 82,80 74,138"],
        ["80,24 48,4 16,30 30,66 66,56 82,22 82,22 84,76 66,124 24,132"]),
}  # fmt: skip


def hand(label: int, rng: np.random.Generator, wobble: float = 2.5, slant: float = 0.25) -> list[np.ndarray]:
    """Return a digit's strokes as fine polylines (points, 2) in a box about 100 by 140, written anew by `rng`."""
    lines = HANDS[label][rng.integers(2)]
    lean, squeeze, turn = rng.uniform(-0.1, slant), rng.uniform(0.75, 1.1), np.radians(rng.uniform(-6, 6))
    change = np.array([[squeeze * np.cos(turn), np.sin(turn)], [-squeeze * np.sin(turn) - lean, np.cos(turn)]])
    strokes = []
    for line in lines:
        points = np.array([[float(number) for number in pair.split(",")] for pair in line.split()])
        points += rng.normal(0, wobble, points.shape) * (np.diff(points, axis=0, prepend=-9).any(axis=1, keepdims=True))
        strokes.append((smooth(points) - [50, 70]) @ change + [50, 70])
    return strokes


def smooth(points: np.ndarray, steps: int = 24) -> np.ndarray:
    """Return a Catmull-Rom spline through the points; two points in nearly one place make a corner."""
    around = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for before, start, end, after in zip(around, around[1:], around[2:], around[3:], strict=False):
        length = np.hypot(*(end - start))
        # Tangents no longer than the piece they belong to: no loops at corners.
        tangents = [
            tangent * min(1, 1.2 * length / (np.hypot(*tangent) + 1e-9))
            for tangent in ((end - before) / 2, (after - start) / 2)
        ]
        pieces.append(
            (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * tangents[0]
            + (3 * t**2 - 2 * t**3) * end + (t**3 - t**2) * tangents[1]
        )  # fmt: skip
    return np.vstack([*pieces, points[-1:]])


def ink(strokes, size, centre, height, width, pressure=None) -> np.ndarray:
    """Return how much ink (h, w), from 0 to 1, lies on a page: strokes `height` pixels high, a round pen's `width`."""
    over = 2 if max(size) > 600 else 3
    page = Image.new("L", (size[0] * over, size[1] * over))
    pen = ImageDraw.Draw(page)
    everything = np.vstack(strokes)
    low, high = everything.min(axis=0), everything.max(axis=0)
    scale = height / (high - low)[1]
    for stroke in strokes:
        placed = ((stroke - (low + high) / 2) * scale + centre) * over
        dense = np.vstack([a + (b - a) * np.linspace(0, 1, 9)[:, None] for a, b in itertools.pairwise(placed)])
        radii = np.full(len(dense), width * over / 2)
        if pressure is not None:
            radii *= np.interp(np.linspace(0, 1, len(dense)), np.linspace(0, 1, len(pressure)), pressure)
        for (x, y), radius in zip(dense, radii, strict=True):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(page.reduce(over), np.float64) / 255


def paint(amount: np.ndarray, ink_colour, paper_colour) -> Image.Image:
    """Return ink of one colour on paper of another."""
    mix = amount[..., None] * np.array(ink_colour) + (1 - amount[..., None]) * np.array(paper_colour)
    return Image.fromarray(np.clip(np.rint(mix), 0, 255).astype(np.uint8))


def grain(rng, shape, fineness, strength) -> np.ndarray:
    """Return a texture (h, w) around 1."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), fineness)
    return 1 + strength * noise / noise.std()


def camera(rng, grey, *, vignette=0.3, slope=0.4, noise=4.0, blur=0.8, shadow=0.0) -> Image.Image:
    """Return a page (h, w), 0 to 1, as a camera sees it: light from one side, dark corners, a shadow's edge, noise."""
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - slope / 2 * (1 + (x * np.cos(angle) + y * np.sin(angle)) / 1.42)
    light *= 1 - vignette * (x**2 + y**2) / 2
    if shadow:
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
        light *= 1 - shadow / (1 + np.exp(-(x * np.cos(angle) + y * np.sin(angle) - offset) / 0.03))
    seen = ndimage.gaussian_filter(grey * light, blur) * 235 + rng.normal(0, noise, grey.shape)
    warmth = np.array([1.03, 1.0, 0.92]) + rng.normal(0, 0.02, 3)
    return Image.fromarray(np.clip(seen[..., None] * warmth, 0, 255).astype(np.uint8))


def tilt(rng, image: Image.Image, strength=0.08) -> Image.Image:
    """Return a picture taken from not quite above: four corners moved, the page going on beyond its edges."""
    width, height = image.size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    moved = corners + (rng.uniform(0, strength, (4, 2)) * [width, height]) * np.sign(corners.mean(axis=0) - corners)
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, moved, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return image.transform(
        image.size, Image.Transform.PERSPECTIVE, np.linalg.solve(rows, values), Image.Resampling.BICUBIC
    )


# --- the methods: each returns the file's bytes and its extension ------------------------------------


def encoded(image: Image.Image, kind: str, **options) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue(), {"JPEG": "jpg"}.get(kind, kind.lower())


def pen(label, rng):
    """A fine pen on white, as a drawing programme saves it."""
    width = rng.uniform(3, 8)
    return encoded(paint(ink(hand(label, rng), (280, 280), (140, 140), 200, width), (0,) * 3, (255,) * 3), "PNG")


def marker(label, rng):
    """A thick felt pen."""
    width = rng.uniform(26, 42)
    page = ink(hand(label, rng), (280, 280), rng.uniform(130, 150, 2), 190, width)
    return encoded(paint(page, (20, 20, 30), (250, 250, 245)), "WEBP", quality=70)


def small(label, rng):
    """A small digit somewhere on a wide page, with crumbs beside it."""
    page = ink(
        hand(label, rng), (400, 300), rng.uniform((60, 60), (340, 240)), rng.uniform(34, 60), rng.uniform(2.5, 5)
    )
    for x, y in rng.integers((4, 4), (396, 296), (5, 2)):
        page[y : y + 1 + rng.integers(2), x : x + 1 + rng.integers(2)] = 0.8
    return encoded(paint(page, (30, 30, 30), (255, 255, 255)), "PNG")


def chalk(label, rng):
    """Chalk on a blackboard, wiped many times."""
    page = ink(hand(label, rng), (320, 260), rng.uniform((120, 110), (200, 150)), 170, rng.uniform(9, 16))
    page *= np.clip(0.85 + 0.3 * rng.normal(size=page.shape), 0, 1)
    board = 45 * grain(rng, page.shape, 25, 0.2) * grain(rng, page.shape, 1, 0.08)
    grey = board + page * (225 - board)
    tint = np.array([0.95, 1.0, 0.96])
    return encoded(Image.fromarray(np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8)), "JPEG", quality=30)


PALETTES = [
    ((20, 40, 160), (255, 240, 170)), ((200, 20, 30), (230, 240, 255)), ((250, 220, 40), (30, 60, 120)),
    ((255, 225, 0), (255, 255, 255)), ((220, 40, 40), (60, 130, 70)), ((20, 110, 50), (250, 200, 210)),
    ((255, 255, 255), (230, 90, 30)), ((90, 30, 120), (190, 190, 190)), ((10, 150, 200), (20, 20, 40)),
    ((120, 60, 20), (240, 225, 200)),
]  # fmt: skip


def colour(label, rng):
    """Coloured ink on coloured paper; some pairs are equally light."""
    ink_colour, paper_colour = PALETTES[(label * 3 + 1) % len(PALETTES)]
    page = ink(hand(label, rng), (240, 260), (120, 130), 190, rng.uniform(8, 20))
    return encoded(paint(page, ink_colour, paper_colour), "PNG" if label % 2 else "WEBP")


def clear(label, rng):
    """Black or white ink on nothing."""
    page = ink(hand(label, rng), (256, 256), (128, 128), 180, rng.uniform(7, 20))
    shade = 255 * (label % 2)
    if label % 4 == 3:  # as a GIF, whose pixels are either there or not
        flat = Image.fromarray(np.where(page > 0.5, 1, 0).astype(np.uint8), "P")
        flat.putpalette([128] * 3 + [shade] * 3)
        return encoded(flat, "GIF", transparency=0)
    layers = np.dstack([np.full((256, 256, 3), shade), np.rint(255 * page)]).astype(np.uint8)
    return encoded(Image.fromarray(layers), "PNG")


def photo(label, rng):
    """Ballpoint on plain paper, by a lamp, not from above."""
    page = ink(hand(label, rng), (400, 400), rng.uniform(160, 240, 2), rng.uniform(170, 250), rng.uniform(7, 13))
    grey = grain(rng, page.shape, 1.5, 0.02) * (1 - 0.75 * page)
    return encoded(tilt(rng, camera(rng, grey)), "JPEG", quality=24)


def ruled(label, rng):
    """Pen on ruled or squared paper, the photographer's shadow across it."""
    page = ink(hand(label, rng), (360, 420), rng.uniform((150, 180), (210, 240)), 220, rng.uniform(8, 14))
    lines = np.zeros(page.shape)
    lines[rng.integers(10, 40) :: 44] = 1
    if label % 2:
        lines[:, rng.integers(10, 40) :: 44] = 1
    grey = (1 - 0.8 * page) * (1 - 0.13 * ndimage.gaussian_filter(lines, 0.7))
    image = camera(rng, grey, shadow=0.4, slope=0.2, noise=3)
    image = image.rotate(rng.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=(170, 168, 160))
    return encoded(image, "JPEG" if label % 3 else "WEBP", quality=45)


def large(label, rng):
    """A telephone's picture of a whole sheet."""
    page = ink(
        hand(label, rng), (1024, 768), rng.uniform((320, 320), (720, 450)), rng.uniform(240, 450), rng.uniform(10, 24)
    )
    grey = grain(rng, page.shape, 40, 0.015) * (1 - 0.7 * page)
    return encoded(camera(rng, grey, noise=0.5, vignette=0.45, blur=2), "JPEG", quality=12)


def turned(label, rng):
    """Taken with the camera held upright or upside down, which only EXIF tells."""
    page = ink(hand(label, rng), (240, 320), (120, 160), 210, rng.uniform(9, 15))
    image = camera(rng, 1 - 0.8 * page, noise=2, vignette=0.2)
    orientation, back = [
        (3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)
    ][label % 3]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image.transpose(back), "JPEG", quality=50, exif=exif)


def tiny(label, rng):
    """A few pixels of black and white."""
    size = int(rng.integers(32, 72))
    page = ink(hand(label, rng), (size, size), (size / 2, size / 2), 0.72 * size, rng.uniform(0.05, 0.12) * size)
    return encoded(Image.fromarray(page < 0.5), "BMP")


def mouse(label, rng):
    """Drawn with a mouse: straight jerks, hard edges, light on dark every other time, cut close to the ink."""
    strokes = [
        np.vstack([stroke[:: int(rng.integers(9, 14))], stroke[-1:]]) + rng.normal(0, 1.0, 2)
        for stroke in hand(label, rng, wobble=4)
    ]
    width = rng.uniform(8, 18)
    page = ink(strokes, (180, 200), (90, 100), 196 - width, width)
    shades = (page > 0.5) == bool(label % 2)
    return encoded(Image.fromarray(shades.astype(np.uint8) * 255), "GIF")


def pencil(label, rng):
    """A soft pencil, pressed unevenly, faint on grey paper."""
    pressure = np.clip(rng.normal(1, 0.25, 7), 0.5, 1.5)
    page = ink(hand(label, rng), (300, 300), rng.uniform(135, 165, 2), 200, rng.uniform(5, 8), pressure)
    page *= np.clip(0.75 + 0.25 * grain(rng, page.shape, 1, 0.6), 0, 1)
    grey = 200 * grain(rng, page.shape, 1, 0.012) * (1 - 0.38 * page)
    return encoded(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)), "JPEG", quality=45)


def font(label, rng):
    """Pillow's own font, for what is not handwriting but close."""
    image = Image.new("L", (120, 150), 255)
    place = tuple(rng.uniform((45, 60), (75, 90)))
    ImageDraw.Draw(image).text(place, str(label), fill=0, font=ImageFont.load_default(110), anchor="mm")
    return encoded(image, "PNG")


METHODS = {
    pen: range(10), marker: range(10), small: range(10), chalk: range(10), colour: range(10), clear: range(10),
    photo: range(10), ruled: range(10), large: range(10), turned: (2, 4, 5, 7, 9), tiny: range(10),
    mouse: range(10), pencil: range(10), font: (2, 3, 5, 8),
}  # fmt: skip


def main() -> None:
    """Write every picture anew."""
    for old in HERE.glob("[0-9]_*"):
        old.unlink()
    for number, (method, labels) in enumerate(METHODS.items()):
        for label in labels:
            content, extension = method(label, np.random.default_rng([label, number]))
            (HERE / f"{label}_{method.__name__}_{number:02}.{extension}").write_bytes(content)


if __name__ == "__main__":
    main()
