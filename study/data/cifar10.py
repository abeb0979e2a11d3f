"""CIFAR-10, kept where Keras keeps it: fetched once, checked by its SHA-256, and read without running any code.

The file is an archive of Python pickles. They are read after the check only, by an unpickler that knows numpy's arrays
of numbers and nothing else.
"""

import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from study.base.errors import DataError, first_line
from study.data.content import Content
from study.data.download import cached

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CIFAR10_FILE = "cifar-10-batches-py-target_archive"  # Keras's name for the archive
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
SIDE, CHANNELS, ROWS = 32, 3, 10_000  # of an image; and of a batch
MOST_BYTES = 40_000_000  # of a batch: 10,000 images have 31 MB


def cifar10() -> Content:
    """Return CIFAR-10: 50,000 training and 10,000 test images (32, 32, 3) in ten classes; raises DataError."""
    return read_archive(cached("CIFAR-10", CIFAR10_URL, CIFAR10_FILE, CIFAR10_SHA256))


def read_archive(path: Path) -> Content:
    """Return what an archive of CIFAR-10's form holds; raises DataError."""
    arrays = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for split, names in BATCHES.items():
                batches = [_batch(path, archive, f"{FOLDER}/{name}") for name in names]
                arrays[f"x_{split}"] = np.concatenate([images for images, _ in batches])
                arrays[f"y_{split}"] = np.concatenate([labels for _, labels in batches])
    except (OSError, EOFError, zlib.error, tarfile.TarError) as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=path) from None
    return Content(arrays, CLASSES)


def _batch(path: Path, archive: tarfile.TarFile, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 32, 32, 3) and the labels (n,) of one batch."""
    try:
        member = archive.getmember(name)
        file = archive.extractfile(member)
    except KeyError:
        file = None
    if file is None or member.size > MOST_BYTES:
        raise DataError("no such batch, or too large a one", where=f"{path}: {name}")
    try:
        batch = _Unpickler(file, encoding="bytes").load()
        data, labels = batch[b"data"], np.array(batch[b"labels"])
        if data.dtype != np.uint8 or data.shape != (len(labels), CHANNELS * SIDE * SIDE) or labels.dtype.kind != "i":
            raise ValueError("other arrays than expected")
        if not (labels.min() >= 0 and labels.max() < len(CLASSES)):
            raise ValueError("labels out of range")
    except Exception as failure:  # a damaged pickle makes Python raise almost anything
        raise DataError(f"not a batch of CIFAR-10 ({first_line(failure)})", where=f"{path}: {name}") from None
    images = data.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.uint8)


class _Unpickler(pickle.Unpickler):
    """Reads arrays of numbers, and texts, lists and dictionaries of them."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle asks for by name, if an array of numbers needs it; raises UnpicklingError."""
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return _empty
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _number_type
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _bytes
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _empty(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """Return the empty array that numpy's pickles begin with and then fill; never of another type."""
    return np.empty(0, np.int8)


def _bytes(text: str, _: str) -> bytes:
    return text.encode("latin-1")


def _number_type(name: object, *_: object) -> np.dtype:
    """Return a type of numbers; raises UnpicklingError for any other."""
    text = name.decode() if isinstance(name, bytes) else str(name)
    if text not in ("u1", "i4", "i8"):
        raise pickle.UnpicklingError(f"arrays of type {text} are not allowed")
    return np.dtype(text)
