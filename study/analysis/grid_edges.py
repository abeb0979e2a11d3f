"""Whether the best arm of a grid lies at an end of a field's values: better ones may lie beyond."""

from collections.abc import Mapping, Sequence

from study.analysis.search_diagnostics import Edge, edge
from study.design.dimensions import Choices
from study.training.config import TrialConfig, Value


def grid_edges(
    factors: Mapping[str, Sequence[object]], settings: Mapping[str, Mapping[str, object]], scores: Mapping[str, float]
) -> tuple[str, list[Edge]]:
    """Return the arm with the highest score, and the fields of the grid in which it lies at an end.

    `settings` and `scores` are by arm. Only fields of three or more numbers in order have ends, and only those that can
    go on beyond them. Without scores there is no best arm: its name is empty.
    """
    if not scores:
        return "", []
    best = max(scores, key=lambda arm: scores[arm])
    found = (edge(_dimension(field, values), _typed(field, settings[best][field])) for field, values in factors.items())
    return best, [each for each in found if each]


def _dimension(field: str, values: Sequence[object]) -> Choices:
    return Choices(field=field, when={}, choices=tuple(_typed(field, value) for value in values))


def _typed(field: str, value: object) -> Value:
    return TrialConfig().replace({field: value}).get(field)
