"""Explains a prediction: the rows nearest to the one that is asked about, and what each unit adds to each class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.statistics import binomial_interval
from study.training.metrics import confusion

NUMBERS_AT_ONCE = 2_000_000  # a few megabytes, whatever the size of the training set


@dataclass(frozen=True, eq=False)
class Reading:
    """One picture, or row of features, and what a network made of it.

    `picture` (h, w), in colour (h, w, 3), is the original made small, of uint8; None for features. `seen` is what the
    network was given: pixels of uint8, or features. `probabilities` is (classes,). `doubt` runs from 0 to 1, with its
    reason, which is empty where nothing is odd; None where there is nothing to compare with. `truth` is the true class,
    None where nobody says it. `classes` has the names of the classes; without them they are numbers.
    """

    name: str
    picture: np.ndarray | None
    seen: np.ndarray
    probabilities: np.ndarray
    doubt: float | None = None
    reason: str = ""
    truth: int | None = None
    classes: tuple[str, ...] = ()

    def named(self, label: int | None) -> str:
        """Return the name of a class."""
        return self.classes[label] if self.classes and label is not None else str(label)

    @property
    def label(self) -> int:
        """The class with the highest probability."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """The probability of that class."""
        return float(self.probabilities.max())

    @property
    def runner_up(self) -> int:
        """The class with the second highest probability."""
        return int(np.argsort(-self.probabilities, kind="stable")[1])

    @property
    def wrong(self) -> bool:
        """Whether the true class is known and differs."""
        return self.truth is not None and self.truth != self.label


# --- what is near -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest of many rows: their places `rows` (k,), the nearest first, and `distances` (k,).

    A distance is the Euclidean norm of the difference: of pixels, which run from 0 to 1 there, or of features, in
    standard deviations.
    """

    rows: np.ndarray
    distances: np.ndarray


def nearest(image: np.ndarray, images: np.ndarray, count: int) -> Neighbours:
    """Return the `count` of `images` (n, …) that are nearest to `image` (…): pixels of uint8, or features.

    All of them where there are fewer; of equally near ones the first.
    """
    if images.dtype != np.uint8:
        return _nearest_features(image, images, count)
    # Whole numbers, so that images at the same distance tie exactly.
    wanted = image.reshape(-1).astype(np.int32)
    squares = np.empty(len(images), np.int64)
    at_once = max(1, NUMBERS_AT_ONCE // wanted.size)
    for first in range(0, len(images), at_once):
        block = images[first : first + at_once].reshape(-1, wanted.size).astype(np.int32)
        block -= wanted
        squares[first : first + len(block)] = np.einsum("ij,ij->i", block, block, dtype=np.int64)
    rows = np.argsort(squares, kind="stable")[:count]
    return Neighbours(rows, np.sqrt(squares[rows]) / 255)


def _nearest_features(row: np.ndarray, rows: np.ndarray, count: int) -> Neighbours:
    flat = rows.reshape(len(rows), -1)
    sd = flat.std(axis=0, dtype=np.float64)
    off = (flat - row.reshape(-1)) / np.where(sd > 0, sd, 1.0)
    squares = np.square(off).sum(axis=1)
    places = np.argsort(squares, kind="stable")[:count]
    return Neighbours(places, np.sqrt(squares[places]))


# --- what each unit added ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Contributions:
    """What enters the logits: the `answers` (units,) of the last layer before them, what `each` unit adds to each class
    (units, classes), and the `bias` (classes,).

    Of a network without hidden layers the units are the pixels, from 0 to 1, or the features, scaled.
    """

    answers: np.ndarray
    each: np.ndarray
    bias: np.ndarray

    @property
    def logits(self) -> np.ndarray:
        """The sums over the units, and the bias: (classes,)."""
        logits: np.ndarray = self.each.sum(axis=0) + self.bias
        return logits

    def lead(self, label: int, other: int) -> np.ndarray:
        """Return by how much each unit puts one class before another: (units,)."""
        lead: np.ndarray = self.each[:, label] - self.each[:, other]
        return lead


def contributions(answers: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> Contributions:
    """Return h_j · W[j, c] for each unit j and class c, from the answers h (u,), the kernel W (u, c) and the bias (c,).

    In double precision, so that the sum is the logit up to the rounding of the network's own arithmetic.
    """
    answers = answers.astype(np.float64)
    return Contributions(answers, answers[:, None] * kernel.astype(np.float64), bias.astype(np.float64))


def strongest(values: np.ndarray, count: int) -> np.ndarray:
    """Return which `count` of the values (n,) are farthest from zero, the farthest first; zeros are left out."""
    order: np.ndarray = np.argsort(-np.abs(values), kind="stable")[:count]
    farthest: np.ndarray = order[values[order] != 0]
    return farthest


@dataclass(frozen=True, eq=False)
class Explanation:
    """A test row's reading with its nearest training rows, their labels, and what each unit added to the logits.

    `kernel` (pixels, units) is the first layer's where the units of the contributions look at the pixels of a grey
    image, else None; `logits` (classes,) are the network's own. `hidden` says how many hidden layers there are. Only of
    a plain stack of Dense layers it is known what each unit adds; of others `contributions` and `logits` are None.
    """

    index: int
    reading: Reading
    neighbours: Neighbours
    rows: np.ndarray
    labels: np.ndarray
    contributions: Contributions | None = None
    logits: np.ndarray | None = None
    kernel: np.ndarray | None = None
    hidden: int = 0


# --- many pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scores:
    """How many of `n` pictures of known class were read right, the interval of their share, and the confusion.

    `interval` is Wilson's 95 % interval; `confusion` (classes, classes) counts as that of an Evaluation does.
    """

    n: int
    hits: int
    interval: tuple[float, float]
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share that was read right, 0 to 1."""
        return self.hits / self.n


def scores(readings: Sequence[Reading]) -> Scores | None:
    """Return how well the pictures whose class is known were read; None where none is."""
    known = [reading for reading in readings if reading.truth is not None]
    if not known:
        return None
    labels = np.array([reading.truth for reading in known])
    predicted = np.array([reading.label for reading in known])
    hits = int((labels == predicted).sum())
    counts = confusion(predicted, labels, len(known[0].probabilities))
    return Scores(len(known), hits, binomial_interval(hits, len(known)), counts)


def truth_of(name: str, classes: Sequence[str]) -> int | None:
    """Return the class that a file's name begins with: 7 for ``7_marker.png``; None where it begins with none.

    The name of the class ends there: a longer number, as cameras write a date, is none.
    """
    found = [
        label for label, each in enumerate(classes)
        if re.match(re.escape(each) + (r"(?![0-9])" if each.isdigit() else r"(?![^\W_])"), name, re.IGNORECASE)
    ]  # fmt: skip
    return max(found, key=lambda label: len(classes[label])) if found else None


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture (h, w) or (h, w, 3) from 0 to 255 as uint8 of at most `side` pixels a side: means of squares."""
    factor = -(-max(picture.shape[:2]) // side)
    # At the right and at the bottom the last rows are repeated, so that the squares come out even.
    missing = [(0, -length % factor) for length in picture.shape[:2]] + [(0, 0)] * (picture.ndim - 2)
    padded = np.pad(picture.astype(np.float32), missing, mode="edge")
    height, width = (length // factor for length in padded.shape[:2])
    means = padded.reshape(height, factor, width, factor, *picture.shape[2:]).mean(axis=(1, 3))
    small: np.ndarray = np.clip(np.rint(means), 0, 255).astype(np.uint8)
    return small


def square(picture: np.ndarray, side: int, paper: int) -> np.ndarray:
    """Return a picture in the middle of a square of `side` pixels, drawn as large as whole pixels let it be."""
    picture = thumbnail(picture, side)
    picture = picture.repeat(factor := side // max(picture.shape[:2]), axis=0).repeat(factor, axis=1)
    top, left = ((side - length) // 2 for length in picture.shape[:2])
    result = np.full((side, side, *picture.shape[2:]), paper, np.uint8)
    result[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return result
