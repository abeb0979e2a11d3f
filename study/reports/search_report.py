"""The report of a search, from MLflow alone: the best configurations, how sure they are, and what mattered."""

from study.analysis.formatting import count, percent, show
from study.analysis.search_results import SearchResults, slot_of, state_of
from study.analysis.statistics import Estimate
from study.design.search import Search
from study.reports import confirmation_section, mlflow_runs, study_report
from study.reports.document import Document, Interactive
from study.reports.markdown import plain
from study.reports.plots.search import drawing, history
from study.reports.plots.search.fields import contour, importances, parallel, slices
from study.reports.table import Table
from study.tracking import tags
from study.tracking.records import RunRecord
from study.training.config import brief, settings_text, value_text

TRIALS = "trials.csv"
BEHIND = "behind the best (its standard errors)"
IMPORTANCES = (
    "PED-ANOVA shows which fields set the best complete trials apart from the others (the best tenth, at least ten "
    "trials but no more than half). fANOVA shows which fields explain the differences among all complete trials (–: "
    "not every trial has the field). Neither knows the pruned trials or values that were never tried, and both are "
    "rough when trials are few."
)
CAUTION = (
    "±: standard error over the validation rows. A lead smaller than the best trial's error means nothing, and every "
    "configuration was trained with one seed only."
)


def write(study: SearchResults) -> dict[str, str]:
    """Return the report's files by their path in its folder: one HTML page, the same as Markdown, figures."""
    document = Document(f"search {study.record.tags['study']}")
    document.text(f"On {plain(study.record.tags['dataset_title'])}: {plain(study.search.words)}.")
    _introduce(document, study)
    confirmation_section.add(document, study)
    _top(document, study)
    _course(document, study)
    _what_mattered(document, study)
    _space(document, study)
    study_report.provenance(document, "search", study.record, study.trials)
    return document.written(study_report.NAME)


def log(study: SearchResults) -> str:
    """Write the report, the table of trials and the description into the search's run; return the HTML page's path.

    Raises TrackingError where that cannot be written.
    """
    files = {TRIALS: trials_table(study).csv()}
    mlflow_runs.log_search(study)
    return study_report.keep(study.client, study.record.run_id, write(study), files, summary(study))


def summary(study: SearchResults) -> str:
    """Return space, findings and the best configurations as Markdown, short enough to be a run's description."""
    document = Document("search")
    document.text(f"**{plain(study.search.words)}**")
    _introduce(document, study)
    _top(document, study)
    return document.markdown().partition("\n\n")[2]


# --- tables and sentences, which a terminal shows too -----------------------------------------------


def top_table(study: SearchResults, by_field: bool = False) -> Table:
    """Return the ten best configurations, the best first, with their settings in one column or one for each field."""
    fields = [dimension.field for dimension in study.search.space.dimensions] if by_field else []
    rows = []
    for trial in study.top:
        settings = {name: brief(value) for name, value in study.settings(trial).items()}
        told = [settings.get(field, "–") for field in fields] if by_field else [_settings(study, trial)]
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


def in_short(study: SearchResults) -> list[str]:
    """Return the findings of the search in sentences of plain text."""
    if study.best:
        found = f"The best {study.objective.label} is {value_cell(study, study.best)} (standard error), of "
        found += f"{study.best.name}: {_settings(study, study.best)}."
    else:
        found = "No trial has a value."
    ended = ", ".join(f"{len(getattr(study, state))} {state}" for state in ("complete", "pruned", "failed"))
    trials = f"{count(len(study.trials), 'trial')}: {ended}."
    if number := study.record.tags.get(tags.EXCLUDED):
        trials += (
            f" {number} more suggested networks have {study.search.limit:,} parameters or more and were not trained."
        )
    return [*confirmation_section.lines(study), found, trials, importance_line(study), *edge_lines(study)]


def _settings(study: SearchResults, trial: RunRecord) -> str:
    return settings_text(study.settings(trial), brief)


# --- the sections -----------------------------------------------------------------------------------


def _introduce(document: Document, study: SearchResults) -> None:
    study_report.warn_of_data(document, study.record.tags)
    document.text("**In short.**", "\n".join(f"- {plain(sentence)}" for sentence in in_short(study)))


def _top(document: Document, study: SearchResults) -> None:
    document.heading("The best configurations")
    if not study.top:
        document.text("No trial is complete.")
        return
    document.table(top_table(study, by_field=True))
    again = f"`mlflow run . -e promote -P from={study.record.run_id}`"
    document.text(f"{CAUTION} {again} trains the best again with fresh seeds and tests the winner only.")


def _course(document: Document, study: SearchResults) -> None:
    if not any(study.curve(trial) for trial in study.trials):
        return
    document.heading("How the search went")
    drawn = {"history": history.history(study), "curves": history.curves(study)}
    if study.ranked:
        drawn["distribution"] = history.distribution(study)
    _add(document, drawn)


def _what_mattered(document: Document, study: SearchResults) -> None:
    document.heading("What mattered")
    document.text(plain(importance_line(study)))
    if study.importances:
        _add(document, {"importances": importances(study)})
        document.text(IMPORTANCES)
    if study.ranked:
        document.heading("Field by field", 3)
        _add(document, slices(study))
        document.text(f"{study.objective.label.capitalize()} of the complete trials. The star is the best.")
    if len(study.ranked) > 1 and len(study.search.space.dimensions) > 1:
        document.heading("Fields together", 3)
        _add(document, {"parallel": parallel(study)})
        if drawn := contour(study):
            _add(document, {"contour": drawn})


def _add(document: Document, drawn: dict[str, Interactive]) -> None:
    document.interactive(drawn, drawing.library())


def _space(document: Document, study: SearchResults) -> None:
    document.heading("What was searched")
    document.table(space_table(study.search))
