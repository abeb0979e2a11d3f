"""Finds the MLflow store, checks that it can be reached and written, and turns its failures into clear errors."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList

from study.base.errors import StudyError, TrackingError, first_line
from study.base.passwords import HOW_TO_ESCAPE, is_ambiguous, without_password
from study.base.paths import SQLITE, is_server, sqlite_file
from study.base.private import private_folder

T = TypeVar("T")

FAULTS = (MlflowException,)  # MLflow raises these if the store cannot be written
LOCAL_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens
HALF_MADE = "Its creation was interrupted, so it holds no run yet: delete the file."


def connect() -> MlflowClient:
    """Return a client of the tracking store that the environment names, after checking that it can be written.

    A new SQLite store gets its tables here, one process at a time: without that, most of several processes that open
    a new store together crash. Raises TrackingError.
    """
    uri = _own_uri()
    if is_server(uri):
        _check_server(uri)
    elif uri.startswith(SQLITE):
        _check_writable(sqlite_file(uri))
    with _alone(uri), said_clearly(uri):
        client = MlflowClient()
        client.search_experiments(max_results=1)
    return client


def is_absent() -> bool:
    """Return whether the store would be a new file, which `connect` makes."""
    uri = _own_uri()
    return uri.startswith(SQLITE) and not sqlite_file(uri).exists()


def _alone(uri: str) -> AbstractContextManager:
    """Keep other processes on this machine from creating the tables of a SQLite store at the same time."""
    if not uri.startswith(SQLITE):
        return nullcontext()
    mark = hashlib.sha256(str(sqlite_file(uri).resolve()).encode()).hexdigest()[:16]
    return FileLock(private_folder() / f"{mark}.lock")


def tracking_uri() -> str:
    """Return the tracking store's full address, so that another process finds the same store."""
    uri = _own_uri()
    relative = uri.startswith(SQLITE) and not uri.startswith(f"{SQLITE}/")
    return f"{SQLITE}{sqlite_file(uri).resolve()}" if relative else uri


def shown_uri() -> str:
    """Return the tracking store's full address without a password, so that it can be shown and kept."""
    return without_password(tracking_uri())


def _own_uri() -> str:
    """Return the tracking store's address; a server's has no user and no password in it from now on.

    They move to the variables that MLflow's client reads as well: an address is shown, kept and passed on in many
    places, also by MLflow. Raises TrackingError for an address that a library would take apart elsewhere.
    """
    uri = mlflow.get_tracking_uri()
    parts = urlsplit(uri)
    login, at, place = parts.netloc.rpartition("@")
    if not is_server(uri):
        if is_ambiguous(uri):
            raise TrackingError("the address has two @", where=uri, hint=HOW_TO_ESCAPE)
    elif at:
        user, _, password = login.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
        if password:
            os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
        uri = parts._replace(netloc=place).geturl()
        mlflow.set_tracking_uri(uri)
    return uri


def _check_server(uri: str) -> None:
    # MLflow's own client would retry for minutes before it reports anything.
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5).close()
    except urllib.error.HTTPError:
        pass  # a server answers; the first real request will show whether it lets us in
    except (http.client.InvalidURL, ValueError):
        expected = "http://HOST:PORT"
        raise TrackingError("no address of a server", where=uri, expected=expected, hint=HOW_TO_ESCAPE) from None
    except OSError as failure:
        raise TrackingError(
            f"no MLflow server answers ({getattr(failure, 'reason', failure)})",
            where=uri,
            hint="Start it with `mlflow server`, or unset MLFLOW_TRACKING_URI to write to a file here.",
        ) from None


def _check_writable(path: Path) -> None:
    # Write, because permissions do not reveal a read-only or full disk. MLflow would retry for minutes.
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent) as trial:
            trial.write(bytes(4_096))
        if path.exists():
            open(path, "ab").close()
    except OSError as failure:
        raise TrackingError(
            f"nothing can be written here ({failure.strerror})",
            where=path.resolve().parent,
            hint="Run in a folder that you can write to, or set MLFLOW_TRACKING_URI to a store that you can write to.",
        ) from None


@contextmanager
def said_clearly(where: str) -> Iterator[None]:
    """Turn any exception of the store's libraries into a TrackingError that names the place.

    A fault of our own in the block becomes one as well: an artifact store's library may raise anything.
    """
    try:
        yield
    except (StudyError, MemoryError):
        raise
    except MlflowException as failure:
        raise TrackingError(first_line(failure), where=where) from failure
    except Exception as failure:  # the store's own library raised it: SQLAlchemy, requests, …
        what = f"the MLflow store cannot be used ({first_line(failure)})"
        raise TrackingError(what, where=where, hint=HALF_MADE if "_alembic_tmp_" in what else None) from failure


def every_page(ask: Callable[[str | None], PagedList[T]]) -> list[T]:
    """Return all that a search of the store finds, page by page; `ask` takes the token of the next page."""
    page = ask(None)
    found = [*page]
    while page.token:
        page = ask(page.token)
        found += page
    return found


def active_experiment(client: MlflowClient) -> str:
    """Return the ID of the experiment that the environment names, created if it is new, or the default's."""
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return experiment_id
    if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        if found := client.get_experiment_by_name(name):
            return found.experiment_id
        try:
            return client.create_experiment(name)
        except MlflowException:  # another process has created it since
            if found := client.get_experiment_by_name(name):
                return found.experiment_id
            raise
    return "0"


def run_link(client: MlflowClient, run_id: str) -> str:
    """Return the address at which a browser shows the run: the tracking server's, or `mlflow ui`'s for a local store.

    Its query parameter opens the view for training runs; without it MLflow 3 may open the one for generative AI.
    """
    parts = urlsplit(client.tracking_uri)
    server = LOCAL_UI
    if is_server(client.tracking_uri):
        server = parts._replace(query="", fragment="").geturl().rstrip("/")
    experiment = client.get_run(run_id).info.experiment_id
    return f"{server}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"
