"""What the reports of ablations and searches share: where they are kept, and how the study can be run again."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from study.analysis.formatting import count
from study.analysis.phases import phases
from study.reports.document import Document
from study.reports.markdown import code_block, plain
from study.reports.table import Table
from study.tracking import runs, store, stored
from study.tracking import tags as names
from study.tracking.records import RunRecord

FOLDER = NAME = "report"
USUAL = ("auto", "none", "false", "baseline")  # values of parameters that nobody gave, unless here is another:
DEFAULTS = {
    "ablation": {"decide": "val_accuracy"},
    "promote": {"vary": "seed"},
    "search": {"metric": "val_cross_entropy", "pruner": "hyperband", "replicate": "true", "confirm": "true"},
}
HOW = ("workers", "launch", "plan", "storage", "reuse", "output")  # parameters that do not change the results


def keep(
    client: store.MlflowClient,
    run_id: str,
    report: Mapping[str, str],
    others: Mapping[str, bytes | str],
    description: str,
) -> str:
    """Write a report's files, others and the description into the study's run; return the HTML page's path.

    Raises TrackingError where that cannot be written.
    """
    run = runs.Run(client, run_id)
    run.log_files({f"{FOLDER}/{name}": content for name, content in report.items()} | dict(others))
    runs.describe(run, description)
    return stored.artifact_path(client, run_id, f"{FOLDER}/{NAME}.html")


def warn_of_data(document: Document, tags: Mapping[str, str]) -> None:
    """Say so if the UCI digits stand in for MNIST, or if no training row shows a class that is asked for."""
    if substitute := tags.get(names.DATASET_SUBSTITUTE_FOR):
        document.text(f"> **Not on MNIST.** These are the UCI digits, in place of {plain(substitute)}.")
    if classes := tags.get(names.UNTRAINED_CLASSES):
        document.text(f"> **No training row of class {plain(classes)}**, which validation or test rows have.")


def provenance(document: Document, entry_point: str | None, record: RunRecord, trials: Sequence[RunRecord]) -> None:
    """Add the command that runs the study again, if it has one of its own, and its run, data, code and hosts."""
    tags = record.tags
    document.heading("What was run, and how to run it again" if entry_point else "What was run")
    if entry_point:
        document.text(code_block(command(entry_point, record), "sh"))
    facts = [
        ("study's run", record.run_id),
        ("started", datetime.fromtimestamp(record.started, UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("data", f"{tags[names.DATASET]}, SHA-256 {tags[names.DATASET_SHA256]}"),
        ("commit", commit_text(tags)),
        ("training code", tags.get(names.TRAINING_CODE, "not recorded")),
        ("libraries", tags.get(names.LIBRARIES, "not recorded")),
        ("hosts", ", ".join(sorted({trial.tags[names.HOST] for trial in trials if names.HOST in trial.tags})) or "–"),
    ]
    if spent := phases(record, trials):
        facts.append(("time until this report", f"{spent.text}; {count(spent.workers, 'worker')}"))
    document.table(facts_table(facts))


def command(entry_point: str, record: RunRecord, **changes: object) -> str:
    """Return the command that runs a study again, with some of its parameters changed."""
    defaults = DEFAULTS[entry_point]
    given = {
        name: value
        for name, value in record.params.items()
        if name not in HOW and (value != defaults[name] if name in defaults else value not in USUAL)
    }
    words = [f"-P {shlex.quote(f'{name}={value}')}" for name, value in (given | changes).items()]
    return " ".join([f"mlflow run . -e {entry_point}", *words])


def facts_table(facts: Iterable[tuple[str, object]]) -> Table:
    """Return facts, each with its name, as a table."""
    return Table(("what", "value"), facts, words=("value",))


def commit_text(tags: Mapping[str, str]) -> str:
    """Return the commit that a run's tags name, and whether there were changes to it."""
    dirty = ", with uncommitted changes" if tags.get(names.GIT_DIRTY) == "true" else ""
    return tags.get(names.GIT_COMMIT, "not in a git checkout") + dirty
