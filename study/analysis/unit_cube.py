"""Places the points of a search space in a unit cube, where points that train alike lie close together."""

from collections.abc import Mapping, Sequence

import numpy as np

from study.design.dimensions import Choices, Dimension, Range
from study.design.search_space import SearchSpace
from study.training.config import Value

Point = Mapping[str, object]  # the values that are drawn, by field
NOWHERE = 0.5  # of a coordinate whose field is not searched at a point


class UnitCube:
    """Turns drawn values into *shares*, one for each field, and shares into *coordinates*, by which points compare.

    Both go from 0 to 1. Even shares draw a field as a random search does. Coordinates say what a draw becomes: all that
    means 0 is at 0. A range has one coordinate, and so have choices that are numbers in order. Other choices have one
    each, so that any two of them are 1 apart. A field that is not searched at a point is in the middle there.
    `field_of` has the number of each coordinate's field.
    """

    def __init__(self, space: SearchSpace):
        self._axes = [_RangeAxis(each) if isinstance(each, Range) else _ChoiceAxis(each) for each in space.dimensions]
        self._number = {axis.dimension.field: number for number, axis in enumerate(self._axes)}
        self.fields = len(self._axes)
        self.field_of = np.repeat(np.arange(self.fields), [axis.width for axis in self._axes])

    def shares(self, points: Sequence[Point]) -> np.ndarray:
        """Return the shares of points, (n, fields); NOWHERE for a field that is not searched at a point."""
        found = np.full((len(points), self.fields), NOWHERE)
        for column, axis in enumerate(self._axes):
            for row, point in enumerate(points):
                if (value := point.get(axis.dimension.field)) is not None:
                    found[row, column] = axis.share(value)
        return found

    def point(self, shares: np.ndarray) -> dict[str, object]:
        """Return what to draw at one row of shares, for every field, searched there or not."""
        return {axis.dimension.field: axis.value(share) for axis, share in zip(self._axes, shares, strict=True)}

    def coordinates(self, shares: np.ndarray) -> np.ndarray:
        """Return the coordinates, (n, coordinates), of points by their shares, (n, fields)."""
        searched = np.ones(shares.shape, bool)
        for column, axis in enumerate(self._axes):
            for name, values in axis.dimension.when.items():
                other = self._number[name]  # which stands before, and so has its own conditions checked
                searched[:, column] &= searched[:, other] & self._axes[other].becomes_one_of(shares[:, other], values)
        columns = [
            np.where(searched[:, [column]], axis.coordinates(shares[:, column]), NOWHERE)
            for column, axis in enumerate(self._axes)
        ]
        return np.concatenate(columns, axis=1)

    def is_whole(self, point: Point) -> bool:
        """Return whether a point has a value for each of the fields that are searched at it."""
        settings: dict[str, Value] = {}
        for axis in self._axes:
            if axis.dimension.applies(settings):
                if (value := point.get(axis.dimension.field)) is None:
                    return False
                settings[axis.dimension.field] = axis.dimension.becomes(value)  # type: ignore[arg-type]
        return True


def _number(value: object) -> float:
    assert isinstance(value, (int, float))  # as all values of a range are
    return float(value)


class _RangeAxis:
    width = 1

    def __init__(self, dimension: Range):
        self.dimension: Dimension = dimension
        self._range = dimension
        self._log = dimension.log
        self._step = 0.0 if self._log else float(dimension.step or dimension.whole)
        half = 0.5 if dimension.whole and self._log else 0.0  # so that the ends are drawn as often as others
        self._ends = self._scaled(dimension.low - half), self._scaled(dimension.high + half)

    def _scaled(self, values: np.ndarray | float) -> np.ndarray:
        return np.log(values) if self._log else np.asarray(values, float)

    def _values(self, shares: np.ndarray) -> np.ndarray:
        low, high = self._range.low, self._range.high
        if self._step:
            count = round((high - low) / self._step) + 1
            return np.asarray(low + self._step * np.minimum(np.floor(shares * count), count - 1))
        first, last = self._ends
        scaled = first + shares * (last - first)
        values = np.exp(scaled) if self._log else scaled
        return np.asarray(np.clip(np.round(values) if self._range.whole else values, low, high))

    def share(self, value: object) -> float:
        number = _number(value)
        if self._step:
            count = round((self._range.high - self._range.low) / self._step) + 1
            return (round((number - self._range.low) / self._step) + 0.5) / count
        first, last = self._ends
        return float((self._scaled(number) - first) / (last - first))

    def value(self, share: float) -> Value:
        value = float(self._values(np.array([share]))[0])
        return round(value) if self._range.whole else value

    def _become(self, shares: np.ndarray) -> np.ndarray:
        """Return the values with those that mean 0 at the low end."""
        values, below = self._values(shares), self._range.zero_below
        return values if below is None else np.where(values < below, self._range.low, values)

    def coordinates(self, shares: np.ndarray) -> np.ndarray:
        low, high = self._scaled(self._range.low), self._scaled(self._range.high)
        return np.asarray((self._scaled(self._become(shares)) - low) / (high - low))[:, None]

    def becomes_one_of(self, shares: np.ndarray, values: Sequence[Value]) -> np.ndarray:
        drawn = np.array([_number(self._range.drawn(value)) for value in values])
        return np.asarray(np.isclose(self._become(shares)[:, None], drawn).any(axis=1))


class _ChoiceAxis:
    def __init__(self, dimension: Choices):
        self.dimension: Dimension = dimension
        self._choices = dimension.choices
        ordered = all(type(choice) in (int, float) for choice in self._choices)
        numbers = [_number(choice) for choice in self._choices] if ordered else []
        self._in_order = ordered and numbers in (sorted(numbers), sorted(numbers, reverse=True))
        self.width = 1 if self._in_order else len(self._choices)

    def _indices(self, shares: np.ndarray) -> np.ndarray:
        return np.asarray(np.minimum((shares * len(self._choices)).astype(int), len(self._choices) - 1))

    def share(self, value: object) -> float:
        return (self._choices.index(value) + 0.5) / len(self._choices)

    def value(self, share: float) -> Value:
        return self._choices[int(self._indices(np.array([share]))[0])]

    def coordinates(self, shares: np.ndarray) -> np.ndarray:
        indices = self._indices(shares)
        if self._in_order:
            return (indices / max(1, len(self._choices) - 1))[:, None]
        return np.asarray(np.eye(len(self._choices))[indices] / np.sqrt(2))

    def becomes_one_of(self, shares: np.ndarray, values: Sequence[Value]) -> np.ndarray:
        return np.isin(self._indices(shares), [self._choices.index(value) for value in values])
