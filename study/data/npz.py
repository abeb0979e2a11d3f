"""Your own data: an ``.npz`` file with images and labels, checked before anything is trained on them."""

import hashlib
import zipfile
import zlib
from pathlib import Path

import numpy as np

from study.base.errors import DataError
from study.base.paths import find_file

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
WANTED = "data= takes auto, mnist, digits, synthetic, or the path of an .npz file."


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def own_path(spec: str) -> Path:
    return find_file(spec, DataError, WANTED)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of an .npz file, checked; raises DataError."""
    wanted = f"an .npz file with {', '.join(ARRAYS)}"
    try:
        with open(path, "rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError("the file holds a single array", where=path, expected=wanted)
            missing = [key for key in ARRAYS if key not in file]
            if missing:
                raise DataError(
                    f"{', '.join(missing)} missing",
                    where=path,
                    expected=", ".join(ARRAYS),
                    got=", ".join(file.files) or "nothing",
                )
            arrays = {key: _array(path, key, file) for key in ARRAYS}
    except FileNotFoundError:
        raise DataError("no such file", where=path, hint=WANTED) from None
    except IsADirectoryError:
        raise DataError("this is a folder", where=path, expected="an .npz file") from None
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or failure})", where=path) from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        # numpy takes any other file for a pickle, which allow_pickle=False makes it refuse.
        raise DataError("not an .npz file, or an incomplete one", where=path, expected=wanted) from None
    _check(path, arrays)
    return arrays


def _array(path: Path, key: str, file: np.lib.npyio.NpzFile) -> np.ndarray:
    where = f"{path}: {key}"
    try:
        array = file[key]
    except ValueError as failure:
        if "allow_pickle" not in str(failure):
            raise
        what = "pickled Python objects, which can run code when they are read"
        raise DataError(what, where=where, expected="a plain array of numbers") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as failure:
        raise DataError(f"damaged ({failure})", where=where, hint="Fetch or write the file again.") from None
    if not isinstance(array, np.ndarray):
        raise DataError("not an array", where=where, expected="a plain array of numbers")
    return array


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for images, labels in (("x_train", "y_train"), ("x_test", "y_test")):
        x, y = arrays[images], arrays[labels]
        if x.ndim != 3:
            raise DataError("wrong shape", where=f"{path}: {images}", expected="(n, height, width)", got=x.shape)
        if x.dtype != np.uint8:
            raise DataError(
                "wrong type", where=f"{path}: {images}", expected="uint8 pixels from 0 to 255", got=x.dtype,
                hint="Multiply values from 0 to 1 by 255 first.",
            )  # fmt: skip
        if y.ndim != 1 or len(y) != len(x):
            raise DataError(
                "wrong shape", where=f"{path}: {labels}", expected=f"({len(x)},), one label an image", got=y.shape
            )
        if y.dtype.kind not in "iu":
            raise DataError("wrong type", where=f"{path}: {labels}", expected="whole numbers", got=y.dtype)
        if 0 in x.shape:
            raise DataError("empty", where=f"{path}: {images}", expected="at least one image", got=x.shape)
        if not 0 <= int(y.min()) <= int(y.max()) < 1000:
            raise DataError(
                "labels out of range", where=f"{path}: {labels}", expected="0 to 999", got=f"{y.min()} to {y.max()}"
            )
    classes = int(arrays["y_train"].max()) + 1
    if classes < 2:
        raise DataError("there is only one class", where=f"{path}: y_train", expected="labels 0 and 1 at least")
    if len(arrays["y_train"]) < 2:
        raise DataError("too few rows", where=f"{path}: x_train", expected="at least 2", got=len(arrays["y_train"]))
    if int(arrays["y_test"].max()) >= classes:
        raise DataError(
            "a label that the training rows never show", where=f"{path}: y_test",
            expected=f"0 to {classes - 1}", got=arrays["y_test"].max(),
        )  # fmt: skip
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise DataError(
            "images of another size than in x_train", where=f"{path}: x_test",
            expected=arrays["x_train"].shape[1:], got=arrays["x_test"].shape[1:],
        )  # fmt: skip
