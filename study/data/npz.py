"""Your own data in an ``.npz`` file: images or features with labels, checked before anything is trained on them.

Types, shapes and sizes are taken from the arrays' headers, before an array is unpacked: a file of some megabytes can
hold more than the memory does.
"""

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
from study.data.content import KEYS, Content, is_pixels
from study.data.features import Column, Features, numbered
from study.data.labels import classified
from study.data.memory import check_fits

NEEDED = ("x_train", "y_train")
NAMES = ("class_names", "feature_names")
OTHER_KEYS = {"x_val": "x_validation", "y_val": "y_validation"}
EXPECTED = "an .npz file with x_train and y_train"
MOST_NAMES = 10_000_000  # bytes of an array of names
MOST_CHANNELS = 4
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

    @property
    def is_pixels(self) -> bool:
        """Whether the array has images."""
        return is_pixels(self.shape, self.dtype)


def read_npz(path: Path) -> Content:
    """Return the arrays of an ``.npz`` file, checked: x_train and y_train, and what it has beside them.

    That is x_test with y_test, x_validation with y_validation, class_names and feature_names. Raises DataError.
    """
    try:
        with open(path, "rb") as opened:
            if opened.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                raise DataError("the file holds a single array", where=path, expected=EXPECTED)
            with zipfile.ZipFile(opened) as file:
                arrays = _read_arrays(path, file)
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or failure})", where=path) from None
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        raise DataError("not an .npz file, or an incomplete one", where=path, expected=EXPECTED) from None
    return _content(path, arrays)


def _read_arrays(path: Path, file: zipfile.ZipFile) -> dict[str, np.ndarray]:
    there: dict[str, zipfile.ZipInfo] = {}
    for info in file.infolist():
        name = info.filename.removesuffix(".npy")
        key = OTHER_KEYS.get(name, name)
        if key in there:
            raise DataError(f"{key} is there twice", where=path)
        there[key] = info
    if missing := [key for key in NEEDED if key not in there]:
        got = ", ".join(there) or "nothing"
        raise DataError(f"{', '.join(missing)} missing", where=path, expected=", ".join(NEEDED), got=got)
    for key in KEYS:
        other = ("y" if key.startswith("x") else "x") + key[1:]
        if key in there and other not in there:
            raise DataError(f"{other} missing", where=path, expected=f"{other} beside {key}")
    headers = {key: _header(f"{path}: {key}", file, there[key]) for key in (*KEYS, *NAMES) if key in there}
    _check(path, {key: header for key, header in headers.items() if key in KEYS})
    for key in NAMES:
        if key in headers and (headers[key].dtype.kind != "U" or len(headers[key].shape) != 1):
            expected, got = "(n,) of text", f"{headers[key].shape} of {headers[key].dtype}"
            raise DataError("wrong type", where=f"{path}: {key}", expected=expected, got=got)
        if key in headers and headers[key].size > MOST_NAMES:
            raise DataError("too long names", where=f"{path}: {key}")
    check_fits(sum(map(_memory, headers.values())), path, what="the arrays need")
    return {key: _array(f"{path}: {key}", file, there[key]) for key in headers}


def _memory(header: Header) -> int:
    """Return how many bytes an array takes, and with it the one of float32 that features become."""
    copied = len(header.shape) > 1 and not header.is_pixels and header.dtype != np.float32
    return header.size + (4 * math.prod(header.shape) if copied else 0)


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


# --- what the arrays have to be ---------------------------------------------------------------------


def _check(path: Path, headers: Mapping[str, Header]) -> None:
    train = headers["x_train"]
    for key in KEYS[::2]:
        if key in headers:
            _check_inputs(f"{path}: {key}", headers[key], train)
            _check_labels(f"{path}: y{key[1:]}", headers[f"y{key[1:]}"], headers[key].shape[0])
    if train.shape[0] < 2:
        raise DataError("too few rows", where=f"{path}: x_train", expected="at least 2", got=train.shape[0])


def _check_inputs(where: str, x: Header, train: Header) -> None:
    if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        expected = "uint8 pixels, or features of floats or whole numbers"
        raise DataError("wrong type", where=where, expected=expected, got=x.dtype)
    if len(x.shape) < 2:
        expected = "(n, height, width), (n, height, width, channels) or features (n, …)"
        raise DataError("wrong shape", where=where, expected=expected, got=x.shape)
    if 0 in x.shape:
        raise DataError("empty", where=where, expected="at least one row of at least one number", got=x.shape)
    if x.is_pixels != train.is_pixels:
        expected, got = ("pixels of uint8" if each.is_pixels else f"features of {each.dtype}" for each in (train, x))
        raise DataError("another kind of data than in x_train", where=where, expected=expected, got=got)
    if x.is_pixels and len(x.shape) == 4 and x.shape[3] > MOST_CHANNELS:
        expected = f"(n, height, width, channels) with 1 to {MOST_CHANNELS} channels"
        hint = "Channels go last: np.moveaxis(x, 1, -1). What is no image can be features: x.astype(np.float32)."
        raise DataError("wrong shape", where=where, expected=expected, got=x.shape, hint=hint)
    if x.shape[1:] != train.shape[1:]:
        what = f"{'images' if x.is_pixels else 'rows'} of another size than in x_train"
        raise DataError(what, where=where, expected=train.shape[1:], got=x.shape[1:])


def _check_labels(where: str, y: Header, rows: int) -> None:
    if y.shape not in ((rows,), (rows, 1)):
        hint = "Of one-hot rows: y.argmax(axis=1)." if len(y.shape) == 2 and y.shape[0] == rows else None
        raise DataError("wrong shape", where=where, expected=f"({rows},), one label a row", got=y.shape, hint=hint)
    if y.dtype.kind not in "biuU" or (y.dtype.kind == "U" and y.dtype.itemsize > 4_000):
        raise DataError("wrong type", where=where, expected="whole numbers or text", got=y.dtype)


def _content(path: Path, arrays: Mapping[str, np.ndarray]) -> Content:
    labels = {key.removeprefix("y_"): _plain(arrays[key]) for key in KEYS[1::2] if key in arrays}
    if len({values.dtype.kind == "U" for values in labels.values()}) > 1:
        got = ", ".join(f"y_{split} of {values.dtype}" for split, values in labels.items())
        raise DataError("labels of two types", where=path, expected="numbers or text in all of them", got=got)
    names = [str(name) for name in arrays["class_names"]] if "class_names" in arrays else None
    classes, class_names = classified(labels, names, path)
    inputs = {key: _inputs(f"{path}: {key}", arrays[key]) for key in KEYS[::2] if key in arrays}
    columns = _columns(path, inputs["x_train"], arrays.get("feature_names"))
    return Content(inputs | {f"y_{split}": values for split, values in classes.items()}, class_names, columns)


def _plain(labels: np.ndarray) -> np.ndarray:
    labels = labels.reshape(len(labels))
    if labels.dtype.kind == "b":
        return labels.astype(str)
    return labels.astype(np.int64) if labels.dtype == np.uint64 and labels.max() < 2**63 else labels


def _inputs(where: str, values: np.ndarray) -> np.ndarray:
    """Return pixels as they are, and features as float32; raises DataError for what is no finite number."""
    if is_pixels(values.shape, values.dtype):
        return values
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(values, np.float32)
    finite = np.asarray(np.isfinite(features).reshape(len(features), -1).all(axis=1))
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise DataError(
            "numbers that are missing, infinite or above 3.4e38", where=where, expected="finite numbers",
            got=f"others in {(~finite).sum():,} of {len(finite):,} rows, the first in row {row + 1}",
            hint="Fill them in first. In a .csv file they may be missing.",
        )  # fmt: skip
    return features


def _columns(path: Path, inputs: np.ndarray, names: np.ndarray | None) -> Features | None:
    if is_pixels(inputs.shape, inputs.dtype) or inputs.ndim > 2:
        if names is not None:
            raise DataError("feature_names names the columns of features (n, columns)", where=path, got=inputs.shape)
        return None
    if names is None:
        return numbered(inputs.shape[1])
    known = [str(name) for name in names]
    if len(known) != inputs.shape[1] or len(set(known)) < len(known) or not all(known):
        expected = f"{inputs.shape[1]} different names"
        raise DataError("not one name a column", where=f"{path}: feature_names", expected=expected, got=len(known))
    return Features(tuple(map(Column, known)))
