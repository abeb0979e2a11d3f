"""Scores how unlike the training rows a row of features is, or a picture that is no handwritten digit; pure numpy.

The distance is Mahalanobis's, of the standardized row to the nearest class: it counts how usual a value is beside the
others, so that a row of usual values that don't go together is far as well. It is given as a quantile of the distances
of training rows to classes that were measured without them. Only moments are stored, no row.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from study.inference.novelty import BLANK, DOUBTFUL

UNLIKE, UNLIKE_PICTURE = "unlike any training row", "unlike any training picture"
FAR = "{} is far from the training rows"

CELLS, EDGE_CELLS = 8, 4  # by side: a picture is described by the means of its pixels, and of their differences
AT_ONCE = 1_000  # pictures
LEAST_ROWS = 20
MOST_ROWS = 20_000  # that are looked at
MOST_NUMBERS = 500  # of a row; the covariance has their square
MOST_OWN = 1_000_000  # numbers in the covariances of all classes; with more the classes share one
PARTS = 5  # the rows of each are measured by classes without them
SHRINKAGE = 0.03  # of a covariance, to the unit matrix; more where there are few rows for so many numbers
FEW = 0.1  # times the numbers for each row
SDS_TOO_FAR = 4.0  # beyond the training rows


@dataclass(frozen=True, eq=False)
class Reference:
    """What is usual among training rows, for each of c classes, in f numbers.

    A row is standardized by `centre` (f,) and `scale` (f,). Each class has the `means` (c, f) and the `precisions`, the
    inverses of the covariances: (c, f, f), or (1, f, f) for all classes. `distances` (1001,) are the quantiles of the
    training rows' own. `low` and `high` (f,) are their extremes, standardized; `names` (f,) the features', if they
    have any.
    """

    centre: np.ndarray
    scale: np.ndarray
    means: np.ndarray
    precisions: np.ndarray
    distances: np.ndarray
    low: np.ndarray
    high: np.ndarray
    names: np.ndarray

    def to_bytes(self) -> bytes:
        """Return the reference as the bytes of an ``.npz`` file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **vars(self))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Reference":
        """Return the reference that `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def why_not(rows: np.ndarray) -> str:
    """Return why there can be no reference for training rows (n, …); empty if there can."""
    if len(rows) < LEAST_ROWS:
        return f"no score: fewer than {LEAST_ROWS} training rows"
    if (width := _described(rows[:1]).shape[1]) > MOST_NUMBERS:
        return f"no score: rows of {width} numbers, and more than {MOST_NUMBERS}"
    return ""


def fit(rows: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> Reference:
    """Return what is usual among training rows (n, …), pixels of uint8 or features, with labels (n,)."""
    # Classes may come in turn: every fifth row could be a class of its own.
    chosen = np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]
    values, labels = _described(rows[chosen]).astype(np.float64), labels[chosen]
    reference = _measured(values, labels, names)
    part = np.arange(len(values)) % PARTS
    own = np.zeros(len(values))
    for number in range(PARTS):
        others = _measured(values[part != number], labels[part != number])
        own[part == number] = _distances(others, values[part == number])
    distances = np.quantile(own, np.linspace(0, 1, 1_001)).astype(np.float32)
    return Reference(**{**vars(reference), "distances": distances})


def score(reference: Reference, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return a doubt (n,) from 0 to 1 for each of the rows (n, …), and the reason for it in words.

    They mean what `novelty.score` says. A named feature far beyond the training rows is the reason, if there is one.
    """
    values = _described(rows).astype(np.float64)
    doubts = np.interp(_distances(reference, values), reference.distances, np.linspace(0, 1, 1_001))
    unlike = UNLIKE_PICTURE if rows.dtype == np.uint8 else UNLIKE
    reasons = np.where(doubts >= DOUBTFUL, unlike, "").astype(object)
    standard = (values - reference.centre) / reference.scale
    beyond = np.maximum(standard - reference.high, reference.low - standard)
    if len(reference.names):
        for row in np.flatnonzero(beyond.max(axis=1) > SDS_TOO_FAR):
            doubts[row], reasons[row] = 1.0, FAR.format(reference.names[beyond[row].argmax()])
    elif rows.dtype == np.uint8:
        flat = rows.reshape(len(rows), -1)
        blank = np.ptp(flat, axis=1) == 0
        doubts[blank], reasons[blank] = 1.0, BLANK
    return doubts, reasons.tolist()


def _described(rows: np.ndarray) -> np.ndarray:
    """Return rows as vectors (n, f): features as they are, pictures as the means of their cells and of their edges."""
    if rows.dtype != np.uint8:
        return rows.reshape(len(rows), -1)
    return np.concatenate([_pictured(rows[first : first + AT_ONCE]) for first in range(0, len(rows), AT_ONCE)])


def _pictured(pictures: np.ndarray) -> np.ndarray:
    pixels = pictures.astype(np.float32) / 255
    grey = pixels if pixels.ndim == 3 else pixels.mean(axis=3)
    # Without edges noise would be as near to the classes as their own means are.
    edges = [
        _cells(np.abs(np.diff(grey, axis=axis)), EDGE_CELLS) for axis in (1, 2) if grey.shape[axis] > 1
    ]  # fmt: skip
    parts = [_cells(pixels, CELLS), *(np.sqrt(part) for part in edges)]
    return np.concatenate([part.reshape(len(pictures), -1) for part in parts], axis=1)


def _cells(values: np.ndarray, side: int) -> np.ndarray:
    """Return the means of side×side cells, or of as many as there are pixels, of (n, height, width, …)."""
    for axis in (1, 2):
        edges = np.linspace(0, values.shape[axis], min(side, values.shape[axis]) + 1).astype(int)
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        values = (sums / np.diff(edges).reshape(shape)).astype(np.float32)
    return values


def _measured(values: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> Reference:
    centre, sd = values.mean(axis=0), values.std(axis=0)
    scale = np.where(sd > 1e-6 * np.maximum(1.0, np.abs(centre)), sd, 1.0)
    standard = (values - centre) / scale
    classes, width = np.unique(labels), values.shape[1]
    means = np.stack([standard[labels == label].mean(axis=0) for label in classes])
    off = standard - means[np.searchsorted(classes, labels)]
    shared = off.T @ off / len(off)
    covariances = [shared]
    if len(classes) * width**2 <= MOST_OWN:
        # A class of few rows takes after all of them.
        counts = {label: int((labels == label).sum()) for label in classes}
        shares = {label: counts[label] / (counts[label] + width) if counts[label] > 2 else 0.0 for label in classes}
        covariances = [
            share * off[labels == label].T @ off[labels == label] / counts[label] + (1 - share) * shared
            for label, share in shares.items()
        ]
    return Reference(
        centre=centre.astype(np.float32),
        scale=scale.astype(np.float32),
        means=means.astype(np.float32),
        precisions=np.stack([_inverse(one, len(values)) for one in covariances]).astype(np.float32),
        distances=np.zeros(1, np.float32),
        low=standard.min(axis=0).astype(np.float32),
        high=standard.max(axis=0).astype(np.float32),
        names=np.array(list(names), str),
    )


def _inverse(covariance: np.ndarray, rows: int) -> np.ndarray:
    width = len(covariance)
    shrinkage = min(max(SHRINKAGE, FEW * width / rows), 1.0)
    level = max(np.trace(covariance) / width, 1e-6)
    inverse: np.ndarray = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * level * np.eye(width))
    return inverse


def _distances(reference: Reference, values: np.ndarray) -> np.ndarray:
    """Return Mahalanobis's distance (n,) of each of the values (n, f) to the nearest class."""
    standard = (values - reference.centre) / reference.scale
    nearest = np.full(len(values), np.inf)
    for number, mean in enumerate(reference.means):
        precision = reference.precisions[number if len(reference.precisions) > 1 else 0]
        off = standard - mean
        np.minimum(nearest, np.maximum(((off @ precision) * off).sum(axis=1), 0), out=nearest)
    return np.sqrt(nearest)
