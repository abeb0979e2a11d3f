"""The gap between training and validation, by epoch and by size, and the time that early stopping saves."""

from study.analysis.ablation_results import ACCURACY, AblationResults, Measure
from study.reports.ablation_tables import times_note
from study.reports.document import Document
from study.reports.plots import panels
from study.reports.sections import by_arm
from study.reports.table import Table
from study.tracking import tags

GAP = Measure(tags.MODEL_GENERALIZATION_GAP, "gap", "points", 100)
PARAMETERS = Measure("parameters", "parameters", "")


def gap(document: Document, study: AblationResults) -> None:
    document.heading("The gap between training and validation")
    accuracy, validation = study.curves("accuracy", 100), study.curves("val_accuracy", 100)
    gaps = {arm: values - validation[arm] for arm, values in accuracy.items()}
    document.figures(
        {
            "gap_by_epoch": panels.bands(gaps, "Generalization gap by epoch", "epoch", "gap (points)"),
            "gap_kept": panels.dots(
                by_arm.values(study, GAP), "Gap of the kept model", "training − validation (points)"
            ),
        }
    )
    document.text(
        "By epoch, the training accuracy is a mean over the epoch, with dropout on. The gap of the kept model is "
        "measured after training, on all training rows and without dropout. Its differences, paired by seed:"
    )
    document.table(by_arm.difference_table(study, GAP))


def size(document: Document, study: AblationResults) -> None:
    document.heading("The number of parameters")
    rows = []
    for arm in study.arms:
        counts = study.values(PARAMETERS, arm.name)
        if counts:
            gap, accuracy = (by_arm.over_seeds(study, measure, arm.name) for measure in (GAP, ACCURACY))
            rows.append((arm.name, int(next(iter(counts.values()))), accuracy, gap))
    document.table(Table(("arm", "parameters", "val accuracy (%)", "gap (points)"), rows))
    sizes = {arm: next(iter(counts)) for arm, counts in by_arm.values(study, PARAMETERS).items()}
    if len(set(sizes.values())) > 1:
        document.figures(
            {
                f"size_{measure.metric}": panels.scatter(
                    {arm: (size, by_arm.over_seeds(study, measure, arm)) for arm, size in sizes.items()},
                    f"{measure.title[0].upper()}{measure.title[1:]} by size",
                    "parameters",
                    f"{measure.title} ({measure.unit})",
                    log=True,
                )
                for measure in (ACCURACY, GAP)
            }
        )


def stopping(document: Document, study: AblationResults) -> None:
    document.heading("When training stopped, and the time saved")
    ended, kept = Measure(tags.EPOCHS_TRAINED, "", ""), Measure("model_epoch", "", "")
    seconds = Measure(tags.TRAIN_SECONDS, "", "s")
    rows = []
    for arm in study.arms:
        if arm.trials:
            saved = study.difference(seconds, study.ablation.reference.name, arm.name)
            numbers = [by_arm.over_seeds(study, measure, arm.name) for measure in (ended, kept)]
            rows.append((arm.name, *numbers, saved))
    document.table(Table(("arm", "epochs trained", "epoch of the kept model", "seconds saved per trial"), rows))
    if note := times_note(study):
        document.text(note)
    document.figures(
        {
            "stopping_epochs": panels.dots(by_arm.values(study, ended), "Epochs trained", "epochs"),
            "stopping_kept": panels.dots(by_arm.values(study, kept), "Epoch of the kept model", "epoch"),
        }
    )
