"""Reads the rows of features that a person asks about: JSON as it is typed, or a .json or .csv file."""

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.base.errors import DataError, first_line, shown
from study.base.paths import find_file
from study.base.text import readable
from study.data.tabular import separator_of
from study.inference.contract import Contract
from study.inference.serving import feature_items
from study.inference.serving.admission import Admission

WANTED = "a JSON object of named features, or the path of a .json or .csv file of rows"
MOST_BYTES = 20_000_000
MOST_ROWS = 10_000
# What pandas takes for a missing value, and so `tabular`.
MISSING_WORDS = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip


@dataclass(frozen=True)
class RowsAsked:
    """Rows as a person gives them: where they are from, and the values of each; from .csv they are all text."""

    name: str
    items: tuple[Any, ...]
    texts: bool = False


def read_rows(text: str) -> RowsAsked:
    """Return the rows in a text that is JSON, or in the file that it names; raises DataError."""
    if text.lstrip().startswith(("{", "[")):
        return RowsAsked("row", _of_json(text, "row"))
    path = find_file(text, DataError, f"row= takes {WANTED}.")
    if path.suffix.lower() not in (".json", ".csv"):
        raise DataError("not rows of features", where=path, expected=WANTED)
    content = _content(path)
    if path.suffix.lower() == ".json":
        return RowsAsked(readable(path.name), _of_json(content, path))
    return RowsAsked(readable(path.name), _of_csv(content, path), texts=True)


def encoded(asked: RowsAsked, contract: Contract, target: str | None) -> list[tuple]:
    """Return rows as `predict.read` takes them; the column `target`, where it is given, has their true classes.

    Raises DataError and StudyError, which name the first row that is wrong.
    """
    if contract.kind != "features":
        what = "the network reads pictures, and no rows of features"
        raise DataError(what, where=asked.name, hint="Ask it with image= or index=.")
    items = feature_items.of(contract)
    known = {column.name for column in contract.features.columns} if contract.features else set()
    checked, names, truths = [], [], []
    for number, item in enumerate(asked.items, start=1):
        name = f"{asked.name}, row {number}" if len(asked.items) > 1 or asked.name != "row" else "row"
        truth = None
        if isinstance(item, dict) and target and target not in known and target in item:
            item = dict(item)
            truth = _place(item.pop(target), contract.class_names)
        if isinstance(item, list):
            item = {"values": item}
        if asked.texts:
            item = _typed(item, contract, name)
        checked.append(items.checked(item, name))
        names.append(name)
        truths.append(truth)
    rows = items.rows(checked, 0, Admission())
    return [(name, None, row, truth) for name, row, truth in zip(names, rows, truths, strict=True)]


def _content(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DataError("too large", where=path, expected=f"at most {MOST_BYTES:,} bytes")
        return content.decode("utf-8-sig")
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or first_line(failure)})", where=path) from None
    except UnicodeDecodeError:
        raise DataError("not a text in UTF-8", where=path) from None


def _of_json(text: str, where: object) -> tuple[Any, ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as failure:
        raise DataError(f"not JSON ({first_line(failure)})", where=where, expected=WANTED) from None
    if isinstance(found, dict) and set(found) == {"inputs"}:  # as the server takes them
        found = found["inputs"]
    if isinstance(found, dict) or (isinstance(found, list) and found and not isinstance(found[0], dict)):
        found = [found]
    if not isinstance(found, list):
        raise DataError("no rows", where=where, expected=WANTED, got=shown(found))
    return _few(found, where)


def _of_csv(text: str, where: object) -> tuple[Any, ...]:
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=None), restkey="", delimiter=separator_of(first))
    try:
        names, rows = reader.fieldnames or [], list(reader)
    except csv.Error as failure:
        raise DataError(f"not a .csv file ({failure})", where=where) from None
    if len(set(names)) < len(names) or "" in names:
        raise DataError("not one name a column", where=where, expected="a first line of different names", got=names)
    for number, row in enumerate(rows, start=1):
        if "" in row or None in row.values():
            raise DataError(f"row {number} is not as long as the first line", where=where, expected=len(names))
    return _few(rows, where)


def _few(rows: list[Any], where: object) -> tuple[Any, ...]:
    if not 1 <= len(rows) <= MOST_ROWS:
        raise DataError("too many rows" if rows else "no rows", where=where, expected=f"1 to {MOST_ROWS:,} rows",
                        got=f"{len(rows):,}")  # fmt: skip
    return tuple(rows)


def _typed(item: dict[str, str], contract: Contract, where: str) -> dict[str, Any]:
    """Return a row's texts as what their columns take, as the data's own file is read: see `tabular`."""
    columns = contract.features.columns if contract.features else ()
    numeric = {column.name for column in columns if column.numeric}
    categories = {column.name: column.values for column in columns if column.values}
    typed: dict[str, Any] = {}
    for name, text in item.items():
        typed[name] = None if text in MISSING_WORDS and text not in categories.get(name, ()) else text
        if name in numeric and typed[name] is not None:
            truth = {"true": 1.0, "false": 0.0}.get(text.lower())
            try:
                typed[name] = float(text) if truth is None else truth
            except ValueError:
                raise DataError("not a number", where=f"{where}.{name}", expected="a number", got=shown(text)) from None
            if np.isnan(typed[name]):
                typed[name] = None
    return typed


def _place(label: object, classes: Sequence[str]) -> int | None:
    """Return the place of a label among the names of the classes; it may be written in another way, as 1.0 or TRUE."""
    texts = [str(label), str(label).strip().capitalize()]
    with contextlib.suppress(ValueError, OverflowError):
        if (number := float(str(label))) == int(number):
            texts.append(str(int(number)))
    return next((place for text in texts for place, name in enumerate(classes) if name == text), None)
