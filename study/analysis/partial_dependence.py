"""Estimates how a search's metric depends on one field, the others being as they were tried, and how sure that is.

The mean over the trials' points of what is expected there with one field changed. Friedman: Greedy function
approximation (2001), section 8.2; the band is the processes' own.
"""

from dataclasses import dataclass

import numpy as np

from study.analysis.gaussian_process import on_one_thread
from study.analysis.search_process import Expectation
from study.analysis.standings import TAIL
from study.design.dimensions import Choices, Dimension
from study.training.config import Value

PLACES = 17  # along a range
MOST_OTHERS = 25  # trials, over whose other fields the mean goes
DRAWN = 200  # from each process


@dataclass(frozen=True)
class Dependence:
    """The values of a field, what the metric is expected to be there, and its ends with 95 %: (places,) each."""

    values: tuple[Value, ...]
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


@on_one_thread
def dependence(expectation: Expectation, column: int, dimension: Dimension) -> Dependence | None:
    """Return how the metric depends on the field, which is the cube's `column`; None if too few trials have it."""
    with_field = [number for number, trial in enumerate(expectation.trials) if dimension.field in trial.point]
    if not expectation.processes or len(with_field) < 2:
        return None
    few = np.unique(np.linspace(0, len(with_field) - 1, min(len(with_field), MOST_OTHERS)).round().astype(int))
    others = expectation.shares[np.array(with_field)[few]]
    shares = np.linspace(0, 1, PLACES)
    if isinstance(dimension, Choices):
        shares = (np.arange(len(dimension.choices)) + 0.5) / len(dimension.choices)
    points = np.repeat(others[None], len(shares), axis=0)  # (places, others, fields)
    points[:, :, column] = shares[:, None]
    coordinates = [expectation.cube.coordinates(at_place) for at_place in points]
    draw, drawn = np.random.default_rng(0), []
    for process in expectation.processes:
        joints = [process.joint(places) for places in coordinates]
        means = np.array([mean.mean() for mean, _ in joints])
        deviations = np.sqrt(np.maximum([covariance.mean() for _, covariance in joints], 0))
        drawn.append(means + deviations * draw.standard_normal((DRAWN, len(shares))))
    low, middle, high = np.quantile(expectation.metric(np.concatenate(drawn)), [TAIL, 0.5, 1 - TAIL], axis=0)
    values = (expectation.cube.point(point)[dimension.field] for point in points[:, 0])
    return Dependence(tuple(dimension.becomes(value) for value in values), middle, low, high)  # type: ignore[arg-type]
