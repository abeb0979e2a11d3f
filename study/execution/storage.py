"""Opens the database that workers share: Optuna's storage, which waits for a lost server and locks SQLite early."""

import contextlib
import os
import sqlite3
import time
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import optuna

# Before TensorFlow, which a worker imports later: both bring a TLS library, and in the other order a connection with
# TLS crashes the process.
import psycopg
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)  # fmt: skip

from study.base.errors import ConfigError, WorkerError, first_line, shown
from study.base.passwords import HOW_TO_ESCAPE, is_ambiguous, without_password
from study.base.paths import SQLITE, STORE_VARIABLE, sqlite_file, store_folder
from study.execution.optuna_internals import STORAGE_METHODS

DEFAULT_STORAGE = "auto"
DEFAULT_FILE = "optuna.db"
FOREIGN = "its tables are of another program, such as MLflow, or of another version of Optuna"
MLFLOWS = "this database is MLflow's own, and the queue needs another"
HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 20
PATIENCE_SECONDS = 180  # with a database server that does not answer
OPENING_SECONDS = 10  # for retries while the storage is being opened
FAULTS = (SQLAlchemyError, optuna.exceptions.StorageInternalError)

_LOST = (OperationalError, PendingRollbackError)


def _patient(method: Callable) -> Callable:
    """Make a storage method wait for a database server that has gone away, for example to restart."""

    @wraps(method)
    def call(self, *given, **named):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return method(self, *given, **named)
            except FAULTS as failure:
                lost = failure if isinstance(failure, SQLAlchemyError) else failure.__cause__
                # After any OperationalError Optuna asks for the trials again in the lost transaction.
                connection = getattr(lost, "connection_invalidated", False) or isinstance(lost, _LOST)
                # SQLite has no server; it has waited for other writers already.
                if self.on_sqlite or not connection or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    return call


class Storage(RDBStorage):
    """Optuna's storage in a database; `on_stale` is called with the trials whose worker's heartbeats have stopped."""

    def __init__(self, url: str, on_stale: Callable[[optuna.Study, FrozenTrial], None]):
        self.on_sqlite = url.startswith("sqlite")
        super().__init__(
            url,
            engine_kwargs={"connect_args": {"timeout": 60} if self.on_sqlite else {}, "pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=on_stale,
        )
        if self.on_sqlite:
            # A worker takes a trial by reading that it is waiting and writing that it is running. SQLite has no SELECT
            # FOR UPDATE and locks at the first write, so two workers could take the same trial. Now it locks at once.
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        else:
            # Heartbeats have no time zone: with PGTZ in its environment a worker's would be hours old, or of tomorrow.
            event.listen(self.engine, "connect", _use_one_time_zone)
            self.close()  # the connection that has looked for the tables: a new one listens

    def close(self) -> None:
        """Close this process's connections to the database."""
        self.remove_session()
        self.engine.dispose()

    def record_heartbeat(self, trial_id: int) -> None:
        # Runs in a thread of Optuna's, which would print a traceback and end; one missed beat does no harm.
        with contextlib.suppress(*FAULTS):
            super().record_heartbeat(trial_id)


def _use_one_time_zone(connection: psycopg.Connection, _: object) -> None:
    connection.execute("SET TIME ZONE 'UTC'")
    connection.commit()


for _name in STORAGE_METHODS:
    setattr(Storage, _name, _patient(getattr(RDBStorage, _name)))


def address_of(storage: str) -> str:
    """Return a database's address; ``auto`` is a file beside the SQLite tracking store, or else in the working folder.

    A file beside the store outlives the temporary clone in which `mlflow run` works when you give it a git address.
    """
    if storage != DEFAULT_STORAGE:
        return storage
    folder = store_folder()
    return f"{SQLITE}{folder / DEFAULT_FILE if folder else DEFAULT_FILE}"


def open_storage(storage: str, on_stale: Callable[[optuna.Study, FrozenTrial], None]) -> Storage:
    """Open the storage at this address, create missing tables, and return it; raises WorkerError, ConfigError."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = address_of(storage)
    _check_own(storage)
    deadline = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            return Storage(storage, on_stale)
        except Exception as failure:  # SQLAlchemy's, the driver's or Optuna's own
            # If several processes create a new database's tables at once, some fail, and find the tables on a retry.
            # A server that is restarting says so.
            passing = any(word in str(failure) for word in ("exist", "UNIQUE", "starting up", "shutting down"))
            if not passing or time.monotonic() > deadline:
                foreign = any(word in str(failure) for word in ("Can't locate revision", "table schema"))
                what = f"the queue cannot be opened ({FOREIGN if foreign else first_line(failure)})"
                raise WorkerError(what, where=storage) from failure
        time.sleep(0.5)


def check_storage(storage: str, *, exists: bool = False) -> None:
    """Raise ConfigError if processes cannot share this address; with `exists` a SQLite file has to be there."""
    storage = address_of(storage)
    _check_own(storage)
    expected = "auto, sqlite:///FILE.db, or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        url = make_url(storage)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError, NoSuchModuleError):
        kind = None
    if kind not in ("sqlite", "postgresql"):
        raise ConfigError(f"storage cannot be {shown(without_password(storage))}", expected=expected)
    if kind == "postgresql":
        return
    if url.database in (None, "", ":memory:"):
        raise ConfigError("storage is in the memory of one process, where no other can find it", expected=expected)
    path = Path(url.database or "")
    if not path.absolute().parent.is_dir():
        raise ConfigError("no such folder", where=f"storage {path.parent}")
    if exists and is_absent(storage):
        hint = "Give the storage of the command that started the study: -P storage=…."
        raise ConfigError("no such file", where=f"storage {path}", hint=hint)


def is_absent(storage: str) -> bool:
    """Return whether this is the address of a SQLite file that does not exist."""
    url = make_url(address_of(storage))
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def _check_own(storage: str) -> None:
    """Raise ConfigError for an address that a library takes apart elsewhere, and for MLflow's own database."""
    if is_ambiguous(storage):
        raise ConfigError("storage has two @", where=storage, hint=HOW_TO_ESCAPE)
    if storage.startswith(SQLITE):
        path, store = Path(storage.removeprefix(SQLITE)), os.environ.get(STORE_VARIABLE, "")
        if (store.startswith(SQLITE) and sqlite_file(store).resolve() == path.resolve()) or _is_mlflows(path):
            raise ConfigError(MLFLOWS, where=f"storage {path}", hint=f"Use another file: {SQLITE}{DEFAULT_FILE}.")


def _is_mlflows(path: Path) -> bool:
    if not path.is_file():
        return False
    tables: set[str] = set()
    with contextlib.suppress(sqlite3.Error):  # not a database: whoever opens it says so
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(connection):
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    return "experiments" in tables and "studies" not in tables
