"""The tables and sentences of a search's results, for its report, its run and the terminal."""

from study.analysis.formatting import percent, show
from study.analysis.search_results import SearchResults, slot_of, state_of
from study.analysis.statistics import Estimate
from study.design.search import Search
from study.reports.table import Table
from study.tracking import tags
from study.tracking.records import RunRecord
from study.training.config import brief, settings_text, value_text

BEHIND = "behind the best (its standard errors)"
CAUTION = (
    "±: standard error over the validation rows. A lead smaller than the best trial's error means nothing, and every "
    "configuration was trained with one seed only."
)


def top_table(study: SearchResults, by_field: bool = False) -> Table:
    """Return the ten best configurations, the best first, with their settings in one column or one for each field."""
    fields = [dimension.field for dimension in study.search.space.dimensions] if by_field else []
    rows = []
    for trial in study.top:
        settings = {name: brief(value) for name, value in study.settings(trial).items()}
        told = [settings.get(field, "–") for field in fields] if by_field else [settings_of(study, trial)]
        rows.append((trial.name, value_cell(study, trial), behind_cell(study, trial), *told))
    columns = ("trial", f"{study.objective.label} ± standard error", BEHIND, *(fields or ["settings"]))
    return Table(columns, rows, words=("settings",))


def space_table(search: Search) -> Table:
    """Return the fields of a search, with their ranges and the first trial's values."""
    first = search.space.first()
    rows = (
        (one.field, one.words, brief(search.baseline.get(one.field)) if one.field in first else "–")
        for one in search.space.dimensions
    )
    return Table(("field", "range", "first trial"), rows, words=("range",))


def trials_table(study: SearchResults) -> Table:
    """Return every trial in full precision: how it ended, its value, its fields."""
    fields = [dimension.field for dimension in study.search.space.dimensions]
    columns = ("slot", "state", study.search.metric, "standard_error", "epochs_trained", "seconds", *fields, "reason",
               "run_id")  # fmt: skip
    rows = []
    for trial in study.trials:
        settings = {name: value_text(value) for name, value in study.settings(trial).items()}
        # A trial that was carried over took its time on another day, and perhaps on another machine.
        seconds = None if tags.REUSED_FROM in trial.tags else trial.metrics.get(tags.TRAIN_SECONDS)
        numbers = (study.value(trial), study.error(trial), len(study.curve(trial)), seconds)
        rows.append((
            slot_of(trial), trial.tags.get(tags.STATE, state_of(trial)), *numbers, *map(settings.get, fields),
            trial.tags.get(tags.REASON), trial.run_id,
        ))  # fmt: skip
    return Table(columns, rows)


def value_cell(study: SearchResults, trial: RunRecord) -> str:
    """Return a trial's value with its standard error, with the digits that the error justifies."""
    value, error, scale = study.value(trial), study.error(trial), study.objective.scale
    if value is None:
        return "–"
    if error is None:
        return f"{show(Estimate(scale * value, float('nan'), 1))} ± –"
    return show(Estimate(scale * value, scale * error, 1))


def behind_cell(study: SearchResults, trial: RunRecord) -> str:
    """Return how far a trial lies behind the best, in standard errors of the best."""
    best = study.ranked[0]
    if trial is best:
        return "the best"
    if not (error := study.error(best)):
        return "–"
    times = study.behind(trial) / error
    return f"{times:.2f}" + (" (within)" if times < 1 else "")


def importance_line(study: SearchResults) -> str:
    """Return the importances of the fields in a sentence."""
    if study.no_importances:
        return f"No importances of the fields: {study.no_importances}."
    shares = ", ".join(f"{each.field} {percent(each.ped_anova, 0)} %" for each in study.importances)
    return f"What mattered most (PED-ANOVA, {len(study.ranked)} complete trials): {shares}."


def edge_lines(study: SearchResults) -> list[str]:
    """Return a warning for each field whose best value lies at an end of its range."""
    return [f"{edge.words}: a better value may lie beyond it." for edge in study.edges]


def settings_of(study: SearchResults, trial: RunRecord) -> str:
    """Return the settings of a trial in short."""
    return settings_text(study.settings(trial), brief)
