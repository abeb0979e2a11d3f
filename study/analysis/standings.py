"""Ranks the configurations of a search: what is expected of each, and how surely the first is the best.

A configuration may have been trained with several seeds, which are several observations of one point. What is expected
of it is its mean over seeds, by Gaussian processes through all results of the search, on the same validation rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.search_process import Expectation

LEADING = 60  # configurations that are compared with one another
TAIL = 0.025  # beyond either end of an interval


@dataclass(frozen=True)
class Belief:
    """What a number is expected to be, and between which ends it lies with a probability of 95 %."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """A configuration: which trials trained it, the mean of their values, and what is expected of it.

    `behind` is by how much it is worse than the first (None for the first itself), and `chance` the probability that it
    is the best of all. Without a process, or far behind, they are not known.
    """

    trials: tuple[int, ...]
    value: float
    expected: Belief | None = None
    behind: Belief | None = None
    chance: float | None = None


def standings(expectation: Expectation, complete: Sequence[int]) -> list[Standing]:
    """Return how the configurations of the `complete` trials stand, the best first.

    They are in the order of their expected values, and while there is no process in that of their means.
    """
    places = [tuple(place) for place in expectation.cube.coordinates(expectation.shares).round(9)]
    of_place: dict[tuple[float, ...], list[int]] = {}
    for number in complete:
        of_place.setdefault(places[number], []).append(number)
    sign = -1 if expectation.maximize else 1
    if not of_place:
        return []
    values = {place: _mean_value(expectation, group) for place, group in of_place.items()}
    if not expectation.processes:
        order = sorted(of_place, key=lambda place: (sign * values[place], of_place[place][0]))
        return [Standing(tuple(of_place[place]), values[place]) for place in order]
    first = [group[0] for group in of_place.values()]
    expected = dict(zip(of_place, expectation.expected(expectation.shares[first]), strict=True))
    order = sorted(of_place, key=lambda place: (expected[place], of_place[place][0]))
    drawn = expectation.draws(expectation.shares[[of_place[place][0] for place in order[:LEADING]]])
    best = np.bincount((sign * drawn).argmin(axis=1), minlength=drawn.shape[1]) / len(drawn)
    behind = sign * (drawn - drawn[:, [0]])
    leading = [
        Standing(
            tuple(of_place[place]), values[place], _belief(drawn[:, number]),
            _belief(behind[:, number]) if number else None, float(best[number]),
        )
        for number, place in enumerate(order[:LEADING])
    ]  # fmt: skip
    return leading + [Standing(tuple(of_place[place]), values[place]) for place in order[LEADING:]]


def _mean_value(expectation: Expectation, trials: Sequence[int]) -> float:
    values = [value for number in trials if (value := expectation.trials[number].value) is not None]
    return float(np.mean(values))


def _belief(drawn: np.ndarray) -> Belief:
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return Belief(float(np.median(drawn)), float(low), float(high))
