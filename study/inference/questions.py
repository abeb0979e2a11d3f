"""Writes rows of a dataset as a client would send them to the served model."""

import numpy as np

from study.data.dataset import Dataset
from study.data.features import Features


def questions(rows: np.ndarray, dataset: Dataset) -> list[dict[str, object]]:
    """Return rows (n, …) of a dataset as items of a request."""
    if dataset.kind == "pixels":
        return [{"pixels": row.tolist()} for row in rows]
    if dataset.features is None:
        return [{"values": row.tolist()} for row in rows]
    return [named_values(row, dataset.features) for row in rows]


def named_values(row: np.ndarray, features: Features) -> dict[str, object]:
    """Return the values by name of a row (columns,) of a table's matrix: what `encode` made it of, None if missing."""
    values: dict[str, object] = {}
    first = 0
    for column in features.columns:
        part = row[first : first + len(column.names)]
        first += len(column.names)
        if column.optional and part[-1]:
            values[column.name] = None
        elif column.values is None:
            values[column.name] = float(part[0])
        else:
            values[column.name] = column.values[int(part[: len(column.values)].argmax())]
    return values
