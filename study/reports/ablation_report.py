"""The report of an ablation, from MLflow alone: the question, the plan, the results, and how sure they are."""

from collections.abc import Mapping

from study.analysis import selection
from study.analysis.ablation_results import AblationResults
from study.analysis.formatting import count
from study.analysis.verdicts import Kind, Verdict
from study.design.ablation import Arm as ArmSettings
from study.design.limits import MARGIN_NATS
from study.design.origin import Origin
from study.design.search import CONFIRM
from study.reports import ablation_tables, mlflow_runs, study_report, verdicts_file
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.plots import panels, style
from study.reports.sections import predictions, registry
from study.reports.table import Table
from study.tracking import tags as names
from study.tracking.artifacts import CURVES
from study.training.config import DATA_AND_SEED, value_text

TINTS = {
    Kind.HELPS: style.COLOURS[2], Kind.HURTS: style.COLOURS[1], Kind.NO_EFFECT: style.COLOURS[0],
    Kind.UNDECIDED: "#8b949e", Kind.UNSTABLE: "#8b949e", Kind.UNTESTED: "#8b949e",
}  # fmt: skip
FEW = 4  # untested arms, up to which each is named


def write(study: AblationResults) -> dict[str, str]:
    """Return the report's files by their path in its folder: an HTML page, the same as Markdown, figures, tables."""
    document = Document(f"{study.ablation.task}: {study.ablation.question}")
    _introduce(document, study)
    _plan(document, study)
    _arms(document, study)
    _verdicts(document, study)
    _multiverse(document, study)
    _curves(document, study)
    for name in study.ablation.figures:
        registry.add(name, document, study)
    predictions.confusions(document, study)
    predictions.flips(document, study)
    _provenance(document, study)
    return document.written(study_report.NAME)


def log(study: AblationResults) -> str:
    """Write the report, the tables and the description into the study's run; return the HTML page's path.

    Raises TrackingError where that cannot be written.
    """
    files: dict[str, bytes | str] = {
        "arms.csv": ablation_tables.arms_table(study.arms).csv(),
        verdicts_file.NAME: verdicts_file.text(study),
        "verdicts.csv": ablation_tables.verdicts_table(study).csv(),
    }
    title = f"{study.ablation.task} on {study.record.tags['dataset_title']}"
    if any(arm.trials for arm in study.arms):
        curves = {metric: study.curves(metric) for metric in CURVES}
        arms = {arm: {metric: curves[metric][arm] for metric in CURVES} for arm in curves["loss"]}
        files["arms.png"] = style.png(panels.arm_curves(arms, title))
    description = f"**{plain(study.ablation.question)}**\n\n{summary(study)}"
    mlflow_runs.log_ablation(study)
    return study_report.keep(study.client, study.record.run_id, write(study), files, description)


def summary(study: AblationResults) -> str:
    """Return question, tables and verdicts as Markdown, short enough to be a run's description."""
    document = Document(study.ablation.question)
    _introduce(document, study)
    _arms(document, study)
    _verdicts(document, study, pictures=False)
    return document.markdown().partition("\n\n")[2]


def _introduce(document: Document, study: AblationResults) -> None:
    study_report.warn_of_data(document, study.record.tags)
    if study.ablation.known:
        document.text(plain(study.ablation.known))
    _origin(document, study.ablation.origin)
    document.text("**In short.** " + in_short(study))


def _origin(document: Document, origin: Origin) -> None:
    """Say which report the task follows, where it departs, and what that report gives."""
    for line in origin.lines:
        document.text(plain(line))
    if origin.reported:
        document.table(Table(("arm", "reported"), ((each.arm, each.words) for each in origin.reported), ("reported",)))


def in_short(study: AblationResults) -> str:
    """Return the verdicts in a line or two, grouped by kind."""
    if not study.verdicts:
        return "There is only one arm, and nothing to compare it with."
    parts = []
    for kind in Kind:
        of_kind = [verdict for verdict in study.verdicts if verdict.kind == kind]
        arms = [verdict.arm + (f" against {verdict.against}" if study.pairs else "") for verdict in of_kind]
        sizes = [f" ({about})" if (about := _size(verdict)) else "" for verdict in of_kind]
        if kind == Kind.UNTESTED and len(of_kind) > FEW:
            parts.append(f"{kind}: {len(of_kind)} arms")
        elif of_kind:
            parts.append(f"{kind}: {', '.join(plain(arm + size) for arm, size in zip(arms, sizes, strict=True))}")
    unit = f"n {study.question.unit} of {study.decides.title}"
    start = f"I{unit}" if study.pairs else f"Against {plain(study.ablation.reference.name)}, i{unit}"
    return f"{start}: {'; '.join(parts)}."


def _size(verdict: Verdict) -> str:
    """Return a verdict's difference, or what is known where no effect is claimed."""
    if verdict.kind in (Kind.NO_EFFECT, Kind.UNDECIDED, Kind.UNSTABLE):
        return verdict.about
    return ablation_tables.signed(verdict.effect) if verdict.effect else ""


def _plan(document: Document, study: AblationResults) -> None:
    document.heading("Plan")
    ablation, tags = study.ablation, study.record.tags
    seeds = sorted({len({trial.tags[names.SEED] for trial in study.trials if trial.tags[names.ARM] == arm.name})
                    for arm in ablation.arms})  # fmt: skip
    each = count(seeds[-1], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    states = [trial.tags.get(names.STATE, trial.status.lower()) for trial in study.trials]
    ended = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    document.text(
        f"{count(len(ablation.arms), 'arm')} × {each}, {count(len(study.trials), 'trial')} "
        f"({plain(ended)}), on {plain(tags['dataset_title'])}: {_rows(tags, 'train')} training rows, "
        f"{_rows(tags, 'validation')} validation rows, {_rows(tags, 'test')} test rows. Every arm starts from this "
        "baseline and changes only what it names (bold: not the default):"
    )
    changed = ablation.baseline.changes()
    baseline = {name: text for name, text in ablation.baseline.as_text().items() if name not in DATA_AND_SEED}
    settings = {name: f"{plain(name)}={plain(text)}" for name, text in baseline.items()}
    document.text(", ".join(f"**{text}**" if name in changed else text for name, text in settings.items()) + ".")
    if not ablation.factors:  # whose arms are named after what they change
        rows = ((arm.name, _settings(arm)) for arm in ablation.arms)
        document.table(Table(("arm", "changes"), rows, words=("changes",)))


def _rows(tags: Mapping[str, str], split: str) -> str:
    return f"{int(tags[f'{split}_rows']):,}"


def _settings(arm: ArmSettings) -> str:
    return ", ".join(f"{name}={value_text(value)}" for name, value in arm.settings.items()) or "nothing"


def _arms(document: Document, study: AblationResults) -> None:
    document.heading("Arms")
    document.table(ablation_tables.arms_table(study.arms))
    document.text(ablation_tables.NOTE)
    for note in ablation_tables.notes(study):
        document.text(plain(note))


def _verdicts(document: Document, study: AblationResults, pictures: bool = True) -> None:
    if not study.verdicts:
        return
    document.heading("Verdicts")
    document.table(ablation_tables.verdicts_table(study))
    for note in ablation_tables.verdict_notes(study):
        document.text(plain(note))
    rows = [
        (one.arm + (f" − {one.against}" if study.pairs else ""), one.effect, TINTS[one.kind])
        for one in study.verdicts
        if one.effect
    ]
    if pictures and rows:
        against = "" if study.pairs else f" against {study.ablation.reference.name}"
        xlabel = f"{study.decides.title} ({study.question.unit}); shaded: within the margin"
        figure = panels.forest(rows, f"Differences{against}", xlabel, study.question.margin)
        document.figures({"differences": figure})
    if study.effects:
        document.heading("Main effects and interactions", 3)
        document.table(ablation_tables.effects_table(study))
        document.text(ablation_tables.EFFECT_NOTE)
    elif len(study.ablation.factors) > 1 and study.unstable:
        document.text("No main effects or interactions: they are means over all arms, of which some lost seeds.")


def _multiverse(document: Document, study: AblationResults) -> None:
    if not any(verdict.effect for verdict in study.verdicts):
        return
    document.heading("Does the verdict depend on how the question is asked?")
    document.table(ablation_tables.multiverse_table(study))
    document.text(
        "The first column decides. The others ask the same of other figures of the same trials: another measure, the "
        "test rows in place of the validation rows, the last epoch in place of the kept one, and each trial's best "
        f"epoch. Marks and margin are as in the verdicts (in nats the margin is {MARGIN_NATS:g}). A conclusion that "
        "only some of them share is weak."
    )


def _curves(document: Document, study: AblationResults) -> None:
    panels_of = {
        "val_cross_entropy": ("Validation loss, without penalty", "cross-entropy (nats)", 1),
        "val_accuracy": ("Validation accuracy", "accuracy (%)", 100),
        "loss": ("Training loss", "loss (nats)", 1),
        "accuracy": ("Training accuracy", "accuracy (%)", 100),
    }
    if not any(arm.trials for arm in study.arms):
        return
    document.heading("Curves")
    document.figures(
        {
            f"curve_{metric}": panels.bands(study.curves(metric, scale), title, "epoch", label)
            for metric, (title, label, scale) in panels_of.items()
        }
    )
    document.text("Lines: the mean over the seeds, up to the last epoch that all of them reached. Bands: their range.")


def _provenance(document: Document, study: AblationResults) -> None:
    # A race of promote is an ablation as well, and so is the comparison of a search, which its command repeats.
    others = {selection.TASK: "promote", CONFIRM: None}
    entry_point = "ablation" if "task" in study.record.params else others.get(study.ablation.task, "ablation")
    study_report.provenance(document, entry_point, study.record, study.trials)
    document.text(
        "The study's run has the definition, `ablation.yaml`. You can run it again with `-P task=ablation.yaml`."
    )
