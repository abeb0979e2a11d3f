"""Asks a network to read pictures, and records the question and its answer in a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.analysis.explanations import Explanation, Reading, scores
from study.base.errors import DataError
from study.base.paths import find_file
from study.base.text import readable
from study.data.dataset import Dataset
from study.inference import predict
from study.inference.predict import SYNTHETIC
from study.inference.preprocessing import WANTED, ImageError
from study.reports import explanation_report, prediction_report
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.plots import style
from study.reports.plots.readings import reading_figure, sheets
from study.reports.prediction_report import FOLDER, NAME, readings_table
from study.tracking import records, runs, store, tags
from study.tracking.registry import Version
from study.workflows.common import open_run


@dataclass(frozen=True, eq=False)
class Answer:
    """A network's answer: the name of the run for it, its page, the readings, and the run's files and metrics.

    Answers on test images have `explanations`; answers on many pictures have `unreadable` (file, reason) and
    `score_lines`.
    """

    name: str
    document: Document
    readings: Sequence[Reading]
    files: Mapping[str, bytes]
    metrics: Mapping[str, float]
    explanations: Sequence[Explanation] = ()
    unreadable: Sequence[tuple[str, str]] = ()
    score_lines: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Question:
    """A network that exists and can be asked; the first question opens it, because TensorFlow takes ten seconds."""

    client: store.MlflowClient
    model: str
    version: Version | None

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The facts about the network that the page shows."""
        if self.version is None:
            return [("model", self.model)]
        recorded = self.version.tags
        trained_on = recorded.get(tags.DATASET_TITLE) or recorded.get(tags.DATASET, "not recorded")
        return [("model", self.model), ("version", self.version.number), ("trained on", trained_on)]

    def load_data(
        self, data: str | None, indices: Sequence[int], target: str | None = None, size: str | None = None
    ) -> Dataset:
        """Return the dataset (default: the one that the network was trained on) and check that it has these images."""
        dataset = predict.load_data(self.client, self.model, self.version, data, target, size)
        if dataset.kind != "pixels" or len(dataset.row_shape) != 2:
            what = "only grey images can be explained"
            raise DataError(what, where=dataset.spec, got="rows of shape " + "×".join(map(str, dataset.row_shape)))
        predict.check_indices(indices, dataset)
        return dataset

    def read_picture(self, path: Path) -> Answer:
        """Return what the network reads in one picture file."""
        picture = predict.open_file(path)
        (reading,) = predict.read(self._open(), [picture])
        metrics = {"probability": reading.probability} | ({} if reading.doubt is None else {"doubt": reading.doubt})
        files = {"reading.png": style.png(reading_figure(reading))}
        document = prediction_report.picture_page(reading, [("picture", readable(str(path))), *self.facts])
        return Answer(f"predict {reading.name}", document, [reading], files, metrics)

    def read_folder(self, folder: Path) -> Answer:
        """Return what the network reads in a folder's pictures, scored on those whose names begin with a digit."""
        pictures, unreadable = predict.open_folder(folder)
        return self._read_many(
            pictures, f"pictures in {readable(folder.resolve().name)}", readable(str(folder)), unreadable
        )

    def draw(self, count: int, seed: int) -> Answer:
        """Return what the network reads in generated drawings of digits."""
        return self._read_many(predict.draw(count, seed), f"drawings, seed {seed}", SYNTHETIC)

    def explain(self, dataset: Dataset, indices: Sequence[int]) -> Answer:
        """Return why the network classifies these test images as it does."""
        explanations = predict.explain(self._open(), dataset, indices)
        files = {
            f"reading_{one.index}.png": style.png(reading_figure(one.reading, own_picture=False))
            for one in explanations
        }
        facts = [*self.facts, ("data", f"{dataset.title}, SHA-256 {dataset.sha256}")]
        document = explanation_report.explanation_page(explanations, dataset, facts)
        readings = [one.reading for one in explanations]
        name = f"predict test image {','.join(map(str, indices))}"
        return Answer(name, document, readings, files, {}, explanations=explanations)

    def log(self, answer: Answer, params: Mapping[str, str]) -> tuple[str, str]:
        """Record an answer in this program's own run; return the run's ID and the path of its page."""
        return log(self.client, answer, params, self.version)

    def _open(self):
        from study.inference.model import open_model  # imports TensorFlow

        return open_model(self.model)

    def _read_many(
        self, pictures: list[tuple], where: str, given: str, unreadable: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        readings = predict.read(self._open(), pictures)
        found = scores(readings)
        metrics: dict[str, float] = {"pictures": len(readings), "unreadable": len(unreadable)}
        if found:
            metrics["accuracy"] = found.accuracy
        files = {f"{name}.png": style.png(sheet) for name, sheet in sheets(readings).items()}
        document = prediction_report.folder_page(
            f"{len(readings):,} {where}", readings, unreadable, found, [("pictures", given), *self.facts]
        )
        lines = prediction_report.score_lines(found) if found else []
        return Answer(f"predict {where}", document, readings, files, metrics, unreadable=unreadable, score_lines=lines)


def open_question(model: str) -> Question:
    """Return the question to a network; raises TrackingError if there is none, and says how to make a champion."""
    client = store.connect()
    return Question(client, model, predict.find_version(client, model))


def find_picture(name: str) -> Path:
    """Return the path of the picture file or folder of this name; raises ImageError."""
    return find_file(name, ImageError, f"image= takes {WANTED}, a folder of them, or {SYNTHETIC}.")


def log(
    client: store.MlflowClient, answer: Answer, params: Mapping[str, str], version: Version | None
) -> tuple[str, str]:
    """Record an answer in this program's own run; return the run's ID and its page's path. Raises TrackingError."""
    document = answer.document
    marks = {tags.MODEL_VERSION: version.number} if version else {}
    with open_run(answer.name, params=params, marks=marks, client=client) as run:
        files = document.written(NAME) | dict(answer.files)
        run.log_files({f"{FOLDER}/{path}": content for path, content in files.items()})
        run.log_files({"predictions.csv": readings_table(answer.readings).csv()})
        run.log_summary(answer.metrics)
        runs.describe(run, f"**{plain(document.title)}**")
    return run.run_id, records.artifact_path(client, run.run_id, f"{FOLDER}/{NAME}.html")
