"""Takes pictures and rows that a person asks about, and returns what the network makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from study.analysis import explanations
from study.analysis.explanations import Reading
from study.base.errors import DataError
from study.base.paths import check_regular
from study.base.text import readable
from study.data.picture_headers import ImageError
from study.data.pictures import decoded, pixels
from study.inference import pictures, preprocessing, synthetic_digits
from study.inference.contract import Contract

if TYPE_CHECKING:  # imports TensorFlow
    from study.inference.model import Reader

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
LARGE, SMALL = 320, 56  # pixels a side of the stored original: of a single picture, of one among many


def read(reader: "Reader", asked: Sequence[tuple]) -> list[Reading]:
    """Return what the network makes of rows, each (name, picture or None, row, true class or None); see Reading."""
    rows, takes = np.stack([row for _, _, row, _ in asked]), reader.takes
    if rows.shape[1:] != takes.row_shape:
        expected, got = (" × ".join(map(str, shape)) for shape in (takes.row_shape, rows.shape[1:]))
        what = f"the network reads {'images' if takes.kind == 'pixels' else 'rows'} of another size"
        raise DataError(what, where=reader.name, expected=expected, got=got)
    probabilities = reader.probabilities(rows)
    doubts, reasons = reader.doubts(rows)
    classes = probabilities.shape[1]
    return [
        Reading(
            name, picture, row, shares, odd, why, truth if truth is not None and truth < classes else None,
            takes.class_names,
        )
        for (name, picture, row, truth), shares, odd, why in zip(asked, probabilities, doubts, reasons, strict=True)
    ]  # fmt: skip


# --- pictures ---------------------------------------------------------------------------------------


def open_file(path: Path, contract: Contract, side: int = LARGE) -> tuple:
    """Return a picture file as `read` takes it, without a true class; raises ImageError that names the file.

    Raises DataError if the network reads no pictures.
    """
    pictures.check(contract, path.name)
    check_regular(path, ImageError)
    if contract.handwriting:
        picture = preprocessing.decode_file(path)
        return readable(path.name), explanations.thumbnail(picture, side), preprocessing.normalize(picture), None
    content = preprocessing.content_of(path)
    width, height = decoded(content, lambda image: image.size, path)
    scale = min(1.0, side / max(width, height))
    picture = pixels(content, max(1, round(scale * height)), max(1, round(scale * width)), path)
    return readable(path.name), picture, pictures.in_form(content, contract.row_shape, path), None


def open_folder(folder: Path, contract: Contract) -> tuple[list[tuple], list[tuple[str, str]]]:
    """Return a folder's pictures as `read` takes them, by name, and (file, reason) for those that cannot be read.

    The true class is the one with which a name begins. Raises ImageError if no picture can be read.
    """
    pictures.check(contract, folder.name)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        expected = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise ImageError("no pictures in this folder", where=folder, expected=f"files of {expected}")
    found, unreadable = [], []
    for path in paths:
        try:
            truth = explanations.truth_of(path.name, contract.class_names)
            found.append((*open_file(path, contract, SMALL)[:3], truth))
        except ImageError as failure:
            unreadable.append((readable(path.name), str(failure).removeprefix(readable(f"{path}: "))))
    if not found:
        first = ": ".join(unreadable[0])
        raise ImageError(f"none of the {len(paths)} pictures can be read", where=folder, got=first)
    return found, unreadable


def draw(count: int, seed: int, class_names: Sequence[str]) -> list[tuple]:
    """Return `count` drawings of the digits that are classes, in turn, as `read` takes them.

    Their strokes depend on the seed.
    """
    drawn = []
    for number in range(count):
        truth = number % len(class_names)
        digit = int(class_names[truth])
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        picture = synthetic_digits.draw(digit, own_seed)
        name = f"{digit}_drawing_{number + 1:0{len(str(count))}}"
        drawn.append((name, explanations.thumbnail(picture, SMALL), preprocessing.normalize(picture), truth))
    return drawn
