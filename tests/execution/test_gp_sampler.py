"""The Gaussian process as a sampler: pruned, running and many trials, and values that are equal or infinite."""

import time
from math import inf, nan

import numpy as np
import pytest

from study.analysis.search_process import FEWEST_ERRORS, Ended, Expectation
from study.analysis.unit_cube import UnitCube
from study.design.search_space import load_space, parse_space
from study.execution import gp_sampler

CUBE = UnitCube(parse_space("fields: {dropout: {range: [0, 0.5]}}", "one", "one"))


def ended(value: float | None, place: float, curve=()) -> Ended:
    return Ended({"dropout": place}, value, dict(enumerate(curve, start=1)))


def test_pruned_trials_count_as_what_they_would_have_become():
    trials = [
        ended(0.5, 0.1, [2, 1, 0.5]),
        ended(0.25, 0.2, [2, 0.5, 0.25]),
        ended(None, 0.3, [4, 2]),
        ended(nan, 0.4, [4, nan]),
    ]
    values, guessed = Expectation(CUBE, trials, maximize=False).losses
    assert np.exp(values) == pytest.approx([0.5, 0.25, 1.0, inf])  # pruned at 2, and the others halved what they had
    assert guessed == pytest.approx([0, 0, 0, 0])
    accuracies = [ended(0.9, 0.1, [0.8, 0.9]), ended(1.0, 0.2, [0.4, 1.0]), ended(None, 0.3, [0.8])]
    values, guessed = Expectation(CUBE, accuracies, maximize=True).losses
    ways = np.log([0.1 / 0.2, FEWEST_ERRORS / 0.6])
    assert values == pytest.approx(np.log([0.1, FEWEST_ERRORS, 0.2]) + np.array([0, 0, ways.mean()]))
    assert guessed == pytest.approx([0, 0, ways.var()])


@pytest.mark.parametrize("values", [[0.5] * 20, [inf] * 20, [nan] * 20, [*[1e-9] * 10, *[1e9] * 10], [-1.0, 0.0] * 10])
def test_strange_values_do_no_harm(values):
    draw = np.random.default_rng(1)
    trials = [ended(value, place) for value, place in zip(values, draw.uniform(0, 0.5, 20), strict=True)]
    found = gp_sampler.suggest(Expectation(CUBE, trials, False), [{"dropout": 0.1}], draw)
    assert 0 <= CUBE.point(found)["dropout"] <= 0.5


def test_few_trials_suggest_nothing():
    trials = [ended(0.5, 0.1)] * 5
    assert gp_sampler.suggest(Expectation(CUBE, trials, False), [], np.random.default_rng(1)) is None


def test_running_trials_keep_suggestions_apart():
    trials = [ended(1 + (place - 0.22) ** 2, place) for place in np.linspace(0, 0.5, 9)]
    expectation = Expectation(CUBE, trials, False)

    def suggested(running: list[dict]) -> float:
        return CUBE.point(gp_sampler.suggest(expectation, running, np.random.default_rng(1)))["dropout"]

    first = suggested([])
    second = suggested([{"dropout": first}])
    assert abs(first - 0.22) < 0.05
    assert abs(second - first) > 0.01


def test_suggestion_after_many_trials_is_fast():
    cube, draw = UnitCube(load_space("wide")), np.random.default_rng(1)
    points = [cube.point(shares) for shares in draw.random((1100, cube.fields))]
    trials = [Ended(point, abs(np.log(point["learning_rate"] / 0.01)) + point["dropout"] + 0.1) for point in points]
    clock = time.process_time()
    found = cube.point(gp_sampler.suggest(Expectation(cube, trials, False), [], draw))
    assert abs(np.log(found["learning_rate"] / 0.01)) < 0.3
    assert time.process_time() - clock < 20  # 1 s on a quiet machine


def test_suggestions_keep_to_what_is_allowed():
    trials = [ended(1 + (place - 0.22) ** 2, place) for place in np.linspace(0, 0.5, 9)]

    def allows(shares: np.ndarray) -> bool:
        return CUBE.point(shares)["dropout"] > 0.3

    found = gp_sampler.suggest(Expectation(CUBE, trials, False), [], np.random.default_rng(1), allows)
    never = gp_sampler.suggest(Expectation(CUBE, trials, False), [], np.random.default_rng(1), lambda shares: False)
    assert CUBE.point(found)["dropout"] == pytest.approx(0.3, abs=0.1) and allows(found)
    assert abs(CUBE.point(never)["dropout"] - 0.22) < 0.05  # the worker turns it down
