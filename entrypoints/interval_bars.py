"""Draws comparisons on a terminal, with a line for each, so that you see its interval shrink."""

import math

from rich.table import Table as Grid
from rich.text import Text

from study.analysis.ablation_results import AblationResults
from study.analysis.formatting import count
from study.analysis.verdicts import Kind, Verdict
from study.base.text import readable
from study.reports.ablation_tables import MARKS

WIDTH = 41  # letters, so that there is one in the middle
MOST = 12  # comparisons
REACH = 4  # margins that the drawing shows on each side of zero, at least
COLOURS = {Kind.HELPS: "green", Kind.HURTS: "red", Kind.NO_EFFECT: "blue"}


def picture(study: AblationResults) -> Grid:
    """Return a line for each comparison, the open ones first: its interval, what it is, and after how many seeds."""
    judged = [verdict for verdict in study.verdicts if verdict.effect]
    judged.sort(key=lambda verdict: verdict.kind != Kind.UNDECIDED)
    margin = study.question.margin
    ends = [abs(end) for one in judged if one.effect for end in (one.effect.low, one.effect.high)]
    reach = max(REACH * margin, *(end for end in ends if math.isfinite(end)), 0)
    grid = Grid.grid(padding=(0, 2))
    for verdict in judged[:MOST]:
        assert verdict.effect
        name = f"{verdict.arm} against {verdict.against}" if study.pairs else verdict.arm
        grid.add_row(
            Text(readable(name)),
            Text(bar(verdict, margin, reach), style=COLOURS.get(verdict.kind, "")),
            Text(f"{MARKS[verdict.kind]} {verdict.kind if verdict.kind != Kind.UNDECIDED else 'open'}"),
            Text(count(verdict.effect.n, "seed")),
        )
    return grid


def bar(verdict: Verdict, margin: float, reach: float) -> str:
    """Return the interval between −reach and reach in letters; lines are at zero and, dotted, at each margin."""
    assert verdict.effect

    def place(value: float) -> int:
        return round((min(max(value / reach, -1), 1) + 1) / 2 * (WIDTH - 1))

    letters = [" "] * WIDTH
    if not math.isnan(verdict.effect.mean):
        width = verdict.effect.half_width if math.isfinite(verdict.effect.half_width) else 2 * reach
        for at in range(place(verdict.effect.mean - width), place(verdict.effect.mean + width) + 1):
            letters[at] = "─"
    for line, letter in ((-margin, "┊"), (margin, "┊"), (0.0, "│")):
        letters[place(line)] = letter if letters[place(line)] == " " else "┼"
    if not math.isnan(verdict.effect.mean):
        letters[place(verdict.effect.mean)] = "●"
    return "".join(letters)
