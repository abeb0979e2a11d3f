"""Reads runs back as records, with their curves, files and models."""

import io
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import h5py
import mlflow
import mlflow.artifacts
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.base.errors import TrackingError, first_line
from study.tracking import tags
from study.tracking.artifacts import BY_EPOCH
from study.tracking.params import unquoted
from study.tracking.store import active_experiment, said_clearly, shown_uri


@dataclass(frozen=True)
class RunRecord:
    """A run as MLflow has it, with everything that a comparison needs; `started` is in seconds since 1970."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[float]] = field(default_factory=dict)
    started: float = 0.0
    experiment_id: str = "0"


def read_run(client: MlflowClient, run_id: str) -> RunRecord:
    """Return the run with this ID; raises TrackingError if there is none."""
    with said_clearly("run"):
        return _record(client.get_run(run_id), {})


def find_studies(client: MlflowClient, task: str) -> list[str]:
    """Return the IDs of the finished studies of a task, in all experiments, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.{tags.TASK} = '{task}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(experiments, query, order_by=["attributes.start_time DESC"])
    return [run.info.run_id for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags]


def find_trials(client: MlflowClient, study_run_id: str | None, query: str | None) -> list[RunRecord]:
    """Return the completed trials of a study, or of the whole experiment, that match an MLflow filter.

    Raises TrackingError, also for a filter that MLflow does not understand.
    """
    conditions = [f"tags.{tags.STATE} = '{tags.COMPLETE}'", *([query] if query else [])]
    with said_clearly("from" if study_run_id else "filter"):
        if study_run_id:
            return _trials(client, study_run_id, conditions)
        return _search(client, active_experiment(client), " and ".join(conditions))


def find_equal(client: MlflowClient, fingerprint: str) -> RunRecord | None:
    """Return a finished trial with this fingerprint from any experiment, preferably one with test results, or None."""
    complete = f"tags.{tags.STATE} = '{tags.COMPLETE}' and attributes.status = 'FINISHED'"
    query = f"tags.{tags.FINGERPRINT} = '{fingerprint}' and {complete}"
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, query, max_results=20, order_by=["attributes.start_time ASC"])
    runs = sorted(found, key=lambda run: tags.TEST_ACCURACY not in run.data.metrics)
    return _record(runs[0], {}) if runs else None


def find_running(client: MlflowClient) -> list[RunRecord]:
    """Return the runs of every experiment that have not ended."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [_record(run, {}) for run in client.search_runs(experiments, "attributes.status = 'RUNNING'")]


def used_seeds(client: MlflowClient, data_sha256: str) -> set[int]:
    """Return the seeds of all trials on these data, in every experiment of the store, finished or not."""
    query = f"tags.{tags.DATASET_SHA256} = '{data_sha256}'"
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run for experiment in experiments for run in _search(client, experiment, query)]
    return {int(run.tags[tags.SEED]) for run in runs if run.tags.get(tags.SEED, "").isdigit()}


def find_tagged(client: MlflowClient, tag: str, value: str) -> list[RunRecord]:
    """Return the finished runs of the experiment that have this tag, the oldest first."""
    return _search(client, active_experiment(client), f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'")


def _search(client: MlflowClient, experiment_id: str, query: str, curves: Sequence[str] = ()) -> list[RunRecord]:
    records, token = [], None
    while True:
        page = client.search_runs([experiment_id], query, order_by=["attributes.start_time ASC"], page_token=token)
        for run in page:
            histories = {key: client.get_metric_history(run.info.run_id, key) for key in curves}
            records.append(_record(run, histories))
        if not (token := page.token):
            return records


def check_study(client: MlflowClient, run_id: str, home: str) -> None:
    """Raise TrackingError if the store that the environment names lacks this run; `home` is the store that has it."""
    another = "Begin another study: -P study=NAME."
    try:
        run = client.get_run(run_id)
    except MlflowException as failure:
        there = home == shown_uri()
        hint = f"Set MLFLOW_TRACKING_URI to the store in which the study was started: {home}."
        raise TrackingError(
            f"the study's run {run_id} is not in this MLflow store ({first_line(failure)})",
            where=mlflow.get_tracking_uri(), hint=f"It was there. {another}" if there else hint,
        ) from None  # fmt: skip
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        back = f"`mlflow runs restore --run-id {run_id}` brings it back."
        raise TrackingError("the study's run was deleted", where=run_id, hint=f"{back} {another}")


def study_of(record: RunRecord) -> str | None:
    """Return the ID of the study's run that this trial or arm belongs to, or None."""
    return record.tags.get(tags.STUDY_RUN) or record.tags.get(MLFLOW_PARENT_RUN_ID)


def read_trials(client: MlflowClient, study_run_id: str, curves: Sequence[str] = ()) -> list[RunRecord]:
    """Return the study's trials, oldest first, with the metrics named in `curves` epoch by epoch."""
    return _trials(client, study_run_id, [], curves)


def read_arms(client: MlflowClient, study_run_id: str) -> dict[str, RunRecord]:
    """Return an ablation's arm runs by arm name; empty for a search or a study of an older version."""
    query = f"tags.{tags.STUDY_RUN} = '{study_run_id}' and tags.{tags.KIND} = '{tags.ARM_KIND}'"
    found = _search(client, client.get_run(study_run_id).info.experiment_id, query)
    return {record.tags[tags.ARM]: record for record in found}


def _trials(
    client: MlflowClient, run_id: str, conditions: Sequence[str], curves: Sequence[str] = ()
) -> list[RunRecord]:
    """Return the trials of a study, or of one arm of it, oldest first."""
    run = client.get_run(run_id)
    below = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"
    places = [below]
    if run.data.tags.get(tags.KIND) != tags.ARM_KIND:
        marked = f"tags.{tags.STUDY_RUN} = '{run_id}' and tags.{tags.KIND} = '{tags.TRIAL_KIND}'"
        # Versions before 0.2.0 marked no trial with its study, and had all of them right below it.
        places = [marked, f"{below} and tags.{tags.STUDY_RUN} IS NULL"]
    queries = [" and ".join([place, *conditions]) for place in places]
    found = [record for query in queries for record in _search(client, run.info.experiment_id, query, curves)]
    return sorted(found, key=lambda record: record.started)


def _record(run, histories: Mapping[str, Sequence[Metric]]) -> RunRecord:
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        params=unquoted(run.data.params),
        tags=run.data.tags,
        metrics=run.data.metrics,
        curves={
            key: [point.value for point in sorted(history, key=lambda point: point.step)]
            for key, history in histories.items()
        },
        started=run.info.start_time / 1000,
        experiment_id=run.info.experiment_id,
    )


def artifact_path(client: MlflowClient, run_id: str, name: str) -> str:
    """Return where a run's artifact is: a path, relative if it is below the working folder, or the store's address."""
    uri = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{name}"
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return uri
    path = Path(unquote(parts.path) if parts.scheme else uri)  # a path may have a # in it
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def read_file(client: MlflowClient, run_id: str, name: str) -> bytes | None:
    """Return the content of a run's artifact, or None if it has none of this name; raises TrackingError."""
    # Not by client.download_artifacts, which looks through every model of the store first.
    with said_clearly(run_id):
        uri = client.get_run(run_id).info.artifact_uri
    try:
        return _download(f"{uri.rstrip('/')}/{name}")
    except Exception as failure:  # which one depends on the artifact store
        with said_clearly(run_id):
            there = [file.path for file in client.list_artifacts(run_id, name.rpartition("/")[0] or None)]
        if name not in there:
            return None
        raise TrackingError(f"{name} cannot be read ({first_line(failure)})", where=run_id) from failure


def read_files(client: MlflowClient, run_id: str) -> dict[str, bytes]:
    """Return all artifacts of a run by their path; raises TrackingError."""
    with said_clearly(run_id), tempfile.TemporaryDirectory() as folder:
        uri = client.get_run(run_id).info.artifact_uri
        root = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def read_epochs(client: MlflowClient, run_id: str) -> list[dict[str, float]]:
    """Return a trial's metrics of every epoch, in order; raises TrackingError."""
    with said_clearly(run_id):
        histories = {key: client.get_metric_history(run_id, key) for key in BY_EPOCH}
    epochs: dict[int, dict[str, float]] = {}
    for key, history in histories.items():
        for point in history:
            epochs.setdefault(point.step, {})[key] = point.value
    return [values for _, values in sorted(epochs.items())]


def read_kernels(client: MlflowClient, run_id: str) -> list[np.ndarray]:
    """Return the kernels (inputs, units) of the trial's model, from input to output; an empty list without a model.

    This reads the model's file without Keras, which takes ten seconds to import. Raises TrackingError.
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
    with said_clearly(run_id):
        outputs = client.get_run(run_id).outputs
        if not (outputs and outputs.model_outputs):
            return None
        location = client.get_logged_model(outputs.model_outputs[-1].model_id).artifact_location
        return _download(f"{location.rstrip('/')}/data/model.keras")


def download_model(uri: str, folder: str) -> Path:
    """Download the model at `uri` and return the folder, below `folder`, of its files; raises TrackingError."""
    with said_clearly(uri):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))


def _download(uri: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()
