"""Profiles a dataset before anything is trained on it: pure functions on numpy arrays.

Counts, portraits of the classes, pixels or columns, and duplicate rows, within a split or across two: a test row that
is also among the training rows tests nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from study.data.column_profile import ColumnProfile, column_profiles
from study.data.dataset import SPLITS, Dataset, Split
from study.data.duplicates import Pair, exact_duplicates, nearest_training_images

INKED = 0.25
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Root mean square, in grey levels of 255: more than a little noise changes, and less than lies between MNIST's test or
# validation images and the training images found for them, which are other strokes: at least 8.9.
TOLERANCE = 8.0


@dataclass(frozen=True, eq=False)
class Portrait:
    """The `mean` and `sd` (height, width) of each pixel of a class's training images; both None for an empty class."""

    mean: np.ndarray | None
    sd: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known about a dataset, whatever its rows are.

    `counts` has for each split the rows by class (classes,). `exact` has the rows that appear before, once for each
    split in which they do. `class_names` are the classes'.
    """

    counts: Mapping[str, np.ndarray]
    exact: tuple[Pair, ...]
    class_names: tuple[str, ...]
    noun: ClassVar[str] = "rows"

    @property
    def near(self) -> tuple[Pair, ...]:
        """The near duplicates: those that are looked for and found."""
        return ()

    @property
    def nearest(self) -> tuple[Pair, ...] | None:
        """For each row of validation and test the training row next to it; None where none is looked for."""
        return None


@dataclass(frozen=True, eq=False)
class ImageProfile(Profile):
    """What is known about images.

    `pixels` has how many values of the training images, one a pixel and channel, are each of 0 to 255 (256,). `ink`
    has for each class the QUANTILES of the share of ink of its training images (classes, 5), NaN where there are none.
    `samples` has for each class rows of the training images. `neighbours` has for each image of validation and test the
    training image next to it, the closest first, without those that are the same; None where the images are too small.
    """

    noun: ClassVar[str] = "images"
    pixels: np.ndarray
    never_inked: int
    ink: np.ndarray
    portraits: tuple[Portrait, ...]
    samples: tuple[np.ndarray, ...]
    neighbours: tuple[Pair, ...] | None
    coloured: bool

    @property
    def nearest(self) -> tuple[Pair, ...] | None:
        """For each image of validation and test the training image next to it; None where the images are too small."""
        return self.neighbours

    @property
    def is_ink(self) -> bool:
        """Whether the images are light ink on black, as MNIST's: grey, and a quarter of the pixels is black."""
        return not self.coloured and bool(self.pixels[0] > INKED * self.pixels.sum())

    @property
    def ink_word(self) -> str:
        """What the mean pixel of an image is called."""
        return "ink" if self.is_ink else "brightness"

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


@dataclass(frozen=True, eq=False)
class FeatureProfile(Profile):
    """What is known about features: their `columns`, and the source's columns that were `dropped` as constant.

    `labels` (n,) are those of the training rows, whose values the columns have.
    """

    columns: tuple[ColumnProfile, ...]
    dropped: tuple[str, ...]
    labels: np.ndarray


def profile(dataset: Dataset, seed: int, samples_each: int) -> "ImageProfile | FeatureProfile":
    """Return a dataset's profile, of images with `samples_each` of each class, drawn by `seed`; MNIST takes 7 s."""
    splits = {name: getattr(dataset, name) for name in SPLITS}
    train, classes = dataset.train, dataset.classes
    exact = exact_duplicates(splits)
    counts = {name: np.bincount(split.labels, minlength=classes) for name, split in splits.items()}
    if dataset.kind == "features":
        columns = column_profiles(train, classes, dataset.features)
        dropped = dataset.features.dropped if dataset.features else ()
        return FeatureProfile(counts, exact, dataset.class_names, columns, dropped, train.labels)
    return ImageProfile(
        counts=counts,
        class_names=dataset.class_names,
        pixels=np.bincount(train.inputs.ravel(), minlength=256),
        never_inked=int((train.inputs.max(axis=0) == 0).sum()),
        ink=ink_quantiles(train, classes),
        portraits=tuple(portrait(train.inputs[train.labels == label]) for label in range(classes)),
        samples=samples(train.labels, classes, samples_each, seed),
        exact=exact,
        coloured=len(dataset.row_shape) == 3,
        neighbours=nearest_training_images(splits, exact) if dataset.is_pictures else None,
    )


def portrait(images: np.ndarray) -> Portrait:
    """Return the mean and the standard deviation, pixel by pixel, of `images` (n, height, width, …)."""
    if not len(images):
        return Portrait(None, None)
    values = images.astype(np.float32)
    return Portrait(values.mean(axis=0), values.std(axis=0))


def ink_quantiles(split: Split, classes: int) -> np.ndarray:
    """Return for each class the QUANTILES (classes, 5) of its images' ink: the mean pixel as a share of 255."""
    ink = split.inputs.reshape(len(split), -1).mean(axis=1) / 255
    by_class = (ink[split.labels == label] for label in range(classes))
    return np.array(
        [np.quantile(shares, QUANTILES) if len(shares) else np.full(len(QUANTILES), np.nan) for shares in by_class]
    )


def samples(labels: np.ndarray, classes: int, each: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return for each class the rows of at most `each` of its images, drawn without replacement, in order."""
    draw = np.random.default_rng(seed)
    rows = (np.flatnonzero(labels == label) for label in range(classes))
    return tuple(np.sort(draw.choice(there, min(each, len(there)), replace=False)) for there in rows)


# --- counting pairs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """How many rows of `split` equal one of `of_split`, exactly or nearly; within a split, one before them.

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
