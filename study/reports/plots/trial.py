"""Pictures of one trial, and of a study's arms: numbers in, matplotlib figures out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.reports.plots.style import COLOURS, literal
from study.training.metrics import Evaluation

TRAINING, VALIDATION = COLOURS[0], COLOURS[1]


def learning_curves(curves: Mapping[str, Sequence[float]], best_epoch: int, title: str) -> Figure:
    """Draw loss and accuracy by epoch, training and validation, with the epoch of the lowest val_loss marked.

    `curves` has loss, accuracy, val_loss and val_accuracy, one value an epoch.
    """
    figure = _figure(10, 4, title)
    for axes, name, label in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("loss (nats)", "accuracy (%)"), strict=True
    ):
        scale = 100 if name == "accuracy" else 1
        epochs = np.arange(1, len(curves[name]) + 1)
        for key, colour, words in ((name, TRAINING, "training"), (f"val_{name}", VALIDATION, "validation")):
            axes.plot(epochs, np.multiply(curves[key], scale), "o-", color=colour, markersize=4, label=words)
        axes.axvline(best_epoch, color="0.6", linestyle="--", linewidth=1, label=f"lowest val_loss: epoch {best_epoch}")
        _finish(axes, "epoch", label)
        _whole_epochs(axes, len(epochs))
        axes.legend(frameon=False)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.87, bottom=0.13, wspace=0.22)
    return figure


def confusion_matrices(evaluations: Mapping[str, Evaluation], title: str) -> Figure:
    """Draw a confusion matrix for each split, shaded by the share of the true class, with the counts written in."""
    figure = _figure(5.6 * len(evaluations), 5.6, title)
    for axes, (split, evaluation) in zip(
        np.atleast_1d(figure.subplots(1, len(evaluations))), evaluations.items(), strict=True
    ):
        counts = evaluation.confusion
        classes = len(counts)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        # Errors are a few in a thousand: a square-root scale lets them be seen beside the diagonal.
        axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
        if classes <= 20:
            for i, j in np.argwhere(counts):
                axes.text(
                    j,
                    i,
                    counts[i, j],
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[i, j] > 0.3 else "black",
                )
            axes.set_xticks(range(classes))
            axes.set_yticks(range(classes))
        axes.set_title(f"{split}: {evaluation.accuracy:.2%} of {counts.sum():,} right", fontsize=11)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
    figure.subplots_adjust(left=0.1 / len(evaluations), right=0.98, top=0.86, bottom=0.1, wspace=0.15)
    return figure


def step_losses(
    losses: np.ndarray, steps_an_epoch: int, title: str, val_losses: Sequence[tuple[int, float]] = ()
) -> Figure:
    """Draw the loss of every step (steps,) with its moving average over a tenth of an epoch: the gradient noise.

    `val_losses` are pairs (step, val_loss), where it was looked at within the epochs.
    """
    figure = _figure(10, 4, title)
    axes = figure.subplots()
    losses = np.where(np.isfinite(losses), losses, np.nan)
    window = max(1, steps_an_epoch // 10)
    # A picture is 1,000 pixels wide: beyond some thousand points more of them only cost time.
    stride = max(1, len(losses) // 4_000)
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps[::stride], losses[::stride], color=COLOURS[5], linewidth=0.5, alpha=0.6, label="each batch")
    if len(losses) >= 2 * window > 2:
        average = np.convolve(losses, np.ones(window) / window, mode="valid")
        axes.plot(
            steps[window - 1 :][::stride],
            average[::stride],
            color=TRAINING,
            linewidth=1.5,
            label=f"mean of the last {window}",
        )
    if val_losses:
        axes.plot(*zip(*val_losses, strict=True), color=VALIDATION, linewidth=1.2, label="validation")
    for end in range(steps_an_epoch, len(losses), steps_an_epoch):
        axes.axvline(end, color="0.85", linewidth=0.8, zorder=0)
    if np.isfinite(losses).any() and np.nanmin(losses) > 0:
        axes.set_yscale("log")
    _finish(axes, "step (grey lines: epochs)", "loss (nats)")
    axes.legend(frameon=False)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.88, bottom=0.13)
    return figure


def arm_curves(arms: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """Draw the arms' curves: the mean over the seeds, and a band from the lowest to the highest.

    `arms` has for each arm loss, accuracy, val_loss and val_accuracy as arrays (seeds, epochs), NaN where a trial had
    stopped; the mean is drawn as far as every seed goes.
    """
    figure = _figure(11, 7.5, title)
    panels = (("val_loss", "validation loss (nats)", 1), ("val_accuracy", "validation accuracy (%)", 100),
              ("loss", "training loss (nats)", 1), ("accuracy", "training accuracy (%)", 100))  # fmt: skip
    grid = figure.subplots(2, 2).flat
    for axes, (key, label, scale) in zip(grid, panels, strict=True):
        longest = 0
        for number, (arm, curves) in enumerate(arms.items()):
            values = np.asarray(curves[key]) * scale
            colour, style = COLOURS[number % len(COLOURS)], ("-", "--", ":")[number // len(COLOURS) % 3]
            epochs = np.arange(1, values.shape[1] + 1)
            longest = max(longest, len(epochs))
            axes.plot(
                epochs,
                values.mean(axis=0),
                style,
                color=colour,
                marker="o",
                markersize=4,
                label=literal(f"{arm} (n = {len(values)})"),
            )
            if len(values) > 1:
                present = np.isfinite(values).any(axis=0)
                low, high = np.nanmin(values[:, present], axis=0), np.nanmax(values[:, present], axis=0)
                axes.fill_between(epochs[present], low, high, color=colour, alpha=0.18, linewidth=0)
        _finish(axes, "epoch", label)
        _whole_epochs(axes, longest)
        if key == "val_loss":
            axes.legend(frameon=False, title="mean and range over seeds")
    figure.subplots_adjust(left=0.075, right=0.985, top=0.92, bottom=0.07, wspace=0.18, hspace=0.24)
    return figure


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.suptitle(literal(title), fontsize=12)
    return figure


def _finish(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _whole_epochs(axes: Axes, epochs: int) -> None:
    axes.set_xticks(range(1, epochs + 1, max(1, -(-epochs // 10))))
