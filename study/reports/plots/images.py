"""Fields of colour and small pictures: heat maps, confusion matrices, rows of images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.data.profile import INKED
from study.reports.plots import style
from study.reports.plots.style import INK, panel, short

LONGEST_CLASS = 16  # letters of a class's name at an axis
MOST_NUMBERED = 20  # classes, up to which a confusion matrix has its numbers written in
NOTHING = 5e-5  # a share that would be written as 0.0 %


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


def confusion(counts: np.ndarray, title: str, names: Sequence[str] = ()) -> Figure:
    """Draw a confusion matrix (classes, classes) with the shares of the true class in percent, and classes' names."""
    figure, axes = panel(title, "predicted class", "true class", height=4.4)
    confusion_on(axes, counts, percent=True)
    if 0 < len(names) <= MOST_NUMBERED and any(name != str(number) for number, name in enumerate(names)):
        axes.set_xticks(range(len(names)), [brief(name) for name in names], rotation=35, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), [brief(name) for name in names], fontsize=8)
    return figure


def brief(name: str, longest: int = LONGEST_CLASS) -> str:
    """Return a class's name with its end cut off where it is long."""
    return short(name if len(name) <= longest else f"{name[: longest - 1]}…")


def confusion_on(axes: Axes, counts: np.ndarray, percent: bool = False) -> None:
    """Shade each field by its share of the true class, and write in its count or share, unless there are many classes.

    Fields of zero stay empty.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    numbers, form = (np.where(shares >= NOTHING, 100 * shares, 0), "{:.1f}") if percent else (counts, "{}")
    axes.grid(visible=False)
    # Errors are a few in a thousand: a square-root scale lets them be seen beside the diagonal.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    if len(counts) > MOST_NUMBERED:
        return
    for i, j in np.argwhere(numbers):
        colour = "white" if shares[i, j] > 0.3 else "#24292e"  # not INK: the field is light in dark mode, too
        axes.text(j, i, form.format(numbers[i, j]), ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))


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
    figure = style.titled(title, height=0.35 + row * count, left=left, right=0.99, wspace=0.12, hspace=0.35)
    height = figure.get_figheight()
    figure.subplots_adjust(top=row * count / height, bottom=0.2 / height)  # below the title, above the last captions
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        axes = figure.add_subplot(count, columns, number + 1)
        image = image[..., 0] if image.shape[2:] == (1,) else image
        if image.ndim == 3:
            axes.imshow(np.clip(np.rint(image[..., :3]), 0, 255).astype(np.uint8), interpolation="none")
        elif signed:
            reach = np.abs(image).max() or 1.0
            axes.imshow(image, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="none")
        else:
            axes.imshow(image, cmap="gray_r" if ink else "gray", vmin=0, vmax=255, interpolation="none")
        axes.set_xlabel(short(caption), fontsize=8, color=INK, labelpad=2)
        if lines and number % columns == 0:
            axes.set_ylabel(short(lines[number // columns]), rotation=0, ha="right", va="center", fontsize=8, color=INK)
        style.bare(axes)
    return figure
