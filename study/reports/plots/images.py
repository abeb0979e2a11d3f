"""Fields of colour and small pictures: heat maps, confusion matrices, rows of images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont

from study.data.profile import INKED
from study.reports.plots import style
from study.reports.plots.style import FAINT, INK, panel, short

LONGEST_CLASS = 16  # letters of a class's name at an axis
MOST_NUMBERED = 20  # classes, up to which a confusion matrix has its numbers written in
LETTERS_ACROSS = 52  # that fit side by side below a confusion matrix
NOTHING = 5e-4  # a share that would be written as 0.0 %
PALE = 0.3  # the share up to which a field has a dark number
DARK = "#24292e"  # not INK: the field is light in dark mode, too
DIGIT = 0.64  # its width by the size of its letters


def heat(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> Figure:
    """Draw a table of numbers (rows, columns) as coloured fields with the numbers written in; NaN stays empty."""
    figure, axes = panel(title, "", "", height=1.2 + 0.45 * len(rows))
    axes.grid(visible=False)
    axes.imshow(values, cmap="viridis", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for i, j in np.argwhere(np.isfinite(values)):
        colour = "black" if values[i, j] > middle else "white"
        axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color=colour, fontsize=10)
    axes.set_xticks(range(len(columns)), [short(column) for column in columns])
    axes.set_yticks(range(len(rows)), [short(row) for row in rows])
    return figure


def confusion(counts: np.ndarray, title: str, class_names: Sequence[str] = ()) -> Figure:
    """Draw a confusion matrix (classes, classes) with the shares of the true class in percent.

    Fields of zero stay empty; many classes have no numbers, and few ticks.
    """
    figure, axes = panel(title, "predicted class", "true class", height=4.4)
    axes.grid(visible=False)
    shares = shares_of(counts)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    class_ticks(axes, len(counts), class_names)
    ticks, numbers = (10, 7.5) if len(counts) <= 12 else (8, 5.5)
    axes.tick_params(labelsize=ticks)
    if len(counts) <= MOST_NUMBERED:
        for i, j in np.argwhere(shares >= NOTHING):
            colour = "white" if shares[i, j] > PALE else DARK
            axes.text(j, i, f"{100 * shares[i, j]:.1f}", ha="center", va="center", color=colour, fontsize=numbers)
    return figure


def shares_of(counts: np.ndarray) -> np.ndarray:
    """Return a confusion matrix (classes, classes) as shares of the true class; 0 for a class without images."""
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def brief(name: str, longest: int = LONGEST_CLASS) -> str:
    """Return a class's name with its end cut off where it is long."""
    return short(name if len(name) <= longest else f"{name[: longest - 1]}…")


def class_ticks(axes: Axes, classes: int, names: Sequence[str]) -> None:
    """Mark the classes on both axes by their names, or numbers: all if they are few, else every second, fifth, …"""
    labels = class_labels(classes, names)
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, classes) if classes <= step * MOST_NUMBERED)
    places = range(0, classes, every)
    shown = [labels[place] for place in places]
    axes.set_xticks(places, shown, rotation=90 if are_long(labels) else 0)
    axes.set_yticks(places, shown)


def class_labels(classes: int, names: Sequence[str]) -> list[str]:
    """Return what stands at the ticks of a confusion matrix, class by class."""
    return [*map(brief, names or map(str, range(classes)))]


def are_long(labels: Sequence[str]) -> bool:
    """Return whether labels stand upright, because they would run into one another side by side."""
    return max(map(len, labels)) * min(len(labels), MOST_NUMBERED) > LETTERS_ACROSS


class Cells(Artist):
    """A confusion matrix as one image, shades and numbers: 200 texts would take ten times as long.

    Each field is shaded by its share of the true class, and has its count written in, unless there are many classes.
    """

    def __init__(self, axes: Axes, counts: np.ndarray):
        super().__init__()
        self.place, self.counts = axes, counts  # (classes, classes), to be set to others
        self.set_zorder(0)
        axes.add_artist(self)

    def draw(self, renderer) -> None:
        """Draw the fields over the whole of the axes."""
        left, bottom, right, top = map(round, self.place.bbox.extents)
        renderer.draw_image(renderer.new_gc(), left, bottom, self.pixels(right - left, top - bottom)[::-1])

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Return the image (height, width, 4) of uint8."""
        classes, shares = len(self.counts), shares_of(self.counts)
        # Errors are a few in a thousand: a square-root scale lets them be seen beside the diagonal.
        shades = colormaps["Blues"](np.sqrt(shares), bytes=True)
        image = shades[np.arange(height) * classes // height][:, np.arange(width) * classes // width]
        if classes > MOST_NUMBERED:
            return image
        picture, cell = Image.fromarray(image), np.array([width, height]) / classes
        size = number_size(cell[0], len(str(self.counts.max())))
        pen, font = ImageDraw.Draw(picture), ImageFont.truetype(findfont(FontProperties()), size)
        for i, j in np.argwhere(self.counts):
            colour = "white" if shares[i, j] > PALE else DARK
            pen.text(tuple(cell * (j + 0.5, i + 0.5)), str(self.counts[i, j]), colour, font, anchor="mm")
        return np.asarray(picture)


def number_size(cell: float, digits: int) -> float:
    """Return the size of letters with which so many digits fit into a cell, all in pixels."""
    return max(7.0, min(max(10.4, 0.2 * cell), 0.9 * cell / (DIGIT * digits), 20.0))


def is_ink(images: np.ndarray) -> bool:
    """Return whether grey images (n, …) are light ink on black, as MNIST's: a quarter of their pixels is black."""
    return bool((images == 0).mean() > INKED)


def pictures(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
    columns: int = 8,
    signed: bool = False,
    row: float = 0.78,
    ink: bool = True,
    lines: Sequence[str] = (),
) -> Figure:
    """Draw small pictures (height, width), or in colour (height, width, channels), in rows, a caption below each.

    A row is `row` inches high. Grey ones are dark `ink` on white where they are light on dark, or else as they are.
    `signed` ones are centred on zero: blue below, red above, each picture to its own extremes. `lines` are the names
    of the rows.
    """
    count, left = -(-len(images) // columns), 0.01 + style.LETTER / style.WIDTH * max(map(len, lines), default=0)
    figure = style.titled(title, height=0.35 + row * count, left=0)
    # One pair of axes, in inches, for all of them: a pair for each would take ten times as long.
    width, height = style.WIDTH, figure.get_figheight()
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    step = width * (0.99 - left) / columns
    room = 0.94 * step, row - 0.2  # the rest is for the captions
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        image = image[..., 0] if image.shape[2:] == (1,) else image
        scale = min(room[0] / image.shape[1], room[1] / image.shape[0])
        x, y = width * left + step * (number % columns + 0.5), 0.2 + row * (count - 1 - number // columns)
        wide, high = image.shape[1] * scale / 2, image.shape[0] * scale
        box = (x - wide, x + wide, y, y + high)
        look: dict[str, Any]
        if image.ndim == 3:
            image, look = np.clip(np.rint(image[..., :3]), 0, 255).astype(np.uint8), {}
        elif signed:
            reach = np.abs(image).max() or 1.0
            look = dict(cmap="RdBu_r", vmin=-reach, vmax=reach)
        else:
            look = dict(cmap="gray_r" if ink else "gray", vmin=0, vmax=255)
        axes.imshow(image, extent=box, aspect="auto", interpolation="none", **look)
        axes.add_patch(Rectangle((x - wide, y), 2 * wide, high, fill=False, color=FAINT, linewidth=0.8))
        axes.text(x, y - 0.04, short(caption), ha="center", va="top", fontsize=8, color=INK)
        if lines and number % columns == 0:
            name = short(lines[number // columns])
            axes.text(x - wide - 0.05, y + high / 2, name, ha="right", va="center", fontsize=8, color=INK)
    axes.set(xlim=(0, width), ylim=(0, height))
    return figure
