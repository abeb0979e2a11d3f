"""The datasets that need no download: scikit-learn's digits and small tables, and generated points.

All of it is integer arithmetic, or numbers as they are written, so that the arrays, and their SHA-256, are the same on
every machine.
"""

import gzip
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from study.data.content import Content
from study.data.features import Column, Features

POINTS = 1_800
TURNED_OVER = 3  # labels in a hundred


def digits() -> Content:
    """Return scikit-learn's 1,797 UCI digits in MNIST's form; every fifth one is a test image.

    The 8×8 counts from 0 to 16 are drawn out to 20×20 by bilinear interpolation and centred in 28×28.
    """
    # scikit-learn's own way to this file takes a second to import, in every worker.
    folder = find_spec("sklearn").submodule_search_locations[0]  # type: ignore[union-attr,index]
    with gzip.open(Path(folder) / "datasets" / "data" / "digits.csv.gz") as file:
        source = np.loadtxt(file, np.int64, delimiter=",")
    counts, labels = source[:, :-1].reshape(-1, 8, 8), source[:, -1].astype(np.uint8)
    positions = np.arange(20) * 7  # in nineteenths of a source pixel
    weights = np.maximum(19 - np.abs(positions[:, None] - 19 * np.arange(8)), 0)  # (20, 8), rows sum to 19
    scaled = np.einsum("ai,nij,bj->nab", weights, counts, weights)
    full = 16 * 19 * 19
    images = np.pad((scaled * 255 + full // 2) // full, ((0, 0), (4, 4), (4, 4))).astype(np.uint8)
    is_test = np.arange(len(labels)) % 5 == 4
    return _split(images, labels, is_test)


def synthetic() -> Content:
    """Return 1,800 generated points in the unit square, as images of 1×2 pixels, in two classes; the last third tests.

    Class 1 are the two quarters on one diagonal, class 0 those on the other: no straight line parts them, and a
    sigmoid network starts on a plateau. Three labels in a hundred are turned over.
    """
    # The raw stream of a bit generator is what numpy promises to keep.
    numbers = np.random.PCG64(1).random_raw(3 * POINTS).astype(np.uint64).reshape(POINTS, 3) >> np.uint64(40)
    points = (numbers[:, :2] % 256).astype(np.uint8)
    right, upper = (points >= 128).T
    labels = ((right == upper) ^ (numbers[:, 2] % 100 < TURNED_OVER)).astype(np.uint8)
    return _split(points[:, None, :], labels, np.arange(POINTS) >= POINTS * 2 // 3)


def iris() -> Content:
    """Return scikit-learn's 150 irises of three species: four lengths and widths in cm each."""
    from sklearn.datasets import load_iris

    return _table(load_iris())


def wine() -> Content:
    """Return scikit-learn's 178 wines of three growers: 13 measures each."""
    from sklearn.datasets import load_wine

    return _table(load_wine())


def breast_cancer() -> Content:
    """Return scikit-learn's 569 tumours, malignant or benign: 30 measures each."""
    from sklearn.datasets import load_breast_cancer

    return _table(load_breast_cancer())


def _table(source: Any) -> Content:
    """Return a table of scikit-learn's; of each class every fifth row, in the order of the source, is a test row."""
    labels, is_test = source.target, np.zeros(len(source.target), bool)
    for label in range(len(source.target_names)):
        is_test[np.flatnonzero(labels == label)[4::5]] = True
    columns = Features(tuple(Column(str(name)) for name in source.feature_names))
    arrays = _split(source.data.astype(np.float32), labels.astype(np.int32), is_test).arrays
    return Content(arrays, tuple(map(str, source.target_names)), columns)


def _split(inputs: np.ndarray, labels: np.ndarray, is_test: np.ndarray) -> Content:
    return Content({
        "x_train": inputs[~is_test], "y_train": labels[~is_test], "x_test": inputs[is_test], "y_test": labels[is_test],
    })  # fmt: skip


BUILTIN: Mapping[str, Callable[[], Content]] = {
    "digits": digits, "iris": iris, "wine": wine, "breast_cancer": breast_cancer, "synthetic": synthetic,
}  # fmt: skip
