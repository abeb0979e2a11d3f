"""How a search went: its trials' values in order, their learning curves, their distribution."""

from collections.abc import Iterable, Sequence

from study.analysis.search_results import SearchResults, is_finite, slot_of
from study.reports.document import Interactive
from study.reports.plots.search.axes import hover_text, metric_axis, value_of, whole_axis
from study.reports.plots.search.drawing import BLUE, GREY, ORANGE, PINK, series
from study.reports.plots.series import Axis, Series
from study.tracking.records import RunRecord

MOST_DOTS = 1_000  # beyond which curves are lines alone


def history(study: SearchResults) -> Interactive:
    """Draw each trial's value in the slots' order, the best so far, and one standard error from the best."""
    drawn = [*_best_so_far(study), *_pruned_ends(study)]
    if study.ranked:
        texts = [hover_text(study, trial) for trial in study.ranked]
        values = [value_of(study, trial) for trial in study.ranked]
        drawn.append(Series("complete", [*map(slot_of, study.ranked)], values, BLUE, opacity=0.9, texts=texts))
    shown = [value for each in drawn for value in each.y]
    trials = whole_axis("trial", slot_of(study.trials[0]), slot_of(study.trials[-1]))
    return series("history", "Optimization history", drawn, trials, metric_axis(study, shown))


def _best_so_far(study: SearchResults) -> list[Series]:
    best: float | None = None
    steps = []
    for trial in sorted(study.ranked, key=slot_of):
        if best is None or study.search.better(value_of(study, trial), best):
            best = value_of(study, trial)
            steps.append((slot_of(trial), best))
    if best is None:
        return []
    first, last = slot_of(study.trials[0]), slot_of(study.trials[-1])
    slots, values = _columns([*steps, (last, best)])
    drawn = [Series("best so far", slots, values, ORANGE, "steps", "")]
    if error := study.error(study.ranked[0]):
        end = best + study.objective.scale * (error if study.search.direction == "minimize" else -error)
        drawn.append(Series("standard error of the best", [first, last], [end, end], ORANGE, "line", "", dashed=True))
    return drawn


def _pruned_ends(study: SearchResults) -> list[Series]:
    rows = []
    for trial in study.pruned:
        curve = _curve(study, trial)
        if curve and curve[-1] is not None:
            words = f"{hover_text(study, trial)}<br>pruned after epoch {len(curve)}, at {curve[-1]:.4g}"
            rows.append((slot_of(trial), curve[-1], words))
    if not rows:
        return []
    x, y, texts = _columns(rows)
    return [Series("pruned, last value", x, y, GREY, marker="x", texts=texts)]


def curves(study: SearchResults) -> Interactive:
    """Draw the metric of every epoch of every trial, with a cross where one was pruned or failed."""
    best = study.seeds_of(study.standings[0]) if study.standings else []
    others = [trial for trial in study.complete if trial not in best]
    drawn = [
        *_curves_of(study, "pruned", study.pruned, GREY, 0.7),
        *_curves_of(study, "failed", study.failed, PINK, 0.9),
        *_curves_of(study, "complete", others, BLUE, 0.55),
        *_curves_of(study, "best", best, ORANGE, 1.0),
    ]
    shown = [value for each in drawn for value in each.y]
    epochs = whole_axis("epoch", 1, max(len(study.curve(trial)) for trial in study.trials))
    return series("curves", "Learning curves", drawn, epochs, metric_axis(study, shown))


def _curves_of(
    study: SearchResults, name: str, trials: Sequence[RunRecord], colour: str, opacity: float
) -> Iterable[Series]:
    """Return the curves of some trials as one series with gaps, and the crosses at their ends."""
    x, y, texts, ends = [], [], [], []
    for trial in trials:
        curve = _curve(study, trial)
        words = [f"trial {slot_of(trial)}, epoch {number}: {value}" for number, value in enumerate(_texts(curve), 1)]
        x += [*range(1, len(curve) + 1), len(curve)]
        y += [*curve, None]
        texts += [*words, ""]
        ends += [(len(curve), curve[-1], words[-1])] if curve else []
    if ends:
        yield Series(name, x, y, colour, "line", "o" if len(x) < MOST_DOTS else "", opacity, texts=texts)
    if ends and name in ("pruned", "failed"):
        across, up, texts = _columns(ends)
        yield Series("", across, up, colour, marker="x", texts=texts)


def distribution(study: SearchResults) -> Interactive:
    """Draw the share of the complete trials that reached each value or a better one."""
    values = [value_of(study, trial) for trial in study.ranked]
    shares = [100 * (number + 1) / len(values) for number in range(len(values))]
    texts = [hover_text(study, trial) for trial in study.ranked]
    drawn = [Series("", values, shares, BLUE, "steps", "o" if len(values) < 100 else "", texts=texts)]
    side = "at or below" if study.search.direction == "minimize" else "at or above"
    share = Axis(f"complete trials {side} (%)", limits=(0, 103))
    return series("distribution", "Distribution of the values", drawn, metric_axis(study, values), share)


def _curve(study: SearchResults, trial: RunRecord) -> list[float | None]:
    return [study.objective.scale * value if is_finite(value) else None for value in study.curve(trial)]


def _texts(curve: Sequence[float | None]) -> list[str]:
    return ["not finite" if value is None else f"{value:.4g}" for value in curve]


def _columns(rows: Sequence[Sequence]) -> list[list]:
    return [list(column) for column in zip(*rows, strict=True)]
