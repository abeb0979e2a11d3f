"""Whether a verdict changes with how the question is asked: another measure, other rows, another epoch's weights.

Source of the idea: Steegen et al. (2016), Increasing transparency through a multiverse analysis.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from study.analysis.ablation_results import AblationResults, Measure
from study.analysis.verdicts import Question, Verdict, judge
from study.tracking import tags
from study.tracking.records import RunRecord

MARGIN_NATS = 0.01  # where points decide, and so nobody has said a margin in nats

Value = Callable[[RunRecord], float | None]


def verdicts_by_question(study: AblationResults) -> dict[str, list[Verdict]]:
    """Return the verdicts on the study's comparisons, in their order, by each way to ask; the first one decides.

    Ways for which the trials have no figures are left out.
    """
    points = replace(study.question, unit="points", more_is_better=True)
    nats = replace(study.question, unit="nats", more_is_better=False)
    if study.question.unit == "points":
        nats = replace(nats, margin=MARGIN_NATS)
    ways: dict[str, tuple[Value, Question]] = {
        study.decides.title: (_metric(study.decides), study.question),
        study.beside.title: (_metric(study.beside), nats if study.beside.unit == "nats" else points),
    }
    if study.question.unit == "points":
        ways |= {
            "test accuracy": (_metric(Measure(tags.TEST_ACCURACY, "", "", 100)), points),
            "last epoch": (lambda trial: _epoch(trial, -1), points),
            "best epoch": (lambda trial: _epoch(trial, None), points),
        }
    found = {name: _judged(study, value, question) for name, (value, question) in ways.items()}
    return {name: verdicts for name, verdicts in found.items() if any(verdict.effect for verdict in verdicts)}


def _judged(study: AblationResults, value: Value, question: Question) -> list[Verdict]:
    by_arm = {arm.name: _values(study.finished(arm.name), value) for arm in study.ablation.arms}
    return [
        judge(pair, _differences(by_arm[pair[0]], by_arm[pair[1]]), question, study.losses(*pair))
        for pair in study.comparisons
    ]


def _values(trials: Mapping[int, RunRecord], value: Value) -> dict[int, float]:
    values = {seed: value(trial) for seed, trial in trials.items()}
    return {seed: number for seed, number in values.items() if number is not None}


def _differences(one: Mapping[int, float], other: Mapping[int, float]) -> np.ndarray:
    return np.array([one[seed] - other[seed] for seed in one if seed in other])


def _metric(measure: Measure) -> Value:
    def value(trial: RunRecord) -> float | None:
        return trial.metrics[measure.metric] * measure.scale if measure.metric in trial.metrics else None

    return value


def _epoch(trial: RunRecord, number: int | None) -> float | None:
    """Return the validation accuracy after an epoch, in percent; the highest of all for None."""
    curve = trial.curves.get("val_accuracy", [])
    if not curve:
        return None
    return 100 * (max(curve) if number is None else curve[number])
