"""The columns of a table, and how named values become the numbers that a network gets.

A number is one column. A text is a category: each of its values is a column of 0 and 1, named ``colour=red``. Where
values may be missing, one more column of 0 and 1 says so, and the column's median stands for a missing number. Scaling
is the network's business.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from study.base.errors import DataError, nearest, shown

MISSING = "is missing"


@dataclass(frozen=True)
class Column:
    """A column of a table: a number, or a category with its `values`.

    With `optional` its value may be missing; `fill` then stands for a missing number.
    """

    name: str
    values: tuple[str, ...] | None = None
    optional: bool = False
    fill: float = 0.0

    @property
    def numeric(self) -> bool:
        """Whether the column is a number."""
        return self.values is None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns of the matrix."""
        own = (self.name,) if self.values is None else tuple(f"{self.name}={value}" for value in self.values)
        return (*own, f"{self.name} {MISSING}") if self.optional else own

    def encode(self, values: Sequence[Any] | np.ndarray, where: object = None) -> np.ndarray:
        """Return n values as the column's part (n, names) of the matrix, of float32; None and NaN are missing.

        Raises DataError, with the row, for a value that is no number, or a category that is not known.
        """
        place = self.name if where is None else f"{where}: {self.name}"
        matrix = np.zeros((len(values), len(self.names)), np.float32)
        if self.values is None:
            numbers = values if isinstance(values, np.ndarray) and values.dtype.kind == "f" else _numbers(values, place)
            missing = np.isnan(numbers)
            with np.errstate(over="ignore"):
                matrix[:, 0] = np.where(missing, self.fill, numbers)
            if len(wrong := np.flatnonzero(~np.isfinite(matrix[:, 0]))):
                what = f"{numbers[wrong[0]]:g} in row {wrong[0] + 1}"
                raise DataError("a number out of range", where=place, expected="at most 3.4e38", got=what)
        else:
            place_of = {value: number for number, value in enumerate(self.values)}
            missing = np.array([_is_missing(value) for value in values], bool)
            for row in np.flatnonzero(~missing).tolist():
                value = _category(values[row])
                if value not in place_of:
                    expected = f"{', '.join(self.values[:10])}{', …' if len(self.values) > 10 else ''}"
                    got = f"{shown(values[row])} in row {row + 1}"
                    raise DataError("an unknown category", where=place, expected=expected, got=got)
                matrix[row, place_of[value]] = 1
        if self.optional:
            matrix[:, -1] = missing
        elif missing.any():
            what, hint = f"a missing value in row {missing.argmax() + 1}", "No training value was missing."
            raise DataError(what, where=place, hint=hint)
        return matrix


@dataclass(frozen=True)
class Features:
    """The columns that make up the rows of a dataset, in the order of its matrix, and those that were left out.

    `dropped` names the columns of the source that say nothing, because all of their values are the same: `encode`
    accepts and ignores them.
    """

    columns: tuple[Column, ...]
    dropped: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the matrix's columns, such as ``age`` and ``colour=red``."""
        return tuple(name for column in self.columns for name in column.names)

    def encode(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        """Return rows of named values as the matrix (n, names) of float32; what a row doesn't name is missing.

        Raises DataError for a column that is not known, and what `Column.encode` refuses.
        """
        known = {column.name for column in self.columns} | set(self.dropped)
        for number, row in enumerate(rows):
            for name in row:
                if name not in known:
                    got = f"{shown(name)} in row {number + 1}"
                    raise DataError("an unknown column", got=got, hint=nearest(str(name), sorted(known)))
        if not self.columns:
            return np.zeros((len(rows), 0), np.float32)
        return np.hstack([column.encode([row.get(column.name) for row in rows]) for column in self.columns])

    def as_plain(self) -> dict[str, object]:
        """Return the features as plain values, which JSON can hold and `from_plain` reads back."""
        columns: list[dict[str, object]] = []
        for column in self.columns:
            plain: dict[str, object] = {"name": column.name}
            if column.values is not None:
                plain["values"] = list(column.values)
            if column.optional:
                plain["optional"] = True
            if column.optional and column.values is None:
                plain["fill"] = column.fill
            columns.append(plain)
        return {"columns": columns, "dropped": list(self.dropped)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Features":
        """Return the features that `as_plain` has written."""
        columns = (
            Column(
                str(one["name"]), None if one.get("values") is None else tuple(map(str, one["values"])),
                bool(one.get("optional", False)), float(one.get("fill", 0.0)),
            )
            for one in plain["columns"]
        )  # fmt: skip
        return cls(tuple(columns), tuple(map(str, plain.get("dropped", ()))))


def numbered(width: int) -> Features:
    """Return the features of an array whose columns have no names: ``feature_0``, ``feature_1``, …."""
    return Features(tuple(Column(f"feature_{number}") for number in range(width)))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _category(value: object) -> str:
    """Return a category's value as it is named: a whole number in JSON may stand for a text of digits."""
    return value if isinstance(value, str) else str(value)


def _numbers(values: Sequence[Any] | np.ndarray, place: str) -> np.ndarray:
    numbers = np.empty(len(values), np.float64)
    for row, value in enumerate(values):
        if _is_missing(value):
            numbers[row] = np.nan
        elif isinstance(value, (bool, int, float, np.bool_, np.number)):
            try:
                numbers[row] = float(value)
            except OverflowError:
                numbers[row] = np.inf
        else:
            raise DataError("not a number", where=place, expected="a number", got=f"{shown(value)} in row {row + 1}")
    return numbers
