"""What an ablation has come to, for programs: ``verdicts.json``, whose fields and their meaning are the models here.

A field may be added in the same version. One that goes, or changes its meaning, raises VERSION.
"""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from study.analysis import seed_plan
from study.analysis.ablation_results import DECIDING, MEASURES, AblationResults
from study.analysis.statistics import Estimate
from study.analysis.verdicts import Verdict
from study.design.limits import CAP, MOST_SEEDS
from study.reports import study_report
from study.tracking import records, tags
from study.training.config import AUTO, value_text

VERSION: Literal[1] = 1
NAME = "verdicts.json"


class Part(BaseModel):
    """A part of what is written for programs: no field but its own, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Interval(Part):
    """A mean with the ends of its interval; null where it has none."""

    mean: float
    low: float | None
    high: float | None


class ArmPart(Part):
    """An arm: its trials, and Student's 95 % interval of each measure over its seeds."""

    arm: str
    run: str | None = Field(description="ID of the arm's MLflow run")
    changes: dict[str, str] = Field(description="the fields in which it differs from the task's baseline")
    seeds: int = Field(description="completed trials")
    failed: int
    trials: dict[str, str] = Field(description="the ID of each completed trial's run, by seed")
    measures: dict[str, Interval | None] = Field(description="accuracies as shares, losses in nats, times in seconds")


class VerdictPart(Part):
    """What one arm does against another, or what an effect of a grid is."""

    of: str = Field(description="the arm, or the effect of a grid")
    against: str | None = Field(description="the other arm; null for an effect of a grid")
    kind: Literal["helps", "hurts", "no effect", "undecided", "unstable", "not tested"]
    seeds: int = Field(description="seeds that both arms have")
    difference: Interval | None = Field(description="in `unit`; the interval holds at every look")
    new_data: Interval | None = Field(description="with vary=split: the same, for new data from the same source")
    bound: float | None = Field(description="a true difference beyond ±bound is ruled out; null where none is")
    sentence: str


class Data(Part):
    """The dataset."""

    name: str
    sha256: str
    stands_in_for: str | None

    @classmethod
    def of(cls, study: records.RunRecord) -> "Data":
        """Return the dataset of a study's run."""
        marks = study.tags
        return cls(
            name=marks[tags.DATASET],
            sha256=marks[tags.DATASET_SHA256],
            stands_in_for=marks.get(tags.DATASET_SUBSTITUTE_FOR),
        )


class Cost(Part):
    """What the study took."""

    trials: int
    carried_over: int = Field(description="trials that an earlier study had trained")
    train_seconds: float = Field(description="of all trials together, in their epochs")


class Next(Part):
    """What would settle more, if anything."""

    why: str
    command: str


class Verdicts(Part):
    """An ablation, judged."""

    version: Literal[1]
    task: str
    question: str
    run: str = Field(description="ID of the study's MLflow run")
    data: Data
    decides: str = Field(description="what verdicts rest on: val_accuracy or val_cross_entropy")
    unit: str = Field(description="of differences and the margin: points of accuracy, or nats")
    margin: float = Field(description="the smallest difference that matters")
    comparisons: int = Field(description="how many intervals hold together with a probability of 95 %")
    settled: bool = Field(description="whether no verdict is undecided or not tested")
    arms: list[ArmPart]
    verdicts: list[VerdictPart]
    effects: list[VerdictPart] = Field(description="main effects and interactions of a grid over several fields")
    cost: Cost
    next: Next | None


def text(study: AblationResults) -> str:
    """Return the content of ``verdicts.json``."""
    return content(study).model_dump_json(indent=2) + "\n"


def content(study: AblationResults) -> Verdicts:
    """Return an ablation's verdicts for programs."""
    question = study.question
    verdicts = [_verdict(one, one.against, study.on_new_data(one.arm, one.against)) for one in study.verdicts]
    effects = [_verdict(one.verdict, None, None) for one in study.effects]
    finished = [trial for arm in study.arms for trial in study.finished(arm.name).values()]
    return Verdicts(
        version=VERSION,
        task=study.ablation.task,
        question=study.ablation.question,
        run=study.record.run_id,
        data=Data.of(study.record),
        decides=next(word for word, measure in DECIDING.items() if measure == study.decides),
        unit=question.unit,
        margin=question.margin,
        comparisons=question.comparisons,
        settled=not any(one.kind in ("undecided", "not tested") for one in verdicts + effects),
        arms=_arms(study),
        verdicts=verdicts,
        effects=effects,
        cost=Cost(
            trials=len(finished),
            carried_over=study.reused,
            train_seconds=sum(
                trial.metrics.get(tags.TRAIN_SECONDS, 0.0) for trial in finished if tags.REUSED_FROM not in trial.tags
            ),
        ),
        next=_next(study),
    )


def _arms(study: AblationResults) -> list[ArmPart]:
    settings = {arm.name: arm.settings for arm in study.ablation.arms}
    runs = records.read_arms(study.client, study.record.run_id)
    return [
        ArmPart(
            arm=arm.name,
            run=runs[arm.name].run_id if arm.name in runs else None,
            changes={name: value_text(value) for name, value in settings[arm.name].items()},
            seeds=arm.trials,
            failed=arm.failed,
            trials={str(seed): trial.run_id for seed, trial in study.finished(arm.name).items()},
            measures={
                measure.metric: _interval(arm.values[measure.metric], measure.scale) for measure in MEASURES
            },
        )
        for arm in study.arms
    ]  # fmt: skip


def _verdict(verdict: Verdict, against: str | None, new_data: Estimate | None) -> VerdictPart:
    bound = verdict.bound
    return VerdictPart(
        of=verdict.arm,
        against=against,
        kind=verdict.kind.value,
        seeds=verdict.effect.n if verdict.effect else 0,
        difference=_interval(verdict.effect),
        new_data=_interval(new_data),
        bound=bound if bound is not None and math.isfinite(bound) else None,
        sentence=verdict.sentence,
    )


def _interval(value: Estimate | None, scale: float = 1) -> Interval | None:
    if value is None or math.isnan(value.mean):
        return None
    has_ends = math.isfinite(value.half_width)
    return Interval(
        mean=value.mean / scale,
        low=value.low / scale if has_ends else None,
        high=value.high / scale if has_ends else None,
    )


def _next(study: AblationResults) -> Next | None:
    still = [verdict for verdict in study.judged if seed_plan.is_open(verdict)]
    if not still or "task" not in study.record.params:
        return None
    most = max(arm.trials for arm in study.arms)
    if most >= MOST_SEEDS:
        return None
    more = min(max(2 * most, CAP), MOST_SEEDS)
    changes: dict[str, object] = {"most_seeds": more}
    if study.ablation.seeds:  # which most_seeds does not change
        changes = {"seeds": more}
    elif study.record.params.get("seeds", AUTO) != AUTO:
        changes["seeds"] = AUTO
    return Next(
        why=f"{len(still)} not settled with up to {most} seeds; finished trials are carried over",
        command=study_report.command("ablation", study.record, **changes),
    )
