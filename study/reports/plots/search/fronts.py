"""Draws a search's metric against a cost."""

from collections.abc import Sequence

from study.analysis.front import Weighed
from study.analysis.search_results import SearchResults
from study.design.costs import COSTS
from study.reports.document import Interactive
from study.reports.plots.search.axes import hover_text, metric_axis
from study.reports.plots.search.drawing import BLUE, GREY, ORANGE, series
from study.reports.plots.series import Axis, Series

LOG_FROM = 8  # times the least cost, from which on the axis is logarithmic


def front(study: SearchResults, cost: str, found: Sequence[Weighed]) -> Interactive:
    """Draw what is expected of each configuration over its cost, with intervals, and the front as steps."""
    on, off = ([each for each in found if each.on_front is which] for which in (True, False))
    end = found[-1].cost
    steps = [(each.cost, _middle(study, each)) for each in on]
    steps += [(end, steps[-1][1])]
    drawn = [
        Series("", *_bars(study, off), GREY, "line", "", 0.6),
        Series("", *_bars(study, on), ORANGE, "line", "", 0.8),
        Series("front", [x for x, _ in steps], [y for _, y in steps], ORANGE, "steps", ""),
        _points(study, "others", off, BLUE, cost),
        _points(study, "on the front", on, ORANGE, cost),
    ]
    shown = [value for each in drawn for value in each.y]
    log = found[0].cost > 0 and end > LOG_FROM * found[0].cost
    return series(
        "front", f"{study.objective.title.capitalize()} against {COSTS[cost]}", [each for each in drawn if each.x],
        Axis(COSTS[cost], log), metric_axis(study, shown),
    )  # fmt: skip


def _middle(study: SearchResults, each: Weighed) -> float:
    expected = each.standing.expected
    return study.objective.scale * (expected.middle if expected else each.standing.value)


def _points(study: SearchResults, name: str, some: Sequence[Weighed], colour: str, cost: str) -> Series:
    texts = [
        f"{hover_text(study, study.seeds_of(each.standing)[0])}<br>{COSTS[cost]} {each.cost:,.4g}" for each in some
    ]
    heights = [_middle(study, each) for each in some]
    return Series(name, [each.cost for each in some], heights, colour, opacity=0.9, texts=texts)


def _bars(study: SearchResults, some: Sequence[Weighed]) -> tuple[list[float], list[float | None]]:
    """Return the intervals as lines with gaps between them."""
    x: list[float] = []
    y: list[float | None] = []
    for each in some:
        if expected := each.standing.expected:
            x += [each.cost] * 3
            y += [study.objective.scale * expected.low, study.objective.scale * expected.high, None]
    return x, y
