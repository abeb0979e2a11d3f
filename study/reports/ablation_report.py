"""The report of a study: what was asked, what was run, what came of it and how sure that is, from MLflow alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from study.analysis.ablation_results import ACCURACY, MEASURES, Arm, Study
from study.analysis.formatting import show, show_p
from study.analysis.prediction_flips import Flips
from study.analysis.verdicts import RESOLUTION, Kind, Verdict
from study.design.ablation import Arm as ArmSettings
from study.reports import common, mlflow_runs
from study.reports.document import Document, plain
from study.reports.plots import panels, style
from study.reports.plots.trial import arm_curves
from study.reports.sections import by_name
from study.tracking.artifacts import CURVES, csv_text
from study.training.config import HYPERPARAMETERS, value_text
from study.training.metrics import confusion

COLUMNS = ("arm", "trials", *(f"{measure.title} ({measure.unit})" for measure in MEASURES))
NOTE = (
    "Mean ± half-width of the 95 % interval of the mean over the seeds (Student's t), of the model each trial kept; "
    "the gap is training − validation accuracy; times are those of the epochs, without compiling and recording."
)
VERDICT_COLUMNS = ("arm", "against", "difference (points)", "p", "verdict")
VERDICT_NOTE = (
    "Differences of the validation accuracy, paired by seed: mean and 95 % interval (Student's t); p of the exact "
    "sign-flip test (random flips above 20 seeds) with Holm's correction for the number of comparisons. An effect is "
    "claimed where p ≤ 0.05 and the interval excludes zero, no effect only where the half-width is at most "
    f"{RESOLUTION} points. The seeds vary initial weights, order of the rows and dropout; the split and the images "
    "stay the same."
)
MARKS = {Kind.HELPS: "▲", Kind.HURTS: "▼", Kind.NO_EFFECT: "≈", Kind.UNDECIDED: "?", Kind.UNTESTED: "·"}
TINTS = {
    Kind.HELPS: style.COLOURS[2], Kind.HURTS: style.COLOURS[1], Kind.NO_EFFECT: style.COLOURS[0],
    Kind.UNDECIDED: "#8b949e", Kind.UNTESTED: "#8b949e",
}  # fmt: skip
KINDS = {
    Kind.HELPS: "helps", Kind.HURTS: "hurts", Kind.NO_EFFECT: "no effect to speak of", Kind.UNDECIDED: "undecided",
    Kind.UNTESTED: "not tested",
}  # fmt: skip
FEW = 4  # arms that are not tested are still named
GALLERIES = 3
SHOWN = 16  # images of a gallery


def write(study: Study) -> dict[str, str]:
    """Return the report's files by their path in its folder: one HTML page, the same as Markdown, figures, tables."""
    document = Document(f"{study.ablation.task}: {study.ablation.question}")
    _introduce(document, study)
    _plan(document, study)
    _arms(document, study)
    _verdicts(document, study)
    _curves(document, study)
    for name in study.ablation.figures:
        by_name.add(name, document, study)
    _confusions(document, study)
    _ledger(document, study)
    _provenance(document, study)
    return document.written(common.NAME)


def log(study: Study) -> str:
    """Write the report, the tables and the description into the study's run; return where the HTML page lies.

    Raises TrackingError where that cannot be written.
    """
    tables: dict[str, bytes | str] = {"arms.csv": arms_csv(study.arms), "verdicts.csv": verdicts_csv(study.verdicts)}
    title = f"{study.ablation.task} on {study.record.tags['dataset_title']}"
    if any(arm.trials for arm in study.arms):
        curves = {metric: study.curves(metric) for metric in CURVES}
        arms = {arm: {metric: curves[metric][arm] for metric in CURVES} for arm in curves["loss"]}
        tables["arms.png"] = style.png(arm_curves(arms, title))
    description = f"**{plain(study.ablation.question)}**\n\n{summary(study)}"
    mlflow_runs.log_ablation(study)
    return common.keep(study.client, study.record.run_id, write(study), tables, description)


def summary(study: Study) -> str:
    """Return question, tables and verdicts as Markdown, short enough to be a run's description."""
    document = Document(study.ablation.question)
    _introduce(document, study)
    _arms(document, study)
    _verdicts(document, study, pictures=False)
    return document.markdown().partition("\n\n")[2]


# --- tables that a terminal shows too ---------------------------------------------------------------


def cells(arms: Sequence[Arm]) -> list[tuple[str, ...]]:
    """Return the rows of the table of arms as text, each number with the digits that its interval justifies."""
    return [
        (
            arm.name,
            str(arm.trials) + (f" ({arm.failed} failed)" if arm.failed else ""),
            *(show(arm.values[measure.metric]) for measure in MEASURES),
        )
        for arm in arms
    ]


def verdict_cells(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """Return the rows of the table of verdicts as text."""
    return [
        (
            verdict.arm,
            verdict.against,
            show(verdict.effect, signed=True),
            show_p(verdict.p),
            f"{MARKS[verdict.kind]} {verdict.sentence}",
        )
        for verdict in verdicts
    ]


def arms_csv(arms: Sequence[Arm]) -> str:
    """Return the table of arms as a CSV file's text, in full precision, in the metrics' own units."""
    header = ["arm", "trials", "failed"]
    header += [f"{measure.metric}_{part}" for measure in MEASURES for part in ("mean", "half_width")]
    rows = []
    for arm in arms:
        values = [(arm.values[measure.metric], measure.scale) for measure in MEASURES]
        numbers = [(value.mean / scale, value.half_width / scale) if value else ("", "") for value, scale in values]
        rows.append((arm.name, arm.trials, arm.failed, *(number for pair in numbers for number in pair)))
    return csv_text(header, rows)


def verdicts_csv(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a CSV file's text, in full precision; differences are in points."""
    header = ("arm", "against", "seeds", "difference", "half_width", "p", "kind", "sentence")
    rows = []
    for verdict in verdicts:
        effect = verdict.effect
        numbers = (effect.n, effect.mean, effect.half_width) if effect else (0, "", "")
        p = "" if verdict.p is None else verdict.p
        rows.append((verdict.arm, verdict.against, *numbers, p, str(verdict.kind), verdict.sentence))
    return csv_text(header, rows)


# --- the sections -----------------------------------------------------------------------------------


def _introduce(document: Document, study: Study) -> None:
    common.warn_of_substitute(document, study.record.tags)
    if study.ablation.known:
        document.text(plain(study.ablation.known))
    document.text("**In short.** " + in_short(study))


def in_short(study: Study) -> str:
    """Return the verdicts in a line or two, those of a kind together."""
    parts = []
    for kind, words in KINDS.items():
        of_kind = [verdict for verdict in study.verdicts if verdict.kind == kind]
        arms = [verdict.arm + (f" against {verdict.against}" if study.pairs else "") for verdict in of_kind]
        sizes = [f" ({show(verdict.effect, signed=True)})" if verdict.effect else "" for verdict in of_kind]
        if kind == Kind.UNTESTED and len(of_kind) > FEW:
            parts.append(f"{words}: {len(of_kind)} arms")
        elif of_kind:
            parts.append(f"{words}: {', '.join(plain(arm + size) for arm, size in zip(arms, sizes, strict=True))}")
    unit = "n points of validation accuracy"
    start = f"I{unit}" if study.pairs else f"Against {plain(study.ablation.reference.name)}, i{unit}"
    return f"{start}: {'; '.join(parts)}."


def _plan(document: Document, study: Study) -> None:
    document.heading("Plan")
    ablation, tags = study.ablation, study.record.tags
    seeds = sorted({int(trial.tags["seed"]) for trial in study.trials})
    states = [trial.tags.get("state", trial.status.lower()) for trial in study.trials]
    ended = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    document.text(
        f"{len(ablation.arms)} arms × {len(seeds)} seed{'s' * (len(seeds) != 1)}, {len(study.trials)} trials "
        f"({plain(ended)}), on "
        f"{plain(tags['dataset_title'])}: {_rows(tags, 'train')} rows to train on, {_rows(tags, 'validation')} for "
        f"validation, {_rows(tags, 'test')} for the test. The baseline, of which the arms change what is named:"
    )
    changed = ablation.baseline.changes()
    baseline = {name: text for name, text in ablation.baseline.as_text().items() if name in HYPERPARAMETERS}
    told = ", ".join(
        f"**{plain(name)}={plain(text)}**" if name in changed else f"{plain(name)}={plain(text)}"
        for name, text in baseline.items()
    )
    document.text(told + " (bold: not the default).")
    if not ablation.factors:  # a grid's arms are called after what they change
        document.table(("arm", "changes"), ((arm.name, _settings(arm)) for arm in ablation.arms), words=("changes",))


def _rows(tags: Mapping[str, str], split: str) -> str:
    return f"{int(tags[f'{split}_rows']):,}"


def _settings(arm: ArmSettings) -> str:
    return ", ".join(f"{name}={value_text(value)}" for name, value in arm.settings.items()) or "nothing"


def _arms(document: Document, study: Study) -> None:
    document.heading("Arms")
    document.table(COLUMNS, cells(study.arms))
    document.text(NOTE)


def _verdicts(document: Document, study: Study, pictures: bool = True) -> None:
    document.heading("Verdicts")
    document.table(VERDICT_COLUMNS, verdict_cells(study.verdicts), words=("against", "verdict"))
    document.text(VERDICT_NOTE)
    shown = [verdict for verdict in study.verdicts if verdict.effect]
    if pictures and shown:
        rows = [
            (verdict.arm + (f" − {verdict.against}" if study.pairs else ""), verdict.effect, TINTS[verdict.kind])
            for verdict in shown
        ]
        against = "" if study.pairs else f" against {study.ablation.reference.name}"
        figure = panels.forest(rows, f"Differences{against}", "val accuracy (points), 95 % interval", RESOLUTION)
        document.figures({"differences": figure})
    if study.effects:
        document.heading("Main effects and interactions", 3)
        rows = [
            ("interaction" if effect.interaction else "main effect", effect.name, show(effect.points, signed=True))
            for effect in study.effects
        ]
        document.table(("kind", "of", "val accuracy (points)"), rows, words=("of",))
        document.text(
            "A main effect is the change from the baseline's level, averaged over the other factors; an interaction is "
            "by how much one factor changes the other's effect. Means over the seeds with 95 % intervals, not tested."
        )


def _curves(document: Document, study: Study) -> None:
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
    document.text("Lines: the mean over the seeds, as far as every seed went. Bands: from the lowest to the highest.")


def _confusions(document: Document, study: Study) -> None:
    ranked = sorted((arm for arm in study.arms if arm.name in study.predictions), key=_val_accuracy)
    if not ranked or not study.test_set:
        return
    labels = study.test_set[0]
    every = [predicted for by_seed in study.predictions.values() for predicted in by_seed.values()]
    classes = 1 + int(max(labels.max(), *(predicted.max() for predicted in every)))
    document.heading("What is taken for what")
    drawn = {}
    for name, arm in (("best", ranked[-1]), ("worst", ranked[0])):
        by_seed = list(study.predictions[arm.name].values())
        counts = np.mean([confusion(predicted, labels, classes) for predicted in by_seed], axis=0)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        drawn[f"confusion_{name}"] = panels.confusion(shares, f"{name} arm by validation: {arm.name}")
    document.figures(drawn)
    document.text("Shares of the true class in percent, on the test images, averaged over the arm's seeds.")


def _val_accuracy(arm: Arm) -> float:
    return arm.values[ACCURACY.metric].mean


def _ledger(document: Document, study: Study) -> None:
    book = study.ledger
    if not book:
        return
    document.heading("Flip ledger")
    rows = []
    for flips in book.flips:
        numbers = (f"{len(flips.fixed):,}", f"{len(flips.broken):,}", show_p(flips.p), _count(flips.a_pair))
        rows.append((flips.arm, flips.against, *numbers, _count(book.seed_flips[flips.against])))
    header = ("arm", "against", "fixed", "broken", "McNemar's p", "flips between two arms", "flips between two seeds")
    document.table(header, rows, words=("against",))
    document.text(
        f"Fixed: test images, of {book.images:,}, that the arm gets right by the majority of its seeds and the other "
        "does not; broken: the other way round; p: McNemar's exact test over them, not corrected. The last two "
        "columns say how many images one pair of trials disagrees about: of the two arms with the same seed, and of "
        "two seeds of the arm compared against, which is what noise alone flips."
    )
    _galleries(document, study)


def _galleries(document: Document, study: Study) -> None:
    images, book = study.test_set[1], study.ledger
    pictures = images.ndim == 3 and min(images.shape[1:]) >= 8
    drawn = {}
    if pictures:
        most = sorted(book.flips, key=lambda flips: -len(flips.fixed) - len(flips.broken))[:GALLERIES]
        for number, flips in enumerate(most, start=1):
            for word, indices in (("fixes", flips.fixed), ("breaks", flips.broken)):
                if len(indices):
                    title = _gallery_title(flips, word, len(indices))
                    drawn[f"flips_{number}_{word}"] = _gallery(study, indices, title)
    document.heading("Images that no trial gets right", 3)
    document.text(f"{len(book.never_right):,} of {book.images:,}, in {book.trials} trials of all arms.")
    if pictures and len(book.never_right):
        title = f"No trial gets these right ({min(SHOWN, len(book.never_right))} of {len(book.never_right):,})"
        drawn = {"never_right": _gallery(study, book.never_right, title)} | drawn
    if drawn:
        document.figures(drawn)
        document.text("Below each image: its label → what the most trials that miss it take it for.")


def _gallery_title(flips: Flips, word: str, number: int) -> str:
    shown = f", {SHOWN} of {number:,}" if number > SHOWN else f", {number}"
    return f"{flips.arm} {word}{shown}"


def _gallery(study: Study, indices: np.ndarray, title: str) -> style.Figure:
    labels, images = study.test_set
    captions = [f"{labels[index]} → {study.ledger.taken_for[index]}" for index in indices[:SHOWN]]
    return panels.pictures(images[indices[:SHOWN]], captions, title)


def _provenance(document: Document, study: Study) -> None:
    entry_point = "ablation" if "task" in study.record.params else "promote"  # whose race is an ablation as well
    common.provenance(document, entry_point, study.record, study.trials)
    document.text("The ablation's definition is the artifact `ablation.yaml` of the study's run; it is a task, too.")


def _count(number: float) -> str:
    return "–" if np.isnan(number) else f"{number:,.0f}"
