"""What the extra figures share: a study's numbers by arm."""

import numpy as np

from study.analysis.ablation_results import Measure, Study
from study.analysis.formatting import show
from study.analysis.statistics import Estimate, estimate
from study.reports.document import Document
from study.tracking.records import RunRecord


def trials(study: Study) -> dict[str, list[RunRecord]]:
    """Return the completed trials of each arm that has any, in the order of their seeds."""
    return {arm.name: list(study.finished(arm.name).values()) for arm in study.arms if arm.trials}


def values(study: Study, measure: Measure) -> dict[str, list[float]]:
    found = {arm.name: list(study.values(measure, arm.name).values()) for arm in study.arms}
    return {arm: values for arm, values in found.items() if values}


def over_seeds(study: Study, measure: Measure, arm: str) -> Estimate | None:
    values = list(study.values(measure, arm).values())
    return estimate(np.array(values)) if values else None


def difference_table(document: Document, study: Study, measure: Measure) -> None:
    rows = []
    for arm, against in study.comparisons:
        differences = study.differences(measure, arm, against)
        rows.append((arm, against, show(estimate(differences) if len(differences) else None, signed=True)))
    document.table(("arm", "against", f"difference of the {measure.title} ({measure.unit})"), rows, words=("against",))
