"""Plans which arms of an ablation get more seeds: those of comparisons and effects that are still open.

The plan depends on the differences alone, not on how fast anything is or where it runs. So a study trains the same
trials on one core as on many, and so does one that was interrupted and resumed.
"""

import math
from collections.abc import Mapping

import numpy as np

from study.analysis import confidence_sequence as sequence
from study.analysis.ablation_results import AblationResults
from study.analysis.verdicts import Kind, Question, Verdict


def start(comparisons: int) -> int:
    """Return how many seeds every arm has at the first look: as many as it takes for an interval to have ends."""
    n = sequence.FIRST_LOOK
    while math.isinf(sequence.half_width(1, n, sequence.effect_constant(n, comparisons))):
        n += 1
    return n


def next_seeds(study: AblationResults, have: Mapping[str, int], most: int) -> dict[str, int]:
    """Return how many seeds each arm should have, of which it has `have`; the same if nothing more is to be done.

    Both arms of an open comparison go on together; an open effect of a grid needs all arms. They get half the seeds
    that would settle the question if mean and spread stayed as they are, at least one: so the last ones come one by
    one. No arm gets more than `most`.
    """
    wanted = dict(have)

    def ask(arms: list[str], differences: np.ndarray) -> None:
        now = min(have[arm] for arm in arms)
        target = min(most, now + (_missing(differences, study.question, most) + 1) // 2)
        for arm in arms:
            wanted[arm] = max(wanted[arm], target)

    for verdict in study.verdicts:
        pair = verdict.arm, verdict.against
        if is_open(verdict):
            ask(list(pair), study.differences(study.decides, *pair))
    for effect, differences in zip(study.effects, study.effect_differences, strict=True):
        if is_open(effect.verdict):
            ask(list(have), differences)
    return wanted


def is_open(verdict: Verdict) -> bool:
    """Return whether more seeds could settle what is not settled."""
    unsettled = verdict.kind in (Kind.UNDECIDED, Kind.UNTESTED)
    return unsettled and verdict.effect is not None and bool(np.isfinite(verdict.effect.mean))


def goes_on(verdict: Verdict, seeds: int, most: int) -> bool:
    """Return whether a comparison that has had so many seeds, `most` being the limit, would be given more.

    One without a seed that ended in both arms is too.
    """
    unsettled = is_open(verdict) or (verdict.kind == Kind.UNTESTED and verdict.effect is None)
    return unsettled and seeds < most


def _missing(differences: np.ndarray, question: Question, most: int) -> int:
    """Return how many more differences of this mean and spread would settle the question, up to `most` in total."""
    n = np.arange(len(differences) + 1, most + 1)
    if not len(n):
        return 1
    mean, sd = abs(float(differences.mean())), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    spread = np.maximum(sd, sequence.floor(question.step, n))
    effect, equivalence = (
        np.array([constant(int(number), question.comparisons) for number in n])
        for constant in (sequence.effect_constant, sequence.equivalence_constant)
    )
    settled = mean > sequence.half_width(spread, n, effect)
    settled |= mean + sequence.half_width(spread, n, equivalence) <= question.margin
    return int(settled.argmax()) + 1 if settled.any() else len(n)
