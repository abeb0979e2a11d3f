"""Where the best value of a field lies at an end of what a search has tried, and a better one may lie beyond."""

import math
from dataclasses import dataclass

from study.config import TrialConfig, brief, value_text
from study.errors import ConfigError
from study.space import Dimension

NEAR = 0.05  # of a range: so close to an end a value lies at it


@dataclass(frozen=True)
class Edge:
    """A field whose best value lies at an end of what was searched: the better ones may lie beyond it."""

    field: str
    value: object
    end: str
    bound: object

    @property
    def words(self) -> str:
        """The warning, in a clause."""
        return f"{self.field}={brief(self.value)} lies at the {self.end} end of what was searched ({brief(self.bound)})"


def edge(dimension: Dimension, value: object) -> Edge | None:
    """Return the end of its dimension at which a value lies, if it lies at one beyond which there is something."""
    if dimension.zero_below is not None and value == 0:
        return None
    numbers = _ends(dimension)
    if numbers is None:
        return None
    low, high = numbers
    if dimension.choices:
        place = 0.0 if _number(value) == low else 1.0 if _number(value) == high else 0.5
    else:
        scale = math.log if dimension.log else float
        place = (scale(value) - scale(low)) / (scale(high) - scale(low))
    bounds = {_number(choice): choice for choice in dimension.choices}
    if place <= NEAR and dimension.zero_below is None and _can_be(dimension, low, -1):
        return Edge(dimension.field, value, "lower", bounds.get(low, low))
    if place >= 1 - NEAR and _can_be(dimension, high, 1):
        return Edge(dimension.field, value, "upper", bounds.get(high, high))
    return None


def _ends(dimension: Dimension) -> tuple[float, float] | None:
    """Return the ends of a range, or of choices that are at least three numbers in order."""
    if not dimension.choices:
        return dimension.low, dimension.high
    numbers = [_number(choice) for choice in dimension.choices]
    if len(numbers) < 3 or None in numbers or numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        return None
    return min(numbers), max(numbers)


def _can_be(dimension: Dimension, end: float, sign: int) -> bool:
    """Return whether there is a config with a value a little beyond an end."""
    whole = end and float(end).is_integer()
    beyond = int(end) + sign if whole else end + sign * 1e-3 * (abs(end) or 1)
    try:
        TrialConfig().replace({dimension.field: beyond})
    except ConfigError:
        return False
    return True


def _number(value: object) -> float | None:
    """Return the number that a field's value is, also as text; None where it is none."""
    try:
        return float(value_text(value))
    except ValueError:
        return None
