"""Weighs a search's metric against a cost: which configurations no cheaper one is expected to match."""

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
    ranked = enumerate(study.standings)  # by what is expected of them
    priced = [(price, rank) for rank, each in ranked if (price := cost_of(study, each, cost)) is not None]
    found: list[Weighed] = []
    best = len(study.standings)
    for price, rank in sorted(priced):
        found.append(Weighed(study.standings[rank], price, on_front=rank < best))
        best = min(best, rank)
    return found


def cost_of(study: SearchResults, standing: Standing, cost: str) -> float | None:
    """Return a configuration's mean cost over its seeds; None if no trial has recorded it."""
    costs = [trial.metrics[cost] for trial in study.seeds_of(standing) if cost in trial.metrics]
    return float(np.mean(costs)) if costs else None
