"""Says where artifacts may lie: a tracking server cannot make a program read this machine's own files."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

from study.base.errors import TrackingError, shown
from study.base.paths import is_server

LOCAL = ("", "file")
INDIRECT = ("runs", "models")  # addresses that the server turns into other ones


def allowed(uri: str) -> str:
    """Return the address at which an artifact lies, as the store named it.

    Raises TrackingError if the store is a server and the address is one of this machine's: whatever lies there would
    be read, and uploaded to that server where a trial is carried over.
    """
    if is_server(mlflow.get_tracking_uri()) and urlsplit(uri).scheme in (*LOCAL, *INDIRECT):
        raise TrackingError(
            "the tracking server names a place on this machine, which is not read", where=shown(uri),
            hint="A server that keeps artifacts itself, with --artifacts-destination, needs no such place.",
        )  # fmt: skip
    return uri


def path(uri: str) -> Path | None:
    """Return the path of an artifact on this machine, or None if it lies elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme not in LOCAL:
        return None
    return Path(unquote(parts.path) if parts.scheme else uri)  # a path may have a # in it


def of_model(address: str) -> str:
    """Return where the model at an address that a person gave lies: ``runs:/…`` and ``models:/…`` are looked up.

    Raises TrackingError as `allowed` does. It is looked up once, because a server could answer the second time
    otherwise.
    """
    if not is_server(mlflow.get_tracking_uri()) or urlsplit(address).scheme not in INDIRECT:
        return address
    uri = _of_run(address) if urlsplit(address).scheme == "runs" else address
    for _ in range(2):  # a registered version leads to a logged model, and that to a place
        if urlsplit(uri).scheme == "models":
            root, path = ModelsArtifactRepository.split_models_uri(uri)
            uri = _joined(ModelsArtifactRepository.get_underlying_uri(root), path)
    return allowed(uri)


def _of_run(address: str) -> str:
    """Return where a run's artifact lies; since MLflow 3 its models have places of their own."""
    client = MlflowClient()
    run_id, path = RunsArtifactRepository.parse_runs_uri(address)
    name, _, rest = (path or "").partition("/")
    run = client.get_run(run_id)
    for output in run.outputs.model_outputs if run.outputs else []:
        model = client.get_logged_model(output.model_id)
        if model.name == name:
            return _joined(model.artifact_location, rest)
    return _joined(run.info.artifact_uri, path or "")


def _joined(uri: str, path: str) -> str:
    return f"{uri.rstrip('/')}/{path}" if path else uri
