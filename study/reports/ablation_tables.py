"""The tables of an ablation's report, and the notes that say how to read them."""

from collections.abc import Sequence
from functools import partial

from study.analysis.ablation_results import MEASURES, AblationResults, Arm
from study.analysis.formatting import count, show, show_p
from study.analysis.statistics import Estimate
from study.analysis.verdicts import RESOLUTION, Kind, Verdict
from study.reports.table import Column, Table

NOTE = (
    "Mean ± half-width of the 95 % interval of the mean over the seeds (Student's t), for the model that each trial "
    "kept. The gap is training − validation accuracy. Times are those of the epochs, without compiling and recording."
)
VERDICT_NOTE = (
    "Differences of the validation accuracy, paired by seed: mean and 95 % interval (Student's t). p: exact sign-flip "
    "test (random flips above 20 seeds) with Holm's correction for the number of comparisons. An effect is claimed if "
    "p ≤ 0.05 and the interval excludes zero, no effect only if the half-width is at most "
    f"{RESOLUTION} points. An arm that lost seeds which the other finished is unstable, whatever the rest show. The "
    "seeds vary the initial weights, the order of the rows and dropout; the split and the images stay the same."
)
EFFECT_NOTE = (
    "A main effect is the change from the baseline's level, averaged over the other factors. An interaction is by how "
    "much one factor changes the other's effect. Means over the seeds with 95 % intervals, not tested."
)
MARKS = {Kind.HELPS: "▲", Kind.HURTS: "▼", Kind.NO_EFFECT: "≈", Kind.UNDECIDED: "?", Kind.UNSTABLE: "↯",
         Kind.UNTESTED: "·"}  # fmt: skip
signed = partial(show, signed=True)


def arms_table(arms: Sequence[Arm]) -> Table:
    """Return each arm's trials and measures; the CSV file has these in the metrics' own units."""
    columns = [Column("arm"), Column("trials", ("trials", "failed"), text=_trials_text, fields=tuple)]
    columns += [
        Column(
            f"{measure.title} ({measure.unit})", (f"{measure.metric}_mean", f"{measure.metric}_half_width"),
            fields=partial(_in_own_unit, measure.scale),
        )
        for measure in MEASURES
    ]  # fmt: skip
    rows = ((arm.name, (arm.trials, arm.failed), *(arm.values[each.metric] for each in MEASURES)) for arm in arms)
    return Table(columns, rows)


def _trials_text(numbers: tuple[int, int]) -> str:
    trials, failed = numbers
    return f"{trials} ({failed} failed)" if failed else str(trials)


def _in_own_unit(scale: float, value: Estimate | None) -> tuple[object, object]:
    return (value.mean / scale, value.half_width / scale) if value else ("", "")


def unstable_note(study: AblationResults) -> str | None:
    """Return which arms lost seeds that another finished, and what that makes of their numbers; None if none did."""
    if not study.unstable:
        return None
    lost = (f"{arm} ({loss.lost} of {loss.seeds} {loss.how})" for arm, loss in study.unstable.items())
    return f"Lost seeds: {', '.join(lost)}. The numbers of such an arm are those of the seeds that finished."


def times_note(study: AblationResults) -> str | None:
    """Return how many trials the times leave out; None if none."""
    if not study.reused:
        return None
    trials = count(sum(arm.trials for arm in study.arms), "trial")
    return (
        f"Times leave out what was carried over from earlier studies, on whatever machine: {study.reused} of {trials}."
    )


def notes(study: AblationResults) -> list[str]:
    """Return what has to be said of the arms' numbers, a sentence or two each."""
    return [note for note in (unstable_note(study), same_note(study), times_note(study)) if note]


def same_note(study: AblationResults) -> str | None:
    """Return which arms trained the same; None if all differ."""
    if not study.same:
        return None
    groups = "; ".join(" and ".join(group) for group in study.same)
    return f"Trained the same: {groups}. What sets these arms apart has no effect: every epoch's losses are equal."


def verdicts_table(verdicts: Sequence[Verdict]) -> Table:
    """Return each comparison's difference, in points, and verdict."""
    columns = (
        Column("arm"),
        Column("against", words=True),
        Column("difference (points)", ("seeds", "difference", "half_width"), text=signed, fields=_difference_fields),
        Column("p", text=show_p),
        Column("verdict", ("kind", "sentence"), True, _verdict_text, lambda one: (str(one.kind), one.sentence)),
    )
    return Table(columns, ((one.arm, one.against, one.effect, one.p, one) for one in verdicts))


def _difference_fields(effect: Estimate | None) -> tuple[object, ...]:
    return (effect.n, effect.mean, effect.half_width) if effect else (0, "", "")


def _verdict_text(verdict: Verdict) -> str:
    return f"{MARKS[verdict.kind]} {verdict.sentence}"


def effects_table(study: AblationResults) -> Table:
    """Return the main effects and interactions of a grid."""
    rows = (("interaction" if one.interaction else "main effect", one.name, one.points) for one in study.effects)
    return Table(("kind", "of", Column("val accuracy (points)", text=signed)), rows, words=("of",))
