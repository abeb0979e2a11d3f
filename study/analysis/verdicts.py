"""Judges what differences between arms, paired by seed, settle; pure functions on numpy arrays.

A verdict rests on the intervals of `confidence_sequence`, which hold however often a study looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from study.analysis import confidence_sequence as sequence
from study.analysis.confidence_sequence import FIRST_LOOK, Outcome
from study.analysis.formatting import count, decimals
from study.analysis.statistics import Estimate


class Kind(StrEnum):
    """The outcome of a verdict."""

    HELPS = "helps"
    HURTS = "hurts"
    NO_EFFECT = "no effect"
    UNDECIDED = "undecided"
    UNSTABLE = "unstable"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Question:
    """What is asked of each difference: whether there is one, and whether it is larger than `margin`.

    `margin` is in `unit`, that of the differences. `comparisons` is how many are judged together. `more_is_better` says
    which differences help. `step` is the smallest distance between two different ones, 0 where there is none.
    """

    margin: float
    comparisons: int
    unit: str = "points"
    more_is_better: bool = True
    step: float = 0


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
    """What `arm` does against the arm `against`: the mean difference, with its interval, and a sentence.

    `effect` is None if the two have no seed in common, or if one lost seeds. `bound` is the x of "no effect beyond ±x"
    that has been shown, infinite where nothing has; None without an effect.
    """

    arm: str
    against: str
    effect: Estimate | None
    bound: float | None
    kind: Kind
    sentence: str

    @property
    def about(self) -> str:
        """The sentence without the kind with which it begins."""
        return self.sentence.removeprefix(str(self.kind)).removeprefix(":").strip()


def judge(pair: tuple[str, str], differences: np.ndarray, question: Question, losses: Sequence[Loss] = ()) -> Verdict:
    """Return the verdict on one (arm, against) with its differences by seed (n,).

    With `losses` the differences are those of the seeds that survived, and say nothing of the arm: it is unstable,
    whatever they are. An effect is claimed where the interval excludes zero; otherwise none beyond the margin, where
    that is ruled out; otherwise the comparison is open.
    """
    if losses:
        told = ", ".join(loss.words for loss in losses)
        return Verdict(*pair, None, None, Kind.UNSTABLE, f"{Kind.UNSTABLE}: {told}")
    if len(differences) == 0:
        return Verdict(*pair, None, None, Kind.UNTESTED, f"{Kind.UNTESTED}: no seed finished in both arms")
    effect = sequence.interval(differences, question.comparisons, question.step)
    bound = sequence.bound(differences, question.comparisons, question.step)
    if len(differences) < FIRST_LOOK:
        few = f"{Kind.UNTESTED}: {count(len(differences), 'seed')}; a verdict needs {FIRST_LOOK}"
        return Verdict(*pair, effect, bound, Kind.UNTESTED, few)
    outcome = sequence.outcome(differences, question.margin, question.comparisons, question.step)
    kind = _kind(effect, outcome, question)
    return Verdict(*pair, effect, bound, kind, _sentence(kind, effect, bound, question))


def _kind(effect: Estimate, outcome: Outcome, question: Question) -> Kind:
    if outcome == Outcome.EFFECT:
        return Kind.HELPS if (effect.mean > 0) == question.more_is_better else Kind.HURTS
    return Kind.NO_EFFECT if outcome == Outcome.NO_EFFECT else Kind.UNDECIDED


def _sentence(kind: Kind, effect: Estimate, bound: float, question: Question) -> str:
    unit = question.unit
    if kind in (Kind.HELPS, Kind.HURTS):
        places = max(1, decimals(effect)) if effect.half_width > 0 else 2
        size = f"{kind} by {abs(effect.mean):.{places}f} ± {effect.half_width:.{places}f} {unit}"
        return f"{size}, less than the margin of {question.margin:g}" if bound <= question.margin else size
    if kind == Kind.NO_EFFECT:
        places = _places(bound)
        return f"{kind} beyond ±{_outwards(bound, places):.{places}f} {unit}"
    if math.isnan(effect.mean):
        return f"{kind}: a difference is not a number"
    if math.isinf(effect.half_width):
        of = f", in one of {question.comparisons} comparisons" if question.comparisons > 1 else ""
        return f"{kind}: {count(effect.n, 'seed')} rule out nothing yet{of}"
    places = _places(effect.half_width)
    low, high = (f"{_outwards(end, places):+.{places}f}" for end in (effect.low, effect.high))
    return f"{kind}: between {low} and {high} {unit}".replace("-", "−")


def _places(width: float) -> int:
    """Return the decimals that show two digits of a width; one from 1 on."""
    return max(1, 1 - math.floor(math.log10(width))) if width > 0 else 2


def _outwards(number: float, places: int) -> float:
    """Return a number with so many decimals that is no nearer to zero: a bound has to hold."""
    return math.copysign(math.ceil(abs(number) * 10**places - 1e-9) / 10**places, number)
