"""Findings of a study from its records: the table of the arms and the picture that compares their curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study import figures
from study.statistics import Estimate, estimate
from study.tracking import CURVES, TrialRecord, csv_text

COLUMNS = ("arm", "trials", "val accuracy (%)", "val loss", "test accuracy (%)", "seconds a trial")
NOTE = (
    "Mean ± half-width of the 95 % interval of the mean over the seeds (Student's t), of the model each trial kept; "
    "seconds are those of its epochs, without compiling and recording."
)


@dataclass(frozen=True)
class Arm:
    """The finished trials of one arm, summed up; the accuracies are in percent."""

    name: str
    trials: int
    failed: int
    val_accuracy: Estimate | None
    val_loss: Estimate | None
    test_accuracy: Estimate | None
    seconds: Estimate | None


def summarize(records: Sequence[TrialRecord], order: Sequence[str]) -> list[Arm]:
    """Return the arms in `order`, each with what its finished trials came to; failed ones are counted apart."""
    arms = []
    for name in order:
        trials = [record for record in records if record.tags["arm"] == name]
        finished = [record.metrics for record in trials if record.status == "FINISHED"]

        def over_seeds(metric: str, scale: float = 1, finished: list[dict[str, float]] = finished) -> Estimate | None:
            return estimate(np.array([metrics[metric] * scale for metrics in finished])) if finished else None

        arms.append(
            Arm(
                name=name,
                trials=len(finished),
                failed=sum(record.status == "FAILED" for record in trials),
                val_accuracy=over_seeds("model_val_accuracy", 100),
                val_loss=over_seeds("model_val_loss"),
                test_accuracy=over_seeds("test_accuracy", 100),
                seconds=over_seeds("train_seconds"),
            )
        )
    return arms


def cells(arms: Sequence[Arm]) -> list[tuple[str, ...]]:
    """Return the table's rows as text, each number with the digits that its interval justifies."""
    return [
        (
            arm.name,
            str(arm.trials) + (f" ({arm.failed} failed)" if arm.failed else ""),
            *(show(value) for value in (arm.val_accuracy, arm.val_loss, arm.test_accuracy)),
            show(arm.seconds),
        )
        for arm in arms
    ]


def show(value: Estimate | None) -> str:
    """Return ``97.62 ± 0.11``: the half-width to two digits and the mean to the same place; ``–`` for nothing."""
    if value is None:
        return "–"
    if not value.half_width > 5e-7 or not math.isfinite(value.half_width):
        return f"{value.mean:.4g}" if abs(value.mean) < 10_000 else f"{value.mean:.0f}"
    exponent = int(f"{value.half_width:.1e}".partition("e")[2])
    places = max(0, 1 - exponent)
    return f"{value.mean:.{places}f} ± {value.half_width:.{places}f}"


def markdown(arms: Sequence[Arm]) -> str:
    """Return the table as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    rows = ([cell.replace("|", "\\|") for cell in row] for row in cells(arms))
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def csv(arms: Sequence[Arm]) -> str:
    """Return the table as a CSV file's text, in full precision, mean and half-width in columns of their own."""
    names = ("val_accuracy", "val_loss", "test_accuracy", "seconds")
    header = ("arm", "trials", "failed", *(f"{name}_{part}" for name in names for part in ("mean", "half_width")))
    rows = []
    for arm in arms:
        values = [getattr(arm, name) for name in names]
        pairs = [(value.mean, value.half_width) if value else ("", "") for value in values]
        rows.append((arm.name, arm.trials, arm.failed, *(number for pair in pairs for number in pair)))
    return csv_text(header, rows)


def comparison(records: Sequence[TrialRecord], order: Sequence[str], title: str) -> bytes | None:
    """Return the picture of the arms' curves as PNG, or None where no trial has finished."""
    arms = {}
    for name in order:
        curves = [record.curves for record in records if record.tags["arm"] == name and record.status == "FINISHED"]
        if curves:
            longest = max(len(curve["loss"]) for curve in curves)
            arms[name] = {
                key: np.array([curve[key] + [np.nan] * (longest - len(curve[key])) for curve in curves])
                for key in CURVES
            }
    return figures.png(figures.arm_curves(arms, title)) if arms else None
