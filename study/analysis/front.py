"""A search's metric against a cost: which configurations no cheaper one is expected to match."""

from dataclasses import dataclass

import numpy as np

from study.analysis.search_results import SearchResults
from study.analysis.standings import Standing


@dataclass(frozen=True)
class Weighed:
    """A configuration, what it costs, and whether it is on the front: no cheaper one is expected to be as good."""

    standing: Standing
    cost: float
    on_front: bool


def weighed(study: SearchResults, cost: str) -> list[Weighed]:
    """Return the configurations whose cost, a metric of their trials, is known, the cheapest first."""
    known = [(cost_of(study, standing, cost), standing) for standing in study.standings]
    found: list[Weighed] = []
    best: float | None = None
    order = {id(standing): number for number, standing in enumerate(study.standings)}
    priced = [(price, standing) for price, standing in known if price is not None]
    for price, standing in sorted(priced, key=lambda pair: (pair[0], order[id(pair[1])])):
        rank = order[id(standing)]  # the order of what is expected
        on_front = best is None or rank < best
        best = rank if on_front else best
        found.append(Weighed(standing, price, on_front))
    return found


def cost_of(study: SearchResults, standing: Standing, cost: str) -> float | None:
    """Return a configuration's mean cost over its seeds; None if no trial has recorded it."""
    costs = [trial.metrics[cost] for trial in study.seeds_of(standing) if cost in trial.metrics]
    return float(np.mean(costs)) if costs else None
