"""The figures of a report: one panel each, narrow enough for a phone; numbers in, matplotlib figures out.

Every panel has a title, units on its axes, and a legend below it, where it cannot hide anything.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from study.analysis.statistics import Estimate, estimate
from study.reports.plots.style import COLOURS, FAINT, INK, SHADE, literal

WIDTH, HEIGHT = 5.2, 3.2  # inches
TITLE_WIDTH, LEGEND_WIDTH, LONGEST = 62, 30, 48  # letters
STYLES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")


def forest(
    rows: Sequence[tuple[str, Estimate, str]], title: str, xlabel: str, resolution: float, *, dense: bool = False
) -> Figure:
    """Draw a difference with its interval on each line, top to bottom: (label, difference, one of COLOURS).

    What lies within `resolution` of zero is shaded. Where many lines are `dense`, they stand closer, and the axis is
    linear within one point of zero and logarithmic beyond.
    """
    figure, axes = _panel(title, xlabel, "", height=0.8 + (0.19 if dense else 0.34) * len(rows))
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
            effect.mean, line, xerr=None if np.isnan(effect.half_width) else effect.half_width, fmt="o", color=colour,
            markersize=4 if dense else 6, capsize=2 if dense else 4, linewidth=2,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [_short(label) for label, _, _ in rows])
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
    figure, axes = _panel(title, xlabel, ylabel)
    for number, (arm, values) in enumerate(arms.items()):
        colour, style = _look(number)
        places = np.arange(1, values.shape[1] + 1) if x is None else x[: values.shape[1]]
        marker = MARKERS[number % len(MARKERS)] if len(places) <= 25 else ""
        axes.plot(
            places, values.mean(axis=0), style, color=colour, marker=marker, markersize=4, linewidth=1.6,
            label=_short(f"{arm} (n = {len(values)})" if counts else arm),
        )  # fmt: skip
        if len(values) > 1:
            there = np.isfinite(values).any(axis=0)
            low, high = np.nanmin(values[:, there], axis=0), np.nanmax(values[:, there], axis=0)
            axes.fill_between(places[there], low, high, color=colour, alpha=0.18, linewidth=0)
    if log:
        _log_scale(axes, "y")
    if x is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend(axes)
    return figure


def dots(arms: Mapping[str, Sequence[float]], title: str, ylabel: str) -> Figure:
    """Draw a value of every trial as a dot, arm by arm, with the arm's mean and its interval."""
    figure, axes = _panel(title, "", ylabel)
    for number, values in enumerate(arms.values()):
        colour, _ = _look(number)
        spread = 0.16 * np.linspace(-1, 1, len(values)) if len(values) > 1 else [0.0]
        axes.plot(number + np.asarray(spread), values, "o", color=colour, markersize=4, alpha=0.55)
        mean = estimate(np.asarray(values))
        _error_bar(axes, number + 0.3, mean, colour, MARKERS[number % len(MARKERS)])
    axes.set_xticks(range(len(arms)), [_short(arm) for arm in arms])
    if sum(map(len, arms)) > 40:
        axes.tick_params(axis="x", labelrotation=25)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xlim(-0.5, len(arms) - 0.3)
    axes.grid(axis="x", visible=False)
    return figure


def scatter(arms: Mapping[str, tuple[float, Estimate]], title: str, xlabel: str, ylabel: str, log: bool) -> Figure:
    """Draw for each arm a mean with its interval over a number that the arm has, on a logarithmic axis if `log`."""
    figure, axes = _panel(title, xlabel, ylabel)
    for number, (arm, (place, value)) in enumerate(arms.items()):
        _error_bar(axes, place, value, _look(number)[0], MARKERS[number % len(MARKERS)], _short(arm))
    if log:
        _log_scale(axes, "x")
    _legend(axes)
    return figure


def crossed(lines: Mapping[str, Sequence[Estimate]], places: Sequence[str], title: str, ylabel: str) -> Figure:
    """Draw a line for each level of a factor over the levels of another: parallel lines do not interact."""
    figure, axes = _panel(title, "", ylabel)
    for number, (level, values) in enumerate(lines.items()):
        colour, style = _look(number)
        where = np.arange(len(places)) + 0.04 * (number - (len(lines) - 1) / 2)
        axes.plot(where, [value.mean for value in values], style, color=colour, linewidth=1.6)
        for place, value in zip(where, values, strict=True):
            _error_bar(axes, place, value, colour, MARKERS[number % len(MARKERS)], _short(level))
            level = ""  # named once
    axes.set_xticks(range(len(places)), [_short(place) for place in places])
    axes.set_xlim(-0.4, len(places) - 0.6)
    _legend(axes)
    return figure


def histograms(arms: Mapping[str, np.ndarray], title: str, xlabel: str) -> Figure:
    """Draw the distribution of each arm's values (n,) as a line, the share in each of 60 bins on a logarithmic axis."""
    figure, axes = _panel(title, xlabel, "share of the weights")
    # The widest arm sets the bins; what lies further out than 99.9 % of it is left out of the picture.
    reach = max(np.quantile(np.abs(values), 0.999) for values in arms.values()) or 1.0
    edges = np.linspace(-reach, reach, 61)
    for number, (arm, values) in enumerate(arms.items()):
        colour, style = _look(number)
        shares = np.histogram(values, edges)[0] / len(values)
        axes.plot((edges[1:] + edges[:-1]) / 2, np.where(shares > 0, shares, np.nan), style, color=colour, label=arm)
    _log_scale(axes, "y")
    _legend(axes)
    return figure


def heat(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> Figure:
    """Draw a table of numbers (rows, columns) as coloured fields with the numbers written in; NaN stays empty."""
    figure, axes = _panel(title, "", "", height=1.2 + 0.45 * len(rows))
    axes.grid(visible=False)
    axes.imshow(values, cmap="viridis", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for i, j in np.argwhere(np.isfinite(values)):
        colour = "black" if values[i, j] > middle else "white"
        axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color=colour, fontsize=10)
    axes.set_xticks(range(len(columns)), [_short(column) for column in columns])
    axes.set_yticks(range(len(rows)), [_short(row) for row in rows])
    return figure


def confusion(shares: np.ndarray, title: str) -> Figure:
    """Draw a confusion matrix (classes, classes) of shares of the true class, in percent where it is not nothing."""
    figure, axes = _panel(title, "predicted class", "true class", height=4.4)
    axes.grid(visible=False)
    # Errors are a few in a thousand: a square-root scale lets them be seen beside the diagonal.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    classes = len(shares)
    if classes <= 20:
        for i, j in np.argwhere(shares >= 5e-5):
            colour = "white" if shares[i, j] > 0.3 else "#24292e"  # lies on a light field in the dark, too
            percent = f"{100 * shares[i, j]:.1f}"
            axes.text(j, i, percent, ha="center", va="center", fontsize=7.5, color=colour)
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
    return figure


def pictures(
    images: Sequence[np.ndarray], captions: Sequence[str], title: str, columns: int = 8, signed: bool = False
) -> Figure:
    """Draw small pictures (height, width) in rows with a caption below each, dark ink on white.

    `signed` ones are centred on zero: blue below, red above, each picture to its own extremes.
    """
    lines = -(-len(images) // columns)
    height = 0.35 + 0.78 * lines  # inches: the title, and each row with its captions
    figure = Figure(figsize=(WIDTH, height))
    figure.set_label(title)
    figure.text(0.01, 1 - 0.05 / height, literal(title), fontsize=11, color=INK, va="top")
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - 0.35 / height, bottom=0.2 / height, wspace=0.12, hspace=0.35)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        axes = figure.add_subplot(lines, columns, number + 1)
        if signed:
            reach = np.abs(image).max() or 1.0
            axes.imshow(image, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="none")
        else:
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, interpolation="none")
        axes.set_xlabel(_short(caption), fontsize=8, color=INK, labelpad=2)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(FAINT)
    return figure


# --- what they share --------------------------------------------------------------------------------


def _panel(title: str, xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    wrapped = textwrap.fill(title, TITLE_WIDTH)
    figure = Figure(figsize=(WIDTH, height + 0.2 * wrapped.count("\n")), layout="constrained")
    figure.set_label(title)
    figure.suptitle(literal(wrapped), x=0.01, ha="left", fontsize=11, color=INK)
    axes = figure.subplots()
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.tick_params(which="both", colors=INK)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(INK)
    return figure, axes


def _short(text: str) -> str:
    """Return a name as it is shown in a figure, the middle left out where it is long."""
    return literal(text if len(text) <= LONGEST else f"{text[: LONGEST - 12]}…{text[-11:]}")


def _look(number: int) -> tuple[str, str]:
    return COLOURS[number % len(COLOURS)], STYLES[number // len(COLOURS) % len(STYLES)]


def _error_bar(axes: Axes, place: float, value: Estimate, colour: str, marker: str, label: str = "") -> None:
    half_width = None if np.isnan(value.half_width) else value.half_width
    axes.errorbar(
        place, value.mean, yerr=half_width, color=colour, marker=marker, markersize=6, capsize=4, linestyle="",
        label=label,
    )  # fmt: skip


def _legend(axes: Axes) -> None:
    """Put the legend below the axes, in two columns if its words are short, and make room for its lines."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels), default=0) <= LEGEND_WIDTH else 1
    figure = axes.figure
    figure.set_figheight(figure.get_figheight() + 0.16 * max(0, -(-len(labels) // columns) - 2))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, labelcolor=INK,
        labelspacing=0.25,
    )  # fmt: skip


def _log_scale(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5 times the powers of ten, written out."""
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    low, high = axis.get_data_interval()
    narrow = low > 0 and high / low < 200
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value >= 1 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


# --- of a dataset -----------------------------------------------------------------------------------


def bars(groups: Mapping[str, Sequence[float]], places: Sequence[str], title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw a bar for each group's value at each place, the groups side by side."""
    figure, axes = _panel(title, xlabel, ylabel)
    width = 0.8 / len(groups)
    for number, (group, values) in enumerate(groups.items()):
        where = np.arange(len(places)) + width * (number - (len(groups) - 1) / 2)
        axes.bar(where, values, width, color=_look(number)[0], label=_short(group))
    axes.set_xticks(range(len(places)), [_short(place) for place in places])
    axes.grid(axis="x", visible=False)
    _legend(axes)
    return figure


def boxes(quantiles: np.ndarray, places: Sequence[str], title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw five quantiles (places, 5) of a value at each place: a line, a box within it, and a dot at the median.

    A place with NaN stays empty.
    """
    figure, axes = _panel(title, xlabel, ylabel)
    where = np.arange(len(places))
    least, low, median, high, most = np.asarray(quantiles).T
    axes.vlines(where, least, most, color=COLOURS[0], linewidth=1.2)
    axes.bar(where, high - low, 0.5, bottom=low, color=COLOURS[0])
    axes.plot(where, median, "o", color=COLOURS[4], markersize=4)
    axes.set_ylim(bottom=0)
    axes.set_xticks(where, [_short(place) for place in places])
    axes.grid(axis="x", visible=False)
    return figure


# --- of a search ------------------------------------------------------------------------------------
