"""Servers that go away, disks and memories that are full, and workers that come from elsewhere: all of it real."""

import contextlib
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DATABASES
from factories.programs import (
    ABLATION,
    PATIENCE_SECONDS,
    asked,
    at_work,
    check_whole,
    done,
    runs_of,
    said,
    studies,
    trials_of,
    wait_until,
)  # fmt: skip
from mlflow import MlflowClient
from optuna.trial import TrialState

from study.execution.attributes import slot_of
from study.tracking.store import connect

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("connections_closed")]
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # the administrator's programs
MOST_BYTES = 14 * 2**30  # of address space, for programs that are to run out of it before the machine does

# --- servers that are gone --------------------------------------------------------------------------


def test_postgres_is_restarted_and_crashes_in_the_middle_of_a_search(postgres, name, start, store):
    client, storage = connect(), postgres.new_database()
    program = start("search", **asked(name, storage, 150, trials=4))
    for crash in (False, True):
        there = len(done(storage, name))
        wait_until(lambda there=there: at_work(storage, name) and len(done(storage, name)) > there, program)
        postgres.restart(down_seconds=3, crash=crash)
    message = said(program)
    assert program.returncode == 0, message
    check_whole(client, storage, name, 4)
    assert not any(trial.state == TrialState.FAIL for trial in trials_of(storage, name))


def test_the_mlflow_server_is_gone_for_half_a_minute(mlflow_server, postgres, name, start, store):
    client, there = MlflowClient(mlflow_server.url), {"MLFLOW_TRACKING_URI": mlflow_server.url}
    searches = {}
    for storage in ("sqlite:///outage.db", postgres.new_database()):
        own = f"{name} {storage[:4]}"
        searches[own] = storage, start("search", environment=there, **asked(own, storage, 150, trials=3))
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


# --- disks that are full or read-only ---------------------------------------------------------------


class Disk:
    """A disk of its own, of 48 MB, with all that can befall it; `folder` is where it is mounted."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._image = folder.with_suffix(".img")
        with self._image.open("wb") as file:
            file.truncate(48 * 2**20)

    def mount(self) -> bool:
        """Return whether it could be mounted."""
        format = ["mkfs.ext4", "-q", "-F", "-m", "0", str(self._image)]
        return bool(shutil.which("mkfs.ext4", path=PATH)) and not any(map(_status, (format, self._mounting)))

    @property
    def _mounting(self) -> list[str]:
        return ["mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder)]

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65_536))

    def turn_read_only(self) -> None:
        """Let the kernel find an error on it, at which Linux lets nobody write to it any more."""
        device = subprocess.check_output(["findmnt", "-no", "SOURCE", str(self.folder)], text=True).strip()
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("a test")

    def mend(self) -> None:
        """Do as an administrator would; no file on it may be open."""
        (self.folder / "filler").unlink(missing_ok=True)
        assert _status(["umount", str(self.folder)]) == 0
        assert _status(["e2fsck", "-p", str(self._image)]) in (0, 1)  # 1: there was something, and it is mended
        assert _status(self._mounting) == 0

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def _status(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True, env=os.environ | {"PATH": PATH}).returncode


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """A small disk, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder)
    if os.geteuid() != 0 or not disk.mount():
        pytest.skip("needs the right to mount a file system, as root has, and ext4")
    yield disk
    disk.unmount()


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Disk.fill, id="full"),
        pytest.param(Disk.turn_read_only, id="read-only", marks=pytest.mark.matrix),
    ],
)
@pytest.mark.parametrize("database", DATABASES)
def test_a_disk_in_trouble_ends_a_search_clearly_and_harms_no_database(
    database, trouble, disk, request, name, start, connections_closed
):
    storage = f"sqlite:///{disk.folder}/optuna.db"
    if database == "postgres":
        storage = request.getfixturevalue("postgres").new_database()
    there = {"MLFLOW_TRACKING_URI": f"sqlite:///{disk.folder}/mlflow.db"}
    given = asked(name, storage, 150, trials=4)
    program = start("search", disk.folder, there, **given)
    wait_until(lambda: done(storage, name) and at_work(storage, name), program)
    trouble(disk)
    message = said(program)
    assert program.returncode == 1
    assert message.splitlines()[-1].startswith("Error: ") and "Traceback" not in message, message
    connections_closed()
    disk.mend()
    for path in disk.folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    kept = done(storage, name)
    program = start("search", disk.folder, there, **given)
    message = said(program)
    assert program.returncode == 0, message
    slots = {slot_of(trial) for trial in done(storage, name)}
    failed = {slot_of(trial): trial for trial in trials_of(storage, name) if trial.state == TrialState.FAIL}
    assert slots == set(range(4)), {slot: trial.user_attrs.get("reason") for slot, trial in failed.items()}
    assert len(slots) > len(kept)


# --- networks that cannot be ------------------------------------------------------------------------


def test_trials_that_cannot_be_fail_with_a_reason_and_the_search_goes_on(storage, name, start, store):
    client = connect()
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


@pytest.mark.parametrize("kind", ["search", pytest.param("ablation", marks=pytest.mark.matrix)])
def test_a_worker_joins_from_another_folder(kind, postgres, mlflow_server, name, start, store, tmp_path):
    # The password is in libpq's variable, and in no command.
    there = {"MLFLOW_TRACKING_URI": mlflow_server.url, "PGPASSWORD": postgres.password}
    address = postgres.new_database()
    storage, client = address.replace(f":{postgres.password}@", "@"), MlflowClient(mlflow_server.url)
    Path("join.yaml").write_text(ABLATION.format(epochs=900))
    given = {
        "search": asked(name, storage, 900, trials=4),
        "ablation": {"task": "join.yaml", "data": "digits", "seeds": 2, "workers": 1, "storage": storage},
    }
    program = start(kind, environment=there, **given[kind])
    if kind == "ablation":  # which makes up its name
        wait_until(lambda: studies(client, "join"), program)
        name = studies(client, "join")[0].data.tags["study"]
    wait_until(lambda: at_work(address, name), program)
    joined = start("worker", tmp_path, there, study=name, storage=storage, workers=1)
    wait_until(lambda: len(at_work(address, name)) == 2, program)
    refused = start("worker", tmp_path, there, study=name, storage=storage, workers=1, data="synthetic")
    printed, message = program.communicate(timeout=PATIENCE_SECONDS)
    assert program.returncode == 0, message
    link = rf"Run (\w+): {mlflow_server.url}/#/experiments/0/runs/\1\?workflowType=machine_learning"
    assert re.fullmatch(link, printed.splitlines()[-1])
    message = said(refused)
    assert refused.returncode == 1, message
    assert "synthetic: not the data of this study; expected SHA-256 b8de01bd495a…" in message, message
    words, message = joined.communicate(timeout=PATIENCE_SECONDS)
    assert joined.returncode == 0, message
    check_whole(client, address, name, 4)
    ran = Counter(run.data.tags["pid"] for run in runs_of(client, name))
    assert len(ran) == 2 and f"{name} has none left for this machine" in words
    assert any(words.splitlines()[-1].startswith(f"{number} trial") for number in ran.values())
