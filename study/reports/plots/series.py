"""Points, lines and steps on two axes: described once, drawn with matplotlib here and with Plotly in `search`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from study.reports.plots.style import legend, panel, short


@dataclass(frozen=True)
class Series:
    """Points of one look, joined by lines or steps or not at all; None in `y` is a gap. `texts` describe them."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: str
    join: str = ""  # "line" or "steps"
    marker: str = "o"  # one of matplotlib's, or "" for none
    opacity: float = 1.0
    dashed: bool = False
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its title with the unit, whether it is logarithmic, and its ticks and limits, unless the usual ones."""

    title: str
    log: bool = False
    ticks: Mapping[float, str] | None = None
    limits: tuple[float, float] | None = None


def draw(drawn: Sequence[Series], title: str, x: Axis, y: Axis) -> Figure:
    """Draw points and lines over one another in their order, with a legend of those that have names."""
    figure, axes = panel(title, x.title, y.title)
    for which, axis in (("x", x), ("y", y)):
        axes.set(**{f"{which}scale": "log"} if axis.log else {}, **{f"{which}lim": axis.limits} if axis.limits else {})
        if axis.ticks is not None:
            axes.set(**{f"{which}ticks": list(axis.ticks), f"{which}ticklabels": [*map(short, axis.ticks.values())]})
            getattr(axes, f"{which}axis").set_minor_locator(NullLocator())
        elif not axis.log:
            getattr(axes, f"{which}axis").get_major_locator().set_params(steps=(1, 2, 5, 10))  # there is no trial 2.5
    for each in drawn:
        axes.plot(
            each.x, [np.nan if value is None else value for value in each.y], color=each.colour, alpha=each.opacity,
            label=short(each.name) if each.name else "_", linewidth=1.3,
            linestyle=("--" if each.dashed else "-") if each.join else "",
            drawstyle="steps-post" if each.join == "steps" else "default",
            marker=each.marker, markersize=9 if each.marker == "*" else 2.5 if each.join else 4.5,
        )  # fmt: skip
    if any(each.name for each in drawn):
        legend(figure)
    return figure
