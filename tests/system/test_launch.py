"""More workers on this machine by one command, with real trials: preempted, cancelled, and a search's own."""

import os
import re
import signal

import pytest
from factories.programs import ABLATION, PATIENCE_SECONDS, asked, at_work, check_whole, said, trials_of, wait_until
from mlflow import MlflowClient
from optuna.trial import TrialState

import study
from study.base import processes
from study.execution.attributes import UNCOUNTED, tries_before
from study.execution.engines import launches, local
from study.execution.queue import load_queue

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("connections_closed")]
STORAGE = "sqlite:///optuna.db"


def test_launched_workers_are_preempted_and_cancelled(name, start, new_store):
    program = start("search", **asked(name, STORAGE, 20_000, trials=4))  # no trial ends by itself
    wait_until(lambda: at_work(STORAGE, name), program)
    launched = start("launch", study=name, storage=STORAGE, workers=1)
    output, errors = launched.communicate(timeout=PATIENCE_SECONDS)
    assert errors == "" and re.search(r"^1 worker on local: study-launched-", output)
    wait_until(lambda: len(at_work(STORAGE, name)) == 2, program)
    (launch,) = launches.remembered(load_queue(STORAGE, name))
    there = processes.marked("STUDY_LAUNCH", launch.id)
    (lost,) = (one.number for one in at_work(STORAGE, name) if int(one.user_attrs["worker"]["pid"]) in there)
    for pid in there:  # as batch systems do it: to every process
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not local.jobs(launch), program)
    tries = trials_of(STORAGE, name)
    assert tries[lost].state == TrialState.FAIL
    (again,) = (trial for trial in tries if tries_before(trial) == [lost])
    assert again.state == TrialState.WAITING and again.user_attrs[UNCOUNTED] == 1

    cancelled = start("cancel", study=name, storage=STORAGE)
    assert cancelled.communicate(timeout=PATIENCE_SECONDS)[1] == ""
    assert "cancelled from" in said(program) and program.returncode == 130
    assert not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")
    assert {trial.state for trial in trials_of(STORAGE, name)} == {TrialState.FAIL, TrialState.WAITING}


def test_a_search_trains_on_what_it_launches_and_ends_it(name, start, new_store):
    given = asked(name, STORAGE, 3, trials=3, launch="local:1")
    del given["workers"]  # auto: none of the command's own
    program = start("search", **given)
    message = said(program)
    assert program.returncode == 0, message
    check_whole(MlflowClient(), STORAGE, name, 3)
    assert not list(launches.remembered(load_queue(STORAGE, name)))
    (log,) = new_store.glob(f"launches/*/{local.LOG}")
    assert "1/" in log.read_text()  # it ran there


def test_a_study_in_python_and_a_promotion_train_on_what_they_launch(new_store, start):
    (new_store / "sizes.yaml").write_text(ABLATION.format(epochs=2))
    found = study.run_ablation("sizes.yaml", data="digits", seeds=2, launch="local:1", progress=False)
    assert len(found.trials) == 4 and found.trials["state"].eq("complete").all()
    program = start("promote", data="digits", top=1, seeds=1, name="reads-digits", launch="local:1")
    output, errors = program.communicate(timeout=PATIENCE_SECONDS)
    assert program.returncode == 0, errors
    assert "reads-digits version 1 is the champion" in output
    logs = [path.read_text() for path in new_store.glob(f"launches/*/{local.LOG}")]
    assert len(logs) == 2 and all("1/" in log for log in logs)
