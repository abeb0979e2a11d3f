"""A search whose workers are pods: a stand-in for kubectl runs them as processes, evicts them and ends them."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from factories import kubectl
from factories.programs import asked, at_work, check_whole, said, trials_of, wait_until
from mlflow import MlflowClient
from optuna.trial import TrialState

from study.execution.attributes import UNCOUNTED, tries_before

pytestmark = [pytest.mark.slow, pytest.mark.matrix, pytest.mark.usefixtures("connections_closed")]


@pytest.fixture
def cluster(tmp_path, monkeypatch, postgres, mlflow_server):
    """The folder of the stand-in, which is on the PATH; pods get the servers' addresses from the manifest alone."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "secret.json").write_text(json.dumps({"password": postgres.password}))
    (folder / "kubectl").write_text(f'#!/bin/sh\nexec {sys.executable} {kubectl.__file__} "$@"\n')
    (folder / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_FOLDER", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    yield folder
    for job in folder.glob("study-*"):
        (job / "deleted").touch()
        wait_until(lambda job=job: not (job / "job.json").exists())


def pods(cluster: Path) -> dict[str, tuple[str, int]]:
    """Return the phase and the pid of each pod, by name."""
    items = [item for path in cluster.glob("*/state.json") for item in json.loads(path.read_text())["items"]]
    return {
        item["metadata"]["name"]: (item["status"]["phase"], int(item["metadata"]["annotations"]["pid"]))
        for item in items if item["kind"] == "Pod"
    }  # fmt: skip


def test_an_evicted_pod_is_replaced_and_the_search_deletes_its_job(cluster, name, start, postgres):
    storage = postgres.new_database().replace(f":{postgres.password}@", "@")
    given = asked(name, storage, 1_000, trials=4, launch="kubernetes:2,image=registry.example/keras-study:1")
    del given["workers"]
    program = start("search", **given)
    wait_until(lambda: len(at_work(storage, name)) == 2, program)
    (victim, (_, pid)), *_ = pods(cluster).items()
    lost = {trial.number for trial in at_work(storage, name)}
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: pods(cluster)[victim][0] == "Failed", program)
    back = [trial for trial in trials_of(storage, name) if set(tries_before(trial)) & lost]
    assert len(back) == 1 and back[0].user_attrs[UNCOUNTED] == 1
    wait_until(lambda: len(at_work(storage, name)) == 2, program)
    message = said(program)
    assert program.returncode == 0, message
    check_whole(MlflowClient(), storage, name, 4)
    assert len(pods(cluster)) == 3 and "Running" not in {phase for phase, _ in pods(cluster).values()}


def test_cancel_deletes_the_job_and_leaves_nothing_running(cluster, name, start, postgres):
    storage = postgres.new_database().replace(f":{postgres.password}@", "@")
    program = start("search", **asked(name, storage, 5_000, trials=4))
    wait_until(lambda: at_work(storage, name), program)
    launched = start("launch", study=name, storage=storage, on="kubernetes", workers=1, options="image=x")
    assert launched.communicate(timeout=100)[1] == ""
    wait_until(lambda: len(at_work(storage, name)) == 2, program)
    cancelled = start("cancel", study=name, storage=storage)
    assert cancelled.communicate(timeout=200)[1] == "" and cancelled.returncode == 0
    assert "cancelled from" in said(program)
    assert "Running" not in {phase for phase, _ in pods(cluster).values()}
    assert {trial.state for trial in trials_of(storage, name)} == {TrialState.WAITING, TrialState.FAIL}
    assert not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")
