"""Datasets in MNIST's form: images (n, 28, 28) of uint8 and labels (n,) of int32, in three splits."""

from dataclasses import dataclass, replace

import numpy as np

from study.base.errors import DataError
from study.data import builtin, split
from study.data.mnist import mnist_file
from study.data.npz import arrays_sha256, own_path, read_arrays
from study.data.split import LAST_ROWS

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Images (n, height, width) of uint8 with their labels (n,) of int32."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in three splits, and what identifies them.

    `spec` loads it again (``mnist``, ``digits`` or a path); `sha256` is that of the arrays, not of a file
    that they came in. `split` says in words which training rows are for validation. `substitute_for` says why this is
    not the dataset that was asked for.
    """

    name: str
    spec: str
    sha256: str
    classes: int
    train: Split
    validation: Split
    test: Split
    substitute_for: str | None = None
    split: str = LAST_ROWS

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
        return replace(self, test=Split(self.test.images[:0], self.test.labels[:0]))

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        return self.train.images.shape[1:]


def load_dataset(spec: str, validation: str = "auto") -> Dataset:
    """Return the dataset that `spec` names, `validation` of its training rows split off.

    `spec` is ``mnist``, ``digits``, ``synthetic``, the path of an ``.npz`` file with x_train, y_train, x_test and
    y_test, or ``auto``: MNIST, or the digits where MNIST can be neither found nor fetched. `validation` is a count, a
    fraction of the training rows, or ``auto``: 5,000 rows, but at most 15 %. They are the last ones; of a file in which
    these are no fair sample of the classes, the same share of every class.

    Raises DataError, which says what is wrong with the data, and where.
    """
    substitute_for = None
    if spec == "auto":
        try:
            spec, path = "mnist", mnist_file()
        except DataError as failure:
            spec, substitute_for = "digits", f"MNIST, which could not be fetched ({str(failure).rstrip('.')})"
    elif spec == "mnist":
        path = mnist_file()
    elif spec not in builtin.BUILTIN:
        path = own_path(spec)

    if spec in builtin.BUILTIN:
        name, arrays = spec, builtin.BUILTIN[spec]()
    else:
        name, arrays = ("mnist" if spec == "mnist" else path.stem), read_arrays(path)

    rows = len(arrays["y_train"])
    wanted = _validation_rows(validation, rows, where=spec)
    images, labels = arrays["x_train"], arrays["y_train"].astype(np.int32)
    kept, how = split.validation_rows(labels, wanted)
    return Dataset(
        name=name,
        spec=spec if spec == "mnist" or spec in builtin.BUILTIN else str(path.resolve()),
        sha256=arrays_sha256(arrays),
        classes=int(labels.max()) + 1,
        train=Split(images[~kept], labels[~kept]),
        validation=Split(images[kept], labels[kept]),
        test=Split(arrays["x_test"], arrays["y_test"].astype(np.int32)),
        substitute_for=substitute_for,
        split=how,
    )


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
