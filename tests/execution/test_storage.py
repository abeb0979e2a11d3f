"""The database of a queue: whether it can be opened, and what may be shown of its address."""

import math
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from study.base.errors import ConfigError, WorkerError
from study.execution import storage
from study.execution.queue import create_queue, find_queue
from study.execution.storage import PATIENCE_SECONDS, address_of, check_storage, open_storage


def test_queue_that_cannot_be_opened_is_an_error():
    with pytest.raises(WorkerError, match="the queue cannot be opened"):
        create_queue("sqlite:////nowhere/at/all/optuna.db", "x")


@pytest.mark.parametrize("url, message", [
    ("optuna.db", "storage cannot be 'optuna.db'; expected auto, sqlite:///FILE.db, or postgresql"),
    ("", "storage cannot be ''"),
    ("mysql://me@there/x", "storage cannot be 'mysql://me@there/x'"),
    ("journal://x", "storage cannot be 'journal://x'"),
    ("postgresql://me:secret@there:abc/x", r"storage cannot be 'postgresql://me:\*\*\*@there:abc/x'"),
    ("host=there password='my secret' dbname=x", r"storage cannot be .host=there password=\*\*\* dbname=x"),
    ("sqlite://", "storage is in the memory of one process"),
    ("sqlite:///nowhere/at/all.db", "nowhere/at: no such folder"),
    ("sqlite:///absent.db", "absent.db: no such file"),
])  # fmt: skip
def test_an_address_where_nobody_meets_is_refused(url, message):
    with pytest.raises(ConfigError, match=message):
        check_storage(url, exists=True)


def test_an_address_is_checked_without_making_anything(tmp_path):
    check_storage(f"sqlite:///{tmp_path}/new.db")
    check_storage("postgresql+psycopg://me@db.example/study", exists=True)
    assert find_queue(f"sqlite:///{tmp_path}/new.db", "x") is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize("uri, address", [
    ("sqlite:////data/my%20folder/mlflow.db", "sqlite:////data/my folder/optuna.db"),
    ("http://127.0.0.1:5000", "sqlite:///optuna.db"),
])  # fmt: skip
def test_the_usual_database_is_beside_a_sqlite_store(uri, address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert address_of("auto") == address and address_of("sqlite:///x.db") == "sqlite:///x.db"


@pytest.mark.parametrize("opens", [check_storage, lambda url: open_storage(url, print)])
def test_a_password_that_would_be_taken_for_a_host_is_refused(opens):
    with pytest.raises(ConfigError, match=r"^postgresql://me:\*\*\*@127.0.0.1:9/x: storage has two @. .* %40"):
        opens("postgresql://me:p@ss@127.0.0.1:9/x")


def test_mlflows_own_database_is_no_queue(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE experiments (name)")
    for name in ("mlflow.db", "other.db"):
        with pytest.raises(
            ConfigError, match=rf"^storage {tmp_path}/{name}: this database is MLflow's own, and .* Use"
        ):
            check_storage(f"sqlite:///{tmp_path}/{name}")
    check_storage(f"sqlite:///{tmp_path}/optuna.db")


@pytest.mark.parametrize("on_sqlite, seconds", [(False, PATIENCE_SECONDS), (True, 0)])
def test_a_server_that_stays_away_is_waited_for_so_long(on_sqlite, seconds, monkeypatch):
    """Three minutes that pass at once. SQLite has no server."""
    now, away = [0.0], OperationalError("select", {}, Exception("the server closed the connection"))
    monkeypatch.setattr(
        storage, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda some: now.append(now.pop() + some))
    )
    asked = storage._patient(lambda self: self.answer(now[0]))

    def answer(at: float) -> str:
        if at < back:
            raise away
        return "here"

    there = SimpleNamespace(on_sqlite=on_sqlite, answer=answer)
    back = seconds
    assert asked(there) == "here"
    back, start = math.inf, now[0]
    with pytest.raises(OperationalError):
        asked(there)
    assert seconds <= now[0] - start <= seconds + 1
