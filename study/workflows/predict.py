"""Asks a network about pictures or rows of features, and records the question and its answer in a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.analysis.explanations import Explanation, Reading, scores
from study.base.errors import DataError
from study.base.paths import check_regular, find_file
from study.base.text import readable
from study.data.dataset import Dataset
from study.data.picture_headers import SYNTHETIC, WANTED, ImageError
from study.inference import explain, predict, row_files
from study.inference.contract import Contract
from study.inference.find_model import Found, find_model
from study.inference.row_files import RowsAsked
from study.reports import explanation_report, prediction_report
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.plots import style
from study.reports.plots.readings import reading_figure, sheets
from study.reports.prediction_report import FOLDER, NAME, readings_table
from study.tracking import runs, store, stored, tags
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
    """A network that exists and can be asked; the first question opens it, because TensorFlow takes ten seconds.

    `network` is the network that the person has named, whose file's code may run; None if none.
    """

    client: store.MlflowClient
    found: Found
    network: str | None

    @property
    def version(self) -> Version | None:
        """The registered version, if that is what is asked."""
        return self.found.version

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The facts about the network that the page shows."""
        if self.version is None:
            return [("model", self.found.uri)]
        recorded = self.version.tags
        trained_on = recorded.get(tags.DATASET_TITLE) or recorded.get(tags.DATASET, "not recorded")
        return [("model", self.found.uri), ("version", self.version.number), ("trained on", trained_on)]

    def load_data(
        self, data: str | None, indices: Sequence[int], target: str | None = None, size: str | None = None
    ) -> Dataset:
        """Return the dataset (default: the one that the network was trained on) and check that it has these rows."""
        dataset = self.found.load_data(data, target, size)
        explain.check_indices(indices, dataset)
        return dataset

    def read_picture(self, path: Path) -> Answer:
        """Return what the network reads in one picture file."""
        check_regular(path, ImageError)
        reader = self._open()
        return self._read_one(reader, predict.open_file(path, reader.takes), ("picture", readable(str(path))))

    def read_rows(self, asked: RowsAsked) -> Answer:
        """Return what the network makes of rows of features, scored on those that say their class."""
        reader = self._open()
        rows = row_files.encoded(asked, reader.takes, self.found.target)
        if len(rows) == 1:
            return self._read_one(reader, rows[0], ("rows", asked.name))
        return self._read_many(reader, rows, f"rows in {asked.name}", ("rows", asked.name))

    def read_folder(self, folder: Path) -> Answer:
        """Return what the network reads in a folder's pictures, scored on those whose names begin with a class."""
        reader = self._open()
        pictures, unreadable = predict.open_folder(folder, reader.takes)
        where = f"pictures in {readable(folder.resolve().name)}"
        return self._read_many(reader, pictures, where, ("pictures", readable(str(folder))), unreadable)

    def draw(self, count: int, seed: int) -> Answer:
        """Return what the network reads in generated drawings of digits."""
        reader = self._open()
        if not reader.takes.handwriting:
            hint = "Ask it with index=, image= or row=."
            raise DataError("the network does not read handwritten digits", where=self.found.uri, hint=hint)
        return self._read_many(
            reader,
            predict.draw(count, seed, reader.takes.class_names),
            f"drawings, seed {seed}",
            ("pictures", SYNTHETIC),
        )

    def explain(self, dataset: Dataset, indices: Sequence[int]) -> Answer:
        """Return why the network classifies these test rows as it does."""
        explanations = explain.explain(self._open(dataset), dataset, indices)
        files = {
            f"reading_{one.index}.png": style.png(reading_figure(one.reading, own_picture=False))
            for one in explanations
        }
        facts = [*self.facts, ("data", f"{dataset.title}, SHA-256 {dataset.sha256}")]
        document = explanation_report.explanation_page(explanations, dataset, facts)
        readings = [one.reading for one in explanations]
        name = f"predict test {'image' if dataset.kind == 'pixels' else 'row'} {','.join(map(str, indices))}"
        return Answer(name, document, readings, files, {}, explanations=explanations)

    def log(self, answer: Answer, params: Mapping[str, str]) -> tuple[str, str]:
        """Record an answer in this program's own run; return the run's ID and its page's path. Raises TrackingError."""
        document = answer.document
        marks = {tags.MODEL_VERSION: self.version.number} if self.version else {}
        with open_run(answer.name, params=params, marks=marks, client=self.client) as run:
            files = document.written(NAME) | dict(answer.files)
            run.log_files({f"{FOLDER}/{path}": content for path, content in files.items()})
            run.log_files({"predictions.csv": readings_table(answer.readings).csv()})
            run.log_summary(answer.metrics)
            runs.describe(run, f"**{plain(document.title)}**")
        return run.run_id, stored.artifact_path(self.client, run.run_id, f"{FOLDER}/{NAME}.html")

    def _open(self, dataset: Dataset | None = None):
        from study.inference.model import open_model  # imports TensorFlow

        def usual() -> Contract | None:
            return self.found.contract() if dataset is None else Contract.of(dataset)

        return open_model(self.found.uri, self.found.network, self.network is not None, usual)

    def _read_one(self, reader, asked: tuple, fact: tuple[str, str]) -> Answer:
        (reading,) = predict.read(reader, [asked])
        metrics = {"probability": reading.probability} | ({} if reading.doubt is None else {"doubt": reading.doubt})
        files = {"reading.png": style.png(reading_figure(reading))}
        document = prediction_report.picture_page(reading, [fact, *self.facts])
        return Answer(f"predict {reading.name}", document, [reading], files, metrics)

    def _read_many(
        self, reader, asked: list[tuple], where: str, fact: tuple[str, str],
        unreadable: Sequence[tuple[str, str]] = (),
    ) -> Answer:  # fmt: skip
        readings = predict.read(reader, asked)
        found = scores(readings)
        drawn = readings[0].picture is not None
        metrics: dict[str, float] = {"pictures" if drawn else "rows": len(readings), "unreadable": len(unreadable)}
        if found:
            metrics["accuracy"] = found.accuracy
        files = {f"{name}.png": style.png(sheet) for name, sheet in sheets(readings).items()} if drawn else {}
        document = prediction_report.folder_page(
            f"{len(readings):,} {where}", readings, unreadable, found, [fact, *self.facts]
        )
        lines = prediction_report.score_lines(found, reader.takes.class_names) if found else []
        return Answer(f"predict {where}", document, readings, files, metrics, unreadable=unreadable, score_lines=lines)


def open_question(model: str, network: str | None = None) -> Question:
    """Return the question to a network; raises TrackingError if there is none, and says how to make a champion.

    `network` is the network that the person has named: raises ConfigError if the model has another one.
    """
    client = store.connect()
    found = find_model(client, model)
    found.check_network(network)
    return Question(client, found, network)


def find_picture(name: str) -> Path:
    """Return the path of the picture file or folder of this name; raises ImageError."""
    return find_file(name, ImageError, f"image= takes {WANTED}, a folder of them, or {SYNTHETIC}.")
