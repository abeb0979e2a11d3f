"""Writes runs: metrics in a few batches, and the tags that say what each run is."""

import contextlib
import getpass
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.entities import Run as RunEntity
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_PROJECT_ENTRY_POINT,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
)

from study.base.passwords import without_password
from study.base.paths import RUN_VARIABLE, SQLITE
from study.base.processes import this_process
from study.data.dataset import Dataset
from study.data.handwriting import is_handwriting
from study.data.sources import ADDRESSES
from study.tracking import keras_flavor, limits, places
from study.tracking import tags as names
from study.tracking.params import repeated
from study.tracking.records import RunRecord
from study.tracking.store import active_experiment, connect, said_clearly

PROJECT = Path(__file__).resolve().parents[2]
SECONDS_BETWEEN_WRITES = 1.0
MOST_OF_A_REASON = 1_000  # characters


class Run:
    """Writes one MLflow run; epochs reach MLflow in batches, at most one a second."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.client, self.run_id = client, run_id
        self._waiting: list[Metric] = []
        self._last_write = time.monotonic()  # so the epochs of a short trial are written together
        self._model_sha256: dict[str, str] = {}  # the tag of the model, if it has one
        self.ended = False

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, replacing existing ones."""
        self.client.log_batch(self.run_id, tags=limits.run_tags(tags))

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log params that the run does not have yet: `mlflow run` has already written some."""
        there = self.client.get_run(self.run_id).data.params
        new = {key: value for key, value in params.items() if key not in there}
        self.client.log_batch(self.run_id, params=limits.run_params(new))

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics, now or with the next ones."""
        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, epoch) for key, value in metrics.items()]
        if time.monotonic() - self._last_write >= SECONDS_BETWEEN_WRITES:
            self._write()

    def log_summary(self, metrics: Mapping[str, float]) -> None:
        """Log metrics of the run as a whole, together with every epoch that is still waiting."""
        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, 0) for key, value in metrics.items()]
        self._write()

    def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: limits.METRICS_A_REQUEST], self._waiting[limits.METRICS_A_REQUEST :]
            self.client.log_batch(self.run_id, metrics=batch)
        self._last_write = time.monotonic()

    def log_dataset(self, dataset: Dataset) -> None:
        """Log the dataset as the run's input; its digest is the beginning of its SHA-256."""
        url = ADDRESSES.get(dataset.spec)
        inputs = _spec(dataset.dtype, dataset.row_shape)
        entity = DatasetEntity(
            name=dataset.name,
            digest=dataset.sha256[:16],
            source_type="http" if url else "local",
            source=json.dumps({"url": url} if url else {"uri": dataset.spec}),
            schema=json.dumps({"mlflow_tensorspec": {"features": inputs, "targets": _spec("int32", ())}}),
            profile=json.dumps({split: len(getattr(dataset, split)) for split in ("train", "validation", "test")}),
        )
        given = [DatasetInput(entity, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])]
        try:
            self.client.log_inputs(self.run_id, given)
        except MlflowException:  # of two runs that bring a new dataset at the same moment one fails, and then finds it
            self.client.log_inputs(self.run_id, given)

    def log_files(self, files: Mapping[str, bytes | str]) -> None:
        """Store files as artifacts, by their path in the run."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            with said_clearly(self.run_id):
                self.client.log_artifacts(self.run_id, folder)

    def log_model(self, content: bytes, row_shape: tuple[int, ...], classes: int, dtype: str = "uint8") -> None:
        """Store a ``.keras`` file as the run's ``model``: rows (n, …) of this dtype in, probabilities out."""
        with said_clearly(self.run_id), tempfile.TemporaryDirectory() as folder:
            entry = new_model(self.client, self.run_id, "model")
            key, own = entry.model_id, Path(folder, "model")
            try:
                # As `Model.log` does it, which reads the history of every metric besides.
                self.client.log_outputs(self.run_id, [LoggedModelOutput(key, step=0)])
                model = Model(entry.artifact_location, self.run_id, model_uuid=key, model_id=key)
                keras_flavor.write(own, content, model, row_shape, classes, dtype)
                self.client.log_model_artifacts(key, str(own))
            except Exception:
                with contextlib.suppress(Exception):  # the store itself may be away
                    self.client.finalize_logged_model(key, LoggedModelStatus.FAILED)
                raise
            self.client.finalize_logged_model(key, LoggedModelStatus.READY)
            self._model_sha256 = {names.MODEL_SHA256: hashlib.sha256(content).hexdigest()}

    def reopen(self) -> None:
        """Set a run that has ended to running again."""
        self.client.update_run(self.run_id, status="RUNNING")
        self.ended = False

    def finish(self, state: str, reason: str | None = None) -> None:
        """End the run of a trial whose training has ended, with its state: FAILED if it diverged, else FINISHED."""
        self.set_tags({names.STATE: state} | self._model_sha256)
        self.end("FAILED" if state == names.DIVERGED else "FINISHED", reason)

    def end(self, status: str, reason: str | None = None) -> None:
        """End the run as FINISHED, FAILED or KILLED, with the reason as a tag."""
        try:
            self._write()
            if reason:
                self.set_tags({names.REASON: limits.shortened(reason, MOST_OF_A_REASON)})
        finally:  # a full store may still have room for this
            self.client.set_terminated(self.run_id, status)
            self.ended = True


def new_model(client: MlflowClient, run_id: str, name: str) -> LoggedModel:
    """Create the entry of a run's model, in the run's experiment, and return it, to be filled.

    By itself `Model.log` takes the experiment that the environment names, and for a worker that is the default one.
    """
    run = client.get_run(run_id)
    return client.create_logged_model(
        run.info.experiment_id, name, run_id, tags={MLFLOW_USER: _user()}, params=repeated(run.data.params)
    )


def begun_run() -> str | None:
    """Return the ID of the run that `mlflow run` made for this process, or None."""
    return os.environ.get(RUN_VARIABLE) or None


def is_made_here(record: RunRecord) -> bool:
    """Return whether this person's `mlflow run` of this very project made a run, which no program has begun to write.

    Only in a SQLite store, because a server has runs of several machines, and such a run does not say of which.
    """
    marks = record.tags
    by_project = MLFLOW_PROJECT_ENTRY_POINT in marks and marks.get(MLFLOW_USER) == _user()
    this_project = Path(marks.get(MLFLOW_SOURCE_NAME, "")).absolute() == PROJECT
    begun = "process_started" in marks or names.KIND in marks
    return mlflow.get_tracking_uri().startswith(SQLITE) and by_project and this_project and not begun


def open_study_run(client: MlflowClient, name: str) -> Run:
    """Return the run of a whole study: the one that `mlflow run` made for this process, or a new one.

    Raises TrackingError, also for a server with which nothing could be read back.
    """
    run_id = begun_run()
    name = limits.shortened(name, limits.RUN_NAME)
    with said_clearly(mlflow.get_tracking_uri()):
        if run_id:
            places.allowed(client.get_run(run_id).info.artifact_uri)
        else:
            experiment = active_experiment(client)
            places.allowed(client.get_experiment(experiment).artifact_location)
            # From the start it says whose it is: a process that dies right after leaves a run that others can end.
            source = {MLFLOW_USER: _user(), MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name} | this_process()
            run_id = client.create_run(experiment, run_name=name, tags=source).info.run_id
        run = Run(client, run_id)
        run.set_tags({MLFLOW_RUN_NAME: name})
    return run


def name_project_run(name: str, files: Mapping[str, str]) -> None:
    """Give the run that `mlflow run` made, if any, a meaningful name, and store files in it."""
    if begun_run():
        open_study_run(connect(), name).log_files(files)


def note_failure(client: MlflowClient, reason: str, markdown: str) -> None:
    """Write why the program failed into the run that `mlflow run` made, if any, also as its description, and end it."""
    run_id = begun_run()
    if run_id and client.get_run(run_id).info.status == "RUNNING":  # a study that had begun has ended its own run
        run = Run(client, run_id)
        describe(run, markdown)
        run.end("FAILED", reason)


def start_trial_run(
    client: MlflowClient,
    study_run_id: str,
    name: str,
    params: Mapping[str, str],
    tags: Mapping[str, object],
    parent: str | None = None,
) -> Run:
    """Start a trial's run below `parent` (its arm's run; None: the study's) and return it.

    It repeats the study's params and tags, so that a filter in the UI finds the trial; the trial's own take precedence.
    A password that `mlflow run` has written into the study's is not repeated.
    """
    study = client.get_run(study_run_id)
    own = {names.KIND: names.TRIAL_KIND} | {key: str(value) for key, value in tags.items()}
    run_id = create_child(client, study, name, own, parent or study_run_id)
    client.log_batch(run_id, params=limits.run_params(repeated(study.data.params) | dict(params)))
    return Run(client, run_id)


def create_child(client: MlflowClient, study: RunEntity, name: str, tags: Mapping[str, str], parent: str) -> str:
    """Create a run below `parent` with the study's tags, except those that hold its results; return its ID."""
    repeated = {
        key: without_password(value) if key.startswith("mlflow.") else value  # mlflow.source.name can be an address
        for key, value in study.data.tags.items()
        if not names.is_result(key) and (not key.startswith("mlflow.") or key.startswith("mlflow.source."))
    }
    own = {names.STUDY_RUN: study.info.run_id, MLFLOW_PARENT_RUN_ID: parent, MLFLOW_USER: _user()}
    texts = {key: limits.tag_text(key, text) for key, text in (repeated | dict(tags) | own).items()}
    name = limits.shortened(name, limits.RUN_NAME)
    return client.create_run(study.info.experiment_id, run_name=name, tags=texts).info.run_id


def describe(run: Run, markdown: str) -> None:
    """Make `markdown` the run's description, which the MLflow UI shows first."""
    run.set_tags({MLFLOW_RUN_NOTE: markdown})


def data_tags(dataset: Dataset) -> dict[str, object]:
    """Return the tags that say which data a run is about: name, SHA-256 and rows by split."""
    tags: dict[str, object] = {
        names.DATASET: dataset.name,
        names.DATASET_TITLE: dataset.title,
        names.DATASET_SHA256: dataset.sha256,
        names.DATASET_FORM: form_of(dataset),
        names.TEST_ROWS: len(dataset.test),
    } | split_tags(dataset)
    if dataset.test_split:
        tags[names.TEST_SPLIT] = dataset.test_split
    if dataset.substitute_for:
        tags[names.DATASET_SUBSTITUTE_FOR] = dataset.substitute_for
    return tags


def form_of(dataset: Dataset) -> str:
    """Return the form of a dataset's rows: handwritten digits as MNIST has them, other pixels, or features."""
    if is_handwriting(dataset.train.inputs, dataset.class_names):
        return names.HANDWRITING
    return names.PICTURES if dataset.kind == "pixels" else names.FEATURES


def split_tags(dataset: Dataset) -> dict[str, object]:
    """Return the tags that say which of a dataset's training rows are for validation."""
    tags: dict[str, object] = {
        names.TRAIN_ROWS: len(dataset.train),
        names.VALIDATION_ROWS: len(dataset.validation),
        names.VALIDATION_SPLIT: dataset.split,
    }
    if dataset.untrained:
        tags[names.UNTRAINED_CLASSES] = ", ".join(map(str, dataset.untrained))
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _spec(dtype: str, shape: Sequence[int]) -> dict:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
