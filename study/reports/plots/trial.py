"""Pictures of one trial: numbers in, matplotlib figures out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from study.reports.plots.images import confusion_on
from study.reports.plots.style import COLOURS, FAINT, GREY, INK, finish, legend, log_scale, titled, whole_numbers
from study.training.metrics import Evaluation

TRAINING, VALIDATION = COLOURS[0], COLOURS[1]


def learning_curves(curves: Mapping[str, Sequence[float]], best_epoch: int, title: str) -> Figure:
    """Draw loss and accuracy by epoch, training and validation, with the epoch of the lowest val_loss marked.

    `curves` has loss, accuracy, val_loss and val_accuracy, one value an epoch.
    """
    figure = titled(title, 10, 4, left=0.07, right=0.985, top=0.9, bottom=0.19, wspace=0.2)
    for axes, name, label in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("loss (nats)", "accuracy (%)"), strict=True
    ):
        scale = 100 if name == "accuracy" else 1
        epochs = np.arange(1, len(curves[name]) + 1)
        for key, colour, words in ((name, TRAINING, "training"), (f"val_{name}", VALIDATION, "validation")):
            axes.plot(epochs, np.multiply(curves[key], scale), "o-", color=colour, markersize=4, label=words)
        axes.axvline(best_epoch, color=GREY, linestyle="--", linewidth=1, label=f"lowest val_loss: epoch {best_epoch}")
        finish(axes, "epoch", label)
        whole_numbers(axes)
    legend(figure)
    return figure


def confusion_matrices(evaluations: Mapping[str, Evaluation], title: str) -> Figure:
    """Draw a confusion matrix for each split, with its counts."""
    number = len(evaluations)
    margins = dict(left=0.11 / number, right=0.98, top=0.9, bottom=0.09, wspace=0.2)
    figure = titled(title, 5.6 * number, 5.6, **margins)
    grid = np.atleast_1d(figure.subplots(1, number))
    for axes, (split, evaluation) in zip(grid, evaluations.items(), strict=True):
        counts = evaluation.confusion
        finish(axes, "predicted class", "true class")
        confusion_on(axes, counts)
        axes.set_title(f"{split}: {evaluation.accuracy:.2%} of {counts.sum():,} right", fontsize=11, color=INK)
    return figure


def step_losses(
    losses: np.ndarray, steps_an_epoch: int, title: str, val_losses: Sequence[tuple[int, float]] = ()
) -> Figure:
    """Draw the loss of every step (steps,) with its moving average over a tenth of an epoch: the gradient noise.

    `val_losses` are pairs (step, val_loss), if it was computed within the epochs.
    """
    figure = titled(title, 10, 4, left=0.07, right=0.985, top=0.9, bottom=0.19)
    axes = figure.subplots()
    finish(axes, "step (grey lines: epochs)", "loss (nats)")
    axes.grid(axis="x", visible=False)
    losses = np.where(np.isfinite(losses), losses, np.nan)
    window = max(1, steps_an_epoch // 10)
    # A picture is 1,000 pixels wide: beyond some thousand points more of them only cost time.
    stride = max(1, len(losses) // 4_000)
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps[::stride], losses[::stride], color=COLOURS[5], linewidth=0.5, alpha=0.6, label="each batch")
    if len(losses) >= 2 * window > 2:
        average = np.convolve(losses, np.ones(window) / window, mode="valid")
        label = f"mean of the last {window}"
        axes.plot(steps[window - 1 :][::stride], average[::stride], color=TRAINING, linewidth=1.5, label=label)
    if val_losses:
        axes.plot(*zip(*val_losses, strict=True), color=VALIDATION, linewidth=1.2, label="validation")
    for end in range(steps_an_epoch, len(losses), steps_an_epoch):
        axes.axvline(end, color=FAINT, linewidth=0.8, zorder=0)
    if np.isfinite(losses).any() and np.nanmin(losses) > 0:
        log_scale(axes, "y")
    legend(figure)
    return figure
