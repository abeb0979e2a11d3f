"""Panels of a report: differences, curves, dots, bars; numbers in, matplotlib figures out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from study.analysis.statistics import Estimate, estimate
from study.reports.plots.style import (
    COLOURS,
    INK,
    SHADE,
    WIDTH,
    finish,
    legend,
    log_scale,
    look,
    panel,
    short,
    titled,
    whole_numbers,
)

MOST_LETTERS = 52  # of the names below an axis
MOST_MARKED = 25  # points of a curve, beyond which they have no markers


def forest(
    rows: Sequence[tuple[str, Estimate, str]], title: str, xlabel: str, resolution: float, *, dense: bool = False
) -> Figure:
    """Draw a difference with its interval on each line, top to bottom: (label, difference, one of COLOURS).

    What lies within `resolution` of zero is shaded. Where many lines are `dense`, they stand closer, and the axis is
    linear within one point of zero and logarithmic beyond.
    """
    figure, axes = panel(title, "", "", height=0.8 + (0.19 if dense else 0.34) * len(rows))
    axes.set_xlabel(xlabel, loc="right")  # it may be longer than the axis, which long labels make short
    if dense:
        figure.set_figwidth(1.5 * WIDTH)
        axes.tick_params(axis="y", labelsize=8, length=0)
        axes.set_xscale("symlog", linthresh=1, linscale=1.5)
        axes.xaxis.set_major_locator(FixedLocator([-50, -10, -2, -1, -0.5, 0, 0.5, 1, 2, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvspan(-resolution, resolution, color=SHADE, zorder=0)
    axes.axvline(0, color=INK, linewidth=1)
    for line, (_, effect, colour) in enumerate(rows):
        axes.errorbar(
            effect.mean, line, xerr=effect.half_width if np.isfinite(effect.half_width) else None, fmt="o",
            color=colour, markersize=4 if dense else 6, capsize=2 if dense else 4, linewidth=2,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [short(label) for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    return figure


def bands(
    arms: Mapping[str, np.ndarray],
    title: str,
    xlabel: str,
    ylabel: str,
    x: np.ndarray | None = None,
    *,
    log: bool = False,
    counts: bool = True,
) -> Figure:
    """Draw each arm's curve: the mean over the seeds (seeds, points), and a band from the lowest to the highest.

    `x` (points,) is 1, 2, … unless it is given. The mean is drawn as far as every seed goes; the legend has the number
    of seeds where it `counts`.
    """
    figure, axes = panel(title, xlabel, ylabel)
    _bands(axes, arms, x, counts)
    if log:
        log_scale(axes, "y")
    legend(figure)
    return figure


def arm_curves(arms: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """Draw the arms' curves of loss and accuracy, on validation and training data, as `bands` beside one another.

    `arms` has for each arm loss, accuracy, val_loss and val_accuracy as arrays (seeds, epochs), NaN where a trial had
    stopped.
    """
    figure = titled(f"{title}: mean and range over the seeds", 11, 7.5)
    shown = (("val_loss", "validation loss (nats)", 1), ("val_accuracy", "validation accuracy (%)", 100),
             ("loss", "training loss (nats)", 1), ("accuracy", "training accuracy (%)", 100))  # fmt: skip
    grid = figure.subplots(2, 2)
    for axes, (key, label, scale) in zip(grid.flat, shown, strict=True):
        finish(axes, "epoch", label)
        _bands(axes, {arm: scale * np.asarray(curves[key]) for arm, curves in arms.items()})
    legend(figure)
    return figure


def _bands(axes: Axes, arms: Mapping[str, np.ndarray], x: np.ndarray | None = None, counts: bool = True) -> None:
    for number, (arm, values) in enumerate(arms.items()):
        colour, line, marker = look(number)
        places = np.arange(1, values.shape[1] + 1) if x is None else x[: values.shape[1]]
        axes.plot(
            places, values.mean(axis=0), line, color=colour, marker=marker if len(places) <= MOST_MARKED else "",
            markersize=4, linewidth=1.6, label=short(f"{arm} (n = {len(values)})" if counts else arm),
        )  # fmt: skip
        if len(values) > 1:
            there = np.isfinite(values).any(axis=0)
            low, high = np.nanmin(values[:, there], axis=0), np.nanmax(values[:, there], axis=0)
            axes.fill_between(places[there], low, high, color=colour, alpha=0.18, linewidth=0)
    if x is None:
        whole_numbers(axes)


def dots(arms: Mapping[str, Sequence[float]], title: str, ylabel: str) -> Figure:
    """Draw a value of every trial as a dot, arm by arm, with the arm's mean and its interval."""
    figure, axes = panel(title, "", ylabel)
    for number, values in enumerate(arms.values()):
        colour, _, marker = look(number)
        spread = 0.16 * np.linspace(-1, 1, len(values)) if len(values) > 1 else [0.0]
        axes.plot(number + np.asarray(spread), values, "o", color=colour, markersize=4, alpha=0.55)
        mean = estimate(np.asarray(values))
        _error_bar(axes, number + 0.3, mean, colour, marker)
    axes.set_xticks(range(len(arms)), [short(arm) for arm in arms])
    if sum(map(len, arms)) > 40:
        axes.tick_params(axis="x", labelrotation=25)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xlim(-0.5, len(arms) - 0.3)
    axes.grid(axis="x", visible=False)
    return figure


def scatter(
    arms: Mapping[str, tuple[float, Estimate | None]], title: str, xlabel: str, ylabel: str, log: bool
) -> Figure:
    """Draw for each arm a mean with its interval over a number that the arm has, on a logarithmic axis if `log`."""
    figure, axes = panel(title, xlabel, ylabel)
    for number, (arm, (place, value)) in enumerate(arms.items()):
        colour, _, marker = look(number)
        if value:
            _error_bar(axes, place, value, colour, marker, short(arm))
    if log:
        log_scale(axes, "x")
    legend(figure)
    return figure


def crossed(lines: Mapping[str, Sequence[Estimate]], places: Sequence[str], title: str, ylabel: str) -> Figure:
    """Draw a line for each level of a factor over the levels of another: parallel lines do not interact."""
    figure, axes = panel(title, "", ylabel)
    for number, (level, values) in enumerate(lines.items()):
        colour, line, marker = look(number)
        where = np.arange(len(places)) + 0.04 * (number - (len(lines) - 1) / 2)
        axes.plot(where, [value.mean for value in values], line, color=colour, linewidth=1.6)
        for place, value in zip(where, values, strict=True):
            _error_bar(axes, place, value, colour, marker, short(level))
            level = ""  # named once
    axes.set_xticks(range(len(places)), [short(place) for place in places])
    axes.set_xlim(-0.4, len(places) - 0.6)
    legend(figure)
    return figure


def histograms(arms: Mapping[str, np.ndarray], title: str, xlabel: str) -> Figure:
    """Draw the distribution of each arm's values (n,) as a line, the share in each of 60 bins on a logarithmic axis."""
    figure, axes = panel(title, xlabel, "share of the weights")
    # The widest arm sets the bins; what lies further out than 99.9 % of it is left out of the picture.
    reach = max(np.quantile(np.abs(values), 0.999) for values in arms.values()) or 1.0
    edges = np.linspace(-reach, reach, 61)
    for number, (arm, values) in enumerate(arms.items()):
        colour, line, _ = look(number)
        shares = np.histogram(values, edges)[0] / len(values)
        axes.plot(
            (edges[1:] + edges[:-1]) / 2, np.where(shares > 0, shares, np.nan), line, color=colour, label=short(arm)
        )
    log_scale(axes, "y")
    legend(figure)
    return figure


def _error_bar(axes: Axes, place: float, value: Estimate, colour: str, marker: str, label: str = "") -> None:
    half_width = value.half_width if np.isfinite(value.half_width) else None
    axes.errorbar(
        place, value.mean, yerr=half_width, color=colour, marker=marker, markersize=6, capsize=4, linestyle="",
        label=label,
    )  # fmt: skip


def bars(
    groups: Mapping[str, Sequence[float]],
    places: Sequence[str],
    title: str,
    xlabel: str,
    ylabel: str,
    ends: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Draw a bar for each group's value at each place, the groups side by side.

    At the bars of a group for which there are `ends`, low and high, a line is drawn from one to the other.
    """
    figure, axes = panel(title, xlabel, ylabel)
    width = 0.8 / len(groups)
    for number, (group, values) in enumerate(groups.items()):
        where = np.arange(len(places)) + width * (number - (len(groups) - 1) / 2)
        axes.bar(where, values, width, color=look(number)[0], label=short(group))
        if ends and group in ends:
            low, high = np.array(ends[group]).T
            axes.vlines(where, low, high, color=INK, linewidth=1.2)
            axes.plot([*where, *where], [*low, *high], "_", color=INK, markersize=6)
    _name_places(axes, places)
    axes.grid(axis="x", visible=False)
    legend(figure)
    return figure


def _name_places(axes: Axes, places: Sequence[str]) -> None:
    """Write the places' names below the axis, turned where they would not fit side by side."""
    turned = sum(map(len, places)) + len(places) > MOST_LETTERS
    names = [short(place) for place in places]
    axes.set_xticks(range(len(places)), names, rotation=35 if turned else 0, ha="right" if turned else "center")


def boxes(quantiles: np.ndarray, places: Sequence[str], title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw five quantiles (places, 5) of a value at each place: a line, a box within it, and a dot at the median.

    A place with NaN stays empty.
    """
    figure, axes = panel(title, xlabel, ylabel)
    where = np.arange(len(places))
    least, low, median, high, most = np.asarray(quantiles).T
    axes.vlines(where, least, most, color=COLOURS[0], linewidth=1.2)
    axes.bar(where, high - low, 0.5, bottom=low, color=COLOURS[0])
    axes.plot(where, median, "o", color=COLOURS[4], markersize=4)
    axes.set_ylim(bottom=0)
    _name_places(axes, places)
    axes.grid(axis="x", visible=False)
    return figure
