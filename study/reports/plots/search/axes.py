"""The axes of a search's figures: places and ticks of the fields' values and of the metric."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from study.analysis.search_results import SearchResults, slot_of
from study.design.dimensions import Choices, Dimension
from study.reports.plots.series import Axis
from study.tracking import tags
from study.tracking.records import RunRecord
from study.training.config import Value, brief

ASIDE = -0.15  # place on an axis of the trials that lack the field
STEPS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))  # of ticks on a logarithmic axis, from far apart to close
FEW_TICKS, MOST_DECADES = 3, 10
MOST_WHOLE = 8  # whole numbers, up to which each has a tick
APART = (0.7549, 0.5698)  # slots' multiples of these, less whole numbers, fill a square evenly (Roberts 2018)
LOG_FROM = 3  # times the least value that the largest is: below it, a logarithmic axis is linear all the same


def value_of(study: SearchResults, trial: RunRecord) -> float:
    """Return the value of a trial that has one, in the unit of the axis."""
    value = study.value(trial)
    assert value is not None  # as those of ranked trials are
    return study.objective.scale * value


def hover_text(study: SearchResults, trial: RunRecord) -> str:
    """Return the text that the pointer brings up at a trial."""
    lines = [f"trial {slot_of(trial)}"]
    if study.value(trial) is not None:
        lines.append(f"{study.objective.title} {value_of(study, trial):.4g}")
    if (seed := trial.tags.get(tags.SEED)) not in (None, str(study.search.baseline.seed)):
        lines.append(f"seed {seed}")
    return "<br>".join(lines + [f"{name}={brief(setting)}" for name, setting in study.settings(trial).items()])


def metric_axis(study: SearchResults, values: Sequence[float | None]) -> Axis:
    """Return the axis of the metric for these values: logarithmic for losses that are far apart."""
    there = [value for value in values if value is not None]
    if study.objective.unit != "nats" or not there or min(there) <= 0 or max(there) < LOG_FROM * min(there):
        return Axis(study.objective.label)
    low, high = min(there) / 1.08, max(there) * 1.08
    return Axis(study.objective.label, True, _log_ticks(low, high), (low, high))


def metric_heights(study: SearchResults, values: Sequence[float]) -> tuple[list[float], dict[float, str]]:
    """Return values for scales that cannot be logarithmic, such as colours, and their ticks."""
    axis = metric_axis(study, values)
    if axis.log and axis.ticks:
        return [math.log10(value) for value in values], {math.log10(at): text for at, text in axis.ticks.items()}
    ends = np.linspace(min(values), max(values), 5)
    return list(values), {float(at): f"{at:.3g}" for at in ends}


def whole_axis(title: str, first: int, last: int) -> Axis:
    """Return an axis of whole numbers, with a tick at each if they are few."""
    few = last - first < MOST_WHOLE
    return Axis(title, ticks={float(number): str(number) for number in range(first, last + 1)} if few else None)


def field_axis(dimension: Dimension) -> Axis:
    """Return a field's axis: choices lie at 0, 1, …, and a 0 below a logarithmic range at its low end."""
    if isinstance(dimension, Choices):
        ticks = {float(number): brief(choice) for number, choice in enumerate(dimension.choices)}
        return Axis(dimension.field, False, ticks, (-0.5, len(ticks) - 0.5))
    limits = dimension.at(-0.03), dimension.at(1.03)
    if not dimension.log:
        return Axis(dimension.field, limits=limits)
    least = dimension.low if dimension.zero_below is None else dimension.zero_below
    zero = {} if dimension.zero_below is None else {dimension.low: "0"}
    return Axis(dimension.field, True, zero | _log_ticks(least, dimension.high), limits)


def share(dimension: Dimension, settings: Mapping[str, Value]) -> float | None:
    """Return how far up its axis a field's value lies, from 0 to 1; None if the trial lacks the field."""
    return dimension.position(settings[dimension.field]) if dimension.field in settings else None


def place_of(dimension: Dimension, study: SearchResults, trial: RunRecord, step: float = APART[0]) -> float:
    """Return a trial's place on the field's axis; trials of one choice lie a little apart."""
    apart = 0.3 * (step * slot_of(trial) % 1 - 0.5) if isinstance(dimension, Choices) else 0
    return dimension.at(dimension.position(study.settings(trial)[dimension.field])) + apart


def share_ticks(dimension: Dimension) -> dict[float, str]:
    """Return the ticks of a field's axis by their share of its length."""
    ticks = field_axis(dimension).ticks
    if ticks is None:
        return {at: f"{dimension.at(at):.3g}" for at in (0.0, 0.25, 0.5, 0.75, 1.0)}
    if isinstance(dimension, Choices):
        return {at / max(1, len(ticks) - 1): text for at, text in ticks.items()}
    return {dimension.position(at): text for at, text in ticks.items()}


def _log_ticks(low: float, high: float) -> dict[float, str]:
    """Return round numbers from `low` to `high`, and how they are written."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1, 1 + (last - first) // MOST_DECADES)
    for steps in STEPS:
        ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if 0.999 * low <= tick <= 1.001 * high]
        if len(ticks) >= FEW_TICKS:
            break
    return {tick: f"{tick:g}" for tick in ticks}
