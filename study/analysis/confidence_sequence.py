"""Intervals for a mean difference that hold at all looks of a study together; pure functions on numpy arrays.

A study looks after every seed, and a test made for one look claims too much. A t confidence sequence is a sequence of
intervals that all contain the true mean, with probability 1 - a or more. Source: Wang & Ramdas, Anytime-valid t-tests
and confidence sequences for Gaussian means with unknown variance (arXiv 2310.03722), theorem 4.9.

With a = α that is so for looks without end. If it is declared beforehand when a study looks, a larger a is enough, and
gives narrower intervals. For normal differences it depends on the schedule only, because a t statistic knows no σ. The
two tables have it for looks at every seed from FIRST_LOOK to CAP; `python -m benchmarks.verdicts --calibrate`
regenerates them. A study may go on past the cap: nine tenths of its errors are spent on the looks up to there, and one
tenth, with a = 0.1 α/m, on all that follow.

All this is for normal differences. `python -m benchmarks.verdicts` measures others: counts do as well, heavy tails
better, strongly skewed differences far worse. Counts of few rows need a floor: seven seeds may all differ by the same
number of rows, and yet the next one need not. So where differences come in steps, their standard deviation is taken
to be that of n values of which one is a step away from the others (`floor`), or more.
"""

import math
from dataclasses import replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtrinc

from study.analysis.statistics import LEVEL, Estimate

C_SQUARED = 4.0  # the theorem's c²: the weight of the prior, in differences
FIRST_LOOK = 7  # differences; fewer have no interval
CAP = 60
SCHEDULED = 0.9  # the share of the errors that looks up to the cap may make

# The constants a by the number of comparisons m = 1, 2, …, 80. Rounded down: the errors stay below their levels.
# fmt: off
EFFECT = (  # one of the m effects is claimed falsely with probability 0.9 · 0.05/m
    0.1, 0.0558, 0.0394, 0.0307, 0.0253, 0.0216, 0.0189, 0.0168, 0.0152, 0.0138, 0.0127, 0.0118, 0.011, 0.0103,
    0.00973, 0.0092, 0.00873, 0.0083, 0.00792, 0.00757, 0.00725, 0.00696, 0.0067, 0.00645, 0.00623, 0.00602,
    0.00582, 0.00564, 0.00547, 0.00531, 0.00516, 0.00502, 0.00488, 0.00476, 0.00464, 0.00452, 0.00442, 0.00431,
    0.00422, 0.00413, 0.00404, 0.00395, 0.00387, 0.00379, 0.00372, 0.00365, 0.00358, 0.00352, 0.00345, 0.00339,
    0.00333, 0.00328, 0.00322, 0.00317, 0.00312, 0.00307, 0.00302, 0.00298, 0.00293, 0.00289, 0.00285, 0.00281,
    0.00277, 0.00273, 0.00269, 0.00266, 0.00262, 0.00259, 0.00256, 0.00252, 0.00249, 0.00246, 0.00243, 0.0024,
    0.00238, 0.00235, 0.00232, 0.0023, 0.00227, 0.00224,
)
EQUIVALENCE = (  # two one-sided tests at 0.9 · 0.05/m each, and so an interval that fails with twice that
    0.182, 0.1, 0.0714, 0.0558, 0.0461, 0.0394, 0.0345, 0.0307, 0.0277, 0.0253, 0.0233, 0.0216, 0.0201, 0.0189,
    0.0178, 0.0168, 0.0159, 0.0152, 0.0145, 0.0138, 0.0132, 0.0127, 0.0122, 0.0118, 0.0114, 0.011, 0.0106, 0.0103,
    0.01, 0.00973, 0.00946, 0.0092, 0.00896, 0.00873, 0.00851, 0.0083, 0.00811, 0.00792, 0.00774, 0.00757, 0.00741,
    0.00725, 0.00711, 0.00696, 0.00683, 0.0067, 0.00657, 0.00645, 0.00634, 0.00623, 0.00612, 0.00602, 0.00592,
    0.00582, 0.00573, 0.00564, 0.00555, 0.00547, 0.00539, 0.00531, 0.00523, 0.00516, 0.00509, 0.00502, 0.00495,
    0.00488, 0.00482, 0.00476, 0.0047, 0.00464, 0.00458, 0.00452, 0.00447, 0.00442, 0.00437, 0.00431, 0.00427,
    0.00422, 0.00417, 0.00413,
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

    That of the schedule up to the cap, and past it what the schedule has left of 0.05/m. With more comparisons than the
    table has it is 0.05/m, which needs no schedule. Raises ValueError for fewer than one comparison.
    """
    return _constant(EFFECT, LEVEL, n, comparisons)


def equivalence_constant(n: int, comparisons: int) -> float:
    """Return the a of the intervals by which an effect beyond a margin is ruled out; as `effect_constant`.

    Twice the level: two one-sided tests at 0.05/m each. Source: Schuirmann (1987), A comparison of the two one-sided
    tests procedure and the power approach.
    """
    return _constant(EQUIVALENCE, 2 * LEVEL, n, comparisons)


def floor(step: float, n: ArrayLike) -> np.ndarray:
    """Return the standard deviation (ddof 1) of n values of which one is a `step` away from the others, in its unit."""
    return step / np.sqrt(n)  # var = (n-1)/n · step² / (n-1)


def interval(differences: np.ndarray, comparisons: int, step: float = 0) -> Estimate:
    """Return the mean of the differences (n,) with the interval by which an effect is claimed, in their unit.

    `step` is the smallest distance between two different values, 0 where there is none (see `floor`).

    All such intervals of a study, in all its comparisons at all looks, contain the true mean differences with
    probability 0.95 or more, if the differences are normal. The half-width is infinite where there are too few
    differences, and NaN, like the mean, where one of them is not finite. Raises ValueError for no differences at all,
    or fewer than one comparison.
    """
    mean, sd, n = _summary(differences, step)
    return Estimate(mean, float(half_width(sd, n, effect_constant(n, comparisons))), n)


def bound(differences: np.ndarray, comparisons: int, step: float = 0) -> float:
    """Return the x of "no effect beyond ±x" that the differences (n,) show, in their unit.

    The true mean difference lies beyond ±x at any look with probability 0.05/m at most. `step`, and when it is infinite
    or NaN or raises, as in `interval`.
    """
    mean, sd, n = _summary(differences, step)
    return abs(mean) + float(half_width(sd, n, equivalence_constant(n, comparisons)))


def new_data_interval(
    differences: np.ndarray, comparisons: int, validation_rows: int, training_rows: int, step: float = 0
) -> Estimate:
    """Return the `interval` for the mean on new data from the same source, of differences (n,) that vary the split.

    Folds of the same rows share most of what they train on, so their differences go together, and s²/n says too little
    of what other rows would show. Each trial trains on `training_rows` and validates on `validation_rows`. The interval
    has a `new_data_floor`. `step` and errors as in `interval`, and ValueError where there are no rows.
    """
    on_these = interval(differences, comparisons, step)
    factor = float(new_data_factor(on_these.n, validation_rows, training_rows))
    return replace(on_these, half_width=factor * on_these.half_width)


def new_data_factor(n: ArrayLike, validation_rows: int, training_rows: int) -> np.ndarray:
    """Return by how much any half-width after n differences that vary the split is larger on new data.

    Raises ValueError where there are no rows.
    """
    if not min(validation_rows, training_rows) > 0:
        raise ValueError(f"there have to be rows of both kinds, not {validation_rows} and {training_rows}")
    # Nadeau & Bengio (2003), Inference for the generalization error: s²(1/n + n_validation/n_training) in place of s²/n
    return np.sqrt(1 + np.asarray(n) * (validation_rows / training_rows))


def new_data_floor(sd: float, comparisons: int, validation_rows: int, training_rows: int) -> float:
    """Return the least half-width of `new_data_interval` at this standard deviation, whatever the number of seeds.

    With more seeds 1/n vanishes and n_validation/n_training stays. The half-width even grows again in the end, slowly,
    because the sequence allows for looks without end.
    """
    # The least is where n is about (ln(n/4) + 2 ln(1/a)) · n_training/n_validation, or at the cap; not past this.
    most = 100 * (1 + math.log(comparisons)) * max(1, training_rows / validation_rows)
    counts = np.arange(FIRST_LOOK, math.ceil(most))
    constants = np.where(counts <= CAP, *(effect_constant(n, comparisons) for n in (CAP, CAP + 1)))
    widths = half_width(sd, counts, constants) * new_data_factor(counts, validation_rows, training_rows)
    return float(widths.min())


def outcome(differences: np.ndarray, margin: float, comparisons: int, step: float = 0) -> Outcome:
    """Return what the differences (n,) of one of `comparisons` settle: an effect, none beyond ±margin, or nothing yet.

    `margin` is in the unit of the differences. An effect is claimed where the interval excludes zero, however small it
    is; otherwise none beyond ±margin where the bound reaches it. `step` as in `interval`. Raises ValueError for a
    margin that is not positive, or fewer than one comparison.
    """
    if not margin > 0:
        raise ValueError(f"a margin has to be positive, not {margin}")
    if comparisons < 1:
        raise ValueError(f"a study has at least 1 comparison, not {comparisons}")
    if len(differences) == 0:
        return Outcome.OPEN
    if interval(differences, comparisons, step).excludes_zero:
        return Outcome.EFFECT
    return Outcome.NO_EFFECT if bound(differences, comparisons, step) <= margin else Outcome.OPEN


def detectable(n: int, comparisons: int, power: float = 0.8) -> float:
    """Return the true difference, in standard deviations, that the look at n differences claims with this probability.

    The looks before it may claim it as well, so that the power of all looks together is greater. Infinite where so few
    differences have no interval.
    """
    limit = float(half_width(1, n, effect_constant(n, comparisons))) * math.sqrt(n)  # of |t|
    if math.isinf(limit):
        return math.inf
    # A t statistic of normal differences with a true mean follows a noncentral t distribution.
    return float(nctdtrinc(n - 1, 1 - power, limit)) / math.sqrt(n)


def _constant(table: tuple[float, ...], level: float, n: int, comparisons: int) -> float:
    if comparisons < 1:
        raise ValueError(f"a study has at least 1 comparison, not {comparisons}")
    if n < FIRST_LOOK:
        return 0.0  # no interval
    if comparisons > len(table):
        return level / comparisons
    return table[comparisons - 1] if n <= CAP else (1 - SCHEDULED) * level / comparisons


def _summary(differences: np.ndarray, step: float) -> tuple[float, float, int]:
    """Return the mean, the standard deviation (at least its floor) and the number of differences (n,)."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("no differences to estimate a mean from")
    if not np.isfinite(values).all():
        return math.nan, math.nan, len(values)
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return float(values.mean()), max(sd, float(floor(step, len(values)))), len(values)
