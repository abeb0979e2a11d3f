"""The one door to MLflow: runs written in few batches, and read back as records."""

import csv
import getpass
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import h5py
import mlflow
import mlflow.artifacts
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
)

from study.data import MNIST_URL, Dataset
from study.errors import TrackingError, first_line

SECONDS_BETWEEN_WRITES = 1.0
METRICS_A_REQUEST = 1_000  # MLflow's limit
REASON_TAG = "reason"
# What a trial logs by epoch, under Keras's names.
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
# What a trial leaves for its study's report.
PREDICTIONS = "predictions_test.npy"
STEP_LOSSES = "step_loss.csv"
STEP_VAL_LOSSES = "step_val_loss.csv"
# What a study leaves for its report.
ABLATION = "ablation.yaml"
TEST_SET = "test_set.npz"


class Run:
    """One MLflow run that is being written; epochs reach MLflow in batches, at most one a second."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.client, self.run_id = client, run_id
        self._waiting: list[Metric] = []
        self._last_write = 0.0

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, replacing those that are there."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log params that the run does not have yet: `mlflow run` has written some, and each is written once."""
        there = self.client.get_run(self.run_id).data.params
        self.client.log_batch(
            self.run_id, params=[Param(key, value) for key, value in params.items() if key not in there]
        )

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics, now or with the next ones."""
        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, epoch) for key, value in metrics.items()]
        if time.monotonic() - self._last_write >= SECONDS_BETWEEN_WRITES:
            self._write()

    def log_summary(self, metrics: Mapping[str, float]) -> None:
        """Log figures that belong to the run as a whole, with every epoch that is still waiting."""
        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, 0) for key, value in metrics.items()]
        self._write()

    def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:METRICS_A_REQUEST], self._waiting[METRICS_A_REQUEST:]
            self.client.log_batch(self.run_id, metrics=batch)
        self._last_write = time.monotonic()

    def log_dataset(self, dataset: Dataset) -> None:
        """Name the dataset as the run's input; its digest is the beginning of its SHA-256."""
        source = MNIST_URL if dataset.spec == "mnist" else dataset.spec
        entity = DatasetEntity(
            name=dataset.name,
            digest=dataset.sha256[:16],
            source_type="http" if dataset.spec == "mnist" else "local",
            source=json.dumps({"url" if dataset.spec == "mnist" else "uri": source}),
            schema=json.dumps(
                {"mlflow_tensorspec": {"features": _spec("uint8", dataset.image_shape), "targets": _spec("int32", ())}}
            ),
            profile=json.dumps({split: len(getattr(dataset, split)) for split in ("train", "validation", "test")}),
        )
        self.client.log_inputs(self.run_id, [DatasetInput(entity, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])])

    def log_files(self, files: Mapping[str, bytes | str]) -> None:
        """Store files as artifacts, by their path in the run."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            self.client.log_artifacts(self.run_id, folder)

    def log_model(self, model, image_shape: tuple[int, int], classes: int) -> None:
        """Store the Keras model as the run's ``model``: pixels (n, height, width) of uint8 in, probabilities out.

        Signature and requirements are given, not inferred: inferring them takes up to half a minute.
        """
        import mlflow.tensorflow

        Model.log(
            artifact_path=None,
            name="model",
            flavor=mlflow.tensorflow,
            run_id=self.run_id,
            model=model,
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *image_shape))]),
                outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))]),
            ),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "tensorflow", "keras", "numpy")],
        )

    def end(self, status: str, reason: str | None = None) -> None:
        """End the run as FINISHED, FAILED or KILLED, with the reason as a tag."""
        try:
            self._write()
            if reason:
                self.set_tags({REASON_TAG: reason[:1_000]})
        finally:  # a store that has no room for more may still have room for this
            self.client.set_terminated(self.run_id, status)


@dataclass(frozen=True)
class RunRecord:
    """A run as MLflow remembers it: everything that a comparison is made of. `started` is in seconds since 1970."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[float]] = field(default_factory=dict)
    started: float = 0.0


def connect() -> MlflowClient:
    """Return a client of the tracking store that the environment names, reached and ready to be written.

    A new SQLite store makes its tables here, once: of several processes that open a new one together most crash.
    Raises TrackingError.
    """
    uri = mlflow.get_tracking_uri()
    if urlsplit(uri).scheme in ("http", "https"):
        _check_server(uri)
    elif uri.startswith("sqlite:///"):
        _check_writable(_sqlite_file(uri))
    with _said_clearly(uri):
        client = MlflowClient()
        client.search_experiments(max_results=1)
    return client


def client_of(uri: str) -> MlflowClient:
    """Return a client of the store at `uri`, which `connect` has made ready, and make it this process's own."""
    mlflow.set_tracking_uri(uri)
    return MlflowClient()


def tracking_uri() -> str:
    """Return the tracking store's address, in full, so that another process finds the same one."""
    uri = mlflow.get_tracking_uri()
    relative = uri.startswith("sqlite:///") and not uri.startswith("sqlite:////")
    return f"sqlite:///{_sqlite_file(uri).resolve()}" if relative else uri


def _sqlite_file(uri: str) -> Path:
    return Path(unquote(uri.removeprefix("sqlite:///")))  # MLflow writes a space in the path as %20


def _check_server(uri: str) -> None:
    # MLflow's own client would try again for minutes before it says anything.
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5).close()
    except urllib.error.HTTPError:
        pass  # something answers; whether it lets us in, the first real request tells
    except (urllib.error.URLError, OSError, ValueError) as failure:
        raise TrackingError(
            f"no MLflow server answers ({getattr(failure, 'reason', failure)})",
            where=uri,
            hint="Start it with `mlflow server`, or unset MLFLOW_TRACKING_URI to write to a file here.",
        ) from None


def _check_writable(path: Path) -> None:
    # Tried, not asked: permissions do not tell of a read-only or a full disk. MLflow would try again for minutes.
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent) as trial:
            trial.write(bytes(4_096))
        if path.exists():
            open(path, "ab").close()
    except OSError as failure:
        raise TrackingError(
            f"nothing can be written here ({failure.strerror})",
            where=path.resolve().parent,
            hint="Run in a folder of your own, or set MLFLOW_TRACKING_URI to a store that you can write.",
        ) from None


@contextmanager
def _said_clearly(where: str):
    try:
        yield
    except MlflowException as failure:
        raise TrackingError(first_line(failure), where=where) from failure
    except Exception as failure:  # whatever the store's own library raises: SQLAlchemy, requests, …
        raise TrackingError(f"the MLflow store cannot be used ({first_line(failure)})", where=where) from failure


def open_study_run(client: MlflowClient, name: str) -> Run:
    """Return the run of a whole study: the one that `mlflow run` has made for this process, or a new one."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    with _said_clearly(mlflow.get_tracking_uri()):
        if not run_id:
            source = {MLFLOW_USER: _user(), MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name}
            run_id = client.create_run(_experiment_id(client), run_name=name, tags=source).info.run_id
        run = Run(client, run_id)
        run.set_tags({MLFLOW_RUN_NAME: name})
    return run


def name_project_run(name: str, files: Mapping[str, str]) -> None:
    """Give the run that `mlflow run` has made, if there is one, a telling name, and files to keep."""
    if "MLFLOW_RUN_ID" in os.environ:
        open_study_run(connect(), name).log_files(files)


def note_failure(client: MlflowClient, reason: str) -> None:
    """Write into the run that `mlflow run` has made, if there is one, why nothing came of it, and end it."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id and client.get_run(run_id).info.status == "RUNNING":  # a study that has begun has said it itself
        run = Run(client, run_id)
        run.set_tags({MLFLOW_RUN_NOTE: reason})
        run.end("FAILED", reason)


def _experiment_id(client: MlflowClient) -> str:
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return experiment_id
    if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        experiment = client.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else client.create_experiment(name)
    return "0"


def start_trial_run(
    client: MlflowClient, study_run_id: str, name: str, params: Mapping[str, str], tags: Mapping[str, object]
) -> Run:
    """Return a new run below the study's run, with the study's own params and tags where it has none of its own."""
    study = client.get_run(study_run_id)
    repeated = {
        key: value
        for key, value in study.data.tags.items()
        if not key.startswith("mlflow.") or key.startswith("mlflow.source.")
    }
    own = {key: str(value) for key, value in tags.items()} | {MLFLOW_PARENT_RUN_ID: study_run_id, MLFLOW_USER: _user()}
    run = client.create_run(study.info.experiment_id, run_name=name, tags=repeated | own)
    client.log_batch(
        run.info.run_id, params=[Param(key, value) for key, value in (study.data.params | dict(params)).items()]
    )
    return Run(client, run.info.run_id)


def read_run(client: MlflowClient, run_id: str) -> RunRecord:
    """Return the run of this ID; raises TrackingError where there is none."""
    with _said_clearly("run"):
        return _record(client.get_run(run_id), {})


def find_studies(client: MlflowClient, task: str) -> list[str]:
    """Return the IDs of the finished studies of a task, in all experiments, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.task = '{task}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(experiments, query, order_by=["attributes.start_time DESC"])
    return [run.info.run_id for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags]


def find_trials(client: MlflowClient, study_run_id: str | None, query: str | None) -> list[RunRecord]:
    """Return the completed trials of a study, or of the whole experiment, that an MLflow filter lets through.

    Raises TrackingError, for a filter that MLflow does not understand too.
    """
    conditions = ["tags.state = 'complete'"]
    with _said_clearly("from" if study_run_id else "filter"):
        experiment_id = client.get_run(study_run_id).info.experiment_id if study_run_id else _experiment_id(client)
        if study_run_id:
            conditions.append(f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{study_run_id}'")
        return _search(client, experiment_id, " and ".join([*conditions, *([query] if query else [])]))


def used_seeds(client: MlflowClient, data_sha256: str) -> set[int]:
    """Return the seeds of all trials on these data, in every experiment of the store, finished or not."""
    query = f"tags.dataset_sha256 = '{data_sha256}'"
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run for experiment in experiments for run in _search(client, experiment, query)]
    return {int(run.tags["seed"]) for run in runs if run.tags.get("seed", "").isdigit()}


def find_tagged(client: MlflowClient, tag: str, value: str) -> list[RunRecord]:
    """Return the finished runs of the experiment that have this tag, the oldest first."""
    return _search(client, _experiment_id(client), f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'")


def _search(client: MlflowClient, experiment_id: str, query: str, curves: Sequence[str] = ()) -> list[RunRecord]:
    records, token = [], None
    while True:
        page = client.search_runs([experiment_id], query, order_by=["attributes.start_time ASC"], page_token=token)
        for run in page:
            histories = {key: client.get_metric_history(run.info.run_id, key) for key in curves}
            records.append(_record(run, histories))
        if not (token := page.token):
            return records


def parent_of(record: RunRecord) -> str | None:
    """Return the ID of the run below which this one lies, or None."""
    return record.tags.get(MLFLOW_PARENT_RUN_ID)


def read_trials(client: MlflowClient, study_run_id: str, curves: Sequence[str] = ()) -> list[RunRecord]:
    """Return the study's trials, oldest first, with the named metrics epoch by epoch."""
    experiment_id = client.get_run(study_run_id).info.experiment_id
    return _search(client, experiment_id, f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{study_run_id}'", curves)


def _record(run, histories: Mapping[str, Sequence[Metric]]) -> RunRecord:
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        params=run.data.params,
        tags=run.data.tags,
        metrics=run.data.metrics,
        curves={
            key: [point.value for point in sorted(history, key=lambda point: point.step)]
            for key, history in histories.items()
        },
        started=run.info.start_time / 1000,
    )


def artifact_path(client: MlflowClient, run_id: str, name: str) -> str:
    """Return where a run's artifact lies: a path, from the working folder if it is in it, or the store's address."""
    uri = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{name}"
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return uri
    path = Path(unquote(parts.path))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def read_file(client: MlflowClient, run_id: str, name: str) -> bytes | None:
    """Return the content of a run's artifact, or None where it has none of this name; raises TrackingError."""
    # Not by client.download_artifacts, which looks through every model of the store first.
    with _said_clearly(run_id):
        uri = client.get_run(run_id).info.artifact_uri
    try:
        return _download(f"{uri.rstrip('/')}/{name}")
    except Exception as failure:  # which one depends on the artifact store
        with _said_clearly(run_id):
            there = [file.path for file in client.list_artifacts(run_id, name.rpartition("/")[0] or None)]
        if name not in there:
            return None
        raise TrackingError(f"{name} cannot be read ({first_line(failure)})", where=run_id) from failure


def read_kernels(client: MlflowClient, run_id: str) -> list[np.ndarray]:
    """Return the kernels (inputs, units) of the trial's model, from the input to the output; none without a model.

    They are read from the model's own file, without Keras, which takes ten seconds to import. Raises TrackingError.
    """
    content = read_model(client, run_id)
    if content is None:
        return []
    with zipfile.ZipFile(io.BytesIO(content)) as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as weights:
        names = [name for name in weights["layers"] if re.fullmatch(r"dense(_\d+)?", name)]
        names.sort(key=lambda name: int(name.partition("_")[2] or 0))
        return [weights[f"layers/{name}/vars/0"][()] for name in names]


def read_model(client: MlflowClient, run_id: str) -> bytes | None:
    """Return the ``.keras`` file of the trial's model, or None without a model; raises TrackingError."""
    with _said_clearly(run_id):
        outputs = client.get_run(run_id).outputs
        if not (outputs and outputs.model_outputs):
            return None
        location = client.get_logged_model(outputs.model_outputs[-1].model_id).artifact_location
        return _download(f"{location.rstrip('/')}/data/model.keras")


def download_model(uri: str, folder: str) -> Path:
    """Return the folder below `folder` with the files of the model at `uri`; raises TrackingError where it is not."""
    with _said_clearly(uri):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))


def _download(uri: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()


def describe(run: Run, markdown: str) -> None:
    """Make `markdown` the run's description, which the MLflow UI shows first."""
    run.set_tags({MLFLOW_RUN_NOTE: markdown[:8_000]})


def data_tags(dataset: Dataset) -> dict[str, object]:
    """Return what marks a run with the data that it is about: their name, SHA-256 and rows by split."""
    tags: dict[str, object] = {
        "dataset": dataset.name,
        "dataset_title": dataset.title,
        "dataset_sha256": dataset.sha256,
    }
    tags |= {f"{split}_rows": len(getattr(dataset, split)) for split in ("train", "validation", "test")}
    if dataset.substitute_for:
        tags["dataset_substitute_for"] = dataset.substitute_for
    return tags


def code_tags() -> dict[str, str]:
    """Return the commit of the code that runs and whether it has been changed since; nothing outside a git checkout."""
    try:
        commit, status = (
            subprocess.run(
                ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git_commit": commit, "git_dirty": str(bool(status)).lower()}


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file's text, which the MLflow UI shows as a table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def npy_bytes(values: np.ndarray) -> bytes:
    """Return an array as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _spec(dtype: str, shape: Sequence[int]) -> dict:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
