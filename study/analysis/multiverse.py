"""Tells whether a verdict changes with how the question is asked: another measure, other rows, another epoch.

Source of the idea: Steegen et al. (2016), Increasing transparency through a multiverse analysis.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from study.analysis.ablation_results import ACCURACY, TEST_ACCURACY, AblationResults
from study.analysis.verdicts import Question, Verdict, judge
from study.design.limits import MARGIN, MARGIN_NATS
from study.tracking.records import RunRecord


@dataclass(frozen=True)
class Way:
    """A way to ask: what it looks at, the unit of its differences, and its verdicts in the order of the comparisons."""

    title: str
    unit: str
    verdicts: list[Verdict]


def ways_to_ask(study: AblationResults) -> list[Way]:
    """Return the ways to ask after the study's comparisons, the one that decides first.

    Ways for which the trials have no figures are left out.
    """
    beside, in_points = study.beside, study.decides == ACCURACY
    other = replace(
        study.question,
        margin=MARGIN_NATS if in_points else MARGIN,
        unit=beside.unit_of_differences,
        more_is_better=not study.question.more_is_better,
        step=study.step(beside),
    )
    on_test = replace(study.question, step=study.step(TEST_ACCURACY))

    def way(title: str, differences: Callable[[str, str], np.ndarray], asked: Question = study.question) -> Way:
        verdicts = [judge(pair, differences(*pair), asked, study.losses(*pair)) for pair in study.comparisons]
        return Way(title, asked.unit, verdicts)

    ways = [
        Way(study.decides.title, study.question.unit, study.verdicts),
        way(beside.title, partial(study.differences, beside), other),
    ]
    if in_points:
        ways += [
            way(TEST_ACCURACY.title, partial(study.differences, TEST_ACCURACY), on_test),
            way("last epoch", partial(_by_epoch, study, lambda curve: curve[-1])),
            way("best epoch", partial(_by_epoch, study, max)),
        ]
    return [each for each in ways if any(verdict.effect for verdict in each.verdicts)]


def _by_epoch(study: AblationResults, chosen: Callable[[list[float]], float], arm: str, against: str) -> np.ndarray:
    """Return by how much the validation accuracy of a chosen epoch differs, for each seed that both have: (n,)."""

    def values(trials: dict[int, RunRecord]) -> dict[int, float]:
        curves = {seed: trial.curves.get("val_accuracy") for seed, trial in trials.items()}
        return {seed: ACCURACY.scale * chosen(curve) for seed, curve in curves.items() if curve}

    one, other = values(study.finished(arm)), values(study.finished(against))
    return np.array([one[seed] - other[seed] for seed in one if seed in other])
