"""What a source of data holds: arrays by split, class names and columns, and the SHA-256 that identifies them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from study.base.errors import DataError
from study.data import split
from study.data.features import Features

KEYS = ("x_train", "y_train", "x_test", "y_test", "x_validation", "y_validation")


@dataclass(frozen=True, eq=False)
class Content:
    """The arrays of a source by KEYS, of which the test and the validation rows may be missing.

    Inputs are uint8 pixels or float32 features, labels whole numbers from 0; `class_names` is empty where the classes
    have only numbers. `test_split` says how the test rows were chosen, if the source has none of its own.
    """

    arrays: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] = ()
    features: Features | None = None
    test_split: str | None = None

    @property
    def is_pixels(self) -> bool:
        """Whether the inputs are pixels."""
        return is_pixels(self.arrays["x_train"].shape, self.arrays["x_train"].dtype)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names) or int(self.arrays["y_train"].max()) + 1

    def with_test_rows(self, where: object) -> "Content":
        """Return content that has test rows: the source's own, or a fifth of every class.

        Raises DataError if there are too few rows.
        """
        if "x_test" in self.arrays:
            return self
        inputs, labels = self.arrays["x_train"], self.arrays["y_train"]
        chosen = rows_for_test(labels, where)
        parts = {
            "x_train": inputs[~chosen], "y_train": labels[~chosen], "x_test": inputs[chosen], "y_test": labels[chosen],
        }  # fmt: skip
        return replace(self, arrays={**self.arrays, **parts}, test_split=split.TEST_BY_CLASS)

    def sha256(self) -> str:
        """Return the SHA-256 of the arrays and names: the same however a file packs them, for all types of labels."""
        digest = hashlib.sha256()
        for key in KEYS:
            if key in self.arrays:
                inputs = "|u1" if self.is_pixels else "<f4"
                values = np.ascontiguousarray(self.arrays[key], dtype=inputs if key.startswith("x") else "<i4")
                digest.update(f"{key} {values.shape}".encode())
                digest.update(values.data)
        if self.class_names:
            digest.update(json.dumps(self.class_names).encode())
        if self.features:
            digest.update(json.dumps(self.features.as_plain()).encode())
        return digest.hexdigest()


def is_pixels(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether an array of this shape and type has images; any other one has features."""
    return dtype == np.uint8 and len(shape) in (3, 4)


def rows_for_test(labels: np.ndarray, where: object) -> np.ndarray:
    """Return which rows are for the test where the source does not say, a mask (n,); raises DataError for too few."""
    if len(labels) < split.LEAST_ROWS:
        raise DataError("too few rows", where=where, expected=f"at least {split.LEAST_ROWS}", got=len(labels))
    return split.rows_for_test(labels)
