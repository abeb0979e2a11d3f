"""Keep what a network was asked, and what it answered, in a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.analysis.explanations import Reading
from study.reports.document import FIGURES, Document, plain
from study.reports.prediction_report import FOLDER, PAGE, predictions_csv
from study.tracking import records, runs, store
from study.tracking.registry import Version
from study.workflows.common import open_run


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
    tags = {"model_version": version.number} if version else {}
    with open_run(answer.name, params=params, tags=tags, client=client) as run:
        files = {PAGE: document.html(), "predict.md": document.markdown()} | dict(answer.files)
        files |= {f"{FIGURES}/{name}.svg": picture for name, picture in document.pictures.items()}
        run.log_files({f"{FOLDER}/{path}": content for path, content in files.items()})
        run.log_files({"predictions.csv": predictions_csv(answer.readings)})
        run.log_summary(answer.metrics)
        runs.describe(run, f"**{plain(document.title)}**")
    return run.run_id, records.artifact_path(client, run.run_id, f"{FOLDER}/{PAGE}")
