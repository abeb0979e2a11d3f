"""Your own data: an ``.npz`` file with images and labels, checked before anything is trained on them.

Types, shapes and sizes are taken from the arrays' headers, before an array is unpacked: a file of some megabytes can
hold more than the memory does.
"""

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from study.base.errors import DataError, first_line
from study.base.paths import find_file
from study.base.processes import memory_available

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
WANTED = "data= takes auto, mnist, digits, synthetic, or the path of an .npz file."
EXPECTED = f"an .npz file with {', '.join(ARRAYS)}"
# What numpy writes. Other compressions may take gigabytes for a file of a few bytes.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
AGAIN = "Fetch or write the file again."
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Header:
    """What the header of an array says."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """How many bytes the array takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arrays_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a dataset's arrays: the same however a file packs them, and for all types of labels."""
    digest = hashlib.sha256()
    for key in ARRAYS:
        values = np.ascontiguousarray(arrays[key], dtype=np.uint8 if key.startswith("x") else "<i4")
        digest.update(f"{key} {values.shape}".encode())
        digest.update(values.data)
    return digest.hexdigest()


def own_path(spec: str) -> Path:
    return find_file(spec, DataError, WANTED)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of an .npz file, checked; raises DataError."""
    try:
        with open(path, "rb") as opened:
            if opened.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                raise DataError("the file holds a single array", where=path, expected=EXPECTED)
            with zipfile.ZipFile(opened) as file:
                arrays = _read_arrays(path, file)
    except FileNotFoundError:
        raise DataError("no such file", where=path, hint=WANTED) from None
    except IsADirectoryError:
        raise DataError("this is a folder", where=path, expected="an .npz file") from None
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or failure})", where=path) from None
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        raise DataError("not an .npz file, or an incomplete one", where=path, expected=EXPECTED) from None
    _check_labels(path, arrays)
    return arrays


def _read_arrays(path: Path, file: zipfile.ZipFile) -> dict[str, np.ndarray]:
    there = {name.removesuffix(".npy"): file.getinfo(name) for name in file.namelist()}
    if missing := [key for key in ARRAYS if key not in there]:
        raise DataError(
            f"{', '.join(missing)} missing", where=path, expected=", ".join(ARRAYS), got=", ".join(there) or "nothing"
        )
    headers = {key: _header(f"{path}: {key}", file, there[key]) for key in ARRAYS}
    _check(path, headers)
    needed, available = sum(header.size for header in headers.values()), memory_available()
    if needed > available:
        expected, got = (f"{size / 1e9:.2f} GB" for size in (available, needed))
        raise DataError("the arrays need more memory than is free", where=path, expected=f"at most {expected}", got=got)
    return {key: _array(f"{path}: {key}", file, there[key]) for key in ARRAYS}


def _header(where: str, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    """Return the header of an array, checked against the archive's own directory."""
    if info.compress_type not in COMPRESSIONS:
        raise DataError("packed by an unusual method", where=where, expected="a file that numpy.savez wrote")
    try:
        with file.open(info) as member:
            if not (known := _parse_header(member)):
                raise DataError("not an array", where=where, expected="a plain array of numbers")
            length = member.tell()
    except DAMAGES as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=where, hint=AGAIN) from None
    if known.dtype.hasobject:
        what = "pickled Python objects, which can run code when they are read"
        raise DataError(what, where=where, expected="a plain array of numbers")
    if any(count < 0 for count in known.shape) or known.size > info.file_size - length:
        raise DataError("damaged (its header promises more than there is)", where=where, hint=AGAIN)
    return known


def _parse_header(member: IO[bytes]) -> Header | None:
    """Return the header of a ``.npy`` file; None where it is none, or one of a structured array."""
    try:
        version = npy.read_magic(member)
    except ValueError:
        return None
    if version not in ((1, 0), (2, 0)):
        return None
    shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(member)
    return Header(shape, dtype)


def _array(where: str, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    try:
        with file.open(info) as member:
            array: np.ndarray = npy.read_array(member, allow_pickle=False)
            member.read(1)  # the end, where the checksum is compared
    except DAMAGES as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=where, hint=AGAIN) from None
    return array


def _check(path: Path, headers: Mapping[str, Header]) -> None:
    for images, labels in (("x_train", "y_train"), ("x_test", "y_test")):
        x, y = headers[images], headers[labels]
        if len(x.shape) != 3:
            raise DataError("wrong shape", where=f"{path}: {images}", expected="(n, height, width)", got=x.shape)
        if x.dtype != np.uint8:
            raise DataError(
                "wrong type", where=f"{path}: {images}", expected="uint8 pixels from 0 to 255", got=x.dtype,
                hint="Multiply values from 0 to 1 by 255 first.",
            )  # fmt: skip
        if y.shape != x.shape[:1]:
            raise DataError(
                "wrong shape", where=f"{path}: {labels}", expected=f"({x.shape[0]},), one label an image", got=y.shape
            )
        if y.dtype.kind not in "iu":
            raise DataError("wrong type", where=f"{path}: {labels}", expected="whole numbers", got=y.dtype)
        if 0 in x.shape:
            raise DataError("empty", where=f"{path}: {images}", expected="at least one image", got=x.shape)
    train, test = headers["x_train"].shape, headers["x_test"].shape
    if train[0] < 2:
        raise DataError("too few rows", where=f"{path}: x_train", expected="at least 2", got=train[0])
    if train[1:] != test[1:]:
        raise DataError(
            "images of another size than in x_train", where=f"{path}: x_test", expected=train[1:], got=test[1:]
        )


def _check_labels(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    for key in ("y_train", "y_test"):
        low, high = int(arrays[key].min()), int(arrays[key].max())
        if not 0 <= low <= high < 1000:
            raise DataError("labels out of range", where=f"{path}: {key}", expected="0 to 999", got=f"{low} to {high}")
    classes = int(arrays["y_train"].max()) + 1
    if classes < 2:
        raise DataError("there is only one class", where=f"{path}: y_train", expected="labels 0 and 1 at least")
    if int(arrays["y_test"].max()) >= classes:
        raise DataError(
            "a label that the training rows never show", where=f"{path}: y_test",
            expected=f"0 to {classes - 1}", got=arrays["y_test"].max(),
        )  # fmt: skip
