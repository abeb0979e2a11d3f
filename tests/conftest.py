"""What the tests share: real data, small enough to be quick."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from factories import servers

from study.base import interruption
from study.base.startup import hush
from study.data.dataset import Dataset, Split, load_dataset

hush()
TRACKING_URI = "MLFLOW_TRACKING_URI"
ROOT = Path(__file__).resolve().parent.parent
MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"
# The second database has a marker of its own: CI has a quarter of an hour, and `make test-matrix` has not.
DATABASES = ("sqlite", pytest.param("postgres", marks=pytest.mark.matrix))


@pytest.fixture(autouse=True)
def store_of_the_environment():
    """Undo what a test's worker or server has told this process of a store: the environment names each test's own."""
    before = os.environ.get(TRACKING_URI)
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)  # takes the variable away as well
    if before is not None:
        os.environ[TRACKING_URI] = before


@contextmanager
def in_store(folder: Path) -> Iterator[Path]:
    """Work in this folder, with a MLflow store of its own, and below no run of `mlflow run`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(TRACKING_URI, f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        yield folder


@pytest.fixture(autouse=True)
def not_asked_to_end() -> Iterator[None]:
    """Forget a signal that a test has sent to this process: what other tests run in it would end as well."""
    yield
    interruption._asked = False


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Path]:
    """A folder with a MLflow store for the tests of a module."""
    with in_store(tmp_path_factory.mktemp("store")) as folder:
        yield folder


@pytest.fixture
def new_store(tmp_path) -> Iterator[Path]:
    """A folder with a MLflow store for one test."""
    with in_store(tmp_path) as folder:
        yield folder


@pytest.fixture
def call_program(new_store, monkeypatch, capsys) -> Callable:
    """Run an entry point's command as a program would; return its exit status, its output and its errors."""

    def call(command, *arguments: str) -> tuple[int, str, str]:
        from entrypoints import program

        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        status = 0
        try:
            program.run(command)
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def postgres() -> Iterator[servers.Postgres]:
    if reason := servers.postgres_missing():
        pytest.skip(reason)
    with servers.Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory) -> Iterator[servers.MlflowServer]:
    with servers.MlflowServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def connections_closed(monkeypatch) -> Iterator[Callable[[], None]]:
    """Close the connections to queues when the test ends, or asks for it: a program leaves them to its own end."""
    from factories import programs

    from study.execution.storage import open_storage

    opened = []

    def remembered(*given, **named):
        opened.append(open_storage(*given, **named))
        return opened[-1]

    monkeypatch.setattr("study.execution.queue.open_storage", remembered)

    def close() -> None:
        programs.watched.cache_clear()
        for connected in opened:
            connected.close()

    yield close
    close()


@pytest.fixture(params=DATABASES)
def storage(request, connections_closed) -> str:
    """The address of an empty database for queues; that of SQLite is a file in the working folder."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").new_database()
    return f"sqlite:///{request.node.name}.db"


@pytest.fixture
def name(request) -> str:
    """A name for a study, another one in each test."""
    return request.node.name.removeprefix("test_")


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start an entry point as a person does; none outlives the test."""
    programs = []

    def start(entry_point: str, folder: Path | str = ".", environment: dict | None = None, **given) -> subprocess.Popen:
        words = [word for option, value in given.items() for word in (f"--{option}", str(value))]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # Ray may be on it
        program = subprocess.Popen(
            [sys.executable, "-m", f"entrypoints.{entry_point}", *words], cwd=folder, text=True,
            env=os.environ | {"PYTHONPATH": path} | (environment or {}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()  # its workers end when it does
        program.communicate()


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The UCI digits: 1,222 rows to train on, 216 to validate, 359 to test."""
    return load_dataset("digits")


@pytest.fixture(scope="session")
def few_digits(digits: Dataset) -> Dataset:
    """The first 260 training and 100 validation rows of the digits; 260 divides by 26 and not by 32."""
    return replace(digits, train=head(digits.train, 260), validation=head(digits.validation, 100))


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """Real MNIST, where it lies beside the checkout."""
    if not MNIST.exists():
        pytest.skip(f"needs real MNIST, which is not at {MNIST}")
    return load_dataset(str(MNIST))


def head(split: Split, rows: int) -> Split:
    """Return the first rows of a split."""
    return Split(split.inputs[:rows], split.labels[:rows])
