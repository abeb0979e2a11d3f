import math

import numpy as np
import pytest

from benchmarks.verdicts import false_share
from study.analysis.confidence_sequence import (
    CAP,
    EFFECT,
    EQUIVALENCE,
    FIRST_LOOK,
    SCHEDULED,
    Outcome,
    bound,
    detectable,
    effect_constant,
    equivalence_constant,
    floor,
    half_width,
    interval,
    new_data_factor,
    new_data_floor,
    new_data_interval,
    outcome,
)
from study.analysis.statistics import LEVEL
from study.data import split
from study.design.ablation import catalogue, load_ablation

NAN, INF = float("nan"), float("inf")
SEVEN = np.array([-3, -2, -1, 0, 1, 2, 3]) / math.sqrt(28 / 6)  # mean 0, sd 1
LOOKS = np.arange(FIRST_LOOK, CAP + 1)


def likelihood_ratio(differences: np.ndarray) -> np.ndarray:
    """The mixture likelihood ratio against mean 0 after each difference, by sums alone: the theorem's other form."""
    n = np.arange(1, differences.shape[-1] + 1)
    sums, squares = np.cumsum(differences, axis=-1), np.cumsum(differences**2, axis=-1)
    return np.sqrt(4 / (4 + n)) * ((n + 4) * squares / ((n + 4) * squares - sums**2)) ** (n / 2)


def width(differences: np.ndarray, a: float) -> float:
    return float(half_width(differences.std(ddof=1), len(differences), a))


# --- the interval -----------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.11, 0.05, 0.003])
@pytest.mark.parametrize("seed", range(20))
def test_an_interval_excludes_zero_where_the_likelihood_ratio_exceeds_its_bound(a, seed):
    draw = np.random.default_rng(seed)
    values = draw.normal(draw.uniform(0, 1), 1, 80)
    ratios = likelihood_ratio(values)
    excluded = [False] + [abs(values[:n].mean()) > width(values[:n], a) for n in range(2, 81)]
    assert excluded == (ratios > 1 / a).tolist()


@pytest.mark.parametrize("n", [7, 20, 60, 200])
def test_the_likelihood_ratio_is_at_its_bound_at_the_end_of_the_interval(n):
    values = np.random.default_rng(n).normal(0, 1, n)
    ratios = [likelihood_ratio(values - values.mean() + sign * width(values, 0.11))[-1] for sign in (1, -1)]
    assert ratios == pytest.approx([1 / 0.11] * 2, rel=1e-9)


def test_an_interval_by_hand():
    # n = 12, c² = 4: T = 1/4. With a = 2⁻⁵, p = (2⁻² · 2⁻¹⁰)^(1/12) = 1/2, so h = s/√12 · sqrt(11 · (1/2) / (1/4)).
    assert half_width(3, 12, 2**-5) == pytest.approx(3 * math.sqrt(22 / 12))


def test_an_interval_narrows_with_more_differences_and_widens_with_a_smaller_constant():
    by_n = half_width(1, np.arange(9, 1_000), 0.05)
    by_a = half_width(1, 20, np.array([0.2, 0.11, 0.05, 0.01, 0.001]))
    assert np.isfinite(by_n).all() and (np.diff(by_n) < 0).all()
    assert (np.diff(by_a) > 0).all()


def test_equal_differences_in_steps_are_as_uncertain_as_if_one_were_a_step_away():
    for n in (7, 12, 40):
        alike, one_away = np.full(n, 2.0), np.array([3.0] + [2.0] * (n - 1))
        assert floor(0.5, n) == pytest.approx(0.5 * one_away.std(ddof=1))
        assert interval(alike, 2, step=0.5).half_width == pytest.approx(0.5 * interval(one_away, 2).half_width)
        assert bound(alike - 2, 2, step=1) == pytest.approx(bound(one_away - one_away.mean(), 2))
        assert interval(one_away, 2, step=0.9) == interval(one_away, 2)  # where they differ by more, nothing changes
    assert outcome(np.zeros(7), 0.2, 1, step=0.4) == Outcome.OPEN
    assert outcome(np.zeros(7), 0.2, 1, step=0.02) == Outcome.NO_EFFECT


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_a_rare_row_is_not_ruled_out_because_no_seed_has_seen_it(share):
    """A share of the seeds gets one row more: most studies of 40 seeds look at some that are all alike."""
    differences = (np.random.default_rng(1).random((2_000, 40)) < share).astype(float)
    looks = np.arange(FIRST_LOOK, 41)
    sums = np.cumsum(differences, axis=1)[:, looks - 1]  # of their squares as well
    sd = np.sqrt((sums - sums**2 / looks) / (looks - 1))
    a = np.array([equivalence_constant(int(n), 1) for n in looks])
    missed = [
        (sums / looks + half_width(np.maximum(sd, floor(step, looks)), looks, a) < share).any(axis=1).mean()
        for step in (0, 1)
    ]
    assert missed[0] > 0.4 and missed[1] < 0.13


def test_an_interval_has_the_unit_of_the_differences_and_moves_with_them():
    values = np.random.default_rng(0).normal(0.3, 1, 15)
    one, scaled, moved = (interval(each, 2) for each in (values, -100 * values, values + 5))
    assert (scaled.mean, scaled.half_width) == pytest.approx((-100 * one.mean, 100 * one.half_width))
    assert (moved.mean, moved.half_width) == pytest.approx((one.mean + 5, one.half_width))
    assert outcome(values, 0.5, 2) == outcome(-100 * values, 50, 2)


def test_too_few_differences_bound_nothing():
    widths = half_width(np.array([[1.0], [0.0]]), np.arange(7), 0.05)
    assert (widths == INF).all()
    assert np.isfinite(half_width(1, 7, 0.05)) and half_width(0, 7, 0.05) == 0
    assert half_width(0, 7, 0.003) == INF  # a smaller constant needs more


def test_a_spread_that_is_not_a_number_has_no_interval():
    assert np.isnan(half_width(NAN, np.array([1, 5, 20]), 0.05)).all()


def test_the_arguments_broadcast_and_stay_as_they_are():
    sd, n = np.array([[1.0], [2.0]]), np.array([10, 20, 30])
    widths = half_width(sd, n, 0.05)
    assert widths.shape == (2, 3) and widths[1, 2] == half_width(2, 30, 0.05)
    assert (sd.tolist(), n.tolist()) == ([[1.0], [2.0]], [10, 20, 30])


# --- the constants ----------------------------------------------------------------------------------


def least_constants(paths: int, seed: int) -> np.ndarray:
    """For each path of normal differences, the least constant with which a look of the schedule would claim it."""
    draw, least = np.random.default_rng(seed), []
    for _ in range(0, paths, 5_000):
        least.append(1 / likelihood_ratio(draw.normal(0, 1, (5_000, CAP)))[:, LOOKS - 1].max(axis=1))
    return np.concatenate(least)


def misfits(least: np.ndarray) -> np.ndarray:
    """How far the simulated errors are from their levels, in standard errors: (2, comparisons)."""
    comparisons = np.arange(1, 12)
    levels = SCHEDULED * np.array([LEVEL / comparisons, 2 * LEVEL / comparisons])
    constants = np.array([EFFECT[:11], EQUIVALENCE[:11]])
    shares = (least < constants[..., None]).mean(axis=-1)
    return (shares - levels) / np.sqrt(levels * (1 - levels) / len(least))


def test_the_constants_have_their_levels():
    assert (abs(misfits(least_constants(40_000, 1))) < 3).all()


@pytest.mark.slow
def test_the_constants_have_their_levels_in_more_paths():
    assert (abs(misfits(least_constants(400_000, 2))) < 3).all()


@pytest.mark.slow
@pytest.mark.parametrize("constants, level", [(EFFECT, LEVEL), (EQUIVALENCE, 2 * LEVEL)])
def test_every_constant_has_its_level_but_for_its_rounding(constants, level):
    shares = np.array([false_share(constant) * m / level / SCHEDULED for m, constant in enumerate(constants, 1)])
    assert (shares < 1.0005).all()  # the integration's own error
    assert (shares > 0.985).all()


def test_a_larger_constant_would_claim_too_much():
    assert false_share(EFFECT[0]) <= SCHEDULED * LEVEL < false_share(EFFECT[0] + 0.002)


@pytest.mark.parametrize("m", [1, 3, 11])
def test_a_study_that_goes_on_past_the_cap_keeps_its_level(m):
    for table, constant, level in (
        (EFFECT, effect_constant, LEVEL / m),
        (EQUIVALENCE, equivalence_constant, 2 * LEVEL / m),
    ):
        in_schedule = false_share(table[m - 1])
        in_all = false_share(table[m - 1], past=constant(CAP + 1, m), last=4 * CAP)
        assert in_schedule < in_all <= level


def test_the_tables_cover_all_pairs_of_the_catalogue():
    most = max(len(load_ablation(task).comparisons(pairs=True)) for task in catalogue())
    assert most <= len(EFFECT) == len(EQUIVALENCE) == 80


def test_more_comparisons_have_smaller_constants():
    assert all((np.diff(table) < 0).all() for table in (EFFECT, EQUIVALENCE))
    # Two one-sided tests among 2m are as strict as an effect among m.
    assert EQUIVALENCE[1::2] == EFFECT[:40]


@pytest.mark.parametrize("n", [FIRST_LOOK, 20, CAP + 1])
def test_more_comparisons_than_the_table_has_have_the_level_itself(n):
    assert effect_constant(n, 81) == LEVEL / 81
    assert equivalence_constant(n, 81) == 2 * LEVEL / 81


@pytest.mark.parametrize("n", [FIRST_LOOK, 20, CAP])
def test_in_the_schedule_the_constant_is_the_tables(n):
    assert (effect_constant(n, 1), effect_constant(n, 80)) == (EFFECT[0], EFFECT[79])
    assert (equivalence_constant(n, 1), equivalence_constant(n, 80)) == (EQUIVALENCE[0], EQUIVALENCE[79])


def test_no_look_before_the_first_has_an_interval():
    for comparisons in (1, 11):
        constants = effect_constant(FIRST_LOOK - 1, comparisons), equivalence_constant(FIRST_LOOK - 1, comparisons)
        assert (half_width(1, FIRST_LOOK - 1, constants) == INF).all()


# --- new data ---------------------------------------------------------------------------------------


def test_an_interval_on_new_data_by_hand():
    on_these, on_new = interval(SEVEN + 2, 3), new_data_interval(SEVEN + 2, 3, 5_000, 55_000)
    # 1/7 + 1/11 in place of 1/7
    assert on_new.half_width == pytest.approx(on_these.half_width * math.sqrt((1 / 7 + 1 / 11) / (1 / 7)))
    assert (on_new.mean, on_new.n) == (on_these.mean, 7)
    assert new_data_interval(np.array([0.5]), 1, 1, 11).half_width == INF


def coverage(differences: np.ndarray, truth: float) -> tuple[float, float]:
    """The share of studies (rows) of which every interval from 7 to the last look holds the truth: these, new data."""
    n = np.arange(1, differences.shape[1] + 1)
    means, squares = np.cumsum(differences, axis=1) / n, np.cumsum(differences**2, axis=1) / n
    sd = np.sqrt(np.maximum(squares - means**2, 0) * n / np.maximum(n - 1, 1))
    widths, errors = half_width(sd, n, EFFECT[0]), abs(means - truth)
    these, new = ((errors <= factor * widths)[:, LOOKS[0] - 1 :] for factor in (1, new_data_factor(n, 1, 11)))
    return these.all(axis=1).mean(), new.all(axis=1).mean()


def test_only_the_interval_on_new_data_holds_for_new_data():
    draw, rows, studies = np.random.default_rng(1), 120, 2_000
    # The networks in miniature: one predicts the mean of its training rows, the baseline predicts 0. The difference of
    # their squared errors on a fold has the mean μ² - σ²/n_training over all data sets.
    values = 0.5 + draw.normal(0, 1, (studies, rows))
    kept = np.array([split.fold(np.zeros(rows, int), number) for number in range(CAP)], float)
    learned, seen = values @ (1 - kept).T / (rows - 10), values @ kept.T / 10
    these, new = coverage(learned * (2 * seen - learned), 0.5**2 - 1 / (rows - 10))
    assert these < 0.8 and new > 0.95
    # And what the correction assumes: differences with the correlation n_validation / (n_validation + n_training).
    common, own = draw.normal(0, 1, (studies, 1)), draw.normal(0, 1, (studies, CAP))
    these, new = coverage(np.sqrt(1 / 12) * common + np.sqrt(11 / 12) * own, 0)
    assert these < 0.8 and new > 0.95


@pytest.mark.parametrize("comparisons", [1, 3, 66])
def test_no_number_of_seeds_passes_the_floor(comparisons):
    counts = np.arange(2, 20_000)
    constants = np.array([effect_constant(n, comparisons) for n in counts])
    widths = half_width(0.2, counts, constants) * new_data_factor(counts, 5_000, 55_000)
    assert new_data_floor(0.2, comparisons, 5_000, 55_000) == pytest.approx(widths.min(), rel=1e-12)
    assert new_data_floor(0.4, comparisons, 5_000, 55_000) == pytest.approx(2 * widths.min())
    assert half_width(0.2, 20_000, constants[-1]) < 0.05 * widths.min()  # which on these data falls to 0


def test_the_floor_at_one_comparison():
    assert new_data_floor(1, 1, 1, 11) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("n, comparisons", [(10, 1), (40, 3)])
def test_a_detectable_difference_is_claimed_four_times_in_five(n, comparisons):
    true = detectable(n, comparisons)
    draws = true + np.random.default_rng(n).normal(0, 1, (4_000, n))
    claimed = [interval(values, comparisons).low > 0 for values in draws]
    assert np.mean(claimed) == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 4_000))
    assert detectable(FIRST_LOOK - 1, comparisons) == INF


# --- what a look settles ----------------------------------------------------------------------------


def test_an_effect_is_claimed_from_where_its_interval_excludes_zero():
    least = width(SEVEN, EFFECT[0])
    assert outcome(SEVEN + 1.01 * least, 0.1, 1) is Outcome.EFFECT
    assert outcome(SEVEN - 1.01 * least, 0.1, 1) is Outcome.EFFECT
    assert outcome(SEVEN + 0.99 * least, 0.1, 1) is Outcome.OPEN
    assert outcome(SEVEN + 1.01 * least, 0.1, 2) is Outcome.OPEN  # stricter in company


def test_no_effect_needs_both_ends_within_the_margin():
    ends = 0.2 + width(SEVEN, EQUIVALENCE[0])
    assert bound(SEVEN + 0.2, 1) == pytest.approx(ends) == bound(SEVEN - 0.2, 1)
    assert outcome(SEVEN + 0.2, ends * 1.001, 1) is Outcome.NO_EFFECT
    assert outcome(SEVEN - 0.2, ends * 0.999, 1) is Outcome.OPEN
    assert outcome(SEVEN, bound(SEVEN, 1), 1) is Outcome.NO_EFFECT


def test_an_effect_within_the_margin_is_an_effect():
    assert outcome(SEVEN + 2 * width(SEVEN, EFFECT[0]), 100, 1) is Outcome.EFFECT


def test_equal_differences_are_settled_where_the_formula_is_finite():
    assert outcome(np.zeros(7), 0.1, 1) is Outcome.NO_EFFECT
    assert outcome(np.full(7, 0.5), 0.1, 1) is Outcome.EFFECT
    assert outcome(np.zeros(7), 0.1, 80) is Outcome.OPEN


@pytest.mark.parametrize("values", [[], [0.5], [NAN] * 20, [1.0] * 19 + [NAN], [1.0] * 19 + [INF], [0.5] * 6])
def test_nothing_is_settled_by_too_few_differences_or_one_that_is_not_finite(values):
    assert outcome(np.array(values), 10, 1) is Outcome.OPEN


def test_an_interval_of_too_few_differences_is_infinite_and_one_of_a_nan_is_nan():
    single, broken = interval(np.array([0.5]), 1), interval(np.array([0.5, NAN]), 1)
    assert (single.mean, single.half_width, single.n) == (0.5, INF, 1)
    assert math.isnan(broken.mean) and math.isnan(broken.half_width)
    assert bound(np.array([0.5]), 1) == INF and math.isnan(bound(np.array([0.5, NAN]), 1))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="no differences"):
        interval(np.array([]), 1)
    for call in (lambda: interval(SEVEN, 0), lambda: bound(SEVEN, 0), lambda: outcome(SEVEN, 1, 0)):
        with pytest.raises(ValueError, match="at least 1 comparison, not 0"):
            call()
    for rows in ((0, 11), (1, 0)):
        with pytest.raises(ValueError, match="rows of both kinds"):
            new_data_interval(SEVEN, 1, *rows)
    for margin in (0, -1, NAN):
        with pytest.raises(ValueError, match="positive"):
            outcome(SEVEN, margin, 1)
