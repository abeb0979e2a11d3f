import math

import numpy as np
import pytest

from study.analysis.statistics import estimate, half_width
from study.analysis.verdicts import Kind, Loss, Verdict, judge

PAIR = ("wide", "narrow")
SEVEN = np.array([-3, -2, -1, 0, 1, 2, 3]) / math.sqrt(28 / 6)  # mean 0, sd 1


def verdict(values, others: int = 0) -> Verdict:
    """The verdict on these differences, among so many more comparisons in which nothing differs."""
    values = np.asarray(values, dtype=float)
    others = {(f"other {number}", "narrow"): np.zeros(len(values)) for number in range(others)}
    return judge({PAIR: values} | others)[0]


def spread(half_width_wanted: float, mean: float = 0) -> np.ndarray:
    """Seven differences with this mean and a 95 % interval of this half-width."""
    return mean + SEVEN * half_width_wanted / half_width(1, 7)


# --- what a verdict says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "differences, kind, sentence",
    [
        (spread(0.19, 1), Kind.HELPS, "helps by 1.00 ± 0.19 points"),
        (spread(0.19, -1), Kind.HURTS, "hurts by 1.00 ± 0.19 points"),
        (spread(0.012, 0.034), Kind.HELPS, "helps by 0.03 ± 0.01 points"),
        (spread(1.25, 12.34), Kind.HELPS, "helps by 12.3 ± 1.2 points"),
        (spread(12.4, -30), Kind.HURTS, "hurts by 30.0 ± 12.4 points"),
        (np.full(7, 0.5), Kind.HELPS, "helps by 0.50 ± 0.00 points"),
        (spread(0.0512, 0.01), Kind.NO_EFFECT, "no effect larger than ±0.07 points"),  # 0.0612, rounded up
        (spread(0.0512, -0.01), Kind.NO_EFFECT, "no effect larger than ±0.07 points"),
        (np.zeros(7), Kind.NO_EFFECT, "no effect larger than ±0.00 points"),
    ],
)
def test_what_a_verdict_says(differences, kind, sentence):
    assert (verdict(differences).kind, verdict(differences).sentence) == (kind, sentence)


@pytest.mark.parametrize(
    "sd, sentence",
    [
        # For 0.1 points: t(7) · s / √8 is 0.836 s, t(8) · s / √9 is 0.769 s, and beyond a hundred 1.96 s / √n.
        (0.119, "undecided: about 1 more seed would settle 0.1 points"),
        (0.13, "undecided: about 2 more seeds would settle 0.1 points"),
        (1, "undecided: about 380 more seeds would settle 0.1 points"),
    ],
)
def test_an_undecided_verdict_says_how_many_more_seeds_would_do(sd, sentence):
    result = verdict(SEVEN * sd)
    assert (result.kind, result.sentence) == (Kind.UNDECIDED, sentence)


def test_so_many_more_seeds_are_enough_and_fewer_are_not():
    for sd in (0.12, 0.15, 0.2, 0.3):
        more = int(verdict(SEVEN * sd).sentence.split()[2])
        assert half_width(sd, 7 + more) <= 0.1 < half_width(sd, 7 + more - 1)


def test_the_resolution_is_the_border_between_no_effect_and_undecided():
    assert verdict(spread(0.1 - 1e-9)).kind == Kind.NO_EFFECT
    assert verdict(spread(0.1 + 1e-9)).kind == Kind.UNDECIDED


def test_the_bound_of_no_effect_holds():
    for half, mean in ((0.0999, 0.049), (0.05, 0.0101), (0.03, -0.029)):
        result = verdict(spread(half, mean))
        bound = float(result.sentence.split("±")[1].split()[0])
        assert result.kind == Kind.NO_EFFECT
        assert bound - 0.01 < max(abs(result.effect.low), abs(result.effect.high)) <= bound


def test_an_interval_that_excludes_zero_is_never_called_no_effect():
    # Six seeds agree and the seventh hardly differs: p is 4/128, twice that among two; the interval is 0.12 to 0.30.
    result = verdict([-0.01, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25], others=1)
    assert result.p == pytest.approx(2 * 4 / 128)
    assert result.effect.excludes_zero and result.effect.half_width < 0.1
    assert result.kind == Kind.UNDECIDED


def test_differences_that_are_not_numbers_settle_nothing():
    result = verdict([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, math.nan])
    assert result.kind in (Kind.UNDECIDED, Kind.UNTESTED)
    assert "more seeds" not in result.sentence
    assert result.p is None or not result.p <= 0.05


# --- what a claim needs -----------------------------------------------------------------------------


def test_a_claim_needs_the_test_and_the_interval():
    # All seven agree, so p is 2/128; but one is so far off that the interval holds zero: 10.9/7 ± 3.34.
    far_off = verdict([0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 10])
    assert far_off.p == pytest.approx(2 / 128)
    assert not far_off.effect.excludes_zero
    assert far_off.kind == Kind.UNDECIDED


def test_the_effect_and_the_names_are_handed_on():
    result = verdict(spread(0.19, 1))
    assert (result.arm, result.against) == PAIR
    assert result.effect == estimate(spread(0.19, 1))
    assert result.p == pytest.approx(2 / 128)


def test_verdicts_come_in_the_order_of_the_comparisons_each_with_its_own_p():
    all_agree, nothing = np.arange(1.0, 9.0), np.array([1, -1] * 4)
    results = judge({("a", "x"): nothing, ("b", "x"): all_agree, ("c", "x"): np.ones(2), ("d", "x"): -all_agree})
    assert [(result.arm, result.kind) for result in results] == [
        ("a", Kind.UNDECIDED), ("b", Kind.HELPS), ("c", Kind.UNTESTED), ("d", Kind.HURTS),
    ]  # fmt: skip
    # Holm: the two at 2/256 count fourfold, by their place in a sorted list threefold but no less; 1 stays 1.
    assert [result.p for result in results] == [1, pytest.approx(8 / 256), None, pytest.approx(8 / 256)]


def test_comparisons_that_could_not_be_tested_count_for_holm():
    agree = np.arange(1.0, 9.0)  # p = 2/256
    alone = judge({PAIR: agree})[0]
    among_untested = judge({PAIR: agree, ("a", "narrow"): np.ones(2), ("b", "narrow"): np.array([])})[0]
    assert alone.p == pytest.approx(2 / 256)
    assert among_untested.p == pytest.approx(6 / 256)


def test_nothing_to_compare_gives_no_verdicts():
    assert judge({}) == []


# --- lost seeds -------------------------------------------------------------------------------------

EIGHT = np.array([0.35, 0.4, 0.45, 0.5, 0.3, 0.42, 0.41, 0.43])  # p = 2/256: an effect, if these were all


@pytest.mark.parametrize("losses, sentence", [
    ([Loss("this arm", 8, 16, "diverged")], "unstable: 8 of 16 seeds diverged in this arm"),
    ([Loss("the baseline", 1, 1, "failed")], "unstable: 1 of 1 seed failed in the baseline"),
    ([Loss("this arm", 2, 9, "diverged or failed"), Loss("the other arm", 1, 9, "diverged")],
     "unstable: 2 of 9 seeds diverged or failed in this arm, 1 of 9 seeds diverged in the other arm"),
])  # fmt: skip
def test_survivors_decide_nothing(losses, sentence):
    assert judge({PAIR: EIGHT})[0].kind == Kind.HELPS
    for differences in (EIGHT, EIGHT[:2], EIGHT[:0]):
        assert judge({PAIR: differences}, {PAIR: losses}) == [Verdict(*PAIR, None, None, Kind.UNSTABLE, sentence)]


def test_an_unstable_comparison_counts_for_holm_and_changes_no_other():
    losses = {("lost", "narrow"): [Loss("this arm", 1, 8, "diverged")], PAIR: []}
    kept, lost = judge({PAIR: EIGHT, ("lost", "narrow"): EIGHT}, losses)
    assert (kept.kind, lost.kind) == (Kind.HELPS, Kind.UNSTABLE)
    assert kept.p == pytest.approx(2 * 2 / 256)


# --- too few seeds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds, others, words", [
    (1, 0, "1 seed, with 6"), (1, 2, "1 seed, with 7"), (2, 0, "2 seeds, with 6"), (5, 0, "5 seeds, with 6"),
    (6, 1, "6 seeds, with 7"), (7, 3, "7 seeds, with 8"), (3, 9, "3 seeds, with 9"),
])  # fmt: skip
def test_too_few_seeds_are_not_tested_and_it_says_why(seeds, others, words):
    result = verdict(np.full(seeds, 3.0), others)
    sentence = f"not tested: p cannot reach 0.05 with {words} it can"
    assert (result.kind, result.p, result.sentence) == (Kind.UNTESTED, None, sentence)
    assert (result.effect.mean, result.effect.n) == (3.0, seeds)


@pytest.mark.parametrize("seeds, others", [(6, 0), (7, 1), (7, 2), (8, 3), (8, 5), (9, 6)])
def test_so_many_seeds_as_it_names_can_tell(seeds, others):
    assert verdict(np.full(seeds, 3.0), others).kind == Kind.HELPS
    untested = verdict(np.full(seeds - 1, 3.0), others)
    assert untested.kind == Kind.UNTESTED
    assert untested.sentence.endswith(f", with {seeds} it can")


def test_arms_without_a_seed_in_common_are_not_tested():
    result = verdict([])
    assert result == Verdict(*PAIR, None, None, Kind.UNTESTED, "not tested: no seed finished in both arms")


# --- how often it is wrong, and right ---------------------------------------------------------------


@pytest.mark.parametrize("seeds, comparisons", [(7, 2), (8, 4)])
def test_where_no_arm_differs_a_claim_is_made_in_at_most_one_study_of_twenty(seeds, comparisons):
    generator = np.random.default_rng(seeds)
    # How good a seed is, all arms of the study share; which of the 5,000 images they get right is chance.
    good = generator.normal(0.976, 0.002, (2_000, seeds, 1))
    accuracies = generator.binomial(5_000, good, (2_000, seeds, 1 + comparisons)) / 50
    wrong = 0
    for study in accuracies:
        differences = {(f"arm {arm}", "reference"): study[:, arm] - study[:, 0] for arm in range(1, comparisons + 1)}
        wrong += any(result.kind in (Kind.HELPS, Kind.HURTS) for result in judge(differences))
    assert 0.005 <= wrong / 2_000 <= 0.05  # and it does claim now and then


def test_an_effect_of_a_point_is_found():
    draws = np.random.default_rng(2).normal((1, -1, 0), 0.2, (200, 8, 3))
    for differences in draws:
        helps, hurts, _ = judge({(arm, "reference"): differences[:, number] for number, arm in enumerate("abc")})
        assert (helps.kind, hurts.kind) == (Kind.HELPS, Kind.HURTS)
        assert helps.effect.mean == pytest.approx(1, abs=0.35)
