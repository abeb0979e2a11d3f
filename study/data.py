"""Datasets in MNIST's form: images (n, 28, 28) of uint8 and labels (n,) of int32, in three splits."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from study import small_sets
from study.errors import DataError

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
CONNECT_SECONDS = 10

SPLITS = ("train", "validation", "test")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Split:
    """Images (n, height, width) of uint8 with their labels (n,) of int32."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one set of labelled images, and what identifies it.

    `spec` loads it again (``mnist``, ``digits`` or a path); `sha256` is that of the file, or of the arrays
    where there is no file; `substitute_for` says why these are not the data that were wanted.
    """

    name: str
    spec: str
    sha256: str
    classes: int
    train: Split
    validation: Split
    test: Split
    substitute_for: str | None = None

    @property
    def title(self) -> str:
        """The name as it stands over pictures, which says so where these are not the data that were wanted."""
        return f"{self.name} (a substitute for MNIST)" if self.substitute_for else self.name

    def without_test(self) -> "Dataset":
        """Return the dataset with no test rows, for those who are to choose: they cannot look."""
        return replace(self, test=Split(self.test.images[:0], self.test.labels[:0]))

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        return self.train.images.shape[1:]


def load(spec: str, validation: str = "auto") -> Dataset:
    """Return the dataset that `spec` names, its last `validation` training rows split off.

    `spec` is ``mnist``, ``digits``, ``synthetic``, the path of an ``.npz`` file with x_train, y_train, x_test and
    y_test, or ``auto``: MNIST, or the digits where MNIST can be neither found nor fetched. `validation` is a count, a
    fraction of the training rows, or ``auto``: 5,000 rows, but at most 15 %.

    Raises DataError that says what is wrong with the data, and where.
    """
    substitute_for = None
    if spec == "auto":
        try:
            spec, path = "mnist", _mnist_file()
        except DataError as failure:
            spec, substitute_for = "digits", f"MNIST, which could not be had ({str(failure).rstrip('.')})"
    elif spec == "mnist":
        path = _mnist_file()
    elif spec not in small_sets.SETS:
        path = _own_file(spec)

    if spec in small_sets.SETS:
        name, arrays = spec, small_sets.SETS[spec]()
        sha256 = hashlib.sha256(b"".join(arrays[key].tobytes() for key in ARRAYS)).hexdigest()
    else:
        name, arrays = ("mnist" if spec == "mnist" else path.stem), _read(path)
        sha256 = _sha256(path)

    rows = len(arrays["y_train"])
    kept = rows - _validation_rows(validation, rows, where=spec)
    images, labels = arrays["x_train"], arrays["y_train"].astype(np.int32)
    return Dataset(
        name=name,
        spec=spec if spec == "mnist" or spec in small_sets.SETS else str(path.resolve()),
        sha256=sha256,
        classes=int(labels.max()) + 1,
        train=Split(images[:kept], labels[:kept]),
        validation=Split(images[kept:], labels[kept:]),
        test=Split(arrays["x_test"], arrays["y_test"].astype(np.int32)),
        substitute_for=substitute_for,
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


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- MNIST ------------------------------------------------------------------------------------------


def _mnist_file() -> Path:
    """Return Keras's cached mnist.npz, fetched first where it is not there or not intact."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    path = Path(home) / "datasets" / "mnist.npz"
    try:
        if not (path.is_file() and _sha256(path) == MNIST_SHA256):
            download(MNIST_URL, path, MNIST_SHA256)
    except OSError as failure:
        raise DataError(f"MNIST cannot be kept in Keras's cache ({failure.strerror})", where=path) from None
    return path


def download(url: str, path: Path, sha256: str, *, timeout: float = CONNECT_SECONDS) -> None:
    """Fetch `url` to `path`, which appears only when it is complete and has this SHA-256.

    `timeout` is in seconds, for the connection and for each silence after it. Raises DataError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part") as part:
        digest = hashlib.sha256()
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                size = int(response.headers.get("Content-Length", -1))
                while block := response.read(1 << 16):
                    digest.update(block)
                    part.write(block)
        except urllib.error.HTTPError as failure:
            failure.close()
            raise DataError(f"the download failed ({failure.reason})", where=url) from None
        except (OSError, http.client.HTTPException, ValueError) as failure:
            raise DataError(f"the download failed ({getattr(failure, 'reason', failure)})", where=url) from None
        if size not in (-1, part.tell()):
            raise DataError("the connection broke off", where=url, expected=f"{size} bytes", got=part.tell())
        if digest.hexdigest() != sha256:
            raise DataError(
                "the download is not the file it should be",
                where=url,
                expected=f"SHA-256 {sha256[:12]}…",
                got=f"{digest.hexdigest()[:12]}… ({part.tell()} bytes)",
            )
        part.flush()
        # A hard link of the temporary name would fail on some file systems; a copy could be torn. So the
        # finished part takes the final name in one step and a new empty one is left for the clean-up.
        os.replace(part.name, path)
        open(part.name, "wb").close()
    os.chmod(path, 0o644)


# --- a file of one's own ----------------------------------------------------------------------------


def _own_file(spec: str) -> Path:
    try:
        return Path(spec).expanduser()
    except RuntimeError as failure:  # ~somebody who is not known here
        raise DataError(str(failure), where=spec) from None


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of an .npz file, checked; raises DataError."""
    wanted = f"an .npz file with {', '.join(ARRAYS)}"
    try:
        with open(path, "rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError("a single array", where=path, expected=wanted)
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
        hint = "data= takes auto, mnist, digits, synthetic, or the path of an .npz file."
        raise DataError("no such file", where=path, hint=hint) from None
    except IsADirectoryError:
        raise DataError("a folder", where=path, expected="an .npz file") from None
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or failure})", where=path) from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        # numpy takes any other file for a pickle, which allow_pickle=False makes it refuse.
        raise DataError("not an .npz file, or not all of one", where=path, expected=wanted) from None
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
                hint="Values from 0 to 1 have to be multiplied by 255 first.",
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
        raise DataError("one class only", where=f"{path}: y_train", expected="labels 0 and 1 at least")
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
