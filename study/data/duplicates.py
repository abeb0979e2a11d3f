"""Duplicate rows: exact ones, and of images near ones. A test row that is also a training row tests nothing."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.data.dataset import SPLITS, Split

CELLS = 7  # a side
QUERIES = 128  # images that are compared at once: with 60,000 others in 31 MB


@dataclass(frozen=True)
class Pair:
    """A row with an exact or near duplicate in the same split or an earlier one; `row` counts within the split.

    `distance` is the root mean square of the difference of the pixels, in grey levels: 0 where the rows are the same.
    """

    split: str
    row: int
    label: int
    of_split: str
    of_row: int
    of_label: int
    distance: float

    @property
    def contradicts(self) -> bool:
        """Whether the two have different labels."""
        return self.label != self.of_label

    @property
    def exact(self) -> bool:
        """Whether the two are the same, pixel by pixel."""
        return self.distance == 0


def exact_duplicates(splits: Mapping[str, Split]) -> tuple[Pair, ...]:
    """Return every row that equals an earlier one, number by number, in its own split or in one named before it.

    It is paired with the first such row of each split.
    """
    first: dict[str, dict[bytes, int]] = {}
    pairs = []
    for name, split in splits.items():
        first[name] = {}
        for row, image in enumerate(np.ascontiguousarray(split.inputs)):
            key = hashlib.blake2b(image, digest_size=16).digest()
            for of_name, rows in first.items():
                if key in rows:
                    of_row = rows[key]
                    of_label = splits[of_name].labels[of_row]
                    pairs.append(Pair(name, row, int(split.labels[row]), of_name, of_row, int(of_label), 0.0))
            first[name].setdefault(key, row)
    return tuple(pairs)


def nearest_training_images(splits: Mapping[str, Split], exact: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return each validation and test image with the training image next to it, the closest first, without the same."""
    same = {(pair.split, pair.row) for pair in exact if pair.of_split == "train"}
    pairs = (pair for name in SPLITS[1:] for pair in nearest_pairs(name, splits[name], "train", splits["train"]))
    return tuple(sorted((pair for pair in pairs if (pair.split, pair.row) not in same), key=lambda pair: pair.distance))


def nearest_pairs(name: str, split: Split, of_name: str, of: Split) -> Iterator[Pair]:
    """Yield for each image of `split` the one of `of` whose cells are next to its own, and how far apart the two are.

    The cells are the means of 7×7 fields; the distance is that of all pixels, which is never less than the cells'.
    An image whose cells another one has by chance can hide a nearer one; of a near duplicate that is unlikely.
    """
    queries, others = cells(split.inputs), cells(of.inputs)
    # |q - o|² without |q|², which is the same for all o, as one product of matrices: (-2q, 1) · (o, |o|²)
    queries = np.column_stack([-2 * queries, np.ones(len(queries), np.float32)])
    others = np.column_stack([others, np.square(others).sum(axis=1)]).T
    for start in range(0, len(queries), QUERIES):
        nearest = (queries[start : start + QUERIES] @ others).argmin(axis=1)
        distances = rms(split.inputs[start : start + QUERIES], of.inputs[nearest])
        for row, of_row, distance in zip(range(start, len(queries)), nearest, distances, strict=False):
            label, of_label = int(split.labels[row]), int(of.labels[of_row])
            yield Pair(name, row, label, of_name, int(of_row), of_label, float(distance))


def cells(images: np.ndarray) -> np.ndarray:
    """Return the means of 7×7 fields of each image, or of as many as it has pixels, as (n, fields) of float32.

    Each is weighted by the root of its share of the image, so that the distance of two rows is the root mean square of
    the differences of the fields; of images in colour each channel has its fields.
    """
    sums, sizes = images, []
    for axis in (1, 2):
        length = images.shape[axis]
        edges = np.linspace(0, length, min(CELLS, length) + 1).astype(int)
        sums = np.add.reduceat(sums, edges[:-1], axis=axis, dtype=np.float32)
        sizes.append(np.diff(edges))
    channels = images.shape[3:]
    pixels = np.outer(*sizes).reshape(*map(len, sizes), *(1 for _ in channels))
    means: np.ndarray = sums / np.sqrt(pixels * pixels.sum() * math.prod(channels))
    return means.reshape(len(images), -1).astype(np.float32)


def rms(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the root mean square (n,) of the differences of two arrays of images (n, height, width, …)."""
    squares = np.square(images.astype(np.float32) - others)
    differences: np.ndarray = np.sqrt(squares.mean(axis=tuple(range(1, squares.ndim))))
    return differences
