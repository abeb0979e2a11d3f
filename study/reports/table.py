"""Tables: described once, rendered as Markdown and CSV here and on the terminal by `entrypoints.display`."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

from study.analysis.formatting import show, whole
from study.analysis.statistics import Estimate
from study.reports.markdown import plain
from study.tracking.artifacts import csv_text


def as_text(value: object) -> str:
    """Return a value as a table shows it, unless its column says otherwise: ``–`` for None and NaN."""
    if value is None or isinstance(value, Estimate):
        return show(value)
    if isinstance(value, float) and math.isnan(value):
        return show(None)
    return whole(int(value)) if isinstance(value, Integral) else str(value)


def as_fields(value: object) -> tuple[object, ...]:
    """Return a value as a CSV file has it, in full precision: empty for None."""
    return ("" if value is None else value,)


@dataclass(frozen=True)
class Column:
    """A column: its title, the names of the CSV columns that it fills, and how its values become text and CSV fields.

    Words are aligned left and may wrap; numbers are aligned right and stay whole. Without `names` the CSV file has one
    column, named as the title.
    """

    title: str
    names: Sequence[str] = ()
    words: bool = False
    text: Callable[[Any], str] = as_text
    fields: Callable[[Any], Sequence[object]] = as_fields


class Table:
    """Columns, and rows of values below them; a title alone is a column of numbers.

    The first column and those whose titles are in `words` hold words.
    """

    def __init__(
        self, columns: Iterable[Column | str], rows: Iterable[Sequence[object]], words: Sequence[str] = ()
    ) -> None:
        described = [column if isinstance(column, Column) else Column(column) for column in columns]
        of_words = {described[0].title, *words}
        self.columns = [replace(column, words=column.words or column.title in of_words) for column in described]
        self.rows = [tuple(row) for row in rows]

    @property
    def titles(self) -> list[str]:
        """The columns' titles."""
        return [column.title for column in self.columns]

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows as text, numbers with the digits that they justify."""
        return [tuple(column.text(value) for column, value in zip(self.columns, row, strict=True)) for row in self.rows]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rules = [":---" if column.words else "---:" for column in self.columns]
        lines = [map(plain, self.titles), rules, *(map(_cell, row) for row in self.cells())]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def csv(self) -> str:
        """Return the table as a CSV file's text, in full precision."""
        header = [name for column in self.columns for name in column.names or (column.title,)]
        rows = (
            [field for column, value in zip(self.columns, row, strict=True) for field in column.fields(value)]
            for row in self.rows
        )
        return csv_text(header, rows)


def _cell(text: str) -> str:
    return plain(f"−{text[1:]}" if re.match(r"-[\d.]", text) else text)
