"""A prediction explained: the images nearest to the picture, and what each unit adds to each class; pure numpy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.statistics import binomial_interval
from study.training.metrics import confusion

ROWS_AT_ONCE = 2_000  # a few megabytes, whatever the size of the training set


@dataclass(frozen=True, eq=False)
class Reading:
    """One picture and what a network made of it.

    `picture` (h, w) is the original made small, `seen` (height, width) what the network was given, both of uint8;
    `probabilities` is (classes,). `doubt` runs from 0 to 1, with its reason, which is empty where nothing is odd; None
    where the model brings nothing to compare with. `truth` is the true class, None where nobody says it.
    """

    name: str
    picture: np.ndarray
    seen: np.ndarray
    probabilities: np.ndarray
    doubt: float | None = None
    reason: str = ""
    truth: int | None = None

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
    """The nearest of many images: their `rows` (k,), the nearest first, and `distances` (k,).

    A distance is the Euclidean norm of the difference of the pixels, which run from 0 to 1 there.
    """

    rows: np.ndarray
    distances: np.ndarray


def nearest(image: np.ndarray, images: np.ndarray, count: int) -> Neighbours:
    """Return the `count` of `images` (n, height, width) that are nearest to `image` (height, width), all uint8.

    All of them where there are fewer; of equally near ones the first.
    """
    # Whole numbers, so that images at the same distance tie exactly.
    wanted = image.reshape(-1).astype(np.int32)
    squares = np.empty(len(images), np.int64)
    for first in range(0, len(images), ROWS_AT_ONCE):
        block = images[first : first + ROWS_AT_ONCE].reshape(-1, wanted.size).astype(np.int32)
        block -= wanted
        squares[first : first + len(block)] = np.einsum("ij,ij->i", block, block)
    rows = np.argsort(squares, kind="stable")[:count]
    return Neighbours(rows, np.sqrt(squares[rows]) / 255)


# --- what each unit added ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Contributions:
    """What enters the logits: the `answers` (units,) of the last layer before them, what `each` unit adds to each class
    (units, classes), and the `bias` (classes,).

    Of a network without hidden layers the units are the pixels, from 0 to 1.
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
    """A test image's reading with its nearest training images, their labels, and what each unit added to the logits.

    `kernel` (pixels, units) is the first layer's where the units of the contributions look at the pixels, else None;
    `logits` (classes,) are the network's own. `hidden` says how many hidden layers there are.
    """

    index: int
    reading: Reading
    neighbours: Neighbours
    images: np.ndarray
    labels: np.ndarray
    contributions: Contributions
    logits: np.ndarray
    kernel: np.ndarray | None
    hidden: int


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


def truth_of(name: str) -> int | None:
    """Return the class that a file's name begins with: 7 for ``7_marker.png``; None where it begins with none.

    A number of several digits, as cameras write a date, is none.
    """
    found = re.match(r"[0-9](?![0-9])", name)
    return int(found[0]) if found else None


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture (h, w) from 0 to 255 as uint8 of at most `side` pixels a side: means over squares."""
    factor = -(-max(picture.shape) // side)
    # At the right and at the bottom the last rows are repeated, so that the squares come out even.
    padded = np.pad(picture.astype(np.float32), [(0, -length % factor) for length in picture.shape], mode="edge")
    height, width = (length // factor for length in padded.shape)
    means = padded.reshape(height, factor, width, factor).mean(axis=(1, 3))
    small: np.ndarray = np.clip(np.rint(means), 0, 255).astype(np.uint8)
    return small


def square(picture: np.ndarray, side: int, paper: int) -> np.ndarray:
    """Return a picture in the middle of a square of `side` pixels, drawn as large as whole pixels let it be."""
    picture = thumbnail(picture, side)
    picture = picture.repeat(factor := side // max(picture.shape), axis=0).repeat(factor, axis=1)
    top, left = ((side - length) // 2 for length in picture.shape)
    result = np.full((side, side), paper, np.uint8)
    result[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return result
