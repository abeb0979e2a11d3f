"""Sums up a study for its MLflow run and for those of its arms, as metrics and tags; nothing is written here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.ablation_results import ACCURACY, MEASURES, AblationResults, Arm
from study.analysis.formatting import count
from study.analysis.search_results import SearchResults
from study.analysis.statistics import Estimate, estimate
from study.analysis.verdicts import Kind, Loss, Verdict
from study.tracking import limits, tags
from study.tracking.arm_runs import ArmSummary
from study.tracking.artifacts import ARM_CURVES
from study.tracking.records import RunRecord
from study.training.config import value_text

BASELINE = "baseline"  # the verdict on the arm that the others are compared with
GAP = "generalization_gap"
MOST_CHARACTERS = 1_000  # of a tag that a table shows


@dataclass(frozen=True)
class StudySummary:
    """The metrics and the tags of a study's run."""

    metrics: Mapping[str, float]
    tags: Mapping[str, str]


# --- an ablation --------------------------------------------------------------------------------------


def summarize_ablation(study: AblationResults) -> StudySummary:
    """Return each arm's mean accuracy, each difference with its interval (in points), counts, and the verdicts.

    The accuracy is a share, as in the trials. The end of a name is `tags.key` of the arm, or of the pair.
    """
    metrics: dict[str, float] = {
        tags.TRIALS_COMPLETE: sum(arm.trials for arm in study.arms),
        tags.TRIALS_FAILED: sum(arm.failed for arm in study.arms),
    }
    for arm in study.arms:
        if accuracy := arm.values[ACCURACY.metric]:
            metrics[f"{ACCURACY.metric}/{tags.key(arm.name)}"] = _rounded(accuracy.mean / ACCURACY.scale)
    for verdict in study.verdicts:
        if verdict.effect:
            metrics |= _interval(tags.DIFFERENCE, verdict.effect, end=f"/{_key(study, verdict)}")
    marks = {tags.KIND: tags.STUDY_KIND}
    if study.verdicts:
        marks[tags.VERDICT] = _in_a_line(study)
    marks |= {f"{tags.VERDICT_PREFIX}{_key(study, verdict)}": str(verdict.kind) for verdict in study.verdicts}
    return StudySummary(metrics, marks)


def _in_a_line(study: AblationResults) -> str:
    """Return the verdicts by their kind: ``helps: a, b; hurts: c``."""
    by_kind: dict[str, list[str]] = {}
    for verdict in study.verdicts:
        name = f"{verdict.arm} vs {verdict.against}" if study.pairs else verdict.arm
        if verdict.kind == Kind.UNSTABLE:
            name += f" ({verdict.about})"
        by_kind.setdefault(str(verdict.kind), []).append(name)
    line = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_kind.items())
    return limits.shortened(line, MOST_CHARACTERS)


def summarize_arms(study: AblationResults) -> dict[str, ArmSummary]:
    """Return for each arm what its run shows: means over the seeds, with intervals, and the verdict."""
    return {arm.name: _summarize_arm(study, arm) for arm in study.arms}


def _summarize_arm(study: AblationResults, arm: Arm) -> ArmSummary:
    metrics: dict[str, float] = {tags.TRIALS_COMPLETE: arm.trials, tags.TRIALS_FAILED: arm.failed}
    for measure in MEASURES:
        if value := arm.values[measure.metric]:
            metrics |= _interval(measure.metric, value, scale=measure.scale)
    about = [verdict for verdict in study.verdicts if verdict.arm == arm.name]
    only = about[0] if about and not study.pairs else None
    if only and only.effect:
        metrics |= _interval(tags.DIFFERENCE, only.effect)
    finished = study.finished(arm.name)
    faults = [trial for trial in study.trials if trial.tags[tags.ARM] == arm.name and _is_fault(trial)]
    reason = "; ".join(f"{trial.name}: {trial.tags.get(tags.REASON, 'failed')}" for trial in faults)
    if not finished:
        reason = reason or "no trial finished"
    is_reference = not study.pairs and arm.name == study.ablation.reference.name
    return ArmSummary(
        metrics=metrics,
        curves=_mean_curves(list(finished.values())),
        trials=[trial.run_id for trial in finished.values()],
        verdict=BASELINE if is_reference else _told(only) if only else None,
        description=_description(arm, about, is_reference, study.unstable.get(arm.name)),
        status="FAILED" if reason else "FINISHED",
        reason=reason or None,
    )


def _told(verdict: Verdict) -> str:
    """Return a verdict's kind; whose seeds were lost is said as well, as that may be the baseline."""
    return verdict.sentence if verdict.kind == Kind.UNSTABLE else str(verdict.kind)


def _description(arm: Arm, about: Sequence[Verdict], is_reference: bool, loss: Loss | None) -> str:
    lines = [f"**{verdict.sentence}** (against {verdict.against})" for verdict in about]
    if is_reference:
        lines.append("**The baseline**, which the other arms are compared with.")
    if loss:
        lines.append(f"**Unstable**: {loss.words}. Its numbers are those of the seeds that finished.")
    seeds = count(arm.trials, "seed")
    lines.append(
        f"Curves are the mean over {seeds}; `_low` and `_high` are the ends of its 95 % interval (Student's t)."
        if arm.trials > 1
        else f"Curves are those of {seeds}."
    )
    return "\n\n".join(lines)


def _is_fault(trial: RunRecord) -> bool:
    """Return whether a trial failed without having diverged, which would be a result."""
    return trial.status == "FAILED" and trial.tags.get(tags.STATE) != tags.DIVERGED


def _mean_curves(trials: Sequence[RunRecord]) -> dict[str, list[float]]:
    """Return the mean of each curve and the ends of its interval, as far as every trial goes."""
    found: dict[str, list[float]] = {}
    for name, rows in _by_seed(trials):
        shortest = min(map(len, rows))
        if not shortest:
            continue
        points = [estimate(column) for column in np.array([row[:shortest] for row in rows]).T]
        found[name] = [point.mean for point in points]
        if len(rows) > 1:
            found[name + tags.LOW] = [point.low for point in points]
            found[name + tags.HIGH] = [point.high for point in points]
    return found


def _by_seed(trials: Sequence[RunRecord]) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield each metric with its curve of every trial."""
    if not trials:
        return
    for name in ARM_CURVES:
        yield name, [trial.curves.get(name, []) for trial in trials]
    pairs = [(trial.curves.get("accuracy", []), trial.curves.get("val_accuracy", [])) for trial in trials]
    yield GAP, [[one - other for one, other in zip(*pair, strict=False)] for pair in pairs]


def _interval(name: str, value: Estimate, scale: float = 1, end: str = "") -> dict[str, float]:
    """Return a mean and the ends of its interval as metrics; the ends are left out where there are none."""
    metrics = {f"{name}{end}": value.mean / scale}
    if math.isfinite(value.half_width):
        metrics |= {f"{name}{tags.LOW}{end}": value.low / scale, f"{name}{tags.HIGH}{end}": value.high / scale}
    return {key: _rounded(number) for key, number in metrics.items()}


def _rounded(number: float) -> float:
    return float(f"{number:.7g}")  # so that the UI's columns can be read; the tables have every digit


def _key(study: AblationResults, verdict: Verdict) -> str:
    return tags.key(verdict.arm, verdict.against) if study.pairs else tags.key(verdict.arm)


# --- a search -----------------------------------------------------------------------------------------


def summarize_search(study: SearchResults) -> StudySummary:
    """Return the best value with its standard error, how surely it is the best, counts, and the best settings."""
    metrics: dict[str, float] = {
        tags.TRIALS_COMPLETE: len(study.complete),
        tags.TRIALS_PRUNED: len(study.pruned),
        tags.TRIALS_FAILED: len(study.failed),
    }
    marks = {tags.KIND: tags.STUDY_KIND}
    if study.best:
        first, name = study.standings[0], f"best_model_{study.search.metric}"
        metrics[name] = first.value
        if (error := study.error(study.best)) is not None:
            metrics[f"{name}_se"] = error
        if first.chance is not None:
            metrics[tags.BEST_CHANCE] = first.chance
        marks |= {
            f"{tags.BEST_PREFIX}{field}": value_text(setting) for field, setting in study.settings(study.best).items()
        }
    return StudySummary(metrics, marks)
