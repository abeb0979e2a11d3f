"""The tables of an ablation's report, and the notes that say how to read them."""

from collections.abc import Sequence
from functools import partial

from study.analysis import multiverse
from study.analysis.ablation_results import MEASURES, AblationResults, Arm
from study.analysis.formatting import count, show
from study.analysis.grid_edges import grid_edges
from study.analysis.statistics import Estimate
from study.analysis.verdicts import Kind, Verdict
from study.design.ablation import catalogue
from study.reports.table import Column, Table

NOTE = (
    "Mean ± half-width of the 95 % interval of the mean over the seeds (Student's t), for the model that each trial "
    "kept. The gap is training − validation accuracy. Times are those of the epochs, without compiling and recording."
)
EFFECT_NOTE = (
    "A main effect is the change from the baseline's level, averaged over the other factors. An interaction is by how "
    "much one factor changes the other's effect. Both are judged together with the comparisons above, by the same rule."
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
    return f"Times leave out trials that were carried over from earlier studies: {study.reused} of {trials}."


def notes(study: AblationResults) -> list[str]:
    """Return what has to be said of the arms' numbers, a sentence or two each."""
    return [note for note in (unstable_note(study), same_note(study), edge_note(study), times_note(study)) if note]


def edge_note(study: AblationResults) -> str | None:
    """Return a warning that the best arm lies at an end of a grid's values; None if it lies at none."""
    sign = 1 if study.question.more_is_better else -1
    scores = {arm.name: sign * value.mean for arm in study.arms if (value := arm.values[study.decides.metric])}
    settings = {arm.name: arm.settings for arm in study.ablation.arms}
    stable = {arm: score for arm, score in scores.items() if arm not in study.unstable}
    best, edges = grid_edges(study.ablation.baseline, study.ablation.factors, settings, stable)
    if not edges:
        return None
    ends = " and ".join(f"at the {each.end} end of the values of {each.field}" for each in edges)
    ours = study.ablation.task in catalogue()
    add = "Copy the task's YAML file and add some." if ours else "Add some to the task's YAML file."
    return f"The best arm, {best}, lies {ends}: better ones may lie beyond. {add}"


def same_note(study: AblationResults) -> str | None:
    """Return which arms trained the same; None if all differ."""
    if not study.same:
        return None
    groups = "; ".join(" and ".join(group) for group in study.same)
    return f"Trained the same: {groups}. What sets these arms apart has no effect: every epoch's losses are equal."


def verdict_notes(study: AblationResults) -> list[str]:
    """Return what the verdicts mean, in a few sentences that need no more than a first course of statistics."""
    question, by = study.question, study.decides
    many = question.comparisons > 1
    of = f"all {question.comparisons} intervals contain" if many else "the interval contains"
    return [
        f"± is the 95 % interval of a mean difference, paired by seed. With a probability of 95 % {of} the true mean "
        f"difference{'s' * many} at all looks together, however often seeds are added. ▲ and ▼: the interval excludes "
        f"zero. ≈: a difference beyond the margin of ±{question.margin:g} {question.unit} is ruled out, by a 95 % test "
        "of its own, so the interval may reach a little past it. "
        f"{study.ablation.because}",
        f"The {by.title} decides; the {study.beside.title} does not. A mean whose interval excludes zero early leans "
        f"away from zero. The seeds vary the initial weights, the order of the rows and dropout{_of_the_split(study)}",
    ]


def _of_the_split(study: AblationResults) -> str:
    if study.ablation.vary == "split":
        return (
            ", and which twelfth of the rows validates. “On new data” is the interval for other data from the same "
            "source. The rows that all seeds share set it a limit: beyond some number of seeds it gets no narrower."
        )
    return "; the validation rows stay the same, so others may show other differences (vary=split varies them)."


def verdicts_table(study: AblationResults) -> Table:
    """Return each comparison's difference, its verdict, and the difference by the measure that does not decide."""
    decides, beside, varies = study.decides, study.beside, study.ablation.vary == "split"
    columns = [
        Column("arm"),
        Column("against", words=True),
        Column("seeds"),
        Column(f"{decides.title} ({decides.unit_of_differences})", ("difference", "half_width"), text=signed,
               fields=_difference_fields),
        Column(f"{beside.title} ({beside.unit_of_differences})", ("beside", "beside_half_width"), text=signed,
               fields=_difference_fields),
        Column("verdict", ("kind", "sentence", "bound"), True, _verdict_text,
               lambda one: (str(one.kind), one.sentence, "" if one.bound is None else one.bound)),
    ]  # fmt: skip
    if varies:
        columns.insert(4, Column(f"on new data ({decides.unit_of_differences})", ("new_data", "new_data_half_width"),
                                 text=signed, fields=_difference_fields))  # fmt: skip
    rows = []
    for one in study.verdicts:
        pair = one.arm, one.against
        new = (study.on_new_data(*pair),) if varies else ()
        rows.append((*pair, one.effect.n if one.effect else 0, one.effect, *new, study.difference(beside, *pair), one))
    return Table(columns, rows)


def multiverse_table(study: AblationResults) -> Table:
    """Return the verdict on each comparison by each way to ask, with its difference."""
    ways = multiverse.ways_to_ask(study)
    columns = (Column("arm"), Column("against", words=True), *(Column(f"{way.title} ({way.unit})") for way in ways))
    rows = (
        (*pair, *(f"{MARKS[verdict.kind]} {signed(verdict.effect)}" for verdict in verdicts))
        for pair, verdicts in zip(study.comparisons, zip(*(way.verdicts for way in ways), strict=True), strict=True)
    )
    return Table(columns, rows)


def _difference_fields(effect: Estimate | None) -> tuple[object, ...]:
    return (effect.mean, effect.half_width) if effect else ("", "")


def _verdict_text(verdict: Verdict) -> str:
    return f"{MARKS[verdict.kind]} {verdict.sentence}"


def effects_table(study: AblationResults) -> Table:
    """Return the main effects and interactions of a grid, with their verdicts."""
    decides = study.decides
    columns = (
        Column("kind"),
        Column("of", words=True),
        Column("seeds"),
        Column(f"{decides.title} ({decides.unit_of_differences})", text=signed),
        Column("verdict", words=True, text=_verdict_text),
    )
    rows = (
        (
            "interaction" if one.interaction else "main effect", one.name,
            one.verdict.effect.n if one.verdict.effect else 0, one.verdict.effect, one.verdict,
        )
        for one in study.effects
    )  # fmt: skip
    return Table(columns, rows)
