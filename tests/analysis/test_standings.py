"""How configurations stand: seeds of one point together, the lead with its interval, and the chance to be the best."""

import numpy as np
import pytest

from study.analysis.search_process import Ended, Expectation
from study.analysis.standings import LEADING, standings
from study.analysis.unit_cube import UnitCube
from study.design.search_space import parse_space

CUBE = UnitCube(parse_space("fields: {dropout: {range: [0, 0.5]}}", "one", "one"))


def expectation(*values: tuple[float, float | None], maximize: bool = False) -> Expectation:
    """Return what is expected after trials at these places with these values."""
    return Expectation(CUBE, [Ended({"dropout": place}, value) for place, value in values], maximize)


def valley(draw: np.random.Generator, noise: float, seeds: int = 1) -> list[tuple[float, float]]:
    places = np.repeat(np.linspace(0, 0.5, 11), seeds)
    return [(place, (0.1 + (place - 0.2) ** 2) * np.exp(noise * draw.standard_normal())) for place in places]


def test_seeds_of_one_point_are_one_configuration():
    found = standings(expectation((0.1, 0.3), (0.2, 0.2), (0.1, 0.5)), [0, 1, 2])
    assert [(one.trials, one.value) for one in found] == [((1,), 0.2), ((0, 2), pytest.approx(0.4))]
    assert [(one.expected, one.behind, one.chance) for one in found] == [(None, None, None)] * 2  # too few trials


def test_of_accuracies_the_highest_stands_first():
    found = standings(expectation((0.1, 0.9), (0.2, 0.95), maximize=True), [0, 1])
    assert [one.trials for one in found] == [(1,), (0,)]
    values = [(place, 1 - value) for place, value in valley(np.random.default_rng(1), 0.01)]
    found = standings(expectation(*values, maximize=True), range(11))
    assert values[found[0].trials[0]][0] == pytest.approx(0.2)
    assert found[0].expected.low < 0.9 < found[0].expected.high < 0.95 and found[1].behind.middle > 0


def test_no_accuracy_is_expected_below_zero():
    values = [(place, 0.98 - 1.7 * place) for place in np.linspace(0, 0.5, 12)]
    bad = expectation(*values, maximize=True).draws(np.array([[1.0]]))
    assert 0 <= bad.min() < 0.05 and bad.max() <= 1


def test_a_clear_lead_is_sure_and_a_narrow_one_is_not():
    draw = np.random.default_rng(3)
    sure = standings(expectation(*valley(draw, 0.001)), range(11))
    assert sure[0].trials == (4,) and sure[0].chance > 0.85 and sure[3].behind.low > 0
    unsure = standings(expectation(*valley(draw, 0.3)), range(11))
    assert unsure[0].chance < 0.9 and unsure[1].behind.low < 0 < unsure[1].behind.high
    for found in (sure, unsure):
        assert sum(one.chance for one in found) == pytest.approx(1)
        assert found[0].behind is None and found[0].expected.low < found[0].expected.middle < found[0].expected.high


def test_more_seeds_make_it_surer():
    one, many = (standings(expectation(*valley(np.random.default_rng(5), 0.1, seeds)), range(11 * seeds))
                 for seeds in (1, 6))  # fmt: skip
    assert len(many) == len(one) == 11 and len(many[0].trials) == 6
    assert many[0].expected.high - many[0].expected.low < 0.8 * (one[0].expected.high - one[0].expected.low)


def test_pruned_and_diverged_trials_do_not_stand_but_tell():
    values = [*valley(np.random.default_rng(1), 0.01), (0.21, None), (0.45, float("nan"))]
    found = standings(expectation(*values), range(11))
    assert {number for one in found for number in one.trials} == set(range(11))


def test_those_far_behind_have_no_chance_and_are_not_drawn():
    draw = np.random.default_rng(1)
    places = draw.uniform(0, 0.5, LEADING + 20)
    found = standings(expectation(*((place, 0.1 + place) for place in places)), range(len(places)))
    assert [one.chance is None for one in found] == [False] * LEADING + [True] * 20
    assert found[0].trials == (int(np.argmin(places)),)


def test_intervals_cover_what_is_true():
    """In searches of a valley with noise, the mean over seeds mostly lies within its interval (docs/lab-log.md)."""
    covered = []
    for seed in range(8):
        values = valley(np.random.default_rng(seed), 0.1, 3)
        found = standings(expectation(*values), range(33))
        truth = {one.trials: 0.1 + (values[one.trials[0]][0] - 0.2) ** 2 for one in found}
        covered += [one.expected.low < truth[one.trials] < one.expected.high for one in found]
    assert np.mean(covered) > 0.85
