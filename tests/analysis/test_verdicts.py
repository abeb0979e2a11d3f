import math

import numpy as np
import pytest

from study.analysis import confidence_sequence as sequence
from study.analysis.verdicts import Kind, Loss, Question, Verdict, judge

PAIR = ("wide", "narrow")
SEVEN = np.array([-3, -2, -1, 0, 1, 2, 3]) / math.sqrt(28 / 6)  # mean 0, sd 1
UNIT = float(sequence.half_width(1, 7, sequence.effect_constant(7, 1)))  # of an interval of seven, for sd 1


def verdict(values, margin: float = 0.2, comparisons: int = 1, **question) -> Verdict:
    return judge(PAIR, np.asarray(values, dtype=float), Question(margin, comparisons, **question))


def spread(half_width: float, mean: float = 0) -> np.ndarray:
    """Seven differences with this mean and an interval of this half-width."""
    return mean + SEVEN * half_width / UNIT


# --- what a verdict says ----------------------------------------------------------------------------


@pytest.mark.parametrize("differences, margin, kind, sentence", [
    (spread(0.19, 1), 0.2, Kind.HELPS, "helps by 1.00 ± 0.19 points"),
    (spread(0.19, -1), 0.2, Kind.HURTS, "hurts by 1.00 ± 0.19 points"),
    (spread(1.24, 12.34), 0.2, Kind.HELPS, "helps by 12.3 ± 1.2 points"),
    (spread(12.4, -30), 0.2, Kind.HURTS, "hurts by 30.0 ± 12.4 points"),
    (spread(0.012, 0.034), 0.2, Kind.HELPS, "helps by 0.034 ± 0.012 points, less than the margin of 0.2"),
    (np.full(7, 0.5), 0.2, Kind.HELPS, "helps by 0.50 ± 0.00 points"),
    (np.zeros(7), 0.2, Kind.NO_EFFECT, "no effect beyond ±0.00 points"),
    (spread(0.9, 0.2), 0.2, Kind.UNDECIDED, "undecided: between −0.70 and +1.10 points"),
    (spread(0.911, -0.2), 0.2, Kind.UNDECIDED, "undecided: between −1.12 and +0.72 points"),  # rounded outwards
    (spread(3.25, 1), 0.2, Kind.UNDECIDED, "undecided: between −2.3 and +4.3 points"),
    ([0.1] * 6, 0.2, Kind.UNTESTED, "not tested: 6 seeds; a verdict needs 7"),
    ([5.0], 0.2, Kind.UNTESTED, "not tested: 1 seed; a verdict needs 7"),
    ([], 0.2, Kind.UNTESTED, "not tested: no seed finished in both arms"),
    ([0.1] * 6 + [math.nan], 0.2, Kind.UNDECIDED, "undecided: a difference is not a number"),
])  # fmt: skip
def test_what_a_verdict_says(differences, margin, kind, sentence):
    assert (verdict(differences, margin).kind, verdict(differences, margin).sentence) == (kind, sentence)


def test_where_the_interval_is_infinite_it_says_that_nothing_is_ruled_out():
    result = verdict(spread(0.1, 5), comparisons=11)
    assert result.sentence == "undecided: 7 seeds rule out nothing yet, in one of 11 comparisons"
    assert (result.effect.mean, result.effect.half_width) == (pytest.approx(5), math.inf)


def test_seven_equal_counts_of_few_rows_rule_out_no_single_row():
    row = 100 / 21
    assert verdict([0] * 7, 5, step=row).sentence == "no effect beyond ±2.8 points"
    assert verdict([0] * 7, 0.2, step=row).kind == Kind.UNDECIDED
    assert verdict([row] * 7, 5, step=row).sentence == "helps by 4.8 ± 4.3 points"


def test_a_loss_in_nats_helps_where_it_falls():
    assert verdict(spread(0.01, -0.05), 0.01, unit="nats", more_is_better=False).sentence == (
        "helps by 0.050 ± 0.010 nats"
    )
    assert verdict(spread(0.01, 0.05), 0.01, unit="nats", more_is_better=False).kind == Kind.HURTS


# --- when it says what ------------------------------------------------------------------------------


def test_the_kind_is_what_the_interval_that_is_told_shows():
    draw = np.random.default_rng(0)
    kinds = set()
    for _ in range(300):
        result = verdict(draw.normal(draw.choice([0, 0.1, 0.5, -0.5]), 0.2, draw.integers(7, 60)), comparisons=3)
        kinds.add(result.kind)
        assert (result.kind in (Kind.HELPS, Kind.HURTS)) == result.effect.excludes_zero
        assert (result.kind == Kind.UNDECIDED) == (not result.effect.excludes_zero and result.bound > 0.2)
        # "No effect beyond ±x" is told of an interval that reaches further than x by one-sidedness alone.
        assert result.kind != Kind.NO_EFFECT or abs(result.effect.mean) < result.bound <= 0.2
    assert kinds == {Kind.HELPS, Kind.HURTS, Kind.NO_EFFECT, Kind.UNDECIDED}


def test_the_bound_of_no_effect_holds_as_it_is_told():
    for half, mean in ((0.0999, 0.049), (0.05, 0.0101), (0.03, -0.029)):
        result = verdict(spread(half, mean))
        told = float(result.sentence.split("±")[1].split()[0])
        assert result.kind == Kind.NO_EFFECT
        assert told - 0.01 < result.bound <= told


def test_the_margin_is_the_border_of_no_effect():
    values = spread(0.1, 0.02)
    bound = verdict(values).bound
    assert verdict(values, bound * 1.001).kind == Kind.NO_EFFECT
    assert verdict(values, bound * 0.999).kind == Kind.UNDECIDED


def test_more_comparisons_ask_for_more():
    widths = [float(sequence.half_width(1, 12, sequence.effect_constant(12, m))) for m in (1, 11)]
    values = np.tile([1.0, -1.0], 6) * math.sqrt(11 / 12) + sum(widths) / 2  # sd 1
    assert [verdict(values, comparisons=m).kind for m in (1, 11)] == [Kind.HELPS, Kind.UNDECIDED]


# --- seeds that were lost ---------------------------------------------------------------------------


@pytest.mark.parametrize("losses, sentence", [
    ([Loss("this arm", 8, 16, "diverged")], "unstable: 8 of 16 seeds diverged in this arm"),
    ([Loss("the baseline", 1, 1, "failed")], "unstable: 1 of 1 seed failed in the baseline"),
    ([Loss("this arm", 2, 9, "diverged or failed"), Loss("the other arm", 1, 9, "diverged")],
     "unstable: 2 of 9 seeds diverged or failed in this arm, 1 of 9 seeds diverged in the other arm"),
])  # fmt: skip
def test_survivors_decide_nothing(losses, sentence):
    better = spread(0.1, 3)
    assert verdict(better).kind == Kind.HELPS
    for differences in (better, better[:2], better[:0]):
        expected = Verdict(*PAIR, None, None, Kind.UNSTABLE, sentence)
        assert judge(PAIR, differences, Question(0.2, 1), losses) == expected


# --- how often it is wrong, and right ---------------------------------------------------------------


@pytest.mark.parametrize("comparisons", [1, 3])
def test_where_no_arm_differs_a_claim_is_made_in_at_most_one_study_of_twenty_however_often_it_looks(comparisons):
    generator = np.random.default_rng(comparisons)
    studies, seeds = 400, 40
    # How good a seed is, all arms of the study share; which of the 5,000 images they get right is chance.
    good = generator.normal(0.976, 0.002, (studies, seeds, 1))
    accuracies = generator.binomial(5_000, good, (studies, seeds, 1 + comparisons)) / 50
    question, wrong = Question(0.05, comparisons), 0
    for study in accuracies:
        looks = (
            judge(PAIR, study[:n, arm] - study[:n, 0], question).kind
            for n in range(7, seeds + 1)
            for arm in range(1, comparisons + 1)
        )
        wrong += any(kind in (Kind.HELPS, Kind.HURTS) for kind in looks)
    assert 0.005 <= wrong / studies <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / studies)  # and it does claim now and then


def test_an_effect_of_a_point_is_found():
    draws = np.random.default_rng(2).normal((1, -1), 0.2, (200, 10, 2))
    for differences in draws:
        helps, hurts = (verdict(values, comparisons=2) for values in differences.T)
        assert (helps.kind, hurts.kind) == (Kind.HELPS, Kind.HURTS)
