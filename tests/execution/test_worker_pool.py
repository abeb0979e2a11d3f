"""Real workers that are killed, and programs that are killed around them."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import ROOT
from mlflow import MlflowClient

from study.base.errors import Interrupted, WorkerError
from study.design.ablation import load_ablation
from study.execution import worker_server, worker_server_client
from study.tracking import records, store
from study.workflows import run_ablation


def running(client: MlflowClient) -> list:
    return client.search_runs(["0"], "attributes.status = 'RUNNING' and tags.slot != ''")


@pytest.mark.slow
def test_study_whose_workers_all_die_says_so_and_leaves_nothing_running(new_store, digits):
    study = load_ablation("dropout").with_baseline({"epochs": 20_000, "patience": None})
    client = store.connect()

    def kill_all(trials):
        for run in running(client):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(run.data.tags["pid"]), signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"every worker ended \(exit status -9\)"):
        run_ablation.run_ablation(
            study, study.trial_specs(1, digits), digits, params={}, worker_count=1, observe=kill_all
        )
    assert {run.info.status for run in client.search_runs(["0"])} == {"KILLED", "FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["program", "server"])
def test_no_worker_outlives_the_program_or_the_server_that_started_it(new_store, victim):
    words = ["--task", "dropout", "--data", "digits", "--epochs", "100000", "--set", "patience=none"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    client = store.connect()
    program = subprocess.Popen(
        [sys.executable, "-m", "entrypoints.ablation", *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(running(client)) == 2)
    pids = [int(run.data.tags["pid"]) for run in running(client)]
    if victim == "program":
        program.send_signal(signal.SIGTERM)
        expected = 130, "stopped with 0 of 21 trials done"
    else:
        os.kill(psutil.Process(pids[0]).ppid(), signal.SIGKILL)
        expected = 1, "every worker ended (exit status -9)"
    errors = program.communicate(timeout=60)[1]
    wait_until(lambda: not any(alive(pid) for pid in pids))
    assert (program.returncode, expected[1] in errors) == (expected[0], True)
    assert "RUNNING" not in {run.info.status for run in client.search_runs(["0"])}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_an_ablation_that_was_interrupted_trains_the_rest(new_store, digits, monkeypatch, start):
    monkeypatch.setenv(worker_server.START_VARIABLE, start)
    monkeypatch.setattr(worker_server_client, "_latest", [])  # a server of its own, which has read the variable
    study = load_ablation("dropout").with_baseline({"epochs": 30, "patience": None})
    specs = study.trial_specs(2, digits)

    def stop(trials):
        if sum(trial.finished for trial in trials) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(
        Interrupted, match="Run the same command again to resume: finished trials are not trained again"
    ):
        run_ablation.run_ablation(study, specs, digits, params={}, worker_count=1, observe=stop)
    done = {trial.name for trial in records.find_trials(store.connect(), None, None)}
    outcome = run_ablation.run_ablation(study, specs, digits, params={}, worker_count=1, observe=lambda trials: None)
    assert 2 <= len(done) < 6
    assert {trial.name for trial in outcome.study.trials if "reused_from" in trial.tags} == done
    assert sorted(trial.name for trial in outcome.study.trials) == sorted(spec.name for spec in specs)
    assert {trial.status for trial in outcome.study.trials} == {"FINISHED"}
