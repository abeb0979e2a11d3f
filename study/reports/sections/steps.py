"""Training step by step: the noise of the gradient, the loss, plateaus."""

import io
import itertools
import math

import numpy as np
import pandas as pd

from study.analysis.ablation_results import AblationResults
from study.analysis.statistics import estimate
from study.reports.document import Document
from study.reports.plots import panels, style
from study.reports.sections import by_arm
from study.reports.table import Table
from study.tracking import stored
from study.tracking.artifacts import STEP_LOSSES, STEP_VAL_LOSSES
from study.training.early_stopping import Plateau

WINDOWS = 50
RULE_STEPS, RULE_DELTA = 100, 1e-5


def _step_losses(study: AblationResults) -> dict[str, np.ndarray]:
    """Return for each arm the loss of every step (seeds, steps), as far as all of its seeds went."""
    found = {}
    for arm, trials in by_arm.trials(study).items():
        files = [stored.read_file(trial, STEP_LOSSES) for trial in trials]
        losses = [pd.read_csv(io.BytesIO(content))["loss"].to_numpy() for content in files if content]
        shortest = min(map(len, losses), default=0)
        if shortest > 1:  # a single step has no noise
            found[arm] = np.array([values[:shortest] for values in losses])
    return found


def gradient_noise(document: Document, study: AblationResults) -> None:
    means, noises, rows = {}, {}, []
    every = _step_losses(study)
    if not every:
        return
    document.heading("The noise of the gradient")
    for arm, losses in every.items():
        windows = max(1, min(WINDOWS, losses.shape[1] // 4))
        parts = np.array_split(losses, windows, axis=1)
        means[arm] = np.array([part.mean(axis=1) for part in parts]).T
        noises[arm] = np.array([part.std(axis=1, ddof=1) for part in parts]).T
        ends = (estimate(values[:, -1]) for values in (means[arm], noises[arm]))
        rows.append((arm, losses.shape[1], *ends))
    share = {arm: np.linspace(0, 100, values.shape[1] + 1)[1:] for arm, values in means.items()}
    longest = max(share.values(), key=len)
    document.table(Table(("arm", "steps", "loss at the end (nats)", "sd from step to step (nats)"), rows))
    document.text(
        f"Each trial's steps are cut into {len(longest)} parts. A batch's loss estimates the loss of all rows; how far "
        "it varies from step to step within a part shows how noisy its gradients are."
    )
    x = "training done (%)"
    document.figures(
        {
            "step_mean": panels.bands(means, "Loss of the steps, mean", x, "loss (nats)", longest, log=True),
            "step_noise": panels.bands(
                noises, "Loss of the steps, sd within a part", x, "sd (nats)", longest, log=True
            ),
        }
    )


def loss_by_step(document: Document, study: AblationResults) -> None:
    means, spreads, every = {}, {}, _step_losses(study)
    if not every:
        return
    document.heading("The loss by step")
    # Parts that grow with the step: the first ten steps matter as much as the last thousand.
    steps = min(losses.shape[1] for losses in every.values())
    edges = np.unique(np.geomspace(1, steps + 1, WINDOWS + 1).astype(int)) - 1
    parts = list(itertools.pairwise(edges))
    for arm, losses in every.items():
        means[arm] = np.array([losses[:, first:last].mean(axis=1) for first, last in parts]).T
        if len(losses) > 1:
            sds = losses.std(axis=0, ddof=1)
            spreads[arm] = np.array([[sds[first:last].mean() for first, last in parts]])
    x = edges[1:].astype(float)
    drawn = {"loss_by_step": panels.bands(means, "Training loss by step", "step", "loss (nats)", x, log=True)}
    if spreads:
        drawn["loss_sd_by_step"] = panels.bands(
            spreads, "Sd of the loss over the seeds", "step", "sd over the seeds (nats)", x, log=True, counts=False
        )
    for figure in drawn.values():
        style.log_scale(figure.axes[0], "x")
    document.figures(drawn)
    document.text("Both axes are logarithmic. Each point is a mean over the steps since the point before.")


def val_loss_by_step(document: Document, study: AblationResults) -> None:
    curves, rows, every = {}, [], _looks(study)
    if not every:
        return
    document.heading("The validation loss by step")
    for arm, looks in every.items():
        steps = looks[0]["step"].to_numpy()
        losses = np.array([look["val_loss"].to_numpy()[: len(steps)] for look in looks])
        curves[arm] = (100 * steps / steps[-1], losses)
        chance = math.log(len(np.unique(study.test_set[0]))) if study.test_set else losses[0, 0]
        below = losses < 0.9 * chance
        left = [steps[np.argmax(row)] if row.any() else None for row in below]
        spread = losses[:, -max(2, len(steps) // 10) :].std(axis=1, ddof=1)
        stops = [_rule(steps, row) for row in losses]
        there = np.array([row[stop] for row, stop in zip(losses, stops, strict=True)])
        ends = (estimate(values) for values in (losses[:, -1], spread, there))
        rows.append((arm, steps[-1], _median(left), *ends, _median([steps[stop] for stop in stops])))
    header = (
        "arm", "steps", "left the plateau at step", "val loss at the end", "its sd over the last tenth",
        "val loss where the rule stops", "step where the rule stops",
    )  # fmt: skip
    document.table(Table(header, rows))
    document.text(
        "A trial leaves the plateau when val_loss first falls below 90 % of chance, ln(classes). Steps are medians "
        f"over the seeds. The rule stops when val_loss has not fallen by {RULE_DELTA:g} in {RULE_STEPS} steps, as "
        f"patience_steps={RULE_STEPS} does. It was applied afterwards: no trial was stopped."
    )
    points = np.linspace(0, 100, 201)[1:]
    drawn = {
        arm: np.array([np.interp(points, places, row) for row in losses]) for arm, (places, losses) in curves.items()
    }
    figure = panels.bands(drawn, "Validation loss", "training done (%)", "val loss (nats)", points)
    document.figures({"val_loss_by_step": figure})


def _looks(study: AblationResults) -> dict[str, list[pd.DataFrame]]:
    found = {}
    for arm, trials in by_arm.trials(study).items():
        files = [stored.read_file(trial, STEP_VAL_LOSSES) for trial in trials]
        if tables := [pd.read_csv(io.BytesIO(content)) for content in files if content]:
            shortest = min(map(len, tables))
            found[arm] = [table[:shortest] for table in tables]
    return found


def _rule(steps: np.ndarray, losses: np.ndarray) -> int:
    """Return the look (from 0) at which the rule would have stopped a trial; the last if it would not."""
    rule = Plateau(RULE_STEPS, RULE_DELTA)
    for look, (taken, loss) in enumerate(zip(np.diff(steps, prepend=0), losses, strict=True)):
        rule.update(taken, loss)
        if rule.stop:
            return look
    return len(steps) - 1


def _median(steps: list[int | None]) -> str:
    reached = [step for step in steps if step is not None]
    if not reached:
        return "never"
    missed = f" ({len(steps) - len(reached)} never)" if len(reached) < len(steps) else ""
    return f"{int(np.median(reached)):,}{missed}"
