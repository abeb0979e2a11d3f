"""What a dataset holds, before anything is trained on it: pure functions on numpy arrays.

Counts, portraits of the classes, pixels, and duplicate images, within a split or across two: a test image that is also
among the training rows tests nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.data.dataset import SPLITS, Dataset, Split

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CELLS = 7  # a side
# Root mean square, in grey levels of 255: more than a little noise changes, and less than lies between MNIST's test or
# validation images and the training images found for them, which are other strokes: at least 8.9.
TOLERANCE = 8.0
LEAST_SIDE = 8  # pixels; what is smaller is no picture, and being near says nothing
QUERIES = 128  # images that are compared at once: with 60,000 others in 31 MB


@dataclass(frozen=True)
class Pair:
    """An image with an exact or near duplicate in the same split or an earlier one; `row` counts within the split.

    `distance` is the root mean square of the difference of the pixels, in grey levels: 0 where they are the same.
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


@dataclass(frozen=True, eq=False)
class Portrait:
    """The `mean` and `sd` (height, width) of each pixel of a class's training images; both None for an empty class."""

    mean: np.ndarray | None
    sd: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known about a dataset.

    `counts` has for each split the images by class (classes,), `pixels` how many pixels of the training images have
    each value (256,). `ink` has for each class the QUANTILES of the share of ink of its training images (classes, 5),
    NaN where there are none. `samples` has for each class rows of the training images. `exact` has the images that
    appear before, once for each split in which they do; `nearest` for each image of validation and test the
    training image next to it, the closest first, without those that are the same; None where the images are too small.
    """

    counts: Mapping[str, np.ndarray]
    pixels: np.ndarray
    never_inked: int
    ink: np.ndarray
    portraits: tuple[Portrait, ...]
    samples: tuple[np.ndarray, ...]
    exact: tuple[Pair, ...]
    nearest: tuple[Pair, ...] | None

    @property
    def near(self) -> tuple[Pair, ...]:
        """The near duplicates: the pairs of `nearest` that are no further apart than TOLERANCE."""
        return tuple(pair for pair in self.nearest or () if pair.distance <= TOLERANCE)

    @property
    def mean_and_sd(self) -> tuple[float, float]:
        """Mean and standard deviation of all pixels of the training images, in grey levels."""
        values, weights = np.arange(256), self.pixels / self.pixels.sum()
        mean = float(values @ weights)
        return mean, float(np.sqrt((values - mean) ** 2 @ weights))


def profile(dataset: Dataset, seed: int, samples_each: int) -> Profile:
    """Return the profile of a dataset, with `samples_each` samples of each class, drawn by `seed`; MNIST takes 7 s."""
    splits = {name: getattr(dataset, name) for name in SPLITS}
    train, classes = dataset.train, dataset.classes
    exact = exact_duplicates(splits)
    nearest = _nearest(splits, exact) if is_pictures(dataset.row_shape) else None
    return Profile(
        counts={name: np.bincount(split.labels, minlength=classes) for name, split in splits.items()},
        pixels=np.bincount(train.inputs.ravel(), minlength=256),
        never_inked=int((train.inputs.max(axis=0) == 0).sum()),
        ink=ink_quantiles(train, classes),
        portraits=tuple(portrait(train.inputs[train.labels == label]) for label in range(classes)),
        samples=samples(train.labels, classes, samples_each, seed),
        exact=exact,
        nearest=nearest,
    )


def is_pictures(image_shape: tuple[int, ...]) -> bool:
    """Return whether images of this height and width are large enough to be looked at."""
    return min(image_shape[:2]) >= LEAST_SIDE


def portrait(images: np.ndarray) -> Portrait:
    """Return the mean and the standard deviation, pixel by pixel, of `images` (n, height, width)."""
    if not len(images):
        return Portrait(None, None)
    values = images.astype(np.float32)
    return Portrait(values.mean(axis=0), values.std(axis=0))


def ink_quantiles(split: Split, classes: int) -> np.ndarray:
    """Return for each class the QUANTILES (classes, 5) of its images' ink: the mean pixel as a share of 255."""
    ink = split.inputs.mean(axis=(1, 2)) / 255
    by_class = (ink[split.labels == label] for label in range(classes))
    return np.array(
        [np.quantile(shares, QUANTILES) if len(shares) else np.full(len(QUANTILES), np.nan) for shares in by_class]
    )


def samples(labels: np.ndarray, classes: int, each: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return for each class the rows of at most `each` of its images, drawn without replacement, in order."""
    draw = np.random.default_rng(seed)
    rows = (np.flatnonzero(labels == label) for label in range(classes))
    return tuple(np.sort(draw.choice(there, min(each, len(there)), replace=False)) for there in rows)


# --- what is there twice ----------------------------------------------------------------------------


def exact_duplicates(splits: Mapping[str, Split]) -> tuple[Pair, ...]:
    """Return every image that equals an earlier one, pixel by pixel, in its own split or in one named before it.

    It is paired with the first such image of each split.
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


def _nearest(splits: Mapping[str, Split], exact: Sequence[Pair]) -> tuple[Pair, ...]:
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
    the differences of the fields.
    """
    sums, sizes = images, []
    for axis in (1, 2):
        length = images.shape[axis]
        edges = np.linspace(0, length, min(CELLS, length) + 1).astype(int)
        sums = np.add.reduceat(sums, edges[:-1], axis=axis, dtype=np.float32)
        sizes.append(np.diff(edges))
    pixels = np.outer(*sizes)
    means: np.ndarray = sums / np.sqrt(pixels * pixels.sum())
    return means.reshape(len(images), -1).astype(np.float32)


def rms(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the root mean square (n,) of the differences of two arrays of images (n, height, width)."""
    differences: np.ndarray = np.sqrt(np.square(images.astype(np.float32) - others).mean(axis=(1, 2)))
    return differences


# --- counting pairs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """How many images of `split` equal one of `of_split`, exactly or nearly; within a split, one before them.

    Of both, `…_contradicting` have another label. `near` is None where it is not looked for.
    """

    split: str
    of_split: str
    exact: int
    exact_contradicting: int
    near: int | None
    near_contradicting: int | None


def overlaps(found: Profile) -> tuple[Overlap, ...]:
    """Return the overlaps of all pairs of splits, and of each split with itself."""
    return tuple(
        Overlap(split, of_split, *_count(found.exact, split, of_split), *_count_near(found, split, of_split))
        for number, split in enumerate(SPLITS)
        for of_split in SPLITS[: number + 1]
    )


def _count_near(found: Profile, split: str, of_split: str) -> tuple[int, int] | tuple[None, None]:
    looked_for = found.nearest is not None and of_split == "train" != split
    return _count(found.near, split, of_split) if looked_for else (None, None)


def _count(pairs: Sequence[Pair], split: str, of_split: str) -> tuple[int, int]:
    between = [pair for pair in pairs if (pair.split, pair.of_split) == (split, of_split)]
    return len(between), sum(pair.contradicts for pair in between)
