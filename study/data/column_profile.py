"""What is known about the columns of features: their values, what is missing, and what they say about the class."""

import math
from dataclasses import dataclass

import numpy as np

from study.data.dataset import Split
from study.data.features import Column, Features

MOST_COLUMNS = 1_000  # that are profiled where the features are no table


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """What is known about one column of the features, from the training rows.

    `values` (n,) are its numbers, NaN where they are missing, or the places of its `categories`, -1 where one is
    missing. `association` is how much it says about the class by itself, from 0 to 1: the correlation ratio of a
    number, which is Pearson's |r| for two classes; Cramér's V of a category; NaN where the column is constant.
    """

    name: str
    categories: tuple[str, ...] | None
    values: np.ndarray
    association: float

    @property
    def missing(self) -> np.ndarray:
        """Which training rows have no value, a mask (n,)."""
        return np.isnan(self.values) if self.categories is None else self.values < 0

    @property
    def is_constant(self) -> bool:
        """Whether all training rows have the same value, and none is missing or all are."""
        return bool((self.values == self.values[0]).all() or self.missing.all())


def column_profiles(train: Split, classes: int, features: Features | None) -> tuple[ColumnProfile, ...]:
    """Return the profile of each column of the training rows; where there is no table, of the first MOST_COLUMNS."""
    matrix = train.inputs.reshape(len(train), -1)
    if features is None:
        names = [str(list(place)) for place in np.ndindex(*train.inputs.shape[1:])][:MOST_COLUMNS]
        features = Features(tuple(map(Column, names)))
    found, first = [], 0
    for column in features.columns:
        part = matrix[:, first : first + len(column.names)]
        first += len(column.names)
        missing = part[:, -1] == 1 if column.optional else np.zeros(len(part), bool)
        if column.values is None:
            values = np.where(missing, np.nan, part[:, 0].astype(np.float64))
            strength = correlation_ratio(values, train.labels, classes)
        else:
            values = np.where(missing, -1, part[:, : len(column.values)].argmax(axis=1))
            strength = cramers_v(values, train.labels)
        found.append(ColumnProfile(column.name, column.values, values, strength))
    return tuple(found)


def correlation_ratio(values: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Return the root of the share of the values' variance that lies between the classes; NaN without variance.

    Values (n,) that are NaN are left out.
    """
    known = np.isfinite(values)
    values, labels = values[known], labels[known]
    if not len(values) or np.ptp(values) == 0:
        return math.nan
    centred = values - values.mean()
    counts, sums = (np.bincount(labels, weights, minlength=classes) for weights in (None, centred))
    between = (np.square(sums) / np.maximum(counts, 1)).sum()
    return math.sqrt(min(1.0, between / np.square(centred).sum()))


def cramers_v(values: np.ndarray, labels: np.ndarray) -> float:
    """Return Cramér's V of two lists (n,) of categories: the root of χ² / n(k - 1); NaN if one of them is constant."""
    _, rows = np.unique(values, return_inverse=True)
    _, columns = np.unique(labels, return_inverse=True)
    least = min(rows.max(), columns.max())
    if not least:
        return math.nan
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(values)
    return math.sqrt(min(1.0, (np.square(table - expected) / expected).sum() / (len(values) * least)))
