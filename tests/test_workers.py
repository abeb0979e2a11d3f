"""The queue by itself, with many takers; and real workers that are killed."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import optuna
import pytest
from conftest import ROOT
from mlflow import MlflowClient
from optuna.trial import TrialState

from study import ablation, conduct, tracking, workers
from study.config import TrialConfig
from study.errors import WorkerError
from study.workers import Assignment, Cell

NOWHERE = Assignment("sqlite:///unused.db", "no-run", "digits", "auto", "0" * 64)


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def cells(number: int) -> list[Cell]:
    return [Cell("arm", TrialConfig(seed=seed)) for seed in range(1, number + 1)]


@pytest.mark.parametrize("attempt", range(3))
def test_every_trial_is_handed_out_once_and_none_is_made_up(storage, attempt):
    workers.create_queue(storage, "many takers", NOWHERE, cells(12))
    taken: list[str] = []
    together = threading.Barrier(4)

    def take():
        study = optuna.load_study(study_name="many takers", storage=workers._open(storage))
        together.wait()
        with pytest.raises(workers.QueueEmpty):
            while True:
                study.optimize(lambda trial: taken.append(trial.user_attrs["name"]) or 0.0, n_trials=1)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(taken) == sorted(cell.name for cell in cells(12))
    study = optuna.load_study(study_name="many takers", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12


def test_config_comes_through_the_queue_unchanged(storage):
    config = TrialConfig(learning_rate=0.1 + 0.2, hidden="20-7-5", patience=None, l2=1e-7)
    study = workers.create_queue(storage, "text", NOWHERE, [Cell("arm", config)])
    assert TrialConfig.parse(study.trials[0].user_attrs["config"]) == config


def test_progress_tells_state_epoch_and_reason(storage):
    study = workers.create_queue(storage, "progress", NOWHERE, cells(3))

    def first(trial):
        trial.report(0.5, 1)
        trial.report(0.25, 2)
        return 0.25

    def second(trial):
        trial.set_user_attr("reason", "the loss was not finite")
        raise workers.Diverged

    study.optimize(first, n_trials=1)
    study.optimize(second, n_trials=1, catch=(Exception,))
    done, failed, waiting = workers.progress(study)
    assert (done.name, done.state, done.epoch, done.epochs, done.val_loss) == ("arm · seed 1", "COMPLETE", 2, 5, 0.25)
    assert (failed.state, failed.reason) == ("FAIL", "the loss was not finite")
    assert (waiting.state, waiting.finished, done.finished, failed.finished) == ("WAITING", False, True, True)


def test_queue_that_cannot_be_opened_is_an_error():
    with pytest.raises(WorkerError, match="the queue cannot be opened"):
        workers.create_queue("sqlite:////nowhere/at/all/optuna.db", "x", NOWHERE, cells(1))


# --- workers that are killed ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return tmp_path


def running(client: MlflowClient) -> list:
    return client.search_runs(["0"], "attributes.status = 'RUNNING' and tags.pid != ''")


@pytest.mark.slow
def test_trial_of_a_killed_worker_is_taken_up_by_another(folder, digits):
    study = ablation.load("dropout").with_baseline({"epochs": 200, "patience": None})
    client = tracking.connect()
    killed = []

    def kill_one(trials):
        if not killed and any(trial.epoch for trial in trials):
            victim = running(client)[0]
            os.kill(int(victim.data.tags["pid"]), signal.SIGKILL)
            killed.append(victim)

    outcome = conduct.conduct(study, study.cells(1, digits), digits, params={}, worker_count=2, observe=kill_one)
    assert outcome.failures == []
    records = outcome.study.trials
    finished = [record.name for record in records if record.status == "FINISHED"]
    assert sorted(finished) == [f"dropout={share} · seed 1" for share in (0.0, 0.1, 0.3)]
    (lost,) = (record for record in records if record.status != "FINISHED")
    assert (lost.run_id, lost.status) == (killed[0].info.run_id, "KILLED")
    assert "another took the trial up" in lost.tags["reason"]


@pytest.mark.slow
def test_study_whose_workers_all_die_says_so_and_leaves_nothing_running(folder, digits):
    study = ablation.load("dropout").with_baseline({"epochs": 20_000, "patience": None})
    client = tracking.connect()

    def kill_all(trials):
        for run in running(client):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(run.data.tags["pid"]), signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"every worker ended \(exit status -9\)"):
        conduct.conduct(study, study.cells(1, digits), digits, params={}, worker_count=1, observe=kill_all)
    assert {run.info.status for run in client.search_runs(["0"])} == {"KILLED", "FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_program_that_started_it(folder, ending):
    words = ["--task", "dropout", "--data", "digits", "--epochs", "100000", "--set", "patience=none"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    client = tracking.connect()  # before the program: of two that open a new store at once one may fail
    program = subprocess.Popen(
        [sys.executable, "-m", "entrypoints.ablation", *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(running(client)) == 2)
    pids = [int(run.data.tags["pid"]) for run in running(client)]
    program.send_signal(ending)
    errors = program.communicate(timeout=60)[1]
    wait_until(lambda: not any(alive(pid) for pid in pids))
    if ending != signal.SIGKILL:  # then there is nobody left to say or write anything
        assert (program.returncode, "stopped with 0 of 21 trials done" in errors) == (130, True)
        assert {run.info.status for run in client.search_runs(["0"])} == {"KILLED"}


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
