"""Figures drawn with Plotly: series and axes in, HTML out; the page's style sheet decides the colours."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from study.reports.document import Interactive
from study.reports.plots.series import Axis, Series, draw
from study.reports.plots.style import COLOURS, GREY

BLUE, ORANGE, _, PINK = COLOURS[:4]
SYMBOLS = {"o": "circle", "x": "x-thin", "*": "star", "": "circle"}
HEIGHT = 340  # pixels
MANY = 150  # points, from which on they are small
CONFIG = {"displayModeBar": False, "responsive": True}
WEBGL = 'document.createElement("canvas").getContext("webgl")'
NOTHING = "rgba(0,0,0,0)"
USUAL = {
    "autosize": True, "paper_bgcolor": NOTHING, "plot_bgcolor": NOTHING, "template": "none", "hovermode": "closest",
    "font": {"family": 'system-ui, "Segoe UI", sans-serif', "size": 12},
    "margin": {"l": 60, "r": 16, "t": 10, "b": 50},
    "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
    "hoverlabel": {"bgcolor": "#24292f", "bordercolor": "#24292f", "align": "left"},
}  # fmt: skip


def library() -> str:
    """Return the JavaScript that the figures call."""
    return get_plotlyjs()


def series(name: str, title: str, drawn: Sequence[Series], x: Axis, y: Axis) -> Interactive:
    """Return points and lines over one another, in their order."""
    named = sum(bool(each.name) for each in drawn)
    layout = {"xaxis": axis(x), "yaxis": axis(y), "showlegend": named > 1}
    return Interactive(title, html(name, [_trace(each) for each in drawn], layout), draw(drawn, title, x, y))


def html(name: str, traces: Sequence[object], layout: Mapping[str, Any], condition: str = "", least: int = 0) -> str:
    """Return a figure as HTML that draws itself, with `library`, once the page is laid out.

    If `condition`, an expression in JavaScript, is false, the page shows the figure's picture. On a page narrower than
    `least` pixels it scrolls.
    """
    grid = {"gridcolor": GREY, "zeroline": False, "automargin": True}
    axes = {which: grid | dict(layout.get(which, {})) for which in ("xaxis", "yaxis")}
    figure = json.loads(go.Figure(list(traces), {"height": HEIGHT} | USUAL | dict(layout) | axes).to_json())
    # No text may end the script element, or begin a comment in it.
    parts = figure["data"], figure["layout"], CONFIG
    arguments = ",".join(json.dumps(part, separators=(",", ":")).replace("<", "\\u003c") for part in parts)
    style = f"height: {figure['layout']['height']}px; min-width: {least}px"
    draw = f'Plotly.newPlot("plot_{name}",{arguments})'
    if condition:
        draw = f'{condition}?{draw}:document.getElementById("plot_{name}").closest("figure").className="still"'
    return (
        f'<div class="plot" id="plot_{name}" style="{style}"></div>'
        f'<script>addEventListener("DOMContentLoaded",()=>{draw})</script>'
    )


def axis(described: Axis) -> dict[str, Any]:
    """Return an axis as Plotly takes it."""
    found: dict[str, Any] = {
        "title": {"text": described.title, "standoff": 10},
        "type": "log" if described.log else "linear",
    }
    if described.limits:
        found["range"] = [math.log10(end) for end in described.limits] if described.log else list(described.limits)
    if described.ticks is not None:
        found |= {"tickvals": list(described.ticks), "ticktext": list(described.ticks.values())}
    return found


def _trace(each: Series) -> go.Scatter:
    modes = [*(["lines"] if each.join else []), *(["markers"] if each.marker else [])]
    size = 14 if each.marker == "*" else 5 if each.join or len(each.x) > MANY else 8
    return go.Scatter(
        name=each.name, x=list(each.x), y=list(each.y), mode="+".join(modes), opacity=each.opacity,
        text=list(each.texts) or None, showlegend=bool(each.name),
        line={"color": each.colour, "width": 1.6, "shape": "hv" if each.join == "steps" else "linear",
              "dash": "dash" if each.dashed else "solid"},
        marker={"color": each.colour, "symbol": SYMBOLS[each.marker], "size": size,
                "line": {"color": each.colour, "width": 2 if each.marker == "x" else 0}},
        hovertemplate=("%{text}" if each.texts else f"{each.name} %{{y:.4g}}") + "<extra></extra>",
    )  # fmt: skip
