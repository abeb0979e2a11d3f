"""Pictures of one trial: numbers in, figures out, each of which is kept for the next trial.

What a function returns holds until its next call: ask for its PNG before that.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from study.reports.plots import style
from study.reports.plots.images import Cells, are_long, class_labels, class_ticks
from study.reports.plots.kept import Kept
from study.reports.plots.style import COLOURS, FAINT, GREY, INK, finish, legend, log_scale, titled, whole_numbers
from study.training.metrics import Evaluation

TRAINING, VALIDATION = COLOURS[0], COLOURS[1]
WIDTH, HEIGHT = 10, 4  # inches of a figure of curves
LINE = 0.2  # inches of another line of the title
MATRIX = 5.6  # inches of a confusion matrix with its margins
KEPT = 8  # figures of a kind: long titles make them higher, and studies have their own classes
NO_LEGEND = "_"  # a line of this label is not in the legend


def learning_curves(curves: Mapping[str, Sequence[float]], best_epoch: int, title: str) -> Kept:
    """Draw loss and accuracy by epoch, training and validation, with the epoch of the lowest val_loss marked.

    `curves` has loss, accuracy, val_loss and val_accuracy, one value an epoch.
    """
    lines = style.wrapped(title, WIDTH)
    kept = _curves(lines.count("\n"))
    kept.title.set_text(lines)
    for axes, name, scale in zip(kept.figure.axes, ("loss", "accuracy"), (1, 100), strict=True):
        training, validation, best = axes.get_lines()
        for line, key in ((training, name), (validation, f"val_{name}")):
            line.set_data(np.arange(1, len(curves[key]) + 1), np.multiply(curves[key], scale))
        best.set_xdata([best_epoch, best_epoch])
        best.set_label(f"lowest val_loss: epoch {best_epoch}")
        _fit(axes)
    kept.figure.legends[0].get_texts()[2].set_text(best.get_label())
    kept.fixed = kept.figure.axes[0].get_xlim()
    return kept


@lru_cache(KEPT)
def _curves(more_lines: int) -> Kept:
    figure = titled("", WIDTH, HEIGHT + LINE * more_lines, left=0.07, right=0.985, top=0.9, bottom=0.19, wspace=0.2)
    changing = []
    for axes, label in zip(figure.subplots(1, 2), ("loss (nats)", "accuracy (%)"), strict=True):
        for colour, words in ((TRAINING, "training"), (VALIDATION, "validation")):
            axes.plot([], [], "o-", color=colour, markersize=4, label=words)
        axes.axvline(1, color=GREY, linestyle="--", linewidth=1, label="lowest val_loss: epoch 10")
        finish(axes, "epoch", label)
        whole_numbers(axes)
        changing += [*axes.get_lines(), axes.yaxis, *axes.spines.values()]
    legend(figure)
    return Kept(figure, [*figure.texts, *figure.legends, *changing])


def step_losses(
    losses: np.ndarray, steps_an_epoch: int, title: str, val_losses: Sequence[tuple[int, float]] = ()
) -> Kept:
    """Draw the loss of every step (steps,) with its moving average over a tenth of an epoch: the gradient noise.

    `val_losses` are pairs (step, val_loss), if it was computed within the epochs.
    """
    lines = style.wrapped(title, WIDTH)
    kept, ends = _steps(lines.count("\n"))
    kept.title.set_text(lines)
    (axes,) = kept.figure.axes
    batches, mean, validation = axes.get_lines()
    losses = np.where(np.isfinite(losses), losses, np.nan)
    window = max(1, steps_an_epoch // 10)
    # A picture is 1,000 pixels wide: beyond some thousand points more of them only cost time.
    stride = max(1, len(losses) // 4_000)
    steps = np.arange(1, len(losses) + 1)
    batches.set_data(steps[::stride], losses[::stride])
    if has_mean := len(losses) >= 2 * window > 2:
        average = np.convolve(losses, np.ones(window) / window, mode="valid")
        mean.set_data(steps[window - 1 :][::stride], average[::stride])
    else:
        mean.set_data([], [])
    validation.set_data(*zip(*val_losses, strict=True) if val_losses else ([], []))
    axes.set_yscale("linear")
    _fit(axes)
    if np.isfinite(losses).any() and np.nanmin(losses) > 0:
        log_scale(axes, "y")
    fixed = axes.get_xlim(), steps_an_epoch, has_mean, bool(val_losses)
    if kept.fixed != fixed:
        mean.set_label(f"mean of the last {window}" if has_mean else NO_LEGEND)
        validation.set_label("validation" if val_losses else NO_LEGEND)
        ends.set_segments([[(end, 0), (end, 1)] for end in range(steps_an_epoch, len(losses), steps_an_epoch)])
        for old in kept.figure.legends[:]:
            old.remove()
        legend(kept.figure)
        kept.fixed = fixed
    return kept


@lru_cache(KEPT)
def _steps(more_lines: int) -> tuple[Kept, LineCollection]:
    figure = titled("", WIDTH, HEIGHT + LINE * more_lines, left=0.07, right=0.985, top=0.9, bottom=0.19)
    axes = figure.subplots()
    finish(axes, "step (grey lines: epochs)", "loss (nats)")
    axes.grid(axis="x", visible=False)
    axes.plot([], [], color=COLOURS[5], linewidth=0.5, alpha=0.6, label="each batch")
    axes.plot([], [], color=TRAINING, linewidth=1.5)
    axes.plot([], [], color=VALIDATION, linewidth=1.2)
    ends = LineCollection([], colors=FAINT, linewidths=0.8, zorder=0, transform=axes.get_xaxis_transform())
    axes.add_collection(ends, autolim=False)
    return Kept(figure, [*figure.texts, *axes.get_lines(), axes.yaxis, *axes.spines.values()]), ends


def _fit(axes: Axes) -> None:
    """Set the limits anew, to what the axes show now."""
    axes.set(xlim=(0, 1), ylim=(0, 1))  # if it shows nothing, as a diverged trial's
    axes.relim()
    axes.autoscale(True)
    axes.autoscale_view()


def confusion_matrices(evaluations: Mapping[str, Evaluation], title: str, class_names: tuple[str, ...] = ()) -> Kept:
    """Draw a confusion matrix for each split, with its counts; many classes have no numbers, and few ticks."""
    lines = style.wrapped(title, MATRIX * len(evaluations))
    classes = len(next(iter(evaluations.values())).confusion)
    kept, every = _matrices(len(evaluations), lines.count("\n"), classes, class_names)
    kept.title.set_text(lines)
    for axes, cells, (split, evaluation) in zip(kept.figure.axes, every, evaluations.items(), strict=True):
        counts = evaluation.confusion
        cells.counts = counts
        axes.title.set_text(f"{split}: {evaluation.accuracy:.2%} of {counts.sum():,} right")
    return kept


@lru_cache(KEPT)
def _matrices(number: int, more_lines: int, classes: int, class_names: tuple[str, ...]) -> tuple[Kept, list[Cells]]:
    labels = class_labels(classes, class_names)
    wider = style.LETTER * max(0, max(map(len, labels)) - 2)
    higher = wider if are_long(labels) else 0.0
    width, height = MATRIX + wider, MATRIX + higher
    figure = titled(
        "", number * width, height + LINE * more_lines, left=(0.62 + wider) / width / number, right=1 - 0.02,
        top=1 - 0.56 / height, bottom=(0.5 + higher) / height, wspace=(0.94 + wider) / 4.7,
    )  # fmt: skip
    every: list[Cells] = []
    changing: list[Artist] = [*figure.texts]
    for axes in np.atleast_1d(figure.subplots(1, number)):
        finish(axes, "predicted class", "true class")
        axes.grid(visible=False)
        axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), aspect="equal")
        axes.set_title(" ", y=1.0, fontsize=11, color=INK)
        class_ticks(axes, classes, class_names)
        every.append(Cells(axes, np.zeros((classes, classes), int)))
        changing += [every[-1], axes.title, *axes.spines.values()]
    return Kept(figure, changing), every
