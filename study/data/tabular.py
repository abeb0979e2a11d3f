"""Reads a table from a ``.csv`` or ``.parquet`` file: one column has the labels, the others are the features.

What can't be a feature is refused by the name of its column: dates, lists, numbers with text among them. Missing values
are allowed, and `Features` says how they are encoded. Columns that say nothing are left out.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from study.base.errors import DataError, first_line, nearest, shown
from study.data import split
from study.data.content import Content, rows_for_test
from study.data.features import MISSING, Column, Features
from study.data.labels import classified
from study.data.memory import check_fits

if TYPE_CHECKING:  # both take a second to import, and not every dataset is a table
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
SEPARATORS = (",", ";", "\t")
BYTES_A_CELL = 24  # as pandas reads it and as an array of float32, with room for text
SAMPLE = 1 << 20  # bytes of a file, of which the length of a row is estimated
MOST_CATEGORIES = 100
MOST_WIDTH = 10_000  # columns of the matrix
DATE = re.compile(r"\s*(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{4}/\d{1,2}/\d{1,2})([T ].*)?\s*")
COMMA = re.compile(r"\s*[-+]?\d+(\.\d{3})*,\d+\s*|\s*[-+]?\d{1,3}(,\d{3})+(\.\d+)?\s*")  # 1,5 and 1.234,5 and 1,234.5
NO_INDEX = "Write the table without its index: index=False."


def read_table(path: Path, target: str | None) -> Content:
    """Return the rows of a table; the column `target` has the labels. Raises DataError.

    The test rows are a fifth of every class: a table has no others.
    """
    names = list(_csv_names(path) if path.suffix.lower() == ".csv" else _parquet_names(path))
    _check_names(path, names)
    listed = f"{', '.join(names[:20])}{', …' if len(names) > 20 else ''}"
    if target is None:
        hint = f"Name the column that has the labels: -P target=…, one of {listed}."
        raise DataError("target is missing", where=path, hint=hint)
    if target not in names:
        raise DataError(f"there is no column {shown(target)}", where=path, hint=nearest(target, names))
    frame = _csv_frame(path, names) if path.suffix.lower() == ".csv" else _parquet_frame(path)
    if not len(frame):
        raise DataError("the table has no rows", where=path, expected="at least one")
    labels, class_names = classified({"train": _labels(f"{path}: {target}", frame[target])}, None, path, target)
    for_test = rows_for_test(labels["train"], path)
    columns, values, dropped = [], [], []
    for name in names:
        if name != target:
            where = f"{path}: {name}"
            found = _values(where, frame[name])
            if _is_constant(found):
                dropped.append(name)
            else:
                columns.append(_column(where, name, found, for_test))
                values.append(found)
    features = Features(tuple(columns), tuple(dropped))
    _check_width(path, features, len(frame), dropped)
    matrix = np.hstack([column.encode(each, path) for column, each in zip(columns, values, strict=True)])
    own = labels["train"]
    arrays = {
        "x_train": matrix[~for_test], "y_train": own[~for_test], "x_test": matrix[for_test], "y_test": own[for_test],
    }  # fmt: skip
    return Content(arrays, class_names, features, split.TEST_BY_CLASS)


# --- the file ---------------------------------------------------------------------------------------


def _csv_names(path: Path) -> list[str]:
    """Return the names in a CSV file's first line, once all of its lines are known to have as many fields."""
    separator = _separator(path)
    lines = _csv_lines(path, separator)
    names = next(lines, [])
    _check_csv_fits(path, len(names))
    for number, line in enumerate(lines, start=2):
        if line and len(line) != len(names):
            what = f"row {number} has another number of fields than the first one, which names the columns"
            raise DataError(what, where=path, expected=len(names), got=len(line))
    return names


def separator_of(first: str) -> str:
    """Return the one of SEPARATORS that a file's first line has most often."""
    return max(SEPARATORS, key=first.count)


def _separator(path: Path) -> str:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            first = file.readline(SAMPLE)
    except OSError as failure:
        raise DataError(f"cannot be read ({failure.strerror or failure})", where=path) from None
    if not first.strip():
        raise DataError("an empty file, or an empty first line", where=path, expected="the names of the columns")
    return separator_of(first)


def _csv_lines(path: Path, separator: str) -> Iterator[list[str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(_without_zeros(file), delimiter=separator, strict=True)
    except UnicodeDecodeError as failure:
        hint = 'Write it as such: encoding="utf-8".'
        raise DataError(f"not UTF-8 text (byte {failure.start:,})", where=path, hint=hint) from None
    except (csv.Error, OSError) as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=path) from None


def _without_zeros(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:
            raise csv.Error("a zero byte")
        yield line


def _check_csv_fits(path: Path, columns: int) -> None:
    size = path.stat().st_size
    with open(path, "rb") as file:
        sample = file.read(SAMPLE)
    rows = size * max(1, sample.count(b"\n")) / max(1, len(sample))
    need = f"about {rows:,.0f} rows of {columns:,} columns need"
    check_fits(size + rows * columns * BYTES_A_CELL, path, what=need)


def _csv_frame(path: Path, names: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_csv(
            path, sep=_separator(path), encoding="utf-8-sig", compression=None, low_memory=False, header=0,
            names=list(names), index_col=False,
        )  # fmt: skip
    except (ValueError, OverflowError) as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=path) from None


def _parquet_names(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns, once its rows are known to fit into the memory."""
    from pyarrow import parquet, types

    try:
        with parquet.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, ValueError) as failure:  # Arrow's own exceptions are of these two
        raise DataError(f"not a Parquet file, or a damaged one ({first_line(failure)})", where=path) from None
    for column in schema:
        if types.is_nested(column.type) or types.is_binary(column.type):
            expected = "numbers or text"
            raise DataError("not a plain column", where=f"{path}: {column.name}", expected=expected, got=column.type)
    need = f"{rows:,} rows of {len(schema):,} columns need"
    check_fits(rows * len(schema) * BYTES_A_CELL, path, what=need)
    return list(schema.names)


def _parquet_frame(path: Path) -> "pd.DataFrame":
    from pyarrow import parquet, types

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
        # As it is stored, each different text once: a small file can repeat a long one a million times.
        texts = [each.name for each in schema if types.is_string(each.type) or types.is_large_string(each.type)]
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            frame: pd.DataFrame = file.read().to_pandas(ignore_metadata=True)
    except (OSError, ValueError) as failure:
        raise DataError(f"damaged ({first_line(failure)})", where=path) from None
    return frame


def _check_names(path: Path, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError("two columns have the same name", where=path, got=shown(twice[0]))
    for number, name in enumerate(names, start=1):
        if not name.strip() or name == "__index_level_0__":
            raise DataError(f"column {number} has no name", where=path, hint=NO_INDEX)


# --- columns ----------------------------------------------------------------------------------------


def _labels(where: str, column: "pd.Series") -> np.ndarray:
    """Return labels (n,) of whole numbers or text."""
    missing = column.isna().to_numpy()
    if missing.any():
        got = f"none in {missing.sum():,} of {len(column):,} rows, the first in row {missing.argmax() + 1}"
        raise DataError("missing labels", where=where, expected="a label in every row", got=got)
    values = _values(where, column)
    if values.dtype.kind == "f":
        if column.dtype.kind == "b":
            return np.where(values == 1, "True", "False")
        odd = (values != np.floor(values)) | (np.abs(values) > 2**53)
        if odd.any():
            got = f"{values[odd.argmax()]:g} in row {odd.argmax() + 1}"
            hint = "A network here tells classes apart; it doesn't predict numbers."
            raise DataError("labels that are no classes", where=where, expected="whole numbers or text", got=got,
                            hint=hint)  # fmt: skip
        return values.astype(np.int64)
    return values.astype(str)


def _values(where: str, column: "pd.Series") -> np.ndarray:
    """Return a column as numbers (n,) of float64 with NaN, or as text (n,) of objects with None, where it is missing.

    Raises DataError for anything else.
    """
    import pandas as pd

    missing = column.isna().to_numpy()
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        if pd.api.types.is_complex_dtype(column):
            raise DataError("not a plain column", where=where, expected="numbers or text", got=column.dtype)
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        if (wrong := np.isinf(numbers)).any():
            raise DataError(
                "an infinite number", where=where, got=f"{numbers[wrong.argmax()]} in row {wrong.argmax() + 1}"
            )
        return numbers
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise _dates(where, column.dtype)
    values = column.to_numpy(object, copy=True)
    values[missing] = None
    kinds = {type(value) for value in values[~missing]}
    if (kinds and kinds <= {bool, int, float}) or {kind.__name__ for kind in kinds} == {"Decimal"}:
        return np.array([np.nan if value is None else float(value) for value in values])
    if any(kind.__module__ == "datetime" for kind in kinds):
        raise _dates(where, sorted(kind.__name__ for kind in kinds)[0])
    if kinds - {str}:
        got = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError("not a plain column", where=where, expected="numbers or text", got=got)
    return values


def _dates(where: str, got: object) -> DataError:
    hint = "Make numbers of what matters about them, such as the year or the weekday."
    return DataError("dates are no features", where=where, expected="numbers or text", got=got, hint=hint)


def _is_constant(values: np.ndarray) -> bool:
    if values.dtype.kind == "f":
        there = values[~np.isnan(values)]
        return len(there) in (0, len(values)) and bool((there == there[:1]).all())
    return len(set(values)) == 1


def _column(where: str, name: str, values: np.ndarray, for_test: np.ndarray) -> Column:
    """Return how a column is encoded; a missing number becomes the median of the rows that are not for the test."""
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        known = values[~missing & ~for_test]
        fill = float(np.float32(np.median(known))) if len(known) and missing.any() else 0.0
        return Column(name, None, bool(missing.any()), fill)
    there = sorted({value for value in values if value is not None})
    if len(found := [value for value in there if COMMA.fullmatch(value)]) >= len(there) / 2:
        got = f"{shown(found[0])}, and others with a comma"
        hint = "Write decimal points, and nothing between the thousands; categories in another way, such as 1-2."
        raise DataError("numbers with commas", where=where, got=got, hint=hint)
    if len(numbers := [value for value in there if _is_number(value)]) >= len(there) / 2:
        text = next((value for value in there if value not in set(numbers)), numbers[0])
        row = int(np.flatnonzero(values == text)[0]) + 1
        hint = "A missing number is an empty field."
        raise DataError("text in a column of numbers", where=where, got=f"{shown(text)} in row {row}", hint=hint)
    if all(DATE.fullmatch(value) for value in there):
        raise _dates(where, shown(there[0]))
    if len(there) > MOST_CATEGORIES:
        hint = "Leave the column out, or group its values."
        raise DataError("too many categories", where=where, expected=f"at most {MOST_CATEGORIES}",
                        got=f"{len(there):,} different texts, such as {shown(there[0])}", hint=hint)  # fmt: skip
    return Column(name, tuple(there), any(value is None for value in values))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_width(path: Path, features: Features, rows: int, dropped: Sequence[str]) -> None:
    names: list[Any] = list(features.names)
    if not names:
        got = f"columns that have the same value in every row: {', '.join(dropped)}" if dropped else "labels alone"
        raise DataError("the table has no features", where=path, expected="a column beside the labels", got=got)
    if len(names) > MOST_WIDTH:
        expected, got = f"at most {MOST_WIDTH:,}", f"{len(names):,}, counting each category"
        raise DataError("too many columns", where=path, expected=expected, got=got)
    if twice := [name for name in names if names.count(name) > 1]:
        hint = f"colour=red and “colour {MISSING}” are names that categories and missing values get. Rename a column."
        raise DataError(f"two columns are called {shown(twice[0])}", where=path, hint=hint)
    check_fits(3 * 4 * rows * len(names), path, what=f"{rows:,} rows of {len(names):,} columns need")
