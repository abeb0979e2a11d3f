"""More workers on this machine by one command, with real trials: preempted, counted, cancelled, and launched again."""

import os
import re
import signal

import pytest
from factories.programs import asked, at_work, done, said, trials_of, wait_until
from mlflow import MlflowClient
from optuna.trial import TrialState

from study.base import processes
from study.execution.attributes import UNCOUNTED, tries_before
from study.execution.engines import launches, local
from study.execution.queue import load_queue

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("connections_closed")]
STORAGE = "sqlite:///optuna.db"


def test_launched_workers_are_preempted_and_cancelled_and_the_search_goes_on(name, start, new_store):
    given = asked(name, STORAGE, 60)
    program = start("search", **given, trials=100)
    wait_until(lambda: at_work(STORAGE, name), program)
    launched = start("launch", study=name, storage=STORAGE, workers=1)
    output, errors = launched.communicate(timeout=100)
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
    assert again.user_attrs[UNCOUNTED] == 1

    cancelled = start("cancel", study=name, storage=STORAGE)
    assert cancelled.communicate(timeout=100)[1] == ""
    assert "cancelled from" in said(program) and program.returncode == 130
    assert not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")
    finished = len(done(STORAGE, name))

    del given["workers"]  # auto: none of the command's own
    program = start("search", **given, trials=finished + 3, launch="local:1")
    message = said(program)
    assert program.returncode == 0, message
    assert len(done(STORAGE, name)) == finished + 3
    assert not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")
    assert not list(launches.remembered(load_queue(STORAGE, name)))
