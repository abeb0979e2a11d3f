import itertools
import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from study.analysis import statistics
from study.analysis.statistics import (
    Estimate,
    estimate,
    half_width,
    holm,
    interaction,
    least_values,
    main_effect,
    mcnemar,
    sign_flip,
    values_for,
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


@pytest.mark.parametrize("wanted", [0.05, 0.1, 0.5, 2])
@pytest.mark.parametrize("sd", [0.03, 0.2, 1, 4.7])
def test_values_for_is_the_least_number_with_so_narrow_an_interval(wanted, sd):
    n = values_for(wanted, sd)
    assert half_width(sd, n) <= wanted
    assert n == 2 or half_width(sd, n - 1) > wanted


def test_values_for_by_hand():
    # t · s / √n with t(16) = 2.1199 and t(17) = 2.1098: 0.2 · t / √n is 0.1028 at 17 and 0.0995 at 18.
    assert values_for(0.1, 0.2) == 18
    assert values_for(0.1, 0) == 2
    assert values_for(0.1, 100, most=50) == 50


# --- the sign-flip test -----------------------------------------------------------------------------


def by_hand(whole: list[int]) -> float:
    """The share of the 2ⁿ signs whose sum is as far from zero, in whole numbers."""
    sums = [sum(np.multiply(signs, whole)) for signs in itertools.product((1, -1), repeat=len(whole))]
    return float(np.mean(np.abs(sums) >= abs(sum(whole))))


@pytest.mark.parametrize(
    "differences, p",
    [
        # Of the sums ±1 ± 2 ± 3 – 6, 4, 2, 0, 0, -2, -4, -6 – two are as far from zero as 6, and six as far as 2.
        ([1, 2, 3], 2 / 8),
        ([-1, -2, -3], 2 / 8),
        ([1, -2, 3], 6 / 8),
        ([1, 2, -3], 1),
        ([1, 1, 1, 1, 1, 1], 2 / 64),
        ([-4, -1, -2, -1, -3, -1], 2 / 64),
        ([0, 1, 1, 1, 1, 1, 1], 4 / 128),  # a zero has no sign: it doubles the ways
        ([0, 0, 0, 0], 1),
        ([1, -1, 1, -1], 1),
        ([0.5], 1),
        ([], 1),
    ],
)
def test_the_sign_flip_test_by_hand(differences, p):
    assert sign_flip(differences) == pytest.approx(p)


def test_the_sign_flip_test_on_darwins_maize():
    # Fisher (1935), § 21: of 32,768 ways 863 have a sum as great as 314, and as many one as small.
    darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sign_flip(darwin) == 2 * 863 / 32_768


def test_the_sign_flip_test_counts_ties_in_spite_of_rounding():
    # Differences of accuracies as they come: 0.05, -0.05 and -0.04 points but for some 1e-14, so that every sum ties.
    assert sign_flip([97.05 - 97.00, 97.13 - 97.18, 97.26 - 97.30]) == 1
    # Whole hundredths of a point, as 10,000 images have them: p is 8/128, not 6/128, which would be below 0.05.
    images = [-2, 5, 6, 9, 2, 1, 5]
    accuracies = [9_700 + 13 * seed for seed in range(7)]
    points = [
        100 * ((before + more) / 10_000) - 100 * (before / 10_000)
        for before, more in zip(accuracies, images, strict=True)
    ]
    assert by_hand(images) == 8 / 128
    assert sign_flip(points) == 8 / 128


def test_the_sign_flip_test_has_the_p_of_whole_numbers():
    for whole in np.random.default_rng(3).integers(-6, 9, (30, 8)).tolist():
        assert sign_flip(whole) == pytest.approx(by_hand(whole))


def test_the_sign_flip_test_finds_nothing_in_nan():
    assert not sign_flip([1, 1, 1, 1, 1, 1, NAN]) <= 0.05


def test_the_sign_flip_test_keeps_its_level():
    null = np.random.default_rng(4).normal(0, 1, (1_000, 7))
    p_values = np.array([sign_flip(values) for values in null])
    # p ≤ 6/128 has a chance of 6/128 = 0.047, with a standard error of 0.007.
    assert np.mean(p_values <= 6 / 128) == pytest.approx(6 / 128, abs=0.02)


def test_beyond_twenty_values_signs_are_drawn_and_always_the_same():
    one_sided = np.linspace(0.1, 1, 21)
    assert 0 < sign_flip(one_sided) <= 1e-4  # of all ways 2 in 2²¹, and it never says 0
    mixed = np.random.default_rng(5).normal(0.4, 1, 22)
    p = sign_flip(mixed)
    assert sign_flip(mixed.copy()) == p
    sums = np.zeros(1)  # of every way, of which there are four million
    for value in mixed:
        sums = np.concatenate([sums + value, sums - value])
    exact = np.mean(np.abs(sums) >= abs(mixed.sum()) - 1e-9)
    assert 0.02 < exact < 0.5
    assert p == pytest.approx(exact, abs=0.01)
    # The sum of values with random signs is nearly normal with a variance of Σ d².
    z = abs(mixed.sum()) / math.sqrt(np.square(mixed).sum())
    assert p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.03)


# --- how many comparisons ---------------------------------------------------------------------------


@pytest.mark.parametrize("comparisons, seeds", [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (7, 9), (12, 9), (13, 10)])
def test_how_many_values_a_test_needs(comparisons, seeds):
    # 2/64 = 0.031; 2/128 = 0.016 allows three; 2/256 = 0.0078 six; 2/512 = 0.0039 twelve.
    assert least_values(comparisons) == seeds
    assert comparisons * 2 / 2**seeds <= 0.05 < comparisons * 2 / 2 ** (seeds - 1)


def test_with_the_least_number_of_values_the_test_can_tell():
    for comparisons in (1, 2, 4):
        enough = least_values(comparisons)
        most_certain = sign_flip(np.ones(enough))
        assert holm([most_certain] + [1.0] * (comparisons - 1))[0] <= 0.05
        assert holm([sign_flip(np.ones(enough - 1))] + [1.0] * (comparisons - 1))[0] > 0.05


@pytest.mark.parametrize(
    "p_values, corrected",
    [
        # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and none less than the one before.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02], [0.02, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.6, 0.7], [1, 1]),
        ([0.04], [0.04]),
        ([], []),
    ],
)
def test_holms_correction_by_hand(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


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


# --- the same by well-kept libraries ----------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 6, 9, 12])
def test_where_nothing_ties_the_sign_flip_test_is_scipys(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    theirs = stats.permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert sign_flip(differences) == pytest.approx(theirs.pvalue, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_holms_correction_is_that_of_statsmodels(k):
    p_values = np.random.default_rng(k).beta(0.5, 2, k)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], rel=1e-12)


# --- memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number, at_once", [(21, 1), (21, 500), (33, 7_000)])
def test_signs_drawn_in_parts_are_those_drawn_at_once(number, at_once, monkeypatch):
    differences = np.random.default_rng(number).normal(0.1, 0.4, number)
    monkeypatch.setattr(statistics, "RANDOM_FLIPS", 2_001)
    monkeypatch.setattr(statistics, "SIGNS_AT_ONCE", at_once * number)
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (2_001, number))
    as_far = np.count_nonzero(np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12))
    assert sign_flip(differences) == (1 + as_far) / 2_002


def test_the_test_of_many_seeds_takes_little_memory():
    tracemalloc.start()
    try:
        sign_flip(np.random.default_rng(1).normal(0.1, 1, 200))
        assert tracemalloc.get_traced_memory()[1] < 60e6  # all signs at once are 160 MB, and their numbers as much
    finally:
        tracemalloc.stop()
