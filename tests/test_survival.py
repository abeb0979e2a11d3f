"""What kills a study does not lose it: processes are killed, servers taken away and disks filled, all of them real.

Queues lie in SQLite and in PostgreSQL; the record is one MLflow store for the module, but where a test says otherwise.
"""

import contextlib
import functools
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import psutil
import pytest
import servers
from conftest import ROOT
from mlflow import MlflowClient
from optuna.trial import TrialState

from study import ablation, conduct, processes, searching, space, tracking
from study import queue as queues
from study.errors import StudyError
from study.search import Search
from study.searching import Budget, Supply

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 240  # of the tests: other programs may need the machine as well
SPACE = "baseline: {{hidden: 8, epochs: {epochs}}}\nfields: {{learning_rate: {{range: [1.0e-3, 1.0e-1], log: true}}}}\n"
ABLATION = "question: Goes on?\nbaseline: {{hidden: 8, epochs: {epochs}}}\narms: {{grid: {{batch_size: [32, 64]}}}}\n"
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
MOST_BYTES = 14 * 2**30  # of address space, for programs that are to run out of it before the machine does
# The second database is a marker of its own: CI has a quarter of an hour, and `make test-matrix` has not.
DATABASES = ("sqlite", pytest.param("postgres", marks=pytest.mark.matrix))


# --- what the tests run, and where ------------------------------------------------------------------


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


@pytest.fixture(autouse=True)
def no_connection_outlives_its_test(monkeypatch) -> Iterator[None]:
    """Close the databases' connections, which a program leaves to its own end."""
    opened, open_one = [], queues._open
    monkeypatch.setattr(queues, "_open", lambda storage: opened.append(open_one(storage)) or opened[-1])
    yield
    watched.cache_clear()
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture(params=DATABASES)
def storage(request) -> str:
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
        program = subprocess.Popen(
            [sys.executable, "-m", f"entrypoints.{entry_point}", *words], cwd=folder, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()  # its workers end when it does
        program.communicate()


def search_file(epochs: int, folder: Path | str = ".") -> str:
    """Write a space whose trials take so many epochs; return its path."""
    path = Path(folder, f"space-{epochs}.yaml").resolve()
    path.write_text(SPACE.format(epochs=epochs))
    return str(path)


def searched(epochs: int, dataset) -> Search:
    own = space.parse(SPACE.format(epochs=epochs), "mine", "mine.yaml")
    own = own.with_baseline({"data": "digits", "validation": len(dataset.validation)})
    return Search(own, "val_cross_entropy", "tpe", "none")


def asked(name: str, storage: str, epochs: int, **given) -> dict:
    """Return the options of a search whose trials take so many epochs, none of them cut short or carried over."""
    return {
        "study": name, "storage": storage, "space": search_file(epochs), "data": "digits", "pruner": "none",
        "workers": 2, "reuse": "false",
    } | given  # fmt: skip


def said(program: subprocess.Popen) -> str:
    """Wait for a program, and for its workers, which write where it does; return its standard error."""
    return program.communicate(timeout=PATIENCE_SECONDS)[1]


# --- what the tests look at -------------------------------------------------------------------------


def wait_until(condition: Callable[[], object], program: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert program is None or program.poll() is None, f"the program has ended: {program.communicate()}"
        time.sleep(0.2)


@functools.cache
def watched(storage: str, name: str) -> queues.Queue:
    return queues.load(storage, name)


def trials_of(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a queue, in Optuna's own words; none where it is not there yet."""
    with contextlib.suppress(StudyError):
        return watched(storage, name).get_trials(deepcopy=False)
    return []


def at_work(storage: str, name: str, epochs: int = 1) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that have trained so many epochs, and are trained by a process that lives."""
    return [
        trial for trial in trials_of(storage, name)
        if trial.state == TrialState.RUNNING and len(trial.intermediate_values) >= epochs
        and not processes.is_gone(trial.user_attrs["worker"])
    ]  # fmt: skip


def done(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials_of(storage, name) if trial.state == TrialState.COMPLETE]


def points(storage: str, name: str) -> dict[int, dict]:
    """Return the params of the finished trials by slot."""
    return {queues.slot_of(trial): trial.params for trial in done(storage, name)}


def runs_of(client: MlflowClient, name: str) -> list:
    """Return the runs of a study's trials."""
    return list(client.search_runs(["0"], f"tags.optuna_study = '{name}'", max_results=10_000))


def studies(client: MlflowClient, task: str) -> list:
    """Return the runs of the studies of this task, the latest first; their trials have the task as well."""
    return [run for run in client.search_runs(["0"], f"tags.task = '{task}'") if "slot" not in run.data.tags]


def finished(client: MlflowClient, name: str) -> dict[str, str]:
    """Return the slots of the finished trial runs by run ID."""
    return {run.info.run_id: run.data.tags["slot"] for run in runs_of(client, name) if run.info.status == "FINISHED"}


def check_whole(client: MlflowClient, storage: str, name: str, trials: int) -> None:
    """Check that each slot has one finished trial and one finished run, and that nothing is left running."""
    once = {str(slot): 1 for slot in range(trials)}
    assert Counter(str(queues.slot_of(trial)) for trial in done(storage, name)) == once
    assert Counter(finished(client, name).values()) == once
    assert not any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials_of(storage, name))
    assert not client.search_runs(["0"], f"attributes.status = 'RUNNING' and tags.study = '{name}'")
    assert not any(run.info.status == "RUNNING" for run in runs_of(client, name))


def workers_in(folder: Path) -> list[psutil.Process]:
    """Return the worker processes in this working folder."""
    there = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "study.worker" in process.cmdline() and Path(process.cwd()) == folder:
                there.append(process)
    return there


# --- workers that are killed ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ablation", "search"])
def test_trial_of_a_killed_worker_is_taken_up_by_another(kind, storage, name, store, digits):
    client, killed = tracking.connect(), []

    def kill_one(trials):
        if not killed and (there := at_work(storage, queue_name(client, name))):
            os.kill(int(there[0].user_attrs["worker"]["pid"]), signal.SIGKILL)
            killed.append((there[0], time.time()))

    how = {"params": {}, "worker_count": 2, "observe": kill_one, "reuse": False, "storage": storage}
    if kind == "search":
        searching.conduct_search(searched(150, digits), digits, name=name, budget=Budget(4, None), **how)
        trials = 4
    else:
        study = ablation.load("dropout").with_baseline({"epochs": 150, "patience": None})
        outcome = conduct.conduct(study, study.cells(1, digits), digits, title=name, **how)
        assert outcome.failures == []
        trials = 3
    study_name, ((lost, when),) = queue_name(client, name), killed
    check_whole(client, storage, study_name, trials)
    (retry,) = (trial for trial in done(storage, study_name) if queues.tries_before(trial) == [lost.number])
    assert retry.datetime_start.timestamp() - when < 60
    (run,) = (run for run in runs_of(client, study_name) if run.info.status != "FINISHED")
    assert (run.info.run_id, run.info.status) == (lost.user_attrs["run_id"], "KILLED")
    assert "another took the trial up" in run.data.tags["reason"]


def queue_name(client: MlflowClient, title: str) -> str:
    """Return what the queue of this test is called: an ablation adds something of its run's ID to the title."""
    study = client.search_runs(["0"], "tags.task != ''", order_by=["attributes.start_time DESC"], max_results=1)
    own = study[0].data.tags["study"] if study else ""
    return own if own.startswith(title) else title


# --- programs that are killed -----------------------------------------------------------------------


def test_a_search_that_is_ended_goes_on_where_it_was(storage, name, start, store):
    client, kept = tracking.connect(), {}
    given = asked(name, storage, 150, trials=6)
    for ending in ENDINGS:
        before = kept
        program = start("search", **given)
        wait_until(lambda: at_work(storage, name) and done(storage, name), program)
        program.send_signal(ending)
        message = said(program)
        wait_until(lambda: not workers_in(store))
        if ending != signal.SIGKILL:  # then there is nobody left to say or write anything
            assert program.returncode == 130
            assert re.search(r"Error: stopped with \d of 6 trials done\. The same command goes on", message)
            assert not any(run.info.status == "RUNNING" for run in runs_of(client, name))
        kept = finished(client, name)
        assert before.items() <= kept.items()
    program = start("search", **given)
    message = said(program)
    assert program.returncode == 0, message
    check_whole(client, storage, name, 6)
    assert kept.items() <= finished(client, name).items()


def test_one_worker_comes_to_the_same_points_though_it_was_killed(storage, name, start, store):
    client, whole, broken = tracking.connect(), f"{name} whole", f"{name} broken"
    given = asked("", storage, 20, trials=13, workers=1)  # from the eleventh on the points depend on the others
    uninterrupted = start("search", **given | {"study": whole})
    program = start("search", **given | {"study": broken})
    wait_until(lambda: len(done(storage, broken)) > 10 and at_work(storage, broken), program)
    program.kill()
    said(program)
    program = start("search", **given | {"study": broken})
    for each, study_name in ((uninterrupted, whole), (program, broken)):
        said(each)
        assert each.returncode == 0
        check_whole(client, storage, study_name, 13)
    assert points(storage, broken) == points(storage, whole)
    assert any(queues.tries_before(trial) for trial in done(storage, broken))


# --- servers that are gone --------------------------------------------------------------------------


def test_postgres_is_restarted_and_crashes_in_the_middle_of_a_search(postgres, name, start, store):
    client, storage = tracking.connect(), postgres.new_database()
    program = start("search", **asked(name, storage, 150, trials=6))
    for crash in (False, True):
        there = len(done(storage, name))
        wait_until(lambda there=there: at_work(storage, name) and len(done(storage, name)) > there, program)
        postgres.restart(down_seconds=3, crash=crash)
    message = said(program)
    assert program.returncode == 0, message
    check_whole(client, storage, name, 6)
    assert not any(trial.state == TrialState.FAIL for trial in trials_of(storage, name))


def test_the_mlflow_server_is_gone_for_half_a_minute(mlflow_server, postgres, name, start, store):
    client, there = MlflowClient(mlflow_server.url), {"MLFLOW_TRACKING_URI": mlflow_server.url}
    searches = {}
    for storage in ("sqlite:///outage.db", postgres.new_database()):
        own = f"{name} {storage[:4]}"
        searches[own] = storage, start("search", environment=there, **asked(own, storage, 150, trials=3, workers=1))
    for own, (storage, program) in searches.items():
        wait_until(lambda own=own, storage=storage: at_work(storage, own), program)
    mlflow_server.kill()
    time.sleep(30)
    mlflow_server.start()
    for own, (storage, program) in searches.items():
        message = said(program)
        assert program.returncode == 0, message
        check_whole(client, storage, own, 3)
        assert not any(trial.state == TrialState.FAIL for trial in trials_of(storage, own))


# --- a disk that is full ----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a disk of its own, of 32 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system, as root has")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("database", DATABASES)
def test_a_full_disk_ends_a_search_clearly_and_harms_no_database(database, small_disk, request, name, start):
    storage = f"sqlite:///{small_disk}/optuna.db"
    if database == "postgres":
        storage = request.getfixturevalue("postgres").new_database()
    there = {"MLFLOW_TRACKING_URI": f"sqlite:///{small_disk}/mlflow.db"}
    given = asked(name, storage, 150, trials=5)
    program = start("search", small_disk, there, **given)
    wait_until(lambda: done(storage, name) and at_work(storage, name), program)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))
    message = said(program)
    assert program.returncode == 1
    assert message.splitlines()[-1].startswith("Error: ") and "Traceback" not in message, message
    for path in small_disk.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    kept = done(storage, name)
    filler.unlink()
    program = start("search", small_disk, there, **given)
    message = said(program)
    assert program.returncode == 0, message
    slots = {queues.slot_of(trial) for trial in done(storage, name)}
    failed = {queues.slot_of(trial): trial for trial in trials_of(storage, name) if trial.state == TrialState.FAIL}
    assert slots == set(range(5)), {slot: trial.user_attrs.get("reason") for slot, trial in failed.items()}
    assert len(slots) > len(kept)


# --- many workers, and many programs at once --------------------------------------------------------


def null_run(config, dataset, record, name, on_epoch) -> SimpleNamespace:
    """Run a trial that trains nothing, as `study.trial.run` would one that does."""
    epoch = SimpleNamespace(number=1, val_cross_entropy=abs(np.log10(config.learning_rate) + 2))
    record.log_epoch(1, {"val_cross_entropy": epoch.val_cross_entropy})
    on_epoch(epoch)
    record.log_summary({"model_val_cross_entropy": epoch.val_cross_entropy})
    record.set_tags({"state": "complete"})
    record.end("FINISHED")
    return SimpleNamespace(state="complete", reason=None, epochs=(epoch,), model_epoch=1)


WORK = "import sys, test_survival, study.worker\nstudy.worker.work(*sys.argv[1:], run=test_survival.null_run)"


@pytest.mark.parametrize(("workers", "trials"), [(8, 200), (2, 60)])
def test_many_workers_share_one_queue(workers, trials, storage, name, store, digits, record_property):
    client, search = tracking.connect(), searched(1, digits)
    queue, _ = queues.create(storage, name, search.direction)
    run = searching.begin(search, digits.without_test(), queue, client, {}, reuse=False)
    supply = Supply(queue, search, Budget(trials, None))
    supply([])
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", WORK, storage, name]
    team = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(workers)]
    try:
        while any(process.poll() is None for process in team):
            now = supply(queues.progress(queue))
            if len(now) == trials and all(trial.finished for trial in now):
                queue.end("all done")
            time.sleep(0.5)
    finally:
        errors = [(process.kill(), process.communicate()[1])[1] for process in team]
    assert errors == [""] * workers
    run.end("FINISHED")
    check_whole(client, storage, name, trials)
    assert len({tuple(point.values()) for point in points(storage, name).values()}) == trials
    ended = sorted(trial.datetime_complete for trial in done(storage, name))
    a_trial = (ended[-1] - ended[workers]).total_seconds() / (trials - workers - 1)  # without the workers' starts
    record_property("seconds a trial", a_trial)
    print(f"{workers} workers, {trials} trials, {storage[:6]}: {a_trial:.3f} s a trial")


@pytest.mark.parametrize("database", DATABASES)
def test_programs_start_at_the_same_moment_in_an_empty_folder(database, request, name, start, new_store):
    storage = "sqlite:///optuna.db"
    if database == "postgres":
        storage = request.getfixturevalue("postgres").new_database()
    given = asked(name, storage, 2, trials=4, workers=1)
    Path("two.yaml").write_text(ABLATION.format(epochs=2))
    given_too = {"task": "two.yaml", "data": "digits", "seeds": 1, "workers": 1, "storage": storage, "reuse": "false"}
    programs = [start("search", **given), start("search", **given)]
    programs += [start("ablation", **given_too), start("ablation", **given_too)]
    messages = [said(program) for program in programs]
    assert [program.returncode for program in programs] == [0] * 4, messages
    client = tracking.connect()
    check_whole(client, storage, name, 4)
    assert len(studies(client, "search")) == 1
    ablations = studies(client, "two")
    assert [run.info.status for run in ablations] == ["FINISHED"] * 2
    for run in ablations:
        check_whole(client, storage, run.data.tags["study"], 2)


# --- networks that cannot be ------------------------------------------------------------------------


def test_trials_that_cannot_be_fail_with_a_reason_and_the_search_goes_on(storage, name, start, store):
    client = tracking.connect()
    # More weights than the memory allows, or steps beyond what a float can hold; the first trial has neither.
    wide = "65536-65536-65536"
    fields = f"{{hidden: {{choices: ['8', {wide}]}}, learning_rate: {{choices: [0.01, 1.0e+30]}}}}"
    Path("wild.yaml").write_text(
        f"baseline: {{hidden: 8, optimizer: sgd, learning_rate: 0.01, epochs: 2}}\nfields: {fields}\n"
    )
    program = start("search", **asked(name, storage, 2, space="wild.yaml", sampler="grid"))
    resource.prlimit(program.pid, resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))  # its workers have it from there
    message = said(program)
    assert program.returncode == 0, message
    assert "diverged" in message and "failed" in message and "Traceback" not in message
    reasons = {
        (trial.params["hidden"], trial.params["learning_rate"]): trial.user_attrs.get("reason")
        for trial in trials_of(storage, name)
    }
    assert len(reasons) == 4 and reasons["8", 0.01] is None
    assert "not finite" in reasons["8", 1e30]
    assert all("memory" in reasons[wide, rate] for rate in (0.01, 1e30))
    assert Counter(run.info.status for run in runs_of(client, name)) == {"FINISHED": 1, "FAILED": 3}


# --- workers from elsewhere -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["search", "ablation"])
def test_a_worker_joins_from_another_folder(kind, postgres, mlflow_server, name, start, store, tmp_path):
    # The password is in libpq's variable, and in no command.
    there = {"MLFLOW_TRACKING_URI": mlflow_server.url, "PGPASSWORD": postgres.password}
    address = postgres.new_database()
    storage, client = address.replace(f":{postgres.password}@", "@"), MlflowClient(mlflow_server.url)
    if kind == "search":
        given = asked(name, storage, 1200, trials=6, workers=1)
    else:
        Path("join.yaml").write_text(ABLATION.format(epochs=1200))
        given = {"task": "join.yaml", "data": "digits", "seeds": 3, "workers": 1, "storage": storage}
    program = start(kind, environment=there, **given)
    wait_until(lambda: studies(client, "search" if kind == "search" else "join"), program)
    study_name = studies(client, "search" if kind == "search" else "join")[0].data.tags["study"]
    wait_until(lambda: at_work(address, study_name), program)
    joined = start("worker", tmp_path, there, study=study_name, storage=storage, workers=1)
    wait_until(lambda: len(at_work(address, study_name)) == 2, program)
    refused = start("worker", tmp_path, there, study=study_name, storage=storage, workers=1, data="synthetic")
    message = said(refused)
    assert refused.returncode == 1
    assert "synthetic: not the data of this study; expected SHA-256 8aa96df836b4…" in message, message
    message = said(program)
    assert program.returncode == 0, message
    words, message = joined.communicate(timeout=PATIENCE_SECONDS)
    assert joined.returncode == 0, message
    check_whole(client, address, study_name, 6)
    ran = Counter(run.data.tags["pid"] for run in runs_of(client, study_name))
    assert len(ran) == 2 and f"{study_name} has nothing left to do" in words
    assert any(words.splitlines()[-1].startswith(f"{number} trial") for number in ran.values())
