"""Grids over several fields: maps of their cells, and how two fields interact."""

import numpy as np

from study.analysis.ablation_results import ACCURACY, AblationResults, Measure
from study.reports.document import Document
from study.reports.plots import images, panels
from study.reports.sections import by_arm
from study.tracking import tags
from study.training.config import value_text


def _cells(study: AblationResults, measure: Measure) -> tuple[list[str], list[list[object]], np.ndarray]:
    """Return a grid's fields, their values, and the measure's mean in each cell: (levels of field 0, …)."""
    factors = study.ablation.factors
    means = [by_arm.over_seeds(study, measure, arm.name) for arm in study.ablation.arms]
    numbers = np.array([mean.mean if mean else np.nan for mean in means])
    return list(factors), [list(values) for values in factors.values()], numbers.reshape([*map(len, factors.values())])


def heat_maps(document: Document, study: AblationResults) -> None:
    if len(study.ablation.factors) < 2:
        return
    document.heading("The grid as a map")
    drawn = {}
    for measure in (ACCURACY, Measure(tags.MODEL_VAL_CROSS_ENTROPY, "val cross-entropy", "nats")):
        fields, values, numbers = _cells(study, measure)
        labels = [
            [f"{field}={value_text(value)}" for value in each] for field, each in zip(fields, values, strict=True)
        ]
        for index in np.ndindex(numbers.shape[2:]):
            rest = ", ".join(labels[number + 2][level] for number, level in enumerate(index))
            what = f"{measure.title} ({measure.unit})"
            title = f"{what}, {rest}" if rest else what
            name = "_".join(["map", measure.metric, *map(str, index)])
            part = numbers[(slice(None), slice(None), *index)]
            if np.isfinite(part).any():
                drawn[name] = images.heat(part, labels[0], labels[1], title)
    document.figures(drawn)
    by_arm.tell_of_unstable(document, study)


def interaction(document: Document, study: AblationResults) -> None:
    if len(study.ablation.factors) != 2:
        return
    document.heading("Do the two change each other's effect?")
    (first, ones), (second, others) = study.ablation.factors.items()
    estimates = iter([by_arm.over_seeds(study, ACCURACY, arm.name) for arm in study.ablation.arms])
    by_level = {f"{first}={value_text(one)}": [next(estimates) for _ in others] for one in ones}
    known = {level: [value for value in values if value] for level, values in by_level.items()}
    lines = {level: values for level, values in known.items() if len(values) == len(others)}
    places = [f"{second}={value_text(other)}" for other in others]
    figure = panels.crossed(lines, places, f"{first} and {second}", "val accuracy (%)")
    document.figures({"interaction": figure})
    by_arm.tell_of_unstable(document, study)
