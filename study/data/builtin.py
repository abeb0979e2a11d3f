"""The datasets that need no download: scikit-learn's digits and generated points, as the arrays of Keras's mnist.npz.

All of it is integer arithmetic, so that the arrays, and their SHA-256, are the same on every machine.
"""

from collections.abc import Callable, Mapping

import numpy as np

POINTS = 1_800
TURNED_OVER = 3  # labels in a hundred


def digits() -> dict[str, np.ndarray]:
    """Return scikit-learn's 1,797 UCI digits in MNIST's form; every fifth one is a test image.

    The 8×8 counts from 0 to 16 are drawn out to 20×20 by bilinear interpolation and centred in 28×28.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    positions = np.arange(20) * 7  # in nineteenths of a source pixel
    weights = np.maximum(19 - np.abs(positions[:, None] - 19 * np.arange(8)), 0)  # (20, 8), rows sum to 19
    scaled = np.einsum("ai,nij,bj->nab", weights, source.images.astype(np.int64), weights)
    full = 16 * 19 * 19
    images = np.pad((scaled * 255 + full // 2) // full, ((0, 0), (4, 4), (4, 4))).astype(np.uint8)
    labels = source.target.astype(np.uint8)
    is_test = np.arange(len(labels)) % 5 == 4
    return {
        "x_train": images[~is_test], "y_train": labels[~is_test],
        "x_test": images[is_test], "y_test": labels[is_test],
    }  # fmt: skip


def synthetic() -> dict[str, np.ndarray]:
    """Return 1,800 generated points in the unit square, as images of 1×2 pixels, in two classes; the last third tests.

    Class 1 are the two quarters on one diagonal, class 0 those on the other: no straight line parts them, and a
    sigmoid network starts on a plateau. Three labels in a hundred are turned over.
    """
    # The raw stream of a bit generator is what numpy promises to keep.
    numbers = np.random.PCG64(1).random_raw(3 * POINTS).astype(np.uint64).reshape(POINTS, 3) >> np.uint64(40)
    points = (numbers[:, :2] % 256).astype(np.uint8)
    right, upper = (points >= 128).T
    labels = ((right == upper) ^ (numbers[:, 2] % 100 < TURNED_OVER)).astype(np.uint8)
    images, rest = points[:, None, :], POINTS * 2 // 3
    return {"x_train": images[:rest], "y_train": labels[:rest], "x_test": images[rest:], "y_test": labels[rest:]}


BUILTIN: Mapping[str, Callable[[], dict[str, np.ndarray]]] = {"digits": digits, "synthetic": synthetic}
