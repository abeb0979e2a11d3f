"""The report of a search: the best configurations and how sure that is, and what mattered, from MLflow alone."""

from study.analysis.formatting import show
from study.analysis.search_results import SearchStudy, slot_of, state_of
from study.analysis.statistics import Estimate
from study.design.search import Search
from study.reports import common, mlflow_runs
from study.reports.document import Document, Interactive, plain
from study.reports.plots.search import drawing, history
from study.reports.plots.search.fields import contour, importances, parallel, slices
from study.tracking import tags
from study.tracking.artifacts import csv_text
from study.tracking.records import RunRecord
from study.training.config import brief, settings_text, value_text

TRIALS = "trials.csv"
SPACE_COLUMNS = ("field", "range", "first trial")
BEHIND = "behind the best (its standard errors)"
IMPORTANCES = (
    "PED-ANOVA asks what sets the best of the complete trials apart (a tenth, but at least ten, or half of them where "
    "there are few), fANOVA what explains the differences among all of them (–: a field that not every trial has). "
    "Pruned trials are in neither, nor is what was never tried; from few trials both are rough."
)
CAUTION = (
    "±: standard error over the validation rows. A lead smaller than that of the best means nothing, and every "
    "configuration was trained with one seed."
)


def write(study: SearchStudy) -> dict[str, str]:
    """Return the report's files by their path in its folder: one HTML page, the same as Markdown, figures."""
    document = Document(f"search {study.record.tags['study']}")
    document.text(f"On {plain(study.record.tags['dataset_title'])}: {plain(study.search.words)}.")
    _introduce(document, study)
    _top(document, study)
    _course(document, study)
    _what_mattered(document, study)
    _space(document, study)
    common.provenance(document, "search", study.record, study.trials)
    return document.written(common.NAME)


def log(study: SearchStudy) -> str:
    """Write the report, the table of trials and the description into the search's run; return where the page lies.

    Raises TrackingError where that cannot be written.
    """
    others = {TRIALS: trials_csv(study)}
    mlflow_runs.log_search(study)
    return common.keep(study.client, study.record.run_id, write(study), others, summary(study))


def summary(study: SearchStudy) -> str:
    """Return what was searched, what came of it and the best configurations as Markdown, for a run's description."""
    document = Document("search")
    document.text(f"**{plain(study.search.words)}**")
    _introduce(document, study)
    _top(document, study)
    return document.markdown().partition("\n\n")[2]


# --- what a terminal shows too ----------------------------------------------------------------------


def columns(study: SearchStudy) -> tuple[str, ...]:
    """Return the header of the table of the best configurations."""
    return ("trial", f"{study.objective.label} ± standard error", BEHIND, "settings")


def cells(study: SearchStudy) -> list[tuple[str, ...]]:
    """Return the rows of the table of the ten best configurations as text, the best first."""
    return [
        (trial.name, value_cell(study, trial), behind_cell(study, trial), _settings(study, trial))
        for trial in study.top
    ]


def value_cell(study: SearchStudy, trial: RunRecord) -> str:
    """Return a trial's value with its standard error, to the digits that this justifies."""
    value, error, scale = study.value(trial), study.error(trial), study.objective.scale
    if value is None:
        return "–"
    if error is None:
        return f"{show(Estimate(scale * value, float('nan'), 1))} ± –"
    return show(Estimate(scale * value, scale * error, 1))


def behind_cell(study: SearchStudy, trial: RunRecord) -> str:
    """Return how far a trial lies behind the best, in that one's standard errors."""
    error = study.error(study.best)
    if trial is study.best:
        return "the best"
    if not error:
        return "–"
    times = study.behind(trial) / error
    return f"{times:.2f}" + (" (within)" if times < 1 else "")


def importance_line(study: SearchStudy) -> str:
    """Return which fields matter most, in a line."""
    if study.no_importances:
        return f"Which fields matter most is not told: {study.no_importances}."
    shares = ", ".join(f"{each.field} {_percent(each.ped_anova)}" for each in study.importances)
    return f"What mattered most (PED-ANOVA, {len(study.ranked)} complete trials): {shares}."


def edge_lines(study: SearchStudy) -> list[str]:
    """Return the warnings of fields whose best value lies at an end."""
    return [f"{edge.words}: a better one may lie beyond." for edge in study.edges]


def in_short(study: SearchStudy) -> list[str]:
    """Return what came of the search, in sentences of plain text."""
    if study.best:
        found = f"The best {study.objective.label} is {value_cell(study, study.best)} (standard error), of "
        found += f"{study.best.name}: {_settings(study, study.best)}."
    else:
        found = "No trial has come to a value."
    number = len(study.trials)
    ended = ", ".join(f"{len(getattr(study, state))} {state}" for state in ("complete", "pruned", "failed"))
    trials = f"{number} trial{'s' * (number != 1)}: {ended}."
    return [found, trials, importance_line(study), *edge_lines(study)]


def _settings(study: SearchStudy, trial: RunRecord) -> str:
    return settings_text(study.settings(trial), brief)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def trials_csv(study: SearchStudy) -> str:
    """Return every trial as a line of a CSV file, in full precision: how it ended, its value, its fields."""
    fields = [dimension.field for dimension in study.search.space.dimensions]
    header = ("slot", "state", study.search.metric, "standard_error", "epochs_trained", "seconds", *fields, "reason",
              "run_id")  # fmt: skip
    rows = []
    for trial in study.trials:
        settings = {name: value_text(value) for name, value in study.settings(trial).items()}
        numbers = (study.value(trial), study.error(trial), len(study.curve(trial)), trial.metrics.get("train_seconds"))
        rows.append((
            slot_of(trial), trial.tags.get("state", state_of(trial)),
            *("" if number is None else number for number in numbers),
            *(settings.get(field, "") for field in fields), trial.tags.get(tags.REASON, ""), trial.run_id,
        ))  # fmt: skip
    return csv_text(header, rows)


# --- the sections -----------------------------------------------------------------------------------


def _introduce(document: Document, study: SearchStudy) -> None:
    common.warn_of_substitute(document, study.record.tags)
    document.text("**In short.**", "\n".join(f"- {plain(sentence)}" for sentence in in_short(study)))


def _top(document: Document, study: SearchStudy) -> None:
    document.heading("The best configurations")
    if not study.top:
        document.text("No trial was trained to its end.")
        return
    fields = [dimension.field for dimension in study.search.space.dimensions]
    rows = []
    for trial in study.top:
        settings = {name: brief(value) for name, value in study.settings(trial).items()}
        told = trial.name, value_cell(study, trial), behind_cell(study, trial)
        rows.append((*told, *(settings.get(field, "–") for field in fields)))
    document.table((*columns(study)[:3], *fields), rows)
    again = f"`mlflow run . -e promote -P from={study.record.run_id}`"
    document.text(f"{CAUTION} {again} races the best with fresh seeds and tests the winner once.")


def _course(document: Document, study: SearchStudy) -> None:
    if not any(study.curve(trial) for trial in study.trials):
        return
    document.heading("How the search went")
    drawn = {"history": history.history(study), "curves": history.curves(study)}
    if study.ranked:
        drawn["distribution"] = history.distribution(study)
    _add(document, drawn)


def _what_mattered(document: Document, study: SearchStudy) -> None:
    document.heading("What mattered")
    document.text(plain(importance_line(study)))
    if study.importances:
        _add(document, {"importances": importances(study)})
        document.text(IMPORTANCES)
    if study.ranked:
        document.heading("Field by field", 3)
        _add(document, slices(study))
        document.text(f"{study.objective.label.capitalize()} of the complete trials; the star is the best.")
    if len(study.ranked) > 1 and len(study.search.space.dimensions) > 1:
        document.heading("Fields together", 3)
        _add(document, {"parallel": parallel(study)})
        if drawn := contour(study):
            _add(document, {"contour": drawn})


def _add(document: Document, drawn: dict[str, Interactive]) -> None:
    document.interactive(drawn, drawing.library())


def _space(document: Document, study: SearchStudy) -> None:
    document.heading("What was searched")
    document.table(SPACE_COLUMNS, space_cells(study.search), words=("range",))


def space_cells(search: Search) -> list[tuple[str, str, str]]:
    """Return the rows of the table of what is searched, under SPACE_COLUMNS."""
    first = search.space.first()
    return [
        (one.field, one.words, brief(search.baseline.get(one.field)) if one.field in first else "–")
        for one in search.space.dimensions
    ]
