"""How the fields of a search affect its value: one by one, all together, and the two that matter most."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from study.analysis.search_results import SearchResults
from study.design.dimensions import Choices, Dimension
from study.reports.document import Interactive
from study.reports.plots import panels, style
from study.reports.plots.search.axes import (
    APART,
    ASIDE,
    field_axis,
    hover_text,
    metric_axis,
    metric_heights,
    place_of,
    share,
    share_ticks,
    value_of,
)
from study.reports.plots.search.drawing import BLUE, GREY, HEIGHT, ORANGE, WEBGL, axis, html, series
from study.reports.plots.series import Axis, Series, draw
from study.tracking.records import RunRecord

SCALE = ((0, BLUE), (0.5, "#b9bcc0"), (1, ORANGE))  # from the best to the worst
CELLS = 40  # of the contour's ground, a side
NEAR = 0.1  # of a range: how far around it a mean looks
WIDTH_OF_AXIS = 85  # pixels, at least
FAR = 5  # times that away from every trial, there is no mean


def slices(study: SearchResults) -> dict[str, Interactive]:
    """Draw the complete trials' values over each field, those of the best configuration as stars."""
    found = {}
    for dimension in study.search.space.dimensions:
        trials = [trial for trial in study.ranked if dimension.field in study.settings(trial)]
        if not trials:
            continue
        best = [trial for trial in study.seeds_of(study.standings[0]) if trial in trials]
        parts = [(trials, BLUE, "o", 0.9)] + ([(best, ORANGE, "*", 1)] if best else [])
        drawn = [
            Series(
                "", [place_of(dimension, study, trial) for trial in part], [value_of(study, trial) for trial in part],
                colour, marker=marker, opacity=opacity, texts=[hover_text(study, trial) for trial in part],
            )
            for part, colour, marker, opacity in parts
        ]  # fmt: skip
        drawn = [*_dependence(study, dimension), *drawn]
        name, values = f"slice_{dimension.field}", metric_axis(study, [y for each in drawn for y in each.y])
        found[name] = series(name, f"By {dimension.field}", drawn, field_axis(dimension), values)
    return found


def _dependence(study: SearchResults, dimension: Dimension) -> list[Series]:
    """Return how the metric depends on the field, and the ends of the band around it, as lines."""
    if (found := study.dependences.get(dimension.field)) is None:
        return []
    x = [dimension.at(dimension.position(value)) for value in found.values]
    lines = ((found.low, True, 0.7), (found.high, True, 0.7), (found.middle, False, 0.9))
    return [
        Series("", x, (study.objective.scale * y).tolist(), GREY, "line", "", opacity, dashed)
        for y, dashed, opacity in lines
    ]


def importances(study: SearchResults) -> Interactive:
    """Draw what share of the differences each field explains, by both methods."""
    fields = [each.field for each in study.importances]
    shares: dict[str, list[float | None]] = {
        "PED-ANOVA": [100 * each.ped_anova for each in study.importances],
        "fANOVA": [None if each.fanova is None else 100 * each.fanova for each in study.importances],
    }
    bars = [
        go.Bar(
            name=name, y=fields, x=[number or 0 for number in numbers], orientation="h", marker_color=colour,
            text=["–" if number is None else f"{number:.0f} %" for number in numbers],
            textposition="none" if name == "PED-ANOVA" else "outside",  # where its line is
            cliponaxis=False, hovertemplate="%{y} %{text}",
            error_x=_ends(study) if name == "PED-ANOVA" else None,
        )
        for (name, numbers), colour in zip(shares.items(), (BLUE, ORANGE), strict=True)
    ]  # fmt: skip
    title, unit = f"Importance of the fields, of {len(study.ranked)} complete trials", "share of the differences (%)"
    most = max(number for numbers in shares.values() for number in numbers if number is not None)
    most = max(most, *(100 * each.high for each in study.importances))
    layout = {
        "barmode": "group", "height": max(HEIGHT, 110 + 48 * len(fields)),
        "xaxis": axis(Axis(unit, limits=(0, 1.15 * most))), "yaxis": {"autorange": "reversed", "showgrid": False},
    }  # fmt: skip
    known = {name: [math.nan if number is None else number for number in numbers] for name, numbers in shares.items()}
    ends = {"PED-ANOVA": [(100 * each.low, 100 * each.high) for each in study.importances]}
    return Interactive(title, html("importances", bars, layout), panels.bars(known, fields, title, "", unit, ends))


def _ends(study: SearchResults) -> dict[str, object]:
    """Return the ends of PED-ANOVA's shares over trials drawn again, as Plotly takes them."""
    above = [max(0.0, 100 * (each.high - each.ped_anova)) for each in study.importances]
    below = [max(0.0, 100 * (each.ped_anova - each.low)) for each in study.importances]
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1.2,
        "width": 4,
        "color": GREY,
    }


def parallel(study: SearchResults) -> Interactive:
    """Draw each complete trial as a line across its fields, coloured by its rank."""
    trials = study.ranked[::-1]
    present = {name for trial in trials for name in study.settings(trial)}
    dimensions = [dimension for dimension in study.search.space.dimensions if dimension.field in present]
    heights, ticks = metric_heights(study, [value_of(study, trial) for trial in trials])
    axes = [_parallel_axis(study.objective.label, heights, ticks, min(heights), max(heights))]
    for dimension in dimensions:
        shares = [share(dimension, study.settings(trial)) for trial in trials]
        aside = {ASIDE: "–"} if None in shares else {}
        places = [ASIDE if each is None else each for each in shares]
        axes.append(_parallel_axis(dimension.field, places, aside | share_ticks(dimension), min([0, *aside]), 1))
    # Plotly draws the line of the greatest colour on top, whatever the order.
    line = {"color": [*range(len(trials))], "colorscale": [(1 - at, colour) for at, colour in SCALE[::-1]]}
    lines = go.Parcoords(dimensions=axes, line=line, labelangle=-25, labelside="bottom")
    layout = {"margin": {"l": 70, "r": 50, "t": 20, "b": 80}, "height": 400}
    title = "The complete trials across their fields, the best blue, the worst orange (drag along an axis to select)"
    drawn = html("parallel", [lines], layout, WEBGL, WIDTH_OF_AXIS * len(axes))
    return Interactive(title, drawn, _parallel_picture(study, dimensions))


def _parallel_axis(label: str, values: list[float], ticks: dict[float, str], low: float, high: float) -> dict:
    margin = 0.03 * (high - low) or 0.5
    limits = [low - margin, high + margin]
    ticks = {at: text for at, text in ticks.items() if limits[0] <= at <= limits[1]}
    return {"label": label, "values": values, "range": limits, "tickvals": [*ticks], "ticktext": [*ticks.values()]}


def _parallel_picture(study: SearchResults, dimensions: Sequence[Dimension]) -> style.Figure:
    drawn = []
    for name, colour, third in _thirds(study.ranked):
        x: list[float] = []
        y: list[float | None] = []
        for trial in third:
            shares = [share(dimension, study.settings(trial)) for dimension in dimensions]
            x += range(len(dimensions) + 1)
            y += [*(ASIDE if each is None else each for each in shares), None]
        drawn.append(Series(name, x, y, colour, "line", "", 0.6))
    ticks = {float(number): dimension.field for number, dimension in enumerate(dimensions)}
    across = Axis("", ticks=ticks, limits=(0, max(1, len(ticks) - 1)))
    heights = Axis("place within its range", ticks={0: "lower end", 1: "upper end"})
    return draw(drawn, "The complete trials across their fields", across, heights)


def contour(study: SearchResults) -> Interactive | None:
    """Draw the trials by the two fields that matter most, over the mean of those nearby; None if no trial has both."""
    by_name = {dimension.field: dimension for dimension in study.search.space.dimensions}
    names = dict.fromkeys([*(each.field for each in study.importances), *by_name])
    across, up = [by_name[name] for name in names][:2]
    trials = [trial for trial in study.ranked if {across.field, up.field} <= set(study.settings(trial))]
    if not trials:
        return None
    heights, ticks = metric_heights(study, [value_of(study, trial) for trial in trials])
    scale = SCALE if study.search.direction == "minimize" else [(1 - at, colour) for at, colour in SCALE[::-1]]
    fields = [*zip((across, up), APART, strict=True)]
    x, y = ([place_of(dimension, study, trial, step) for trial in trials] for dimension, step in fields)
    texts = [hover_text(study, trial) for trial in trials]
    grids = [_grid(dimension) for dimension in (across, up)]
    places = np.array([[share(each, study.settings(trial)) for each in (across, up)] for trial in trials])
    ground = go.Contour(
        x=[across.at(at) for at in grids[0]], y=[up.at(at) for at in grids[1]],
        z=_means_near_by(places, np.array(heights), *grids), zmin=min(heights), zmax=max(heights), ncontours=14,
        colorscale=scale, opacity=0.7, line={"width": 0.5, "color": GREY}, hoverinfo="skip",
        colorbar={"tickvals": [*ticks], "ticktext": [*ticks.values()], "outlinewidth": 0, "thickness": 12,
                  "title": {"text": study.objective.label, "side": "right"}},
    )  # fmt: skip
    points = go.Scatter(
        x=x, y=y, mode="markers", text=texts, hovertemplate="%{text}<extra></extra>",
        marker={"color": heights, "cmin": min(heights), "cmax": max(heights), "colorscale": scale, "size": 8,
                "line": {"width": 1, "color": "#ffffff"}},
    )  # fmt: skip
    axes = [field_axis(dimension) for dimension in (across, up)]
    layout = {"xaxis": axis(axes[0]), "yaxis": axis(axes[1]), "showlegend": False, "height": 420}
    drawn = [
        Series(
            name, [place_of(across, study, trial, APART[0]) for trial in third],
            [place_of(up, study, trial, APART[1]) for trial in third], colour,
        )
        for name, colour, third in _thirds(trials)
    ]  # fmt: skip
    title = f"{across.field} and {up.field} together"
    words = f"{title}: each complete trial, over the mean of those nearby"
    # Equal values have no colours.
    traces = [ground, points] if max(heights) > min(heights) else [points]
    return Interactive(words, html("contour", traces, layout), draw(drawn, title, *axes))


def _grid(dimension: Dimension) -> np.ndarray:
    return (
        np.linspace(0, 1, len(dimension.choices)) if isinstance(dimension, Choices) else np.linspace(-0.03, 1.03, CELLS)
    )


def _means_near_by(places: np.ndarray, values: np.ndarray, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return the mean of `values` (n,) near each point of a grid (up, across), NaN where no trial is near.

    The trials, at `places` (n, 2), weigh the more the nearer they are.
    """
    grid = np.stack(np.meshgrid(across, up), axis=-1)[:, :, None, :]
    squares = np.square((grid - places) / NEAR).sum(axis=-1)  # (up, across, n)
    nearest = squares.min(axis=-1, keepdims=True)
    weights = np.exp(-(squares - nearest) / 2)
    means = (weights * values).sum(axis=-1) / weights.sum(axis=-1)
    return np.where(nearest[:, :, 0] <= FAR**2, means, np.nan)


def _thirds(ranked: Sequence[RunRecord]) -> list[tuple[str, str, Sequence[RunRecord]]]:
    """Return the worst, middle and best third of the ranked trials, unless empty, each with its name and colour."""
    size = -(-len(ranked) // 3)
    names = (("best third", BLUE), ("middle third", GREY), ("worst third", ORANGE))
    parts = [(*name, ranked[number * size : (number + 1) * size]) for number, name in enumerate(names)]
    return [part for part in reversed(parts) if part[2]]
