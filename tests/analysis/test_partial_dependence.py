"""How the metric depends on a field, averaged over the others."""

import numpy as np

from study.analysis.partial_dependence import PLACES, dependence
from study.analysis.search_process import Ended, Expectation
from study.analysis.unit_cube import UnitCube
from study.design.search_space import parse_space

SPACE = parse_space(
    "baseline: {l2: 1.0e-4}\nfields: {dropout: {range: [0, 0.5]}, l2: {range: [1.0e-6, 1.0e-2], log: true}, "
    "activation: {choices: [relu, tanh]}}", "three", "three",
)  # fmt: skip


def expectation(count: int) -> Expectation:
    """Return what is expected where dropout and activation matter, and l2 does not."""
    draw, cube = np.random.default_rng(1), UnitCube(SPACE)
    points = [cube.point(shares) for shares in draw.random((count, 3))]
    values = [0.1 + (point["dropout"] - 0.2) ** 2 + 0.05 * (point["activation"] == "tanh") for point in points]
    noise = np.exp(0.02 * draw.standard_normal(count))
    return Expectation(cube, [Ended(*pair) for pair in zip(points, values * noise, strict=True)], maximize=False)


def test_what_matters_has_a_slope_and_what_does_not_has_none():
    found = [dependence(expectation(40), column, each) for column, each in enumerate(SPACE.dimensions)]
    dropout, l2, activation = found
    assert len(dropout.values) == PLACES and dropout.values[0] == 0 and dropout.values[-1] == 0.5
    assert abs(dropout.values[int(dropout.middle.argmin())] - 0.2) < 0.1
    assert np.ptp(l2.middle) < 0.2 * np.ptp(dropout.middle)
    assert activation.values == ("relu", "tanh") and activation.high[0] < activation.low[1]
    for each in found:
        assert (each.low < each.middle).all() and (each.middle < each.high).all()


def test_fewer_trials_are_less_sure():
    few, many = (dependence(expectation(count), 0, SPACE.dimensions[0]) for count in (8, 40))
    assert np.mean(few.high - few.low) > 2 * np.mean(many.high - many.low)
    assert dependence(expectation(5), 0, SPACE.dimensions[0]) is None
