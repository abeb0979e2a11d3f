"""Keep what a network was asked, and what it answered, in a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.analysis.explanations import Reading
from study.base.errors import in_one_line
from study.reports.document import FIGURES, Document, plain
from study.reports.prediction_report import FOLDER, PAGE, predictions_csv
from study.tracking import records, runs, store
from study.tracking.registry import Version


@dataclass(frozen=True, eq=False)
class Answer:
    """What is to be kept of a question: its run's name, its page, the readings, and files and metrics besides."""

    name: str
    document: Document
    readings: Sequence[Reading]
    files: Mapping[str, bytes]
    metrics: Mapping[str, float]


def log(
    client: store.MlflowClient, answer: Answer, params: Mapping[str, str], version: Version | None
) -> tuple[str, str]:
    """Keep an answer in this program's own run; return the run's ID and where the page lies; raises TrackingError."""
    document = answer.document
    run = runs.open_study_run(client, answer.name)
    try:
        run.log_params(params)
        run.set_tags(runs.code_tags() | ({"model_version": version.number} if version else {}))
        files = {PAGE: document.html(), "predict.md": document.markdown()} | dict(answer.files)
        files |= {f"{FIGURES}/{name}.svg": picture for name, picture in document.pictures.items()}
        run.log_files({f"{FOLDER}/{path}": content for path, content in files.items()})
        run.log_files({"predictions.csv": predictions_csv(answer.readings)})
        run.log_summary(answer.metrics)
        runs.describe(run, f"**{plain(document.title)}**")
    except BaseException as failure:
        run.end("KILLED" if isinstance(failure, KeyboardInterrupt) else "FAILED", in_one_line(failure))
        raise
    run.end("FINISHED")
    return run.run_id, records.artifact_path(client, run.run_id, f"{FOLDER}/{PAGE}")
