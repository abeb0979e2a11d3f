"""MNIST and Fashion-MNIST, kept where Keras keeps them: fetched once, checked by their SHA-256."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from study.base.errors import DataError, first_line
from study.data.content import Content
from study.data.download import cached

ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
MNIST_URL = f"{ADDRESS}mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"

FASHION_URL = ADDRESS
FASHION_FOLDER = "fashion-mnist"
# Keras has none of them. TensorFlow Datasets has, for the authors' files of the same names and sizes.
FASHION_FILES = {
    "x_train": ("train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    "y_train": ("train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
}
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
MOST_BYTES = 60_000_000  # of an unpacked file: 60,000 images have 47 MB


def mnist_file() -> Path:
    """Return the path of Keras's cached mnist.npz; fetch it first if it is absent or damaged."""
    return cached("MNIST", MNIST_URL, "mnist.npz", MNIST_SHA256)


def fashion_mnist() -> Content:
    """Return Fashion-MNIST: 60,000 training and 10,000 test images (28, 28) in ten classes; raises DataError."""
    files = {
        key: cached("Fashion-MNIST", f"{FASHION_URL}{name}", f"{FASHION_FOLDER}/{name}", sha256)
        for key, (name, sha256) in FASHION_FILES.items()
    }
    return Content({key: read_idx(path) for key, path in files.items()}, FASHION_CLASSES)


def read_idx(path: Path) -> np.ndarray:
    """Return the array of uint8 in a gzipped IDX file: two zeros, type 8, the number of sides, the sides, the bytes.

    Raises DataError.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=path) from None
    sides = content[3] if len(content) > 4 else 0
    start = 4 + 4 * sides
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if content[:3] != b"\0\0\x08" or len(content) != start + int(np.prod(shape, dtype=np.float64)):
        raise DataError("not an IDX file of bytes", where=path, got=f"{len(content):,} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
