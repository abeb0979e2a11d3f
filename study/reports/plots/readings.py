"""Draws what a network saw of a picture and what it answered, alone or on contact sheets; of rows only the answer."""

from collections.abc import Sequence

import numpy as np

from study.analysis.explanations import Reading, square
from study.analysis.formatting import probability
from study.reports.plots import images, style

MOST_BARS = 20  # classes of which all are shown; of more the ten likeliest
SHEET = 60  # pictures on a contact sheet
MOST_SHEETS = 10
TILE = 56  # pixels: twice MNIST's 28
NAME = 11  # letters of a file's name below its picture
ODD = "?"  # beside what deserves a second look


def reading_figure(reading: Reading, own_picture: bool = True) -> style.Figure:
    """Draw the picture as it was given, what the network saw of it, and the probabilities, from left to right.

    Without its `own_picture`, as for a test image, which the network saw as it is, two of them. Of features the
    probabilities alone.
    """
    shown = []
    if reading.picture is not None:
        shown = [("the picture", reading.picture, "gray")] if own_picture else []
        colours = "gray_r" if images.is_ink(reading.seen) else "gray"
        shown.append(("what the network saw" if own_picture else "the image", _shown(reading.seen), colours))
    name = reading.named(reading.label)
    title = capital(f"{cut(reading.name, 40)}: {cut(name, 24)} with {probability(reading.probability)}")
    figure = style.titled(title, height=2.3)
    *pictures, chart = np.atleast_1d(figure.subplots(1, len(shown) + 1, width_ratios=[1] * len(shown) + [1.25]))
    for axes, (words, picture, colours) in zip(pictures, shown, strict=True):
        axes.imshow(picture, cmap=colours, vmin=0, vmax=255, interpolation="none")
        axes.set_xlabel(words, fontsize=9, color=style.INK)
        style.bare(axes)
        axes.set_anchor("N")
    labels = shown_classes(reading.probabilities)
    values = 100 * reading.probabilities[labels]
    tints = [style.COLOURS[1] if label == reading.label else style.COLOURS[0] for label in labels]
    chart.barh(range(len(labels)), values, color=tints, height=0.75)
    names = [style.short(cut(reading.named(label), 16)) for label in labels]
    chart.set_yticks(range(len(labels)), names, fontsize=8)
    chart.set_xlim(0, 100)
    chart.invert_yaxis()
    style.finish(chart, "probability (%)", "")
    chart.grid(visible=False)
    chart.tick_params(labelsize=8)
    return figure


def sheets(readings: Sequence[Reading]) -> dict[str, style.Figure]:
    """Draw contact sheets of at most SHEET pictures each: the picture, what was seen of it, its name and its label."""
    drawn = {}
    for number, first in enumerate(range(0, min(len(readings), MOST_SHEETS * SHEET), SHEET), start=1):
        part = readings[first : first + SHEET]
        title = f"Pictures {first + 1} to {first + len(part)}, and what the network saw"
        tiles, captions = [_tile(reading) for reading in part], [_caption(reading) for reading in part]
        drawn[f"sheet_{number}"] = images.pictures(tiles, captions, title, columns=4)
    return drawn


def _tile(reading: Reading) -> np.ndarray:
    """Return the picture and what was seen of it side by side, as `images.pictures` shows ink: dark is high."""
    assert reading.picture is not None  # rows of features have no sheets
    given, seen = reading.picture, _shown(reading.seen)
    if seen.ndim == given.ndim == 2:
        ink = seen if images.is_ink(seen) else 255 - seen
        return np.hstack([square(255 - given, TILE, 0), np.zeros((TILE, 4), np.uint8), square(ink, TILE, 0)])
    pair = [square(_coloured(part), TILE, paper=255) for part in (given, seen)]
    return np.hstack([pair[0], np.full((TILE, 4, 3), 255, np.uint8), pair[1]])


def _shown(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0] if pixels.shape[2:] == (1,) else pixels


def _coloured(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _caption(reading: Reading) -> str:
    name = reading.name.rpartition(".")[0] or reading.name
    name = name if len(name) <= NAME else f"{name[:4]}…{name[4 - NAME + 1 :]}"  # cameras count at the end
    mark = f"≠{cut(reading.named(reading.truth), NAME)}" if reading.wrong else ODD if reading.reason else ""
    whole = min(99, round(100 * reading.probability))
    return f"{name}: {cut(reading.named(reading.label), NAME)}{mark}, {whole} %"


def cut(text: str, most: int) -> str:
    """Return a text with its end cut off where it is longer than `most` letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shown_classes(probabilities: np.ndarray) -> list[int]:
    """Return the classes that are shown: all of them, or the ten likeliest of many."""
    if len(probabilities) <= MOST_BARS:
        return list(range(len(probabilities)))
    return np.argsort(-probabilities, kind="stable")[:10].tolist()


def capital(text: str) -> str:
    """Return a sentence with its capital letter; the name of a file stays as it is."""
    return text[0].upper() + text[1:] if text.startswith(("test image", "test row", "row", "doubt")) else text
