"""Verdicts: what a paired comparison over seeds shows, in a sentence; pure functions on numpy arrays.

Differences are in percentage points of accuracy, so that more is better.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from study.analysis.formatting import count
from study.analysis.statistics import LEVEL, Estimate, estimate, holm, least_values, sign_flip, values_for

RESOLUTION = 0.1  # points; a smaller difference is below what 10,000 test images can tell (binomial error 0.14)


class Kind(StrEnum):
    """The outcome of a verdict."""

    HELPS = "helps"
    HURTS = "hurts"
    NO_EFFECT = "no effect"
    UNDECIDED = "undecided"
    UNSTABLE = "unstable"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Loss:
    """The seeds that one side of a comparison lost, of those that the other side finished.

    `side` is that side in words, `seeds` how many of its trials have ended, `how` what became of the lost ones:
    ``diverged`` or ``failed``.
    """

    side: str
    lost: int
    seeds: int
    how: str

    @property
    def words(self) -> str:
        """The loss in words: ``8 of 16 seeds diverged in this arm``."""
        return f"{self.lost} of {count(self.seeds, 'seed')} {self.how} in {self.side}"


@dataclass(frozen=True)
class Verdict:
    """What `arm` does against the arm `against`: the mean difference in points, its corrected p, and a sentence.

    `effect` is None if the two have no seed in common, or if one lost seeds; `p` is None if there was no test.
    """

    arm: str
    against: str
    effect: Estimate | None
    p: float | None
    kind: Kind
    sentence: str

    @property
    def about(self) -> str:
        """The sentence without the kind with which it begins."""
        return self.sentence.removeprefix(f"{self.kind}: ")


def judge(
    differences: Mapping[tuple[str, str], np.ndarray], losses: Mapping[tuple[str, str], Sequence[Loss]] | None = None
) -> list[Verdict]:
    """Return a verdict for each (arm, against) with its differences by seed (n,), in points.

    Where one of the two has `losses`, the differences are those of the seeds that survived, and say nothing of the
    arm: it is unstable, whatever they are. Otherwise an effect is claimed where the sign-flip test, corrected by Holm
    for the number of comparisons, has p ≤ 0.05 and the 95 % interval excludes zero. Where so few seeds cannot have so
    small a p, no test is made.
    """
    comparisons, losses = len(differences), losses or {}
    enough = least_values(comparisons) if comparisons else 0
    tested = {
        pair: sign_flip(values)
        for pair, values in differences.items()
        if len(values) >= enough and not losses.get(pair)
    }
    # The comparisons that could not be tested count too: they were wanted.
    corrected = holm([*tested.values(), *[1.0] * (comparisons - len(tested))])
    p_values = dict(zip(tested, corrected, strict=False))
    return [
        _unstable(pair, lost)
        if (lost := losses.get(pair))
        else _verdict(pair, np.asarray(values, dtype=np.float64), p_values.get(pair), comparisons)
        for pair, values in differences.items()
    ]


def _unstable(pair: tuple[str, str], losses: Sequence[Loss]) -> Verdict:
    sentence = f"{Kind.UNSTABLE}: {', '.join(loss.words for loss in losses)}"
    return Verdict(*pair, None, None, Kind.UNSTABLE, sentence)


def _verdict(pair: tuple[str, str], values: np.ndarray, p: float | None, comparisons: int) -> Verdict:
    if len(values) == 0:
        return Verdict(*pair, None, None, Kind.UNTESTED, "not tested: no seed finished in both arms")
    effect = estimate(values)
    if p is None:
        return Verdict(*pair, effect, None, Kind.UNTESTED, _why_untested(effect.n, comparisons))
    if p <= LEVEL and effect.excludes_zero:
        kind = Kind.HELPS if effect.mean > 0 else Kind.HURTS
        return Verdict(*pair, effect, p, kind, f"{kind} by {_points(abs(effect.mean), effect.half_width)} points")
    if not np.isfinite(values).all():
        return Verdict(*pair, effect, p, Kind.UNDECIDED, "undecided: a difference is not a number")
    if effect.half_width <= RESOLUTION and effect.excludes_zero:
        sentence = f"undecided: the interval excludes zero, but p is {p:.2g}"
        return Verdict(*pair, effect, p, Kind.UNDECIDED, sentence)
    if effect.half_width <= RESOLUTION:
        # Rounded up: the bound has to hold.
        bound = math.ceil(max(abs(effect.low), abs(effect.high)) * 100) / 100
        return Verdict(*pair, effect, p, Kind.NO_EFFECT, f"no effect larger than ±{bound:.2f} points")
    more = values_for(RESOLUTION, float(values.std(ddof=1))) - effect.n
    about = f"about {_rounded(more):,}" if more < 10_000 else "more than 10,000"
    sentence = f"undecided: {about} more seed{'s' * (more > 1)} would settle {RESOLUTION} points"
    return Verdict(*pair, effect, p, Kind.UNDECIDED, sentence)


def _why_untested(n: int, comparisons: int) -> str:
    # With n seeds p is at least 2/2ⁿ, times the comparisons after Holm's correction.
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    return f"not tested: p cannot reach {LEVEL} with {seeds}, with {least_values(comparisons)} it can"


def _points(value: float, half_width: float) -> str:
    places = 1 if half_width >= 1 else 2  # hundredths of a point are two images in 20,000
    return f"{value:.{places}f} ± {half_width:.{places}f}"


def _rounded(number: int) -> int:
    """Return a number of seeds rounded to two digits: the sd behind it is hardly known better."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
