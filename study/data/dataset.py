"""Datasets: rows of pixels or of features with their labels, in three splits."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from study.base.errors import DataError
from study.data import split
from study.data.content import Content
from study.data.features import Features
from study.data.mnist import mnist_file
from study.data.sources import open_source
from study.data.split import LAST_ROWS

SPLITS = ("train", "validation", "test")
LEAST_SIDE = 8  # pixels; smaller images show nothing, and distances between them say nothing
Kind = Literal["pixels", "features"]


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs with their labels (n,) of int32.

    Pixels are (n, height, width) or (n, height, width, channels) of uint8, features (n, …) of float32.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray | slice) -> "Split":
        """Return some of the rows: those of a mask (n,), or of a slice, which copies nothing."""
        return Split(self.inputs[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled rows in three splits, and what identifies them.

    `spec` loads it again (``mnist``, ``digits`` or a path), with `target` and `size` where it has them; `sha256` is
    that of the arrays, not of a file that they came in. `pool` has the training and validation rows together, in the
    order of their source. `split` says in words which of them are for validation, `test_split` how the test rows were
    chosen where the source does not say it. `features` has the columns of a table; None for pixels, and for features
    that are no table. `substitute_for` says why this is not the dataset that was asked for.
    """

    name: str
    spec: str
    sha256: str
    classes: int
    train: Split
    validation: Split
    test: Split
    pool: Split
    substitute_for: str | None = None
    split: str = LAST_ROWS
    kind: Kind = "pixels"
    class_names: tuple[str, ...] = ()
    features: Features | None = None
    target: str | None = None
    size: str | None = None
    test_split: str | None = None

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))

    @property
    def settings(self) -> dict[str, str | None]:
        """The fields of a config that load the dataset again: data, target and size."""
        return {"data": self.spec, "target": self.target, "size": self.size}

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that have rows, by name; a search or a race has no test rows."""
        return {name: getattr(self, name) for name in SPLITS if len(getattr(self, name))}

    @property
    def untrained(self) -> list[int]:
        """The classes that validation or test rows have and no training row has."""
        others = np.union1d(self.validation.labels, self.test.labels)
        return [int(label) for label in np.setdiff1d(others, self.train.labels)]

    @property
    def title(self) -> str:
        """The name for titles, which says so if this is a substitute for the dataset that was asked for."""
        return f"{self.name} (a substitute for MNIST)" if self.substitute_for else self.name

    def without_test(self) -> "Dataset":
        """Return the dataset without its test rows: what selects must not see them."""
        return replace(self, test=Split(self.test.inputs[:0], self.test.labels[:0]))

    def with_fold(self, number: int | None) -> "Dataset":
        """Return the dataset that validates on this fold and trains on the rest of the pool; None: this one.

        Raises DataError if there are too few rows.
        """
        if number is None or self.split == split.fold_words(number):
            return self
        self.fold_rows(number)
        train, validation = _parts(self.pool, split.fold(self.pool.labels, number))
        return replace(self, train=train, validation=validation, split=split.fold_words(number))

    def in_folds(self) -> "Dataset":
        """Return the dataset as a study in which every seed has another fold describes it: with the rows of the first.

        The others have as many, but for one. Raises DataError if there are too few rows.
        """
        return replace(self.with_fold(0), split=split.IN_FOLDS)

    def fold_rows(self, number: int) -> int:
        """Return how many rows the fold of this number has; raises DataError if there are too few for all folds."""
        if len(self.pool) < split.FOLDS:
            raise DataError(
                f"too few rows for {split.FOLDS} folds", where=self.spec,
                expected=f"at least {split.FOLDS} training rows", got=len(self.pool),
            )  # fmt: skip
        return split.fold_rows(len(self.pool), number)

    @property
    def dtype(self) -> str:
        """The type of the inputs: uint8 for pixels, float32 for features."""
        return "uint8" if self.kind == "pixels" else "float32"

    @property
    def class_counts(self) -> np.ndarray:
        """How many training rows each class has (classes,)."""
        return np.bincount(self.train.labels, minlength=self.classes)

    @property
    def has_names(self) -> bool:
        """Whether the classes have names, and not only their numbers."""
        return self.class_names != tuple(map(str, range(self.classes)))

    @property
    def is_pictures(self) -> bool:
        """Whether the rows are images that are worth a look: grey or in colour, and not tiny."""
        return self.kind == "pixels" and is_picture(self.row_shape)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of a row: height and width of an image in pixels, and its channels in colour; or of features."""
        return self.train.inputs.shape[1:]


def is_picture(shape: tuple[int, ...]) -> bool:
    """Return whether pixels of this shape can be shown: (h, w), or (h, w, c) with 1, 3 or 4 channels, not tiny."""
    return len(shape) in (2, 3) and min(shape[:2]) >= LEAST_SIDE and shape[2:] in ((), (1,), (3,), (4,))


def load_dataset(
    spec: str,
    validation: str = "auto",
    fold: int | None = None,
    target: str | None = None,
    size: str | None = None,
) -> Dataset:
    """Return the dataset that `spec` names, `validation` of its training rows split off, or a `fold` in their place.

    `spec` is one of `sources.NAMED`, the path of a file or of a folder of pictures, or ``auto``: MNIST, or the digits
    where MNIST can be neither found nor fetched. `target` is the column of a table that has the labels, `size` such as
    28x28 what the pictures of a folder are scaled to. `validation` is a count, a fraction of the training rows, or
    ``auto``: the source's own validation rows, or 5,000 rows, but at most 15 %. They are the last ones; of a source
    whose last ones are no fair sample of the classes, or that has no test rows, the same share of every class.

    Raises DataError, which says what is wrong with the data, and where.
    """
    substitute_for = None
    if spec == "auto":
        try:
            mnist_file()
            spec = "mnist"
        except DataError as failure:
            spec, substitute_for = "digits", f"MNIST, which could not be fetched ({str(failure).rstrip('.')})"
    source = open_source(spec, target, size)
    content = source.content.with_test_rows(source.spec)
    pool, train, kept_rows, how = _trained_and_kept(content, "auto" if fold is not None else validation, source.spec)
    dataset = Dataset(
        name=source.name,
        spec=source.spec,
        sha256=content.sha256(),
        classes=content.classes,
        train=train,
        validation=kept_rows,
        test=_rows(content, "test"),
        pool=pool,
        substitute_for=substitute_for,
        split=how,
        kind="pixels" if content.is_pixels else "features",
        class_names=content.class_names,
        features=content.features,
        target=target,
        size=size,
        test_split=content.test_split,
    )
    return dataset.with_fold(fold)


def _rows(content: Content, part: str) -> Split:
    labels = content.arrays[f"y_{part}"].astype(np.int32)
    return Split(np.ascontiguousarray(content.arrays[f"x_{part}"]), labels)


def _trained_and_kept(content: Content, validation: str, where: str) -> tuple[Split, Split, Split, str]:
    """Return all rows that are not for the test, those to train on, those for validation, and how these were chosen."""
    pool = _rows(content, "train")
    if "x_validation" in content.arrays:
        kept_rows = _rows(content, "validation")
        if validation not in ("auto", str(len(kept_rows))):
            expected = f"auto or {len(kept_rows)}"
            raise DataError("the file has its own validation rows", where=where, expected=f"validation={expected}",
                            got=f"validation={validation}")  # fmt: skip
        rows = len(pool)
        inputs, labels = (
            np.concatenate([getattr(part, name) for part in (pool, kept_rows)]) for name in ("inputs", "labels")
        )
        pool = Split(inputs, labels)
        return pool, pool.take(slice(rows)), pool.take(slice(rows, None)), split.GIVEN
    wanted = _validation_rows(validation, len(pool), where=where)
    kept, how = split.validation_rows(pool.labels, wanted, mixed=content.test_split is None)
    return pool, *_parts(pool, kept), how


def _parts(pool: Split, kept: np.ndarray) -> tuple[Split, Split]:
    """Return the rows that are not kept and those that are, both in order; the last rows need no copy."""
    first = len(pool) - int(kept.sum())
    if kept[first:].all():
        return pool.take(slice(first)), pool.take(slice(first, None))
    return pool.take(~kept), pool.take(kept)


def _validation_rows(validation: str, rows: int, *, where: str) -> int:
    if validation == "auto":
        wanted = min(5_000, round(0.15 * rows))
    else:
        wanted = int(validation) if validation.isdigit() else round(float(validation) * rows)
    if not 1 <= wanted < rows:
        raise DataError(
            f"validation={validation} leaves no rows to {'validate' if wanted < 1 else 'train'} on",
            where=where,
            expected=f"a count from 1 to {rows - 1}, or a fraction of the {rows} training rows",
        )
    return wanted
