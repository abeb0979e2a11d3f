"""Small multiples of a table's columns: how each is distributed in each class, and how much of it is missing."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.data.column_profile import ColumnProfile
from study.reports.plots.images import brief
from study.reports.plots.style import COLOURS, INK, finish, legend, look, panel, short, titled

MOST_BINS, LEAST_BINS = 24, 6
ACROSS = 2
MOST_CATEGORIES = 8  # of one column
LONGEST = 28  # letters of a column's name above its panel


def distributions(columns: Sequence[ColumnProfile], classes: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draw a panel for each column: its distribution in each class, of which a mask (n,) says the rows."""
    lines = -(-len(columns) // ACROSS)
    figure = titled(title, height=0.8 + 1.35 * lines)
    grid = np.atleast_1d(figure.subplots(lines, ACROSS, squeeze=False)).ravel()
    for axes, column in zip(grid, columns, strict=False):
        finish(axes, "", "")
        axes.set_title(brief(column.name, LONGEST), fontsize=8.5, color=INK, loc="left", pad=3)
        axes.tick_params(labelsize=7)
        if column.categories is None:
            _numbers(axes, column, classes)
        else:
            _categories(axes, column, classes)
        axes.set_ylim(bottom=0)
    for axes in grid[len(columns) :]:
        axes.set_visible(False)
    for axes in grid[::ACROSS]:
        axes.set_ylabel("share (%)", fontsize=8, color=INK)
    legend(figure)
    return figure


def _numbers(axes: Axes, column: ColumnProfile, classes: Mapping[str, np.ndarray]) -> None:
    there = column.values[~column.missing]
    values = np.unique(there)
    if len(values) <= MOST_CATEGORIES:  # whole numbers, or 0 and 1
        _bars(axes, [(column.values == value) for value in values], [f"{value:g}" for value in values], classes)
        return
    low, high = np.quantile(there, (0.01, 0.99))
    ends = (low, high) if high > low else (there.min(), there.max())
    # As many as the smallest class fills: of a few rows in many bins one would see the bins.
    smallest = min(int(rows.sum()) for rows in classes.values())
    edges = np.linspace(*ends, int(np.clip(2 * np.sqrt(smallest), LEAST_BINS, MOST_BINS)) + 1)
    for number, (name, rows) in enumerate(classes.items()):
        own = column.values[rows & ~column.missing]
        shares = 100 * np.histogram(own, edges)[0] / max(1, len(own))
        colour, line, _ = look(number)
        axes.stairs(shares, edges, color=colour, linestyle=line, linewidth=1.4, label=short(name))


def _categories(axes: Axes, column: ColumnProfile, classes: Mapping[str, np.ndarray]) -> None:
    names = column.categories or ()
    frequent = np.argsort(-np.bincount(column.values[~column.missing].astype(int), minlength=len(names)), kind="stable")
    shown = sorted(frequent[:MOST_CATEGORIES].tolist())
    letters = 12 if len(shown) < 4 else 8
    _bars(axes, [column.values == place for place in shown], [brief(names[place], letters) for place in shown], classes)


def _bars(axes: Axes, masks: Sequence[np.ndarray], places: Sequence[str], classes: Mapping[str, np.ndarray]) -> None:
    width = 0.8 / len(classes)
    for number, (name, rows) in enumerate(classes.items()):
        shares = [100 * (mask & rows).sum() / max(1, rows.sum()) for mask in masks]
        where = np.arange(len(masks)) + width * (number - (len(classes) - 1) / 2)
        axes.bar(where, shares, width, color=look(number)[0], label=short(name))
    rotated = max(map(len, places)) > 5 and len(places) > 4
    axes.set_xticks(range(len(places)), places, rotation=30 if rotated else 0, ha="right" if rotated else "center")
    axes.grid(axis="x", visible=False)


def shares(values: Mapping[str, float], title: str, xlabel: str) -> Figure:
    """Draw a bar for each name's share in percent, the first on top."""
    figure, axes = panel(title, xlabel, "", height=1 + 0.26 * len(values))
    axes.barh(range(len(values)), list(values.values()), color=COLOURS[0])
    axes.set_yticks(range(len(values)), [short(name) for name in values])
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    return figure
