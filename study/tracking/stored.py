"""Reads back the files that runs and their models keep."""

import os
import tempfile
from collections.abc import Collection
from pathlib import Path

import mlflow.artifacts
import numpy as np
from mlflow import MlflowClient

from study.base import keras_file
from study.base.errors import TrackingError, first_line
from study.tracking import places
from study.tracking.records import RunRecord
from study.tracking.store import said_clearly


def artifact_path(client: MlflowClient, run_id: str, name: str) -> str:
    """Return where a run's artifact is: a path, relative if it is below the working folder, or the store's address."""
    uri = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{name}"
    path = places.path(uri)
    if path is None:
        return uri
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def read_file(record: RunRecord, name: str) -> bytes | None:
    """Return the content of a run's artifact, or None if it has none of this name; raises TrackingError."""
    # Not by client.download_artifacts, which looks through every model of the store first.
    run_id = record.run_id
    with said_clearly(run_id):
        uri = places.allowed(record.artifacts)
    try:
        return _download(f"{uri.rstrip('/')}/{name}")
    except Exception as failure:  # which one depends on the artifact store
        with said_clearly(run_id):
            there = _names(f"{uri.rstrip('/')}/{name.rpartition('/')[0]}".rstrip("/"))
        if name.rpartition("/")[2] not in there:
            return None
        raise TrackingError(f"{name} cannot be read ({first_line(failure)})", where=run_id) from failure


def read_files(record: RunRecord, names: Collection[str]) -> dict[str, bytes]:
    """Return those artifacts of a run that have one of these names, and no other; raises TrackingError."""
    with said_clearly(record.run_id):
        uri = places.allowed(record.artifacts).rstrip("/")
        there = _names(uri)
        return {name: _download(f"{uri}/{name}") for name in names if name in there}


def read_kernels(client: MlflowClient, run_id: str) -> list[np.ndarray]:
    """Return the kernels (inputs, units) of the trial's model, from input to output; an empty list without a model.

    This reads the model's file without Keras, which takes ten seconds to import. Raises TrackingError.
    """
    content = read_model(client, run_id)
    return [] if content is None else keras_file.kernels(content, run_id)


def read_model(client: MlflowClient, run_id: str) -> bytes | None:
    """Return the ``.keras`` file of the trial's model, or None without a model; raises TrackingError."""
    with said_clearly(run_id):
        outputs = client.get_run(run_id).outputs
        if not (outputs and outputs.model_outputs):
            return None
        location = client.get_logged_model(outputs.model_outputs[-1].model_id).artifact_location
        return _download(f"{places.allowed(location).rstrip('/')}/data/model.keras")


def download_model(uri: str, folder: str) -> Path:
    """Download the model at `uri` and return the folder, below `folder`, of its files; raises TrackingError."""
    with said_clearly(uri):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=places.of_model(uri), dst_path=folder))


def _names(uri: str) -> set[str]:
    """Return the names of what lies in a folder of artifacts."""
    if folder := places.path(uri):
        return set(os.listdir(folder)) if folder.is_dir() else set()
    return {file.path.rpartition("/")[2] for file in mlflow.artifacts.list_artifacts(artifact_uri=uri)}


def _download(uri: str) -> bytes:
    if path := places.path(uri):
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(str(path))
        return keras_file.read(path)
    with tempfile.TemporaryDirectory() as folder:
        return keras_file.read(Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)))
