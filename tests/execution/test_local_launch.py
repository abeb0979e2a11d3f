"""The engine local with small programs in the place of workers: they outlive what started them, and are found again."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import ROOT

from study.base import processes
from study.base.paths import RUN_VARIABLE
from study.execution.engines import local
from study.execution.engines.engine import Launch, new_id

# In the place of a worker program: it has a process below it, and says when it is told to end.
PROGRAM = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def end(number, frame):
    if "stubborn" in sys.argv:
        return
    child.kill(); child.wait()
    print("told to end", "MLFLOW_RUN_ID" in os.environ, os.getppid(), flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
print("started", sys.argv[-2:], flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture
def launch(tmp_path, monkeypatch):
    launch = Launch(
        id=new_id("test"), engine="local", workers=3, options={}, study="s", storage="auto", tracking_uri="sqlite:///m.db",
        data=None, folder=str(tmp_path), host="here", machine=processes.machine(),
    )  # fmt: skip
    monkeypatch.setattr(Launch, "words", lambda self: [sys.executable, "-c", PROGRAM, self.study])
    monkeypatch.setenv(RUN_VARIABLE, "0" * 32)
    yield launch
    processes.kill(processes.marked("STUDY_LAUNCH", launch.id))


def log_with(folder: Path, text: str) -> str:
    deadline = time.monotonic() + 60
    while text not in (log := (folder / local.LOG).read_text()):
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
    return log


def test_a_program_runs_in_a_session_of_its_own_until_it_is_cancelled(launch, tmp_path):
    local.start(launch)
    assert "started ['--workers', '3']" in log_with(tmp_path, "started")
    (job,) = local.jobs(launch)
    assert job.state == "running" and os.getsid(int(job.id)) != os.getsid(0)
    assert local.jobs(replace(launch, id="another")) == []
    local.cancel(launch)
    assert "told to end False" in log_with(tmp_path, "told to end")
    assert local.jobs(launch) == [] and not processes.marked("STUDY_LAUNCH", launch.id)
    local.cancel(launch)  # again: nothing happens


def test_what_does_not_end_in_time_is_killed(launch, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "PATIENCE_SECONDS", 0.2)
    local.start(replace(launch, study="stubborn"))
    log_with(tmp_path, "started")
    local.cancel(launch)
    assert not processes.marked("STUDY_LAUNCH", launch.id)


def test_another_machine_has_it_as_a_program(launch, tmp_path):
    """What the engine ssh does there: the launch and the passwords come through the standard input."""
    local.start(launch)
    log_with(tmp_path, "started")
    given = json.dumps({"launch": asdict(replace(launch, machine="elsewhere")), "environment": {}})

    def ask(what: str) -> str:
        words = [sys.executable, "-m", "study.execution.engines.local", what]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, input=given, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    (job,) = json.loads(ask("jobs"))
    assert os.getsid(int(job["id"])) and job["state"] == "running"
    ask("cancel")
    assert json.loads(ask("jobs")) == []


def test_a_launch_that_was_preempted_is_gone(launch, tmp_path):
    local.start(launch)
    log_with(tmp_path, "started")
    (job,) = local.jobs(launch)
    os.kill(int(job.id), signal.SIGTERM)
    log_with(tmp_path, "told to end")
    deadline = time.monotonic() + 60
    while local.jobs(launch):
        assert time.monotonic() < deadline
        time.sleep(0.05)
