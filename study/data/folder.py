"""Reads a folder that has one folder of pictures for each class, as pixels of one size."""

import os
from pathlib import Path

import numpy as np

from study.base.errors import DataError, first_line
from study.base.paths import check_regular
from study.data.content import Content
from study.data.labels import classified
from study.data.memory import check_fits
from study.data.picture_headers import MOST_BYTES
from study.data.pictures import pixels

FORM = "one folder of pictures for each class, and nothing else"


def read_folder(path: Path, size: str) -> Content:
    """Return the pictures in the folders of a folder, scaled to `size`, such as 28x28; each folder is a class.

    They come in the order of the folders' and files' names; names that begin with a dot are skipped. They are in colour
    if any of them is. Raises DataError, ImageError.
    """
    height, width = map(int, size.split("x"))
    files = [(each, folder.name) for folder in _listed(path) for each in _pictures(path, folder)]
    if not files:
        raise DataError("the folder has no pictures", where=path, expected=FORM)
    # Both the single pictures and the array that they go into, as if they were in colour.
    needed, what = 2 * 3 * len(files) * height * width, f"{len(files):,} pictures need"
    check_fits(needed, path, "A smaller size= needs less.", what)
    rows = [pixels(_content(each), height, width, each) for each, _ in files]
    if any(row.ndim == 3 for row in rows):
        rows = [row if row.ndim == 3 else np.repeat(row[..., None], 3, axis=2) for row in rows]
    labels, names = classified({"train": np.array([name for _, name in files])}, None, path, column="")
    return Content({"x_train": np.stack(rows), "y_train": labels["train"]}, names)


def _listed(folder: Path) -> list[Path]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror})", where=folder) from None
    return [folder / name for name in names]


def _pictures(root: Path, folder: Path) -> list[Path]:
    """Return the files of a class's folder; raises DataError where there is something else, or nothing."""
    if not folder.is_dir():
        raise DataError("not a folder", where=folder, expected=f"in {root}: {FORM}")
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        raise DataError("a link that leads back to where it lies", where=folder)
    files = _listed(folder)
    if not files:
        raise DataError("a class without pictures", where=folder)
    for path in files:
        check_regular(path, DataError)
        if path.is_dir():
            raise DataError("a folder inside a class", where=path, expected=f"in {root}: {FORM}")
    return files


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or first_line(failure)})", where=path) from None
