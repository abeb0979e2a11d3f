import math

import numpy as np
import pytest

from study.statistics import Estimate, estimate


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
