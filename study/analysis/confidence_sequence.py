"""Intervals for a mean difference that hold at all looks of a study together; pure functions on numpy arrays.

A study looks after every seed, and a test made for one look claims too much. A t confidence sequence is a sequence of
intervals that all contain the true mean, with probability 1 - a or more. Source: Wang & Ramdas, Anytime-valid t-tests
and confidence sequences for Gaussian means with unknown variance (arXiv 2310.03722), theorem 4.9.

With a = α that is so for looks without end. If it is declared beforehand when a study looks, a larger a is enough, and
gives narrower intervals. For normal differences it depends on the schedule only, because a t statistic knows no σ. The
two tables have it for looks at every seed from FIRST_LOOK to CAP; `python -m benchmarks.verdicts --calibrate`
regenerates them. Past the cap a is α/m again. A study that first looks up to the cap and then goes on makes both kinds
of looks, and the errors of both add up: with one comparison to 5.8 % at 240 seeds.

All this is for normal differences. `python -m benchmarks.verdicts` measures others: counts do as well, heavy tails
better, strongly skewed differences far worse.
"""

import math
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from study.analysis.statistics import LEVEL, Estimate

C_SQUARED = 4.0  # the theorem's c²: the weight of the prior, in differences
FIRST_LOOK = 7  # differences; with fewer, a = α/m gives no finite interval
CAP = 60

# The constants a by the number of comparisons m = 1, 2, …, 66, which is all pairs of 12 arms, the most that a task of
# the catalogue has. Rounded down, so that the errors stay below their levels.
# fmt: off
EFFECT = (  # one of the m effects is claimed falsely with probability 0.05/m
    0.11, 0.0611, 0.0431, 0.0336, 0.0277, 0.0237, 0.0207, 0.0184, 0.0166, 0.0152, 0.0139, 0.0129, 0.0121, 0.0113,
    0.0106, 0.01, 0.00957, 0.0091, 0.00868, 0.0083, 0.00796, 0.00764, 0.00735, 0.00708, 0.00683, 0.0066, 0.00639,
    0.00619, 0.006, 0.00582, 0.00566, 0.0055, 0.00536, 0.00522, 0.00509, 0.00496, 0.00485, 0.00473, 0.00463,
    0.00453, 0.00443, 0.00434, 0.00425, 0.00416, 0.00408, 0.004, 0.00393, 0.00386, 0.00379, 0.00372, 0.00366,
    0.0036, 0.00354, 0.00348, 0.00342, 0.00337, 0.00332, 0.00327, 0.00322, 0.00317, 0.00312, 0.00308, 0.00304,
    0.003, 0.00296, 0.00292,
)
EQUIVALENCE = (  # two one-sided tests at 0.05/m each, and so an interval that fails with probability 0.1/m
    0.199, 0.11, 0.0782, 0.0611, 0.0505, 0.0431, 0.0378, 0.0336, 0.0304, 0.0277, 0.0255, 0.0237, 0.0221, 0.0207,
    0.0195, 0.0184, 0.0175, 0.0166, 0.0159, 0.0152, 0.0145, 0.0139, 0.0134, 0.0129, 0.0125, 0.0121, 0.0117, 0.0113,
    0.011, 0.0106, 0.0103, 0.01, 0.00982, 0.00957, 0.00933, 0.0091, 0.00889, 0.00868, 0.00849, 0.0083, 0.00813,
    0.00796, 0.0078, 0.00764, 0.00749, 0.00735, 0.00721, 0.00708, 0.00695, 0.00683, 0.00671, 0.0066, 0.00649,
    0.00639, 0.00628, 0.00619, 0.00609, 0.006, 0.00591, 0.00582, 0.00574, 0.00566, 0.00558, 0.0055, 0.00543,
    0.00536,
)
# fmt: on


class Outcome(StrEnum):
    """What a look at a comparison settles."""

    EFFECT = "effect"
    NO_EFFECT = "no effect"
    OPEN = "open"


def half_width(sd: ArrayLike, n: ArrayLike, a: ArrayLike) -> np.ndarray:
    """Return the half-width of the t confidence sequence after n differences with the standard deviation `sd`.

    The three broadcast: `sd` (ddof 1) in any unit, which is the result's; `n` whole numbers; `a` between 0 and 1, the
    probability that an interval of the sequence misses the mean (see `effect_constant`). Infinite where so few
    differences bound nothing, which includes n < 2, and NaN where `sd` is NaN.
    """
    sd, n, a = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (sd, n, a)))
    t = C_SQUARED / (C_SQUARED + n)  # T = c² / (c² + n)
    p = (t * a**2) ** (1 / np.maximum(n, 1))  # p = (T a²)^(1/n)
    finite = p > t  # never for n < 2
    share = (n - 1) * (1 - p) / np.where(finite, p - t, 1)
    width = sd * np.sqrt(np.where(finite, share / np.maximum(n, 1), 0))  # theorem 4.9: s/√n · sqrt((n-1)(1-p)/(p-T))
    result: np.ndarray = np.where(finite | np.isnan(sd), width, np.inf)
    return result


def effect_constant(n: int, comparisons: int) -> float:
    """Return the a of the intervals by which an effect is claimed, after n differences in one of `comparisons`.

    That of the schedule, or 0.05/m where the schedule says nothing: before the first look, past the cap, and with more
    comparisons than the table has. Raises ValueError for fewer than one comparison.
    """
    return _constant(EFFECT, LEVEL, n, comparisons)


def equivalence_constant(n: int, comparisons: int) -> float:
    """Return the a of the intervals by which an effect beyond a margin is ruled out; as `effect_constant`.

    Twice the level: two one-sided tests at 0.05/m each. Source: Schuirmann (1987), A comparison of the two one-sided
    tests procedure and the power approach.
    """
    return _constant(EQUIVALENCE, 2 * LEVEL, n, comparisons)


def interval(differences: np.ndarray, comparisons: int) -> Estimate:
    """Return the mean of the differences (n,) with the interval by which an effect is claimed, in their unit.

    All such intervals of a study, in all its comparisons at all looks up to the cap, contain the true mean differences
    with probability 0.95 or more, if the differences are normal. The half-width is infinite where there are too few
    differences, and NaN, like the mean, where one of them is not finite. Raises ValueError for no differences at all,
    or fewer than one comparison.
    """
    mean, sd, n = _summary(differences)
    return Estimate(mean, float(half_width(sd, n, effect_constant(n, comparisons))), n)


def bound(differences: np.ndarray, comparisons: int) -> float:
    """Return the x of "no effect beyond ±x" that the differences (n,) show, in their unit.

    The true mean difference lies beyond ±x at any look with probability 0.05/m at most. Infinite or NaN, and raises, as
    `interval`.
    """
    mean, sd, n = _summary(differences)
    return abs(mean) + float(half_width(sd, n, equivalence_constant(n, comparisons)))


def outcome(differences: np.ndarray, margin: float, comparisons: int) -> Outcome:
    """Return what the differences (n,) of one of `comparisons` settle: an effect, none beyond ±margin, or nothing yet.

    `margin` is in the unit of the differences. An effect is claimed where the interval excludes zero, however small it
    is; otherwise none beyond ±margin where the bound reaches it. Raises ValueError for a margin that is not positive,
    or fewer than one comparison.
    """
    if not margin > 0:
        raise ValueError(f"a margin has to be positive, not {margin}")
    if comparisons < 1:
        raise ValueError(f"a study has at least 1 comparison, not {comparisons}")
    if len(differences) == 0:
        return Outcome.OPEN
    if interval(differences, comparisons).excludes_zero:
        return Outcome.EFFECT
    return Outcome.NO_EFFECT if bound(differences, comparisons) <= margin else Outcome.OPEN


def _constant(table: tuple[float, ...], level: float, n: int, comparisons: int) -> float:
    if comparisons < 1:
        raise ValueError(f"a study has at least 1 comparison, not {comparisons}")
    if FIRST_LOOK <= n <= CAP and comparisons <= len(table):
        return table[comparisons - 1]
    return level / comparisons


def _summary(differences: np.ndarray) -> tuple[float, float, int]:
    """Return the mean, the standard deviation (0 of a single one) and the number of differences (n,)."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("no differences to estimate a mean from")
    if not np.isfinite(values).all():
        return math.nan, math.nan, len(values)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0, len(values)
