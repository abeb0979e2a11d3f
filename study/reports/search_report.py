"""The report of a search, from MLflow alone: the best configurations, how sure they are, and what mattered."""

from study.analysis.formatting import count
from study.analysis.search_results import SearchResults
from study.reports import (
    confirmation_section,
    cost_section,
    mlflow_runs,
    search_tables,
    search_verdicts_file,
    study_report,
)
from study.reports.document import Document, Interactive
from study.reports.markdown import plain
from study.reports.plots.search import drawing, history
from study.reports.plots.search.fields import contour, importances, parallel, slices
from study.tracking import tags

TRIALS = "trials.csv"
STARS = (
    "A star is the best configuration, with each of its seeds. The line is what is expected with the other fields as "
    "they were tried, the dashed ones are where that lies with a probability of 95 %."
)
IMPORTANCES = (
    "PED-ANOVA shows which fields set the best complete trials apart from the others (the best tenth, at least ten "
    "trials but no more than half). The line at its bar is where its share lies in 95 % of searches whose trials are "
    "drawn from these. fANOVA shows which fields explain the differences among all complete trials "
    "(–: not every trial has the field). Neither knows the pruned trials or values that were never tried, and both are "
    "rough when trials are few."
)


def write(study: SearchResults) -> dict[str, str]:
    """Return the report's files by their path in its folder: one HTML page, the same as Markdown, figures."""
    document = Document(f"search {study.record.tags['study']}")
    document.text(f"On {plain(study.record.tags['dataset_title'])}: {plain(study.search.words)}.")
    _introduce(document, study)
    confirmation_section.add(document, study)
    _top(document, study)
    cost_section.add(document, study)
    _course(document, study)
    _what_mattered(document, study)
    _space(document, study)
    study_report.provenance(document, "search", study.record, study.trials)
    return document.written(study_report.NAME)


def log(study: SearchResults) -> str:
    """Write report, table of trials, verdicts and description into the search's run; return the HTML page's path.

    Raises TrackingError where that cannot be written.
    """
    files = {
        TRIALS: search_tables.trials_table(study).csv(),
        search_verdicts_file.NAME: search_verdicts_file.text(study),
    }
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


def in_short(study: SearchResults) -> list[str]:
    """Return the findings of the search in sentences of plain text."""
    ended = ", ".join(f"{len(getattr(study, state))} {state}" for state in ("complete", "pruned", "failed"))
    trials = f"{count(len(study.trials), 'trial')}: {ended}."
    if again := len(study.ranked) - len(study.standings):
        trials += f" {again} of the complete ones trained another seed of a configuration."
    if number := study.record.tags.get(tags.EXCLUDED):
        trials += (
            f" {number} more suggested networks were not trained: they break the limit ({study.search.limit.words})."
        )
    return [
        *confirmation_section.lines(study),
        *search_tables.best_lines(study),
        trials,
        *search_tables.phase_lines(study),
        search_tables.importance_line(study),
        *search_tables.edge_lines(study),
    ]


def _introduce(document: Document, study: SearchResults) -> None:
    study_report.warn_of_data(document, study.record.tags)
    document.text("**In short.**", "\n".join(f"- {plain(sentence)}" for sentence in in_short(study)))


def _top(document: Document, study: SearchResults) -> None:
    document.heading("The best configurations")
    if not study.top:
        document.text("No trial is complete.")
        return
    document.table(search_tables.top_table(study, by_field=True))
    again = f"`mlflow run . -e promote -P from={study.record.run_id}`"
    document.text(f"{search_tables.CAUTION} {again} trains the best again with fresh seeds and tests the winner only.")


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
    document.text(plain(search_tables.importance_line(study)))
    if study.importances:
        _add(document, {"importances": importances(study)})
        document.text(IMPORTANCES)
    if study.ranked:
        document.heading("Field by field", 3)
        _add(document, slices(study))
        document.text(f"{study.objective.label.capitalize()} of the complete trials. {STARS}")
    if len(study.ranked) > 1 and len(study.search.space.dimensions) > 1:
        document.heading("Fields together", 3)
        _add(document, {"parallel": parallel(study)})
        if drawn := contour(study):
            _add(document, {"contour": drawn})


def _add(document: Document, drawn: dict[str, Interactive]) -> None:
    document.interactive(drawn, drawing.library())


def _space(document: Document, study: SearchResults) -> None:
    document.heading("What was searched")
    document.table(search_tables.space_table(study.search))
    for phase, search in enumerate(study.earlier, start=1):
        document.heading(f"What was searched in phase {phase}", 3)
        document.table(search_tables.space_table(search))
