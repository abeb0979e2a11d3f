"""A study's numbers by arm, as the sections draw them."""

import numpy as np

from study.analysis.ablation_results import AblationResults, Measure
from study.analysis.statistics import Estimate, estimate
from study.reports.ablation_tables import signed, unstable_note
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.table import Column, Table
from study.tracking.records import RunRecord


def trials(study: AblationResults) -> dict[str, list[RunRecord]]:
    """Return the completed trials of each arm that has any, in the order of their seeds."""
    return {arm.name: list(study.finished(arm.name).values()) for arm in study.arms if arm.trials}


def values(study: AblationResults, measure: Measure) -> dict[str, list[float]]:
    """Return a measure of each arm's completed trials; arms without any are left out."""
    found = {arm.name: list(study.values(measure, arm.name).values()) for arm in study.arms}
    return {arm: values for arm, values in found.items() if values}


def over_seeds(study: AblationResults, measure: Measure, arm: str) -> Estimate | None:
    """Return a measure's mean over an arm's seeds with its interval; None without completed trials."""
    values = list(study.values(measure, arm).values())
    return estimate(np.array(values)) if values else None


def tell_of_unstable(document: Document, study: AblationResults) -> None:
    """Say which arms lost seeds, if any."""
    if note := unstable_note(study):
        document.text(plain(note))


def difference_table(study: AblationResults, measure: Measure) -> Table:
    """Return the differences of a measure, paired by seed; none where an arm lost seeds."""
    rows = []
    for arm, against in study.comparisons:
        rows.append((arm, against, study.difference(measure, arm, against)))
    difference = Column(f"difference of the {measure.title} ({measure.unit})", text=signed)
    return Table(("arm", "against", difference), rows, words=("against",))
