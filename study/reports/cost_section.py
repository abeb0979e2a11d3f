"""A search's metric against what a network costs: the front of those that no cheaper one is expected to match."""

from collections.abc import Sequence

from study.analysis.front import Weighed, weighed
from study.analysis.search_results import SearchResults
from study.design.costs import COSTS, LATENCY_MS, PARAMETERS, TRAIN_SECONDS
from study.reports import search_tables
from study.reports.document import Document
from study.reports.plots.search import drawing, fronts
from study.reports.table import Table

MEANING = {
    PARAMETERS: "Parameters are the numbers that a network learns.",
    LATENCY_MS: "The latency is that of one row on one core of the machine that trained it: a tenth of its calls were "
    "faster.",
    TRAIN_SECONDS: "The training time depends on the machine and the day; a trial that was carried over has that of "
    "another.",
}


def add(document: Document, study: SearchResults) -> None:
    """Add the section, if the search asked for it and a trial has the cost."""
    cost = study.search.also
    if cost is None or not (found := weighed(study, cost)):
        return
    document.heading(f"Against {COSTS[cost]}")
    if found[0].cost == found[-1].cost:
        document.text(f"All configurations cost the same: {COSTS[cost]} {_price(cost, found[0].cost)}.")
        return
    document.interactive({"front": fronts.front(study, cost, found)}, drawing.library())
    document.text(
        "On the front are the configurations that no cheaper one is expected to match. Bars: where the mean over seeds "
        f"lies with a probability of 95 %. {MEANING[cost]}"
    )
    document.table(front_table(study, cost, found))
    within = f"`mlflow run . -e promote -P from={study.record.run_id} -P within=0.2`"
    document.text(f"{within} takes the cheapest that is within 0.2 points of accuracy of the best.")


def front_table(study: SearchResults, cost: str, found: Sequence[Weighed]) -> Table:
    """Return the configurations on the front, the cheapest first."""
    rows = []
    for each in found:
        if each.on_front:
            trial = study.seeds_of(each.standing)[0]
            behind = search_tables.belief_text(study, each.standing.behind)
            expected = search_tables.belief_text(study, each.standing.expected)
            price = _price(cost, each.cost)
            rows.append((price, expected, behind, trial.name, search_tables.settings_of(study, trial)))
    unit = study.objective.unit_of_differences
    columns = (COSTS[cost], f"expected {study.objective.label}", f"behind the best ({unit})", "trial", "settings")
    return Table(columns, rows, words=("settings",))


def _price(cost: str, value: float) -> str:
    return f"{value:,.0f}" if cost == PARAMETERS else f"{value:.3g}"
