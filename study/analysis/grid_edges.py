"""Finds whether the best arm of a grid lies at an end of a field's values: better ones may lie beyond."""

from collections.abc import Mapping, Sequence

from study.analysis.search_diagnostics import Edge, edge
from study.design.dimensions import Choices
from study.training.config import TrialConfig


def grid_edges(
    baseline: TrialConfig,
    factors: Mapping[str, Sequence[object]],
    settings: Mapping[str, Mapping[str, object]],
    scores: Mapping[str, float],
) -> tuple[str, list[Edge]]:
    """Return the arm with the highest score, and the fields of the grid in which it lies at an end.

    `settings` and `scores` are by arm. Only fields of three or more numbers in order have ends, and only those that can
    go on beyond them. Without scores there is no best arm: its name is empty.
    """
    if not scores:
        return "", []
    best = max(scores, key=lambda arm: scores[arm])
    config = baseline.replace(settings[best])
    found = (edge(_dimension(config, field, values), config.get(field), config) for field, values in factors.items())
    return best, [each for each in found if each]


def _dimension(config: TrialConfig, field: str, values: Sequence[object]) -> Choices:
    return Choices(field=field, when={}, choices=tuple(config.replace({field: value}).get(field) for value in values))
