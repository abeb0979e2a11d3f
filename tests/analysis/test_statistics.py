import math

import numpy as np
import pytest

from study.analysis.statistics import (
    Estimate,
    estimate,
    half_width,
    interaction,
    main_effect,
    mcnemar,
)

NAN = float("nan")


@pytest.mark.parametrize(
    "values, confidence, mean, half_width",
    [
        # t from Student's table; s / √n by hand: (1, 2, 3) has s = 1, (2, 4, 4, 4, 5, 5, 7, 9) has s = √(32/7).
        ([1, 2, 3], 0.95, 2, 4.302653 / math.sqrt(3)),
        ([1, 2, 3], 0.90, 2, 2.919986 / math.sqrt(3)),
        ([2, 4, 4, 4, 5, 5, 7, 9], 0.95, 5, 2.364624 * math.sqrt(32 / 7 / 8)),
        ([0, 2], 0.95, 1, 12.706205),
    ],
)
def test_students_interval(values, confidence, mean, half_width):
    result = estimate(values, confidence)
    assert (result.mean, result.n) == (mean, len(values))
    assert result.half_width == pytest.approx(half_width, rel=1e-6)


def test_students_own_sleep_data():
    # The ten differences of Student (1908), p. 20; R's t.test gives 0.7001142 to 2.4598858.
    result = estimate([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert result.mean == pytest.approx(1.58)
    assert result.half_width == pytest.approx((2.4598858 - 0.7001142) / 2, rel=1e-6)


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    samples = np.random.default_rng(1).normal(10, 3, (4_000, 5))
    held = [abs(result.mean - 10) <= result.half_width for result in map(estimate, samples)]
    # 95 % of 4,000, within four standard errors of 0.34 percentage points.
    assert np.mean(held) == pytest.approx(0.95, abs=0.014)


def test_one_value_has_no_interval():
    result = estimate(np.array([97.6]))
    assert (result.mean, result.n) == (97.6, 1)
    assert math.isnan(result.half_width)


def test_equal_values_have_an_interval_of_zero():
    assert estimate([0.5, 0.5, 0.5]) == Estimate(0.5, 0.0, 3)


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="no values to estimate a mean from"):
        estimate([])


def test_single_precision_values_are_averaged_in_double():
    values = np.array([1e8, 1, -1e8, 1], np.float32)
    assert estimate(values).mean == 0.5


# --- the interval's ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mean, width, low, high, excludes_zero",
    [
        (2.0, 0.5, 1.5, 2.5, True),
        (-2.0, 0.5, -2.5, -1.5, True),
        (0.25, 0.5, -0.25, 0.75, False),
        (0.5, 0.5, 0.0, 1.0, False),  # zero at an end lies inside
        (-0.5, 0.5, -1.0, 0.0, False),
        (0.5, 0.0, 0.5, 0.5, True),
        (0.0, 0.0, 0.0, 0.0, False),
    ],
)
def test_an_interval_has_ends_and_excludes_zero_or_not(mean, width, low, high, excludes_zero):
    interval = Estimate(mean, width, 3)
    assert (interval.low, interval.high, interval.excludes_zero) == (low, high, excludes_zero)


def test_a_single_value_excludes_nothing():
    single = estimate([97.6])
    assert math.isnan(single.low) and math.isnan(single.high)
    assert single.excludes_zero is False


@pytest.mark.parametrize("n", [7, 12])
def test_intervals_of_normal_differences_cover_the_truth(n):
    draws = np.random.default_rng(n).normal(0.3, 0.2, (2_000, n))
    covered = [interval.low <= 0.3 <= interval.high for interval in map(estimate, draws)]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_half_width_by_hand():
    # Student's table: t(3) = 3.182446, t(8) = 2.306004.
    assert half_width(2, 4) == pytest.approx(3.182446, rel=1e-6)
    assert half_width(3, 9) == pytest.approx(2.306004, rel=1e-6)
    assert half_width(0, 5) == 0


# --- other tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fixed, broken, p",
    [
        (8, 2, 0.109375),  # 2 · (1 + 10 + 45) / 1024
        (2, 8, 0.109375),
        (5, 0, 2 / 32),
        (0, 1, 1),
        (3, 3, 1),
        (0, 0, 1),
    ],
)
def test_mcnemars_test_by_hand(fixed, broken, p):
    assert mcnemar(fixed, broken) == pytest.approx(p)


# --- effects in grids -------------------------------------------------------------------------------


def test_effects_in_a_grid_of_two_by_two():
    # For the first seed the rows differ by 4 and 10, the columns by 1 and 7; the second seed has the rows exchanged.
    values = np.array([[[90, 91], [94, 101]], [[94, 101], [90, 91]]])
    assert main_effect(values, 0, 1, 0).tolist() == [7, -7]
    assert main_effect(values, 1, 1, 0).tolist() == [4, 4]
    assert main_effect(values, 1, 0, 1).tolist() == [-4, -4]
    assert interaction(values, (0, 1, 0), (1, 1, 0)).tolist() == [6, -6]


def test_effects_in_a_grid_of_three_by_two_by_two():
    # What each level adds is known, and one interaction of 5 between the last levels of the first two factors.
    adds = np.array([0, 1, 3])[:, None, None] + np.array([0, 10])[:, None] + np.array([0, 100])
    adds[2, 1, :] += 5
    seeds = np.array([500, 700])  # what the seed adds to every arm alike
    values = seeds[:, None, None, None] + adds
    assert main_effect(values, 0, 1, 0).tolist() == [1, 1]
    assert main_effect(values, 0, 2, 0).tolist() == [3 + 5 / 2] * 2
    assert main_effect(values, 0, 2, 1).tolist() == [2 + 5 / 2] * 2
    assert main_effect(values, 1, 1, 0) == pytest.approx([10 + 5 / 3] * 2)
    assert main_effect(values, 2, 1, 0) == pytest.approx([100, 100])
    assert interaction(values, (0, 2, 0), (1, 1, 0)).tolist() == [5, 5]
    assert interaction(values, (0, 1, 0), (1, 1, 0)).tolist() == [0, 0]
    assert interaction(values, (0, 2, 0), (2, 1, 0)).tolist() == [0, 0]
    assert interaction(values, (2, 1, 0), (0, 2, 0)).tolist() == [0, 0]


def test_an_interaction_is_the_same_from_either_side():
    values = np.random.default_rng(6).normal(size=(4, 3, 2, 2))
    one, other = (0, 2, 0), (1, 1, 0)
    assert interaction(values, one, other) == pytest.approx(interaction(values, other, one))
