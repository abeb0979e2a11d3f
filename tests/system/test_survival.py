"""What kills a program or a worker does not lose its study, and many of them share one: all of it real.

Queues lie in SQLite and in PostgreSQL; the record is one MLflow store for the module.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import DATABASES, ROOT
from factories.programs import (
    ABLATION,
    asked,
    at_work,
    check_whole,
    done,
    finished,
    points,
    runs_of,
    said,
    searched,
    studies,
    wait_until,
    workers_in,
)  # fmt: skip
from mlflow import MlflowClient

from study.design.ablation import load_ablation
from study.design.search import Budget
from study.execution.attributes import tries_before
from study.execution.queue import create_queue, progress
from study.tracking.store import connect
from study.workflows import run_ablation, run_search
from study.workflows.search_budget import plan
from study.workflows.slot_supply import SlotSupply

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("connections_closed")]
ENDINGS = (signal.SIGINT, signal.SIGKILL)  # test_worker_pool.py has SIGTERM

# --- workers that are killed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("storage", "kind"),
    [
        ("sqlite", "search"),
        ("postgres", "ablation"),
        pytest.param("sqlite", "ablation", marks=pytest.mark.matrix),
        pytest.param("postgres", "search", marks=pytest.mark.matrix),
    ],
    indirect=["storage"],
)
def test_trial_of_a_killed_worker_is_taken_up_by_another(kind, storage, name, store, digits):
    client, killed = connect(), []

    def kill_one(trials):
        if not killed and (there := at_work(storage, queue_name(client, name))):
            os.kill(int(there[0].user_attrs["worker"]["pid"]), signal.SIGKILL)
            killed.append((there[0], time.time()))

    how = {"params": {}, "worker_count": 2, "observe": kill_one, "reuse": False, "storage": storage}
    if kind == "search":
        search = searched(150, digits)
        run_search.run_search(search, digits, name=name, plan=plan(search, digits, Budget(4, None), 2, 0), **how)
        trials = 4
    else:
        study = load_ablation("dropout").with_baseline({"epochs": 150, "patience": None})
        outcome = run_ablation.run_ablation(replace(study, task=name), study.trial_specs(1, digits), digits, **how)
        assert outcome.failures == []
        trials = 3
    study_name, ((lost, when),) = queue_name(client, name), killed
    check_whole(client, storage, study_name, trials)
    (retry,) = (trial for trial in done(storage, study_name) if tries_before(trial) == [lost.number])
    assert retry.datetime_start.timestamp() - when < 60
    (run,) = (run for run in runs_of(client, study_name) if run.info.status != "FINISHED")
    assert (run.info.run_id, run.info.status) == (lost.user_attrs["run_id"], "KILLED")
    assert "another took the trial up" in run.data.tags["reason"]


def queue_name(client: MlflowClient, title: str) -> str:
    """Return what the queue of this test is called: an ablation adds something of its run's ID to the title."""
    study = client.search_runs(["0"], "tags.task != ''", order_by=["attributes.start_time DESC"], max_results=1)
    own = study[0].data.tags["study"] if study else ""
    return own if title in own else title


# --- programs that are killed -----------------------------------------------------------------------


def test_a_search_that_is_ended_goes_on_where_it_was(storage, name, start, store):
    client, kept = connect(), {}
    given = asked(name, storage, 150, trials=3)
    for ending in ENDINGS:
        before = kept
        program = start("search", **given)
        wait_until(lambda: at_work(storage, name) and done(storage, name), program)
        program.send_signal(ending)
        message = said(program)
        wait_until(lambda: not workers_in(store))
        if ending != signal.SIGKILL:  # then there is nobody left to say or write anything
            assert program.returncode == 130
            assert re.search(r"Error: stopped with \d of 3 trials done\. Run the same command again", message)
            assert not any(run.info.status == "RUNNING" for run in runs_of(client, name))
        kept = finished(client, name)
        assert before.items() <= kept.items()
    program = start("search", **given)
    message = said(program)
    assert program.returncode == 0, message
    check_whole(client, storage, name, 3)
    assert kept.items() <= finished(client, name).items()


def test_one_worker_comes_to_the_same_points_though_it_was_killed(storage, name, start, store):
    client, whole, broken = connect(), f"{name} whole", f"{name} broken"
    given = asked("", storage, 60, trials=13)  # from the eleventh on the points depend on the others
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
    assert any(tries_before(trial) for trial in done(storage, broken))


# --- many workers, and many programs at once --------------------------------------------------------


WORK = """
import sys
from factories import programs
from study.execution import worker

worker.work(*sys.argv[1:], train=programs.null_run)
"""


def test_eight_workers_share_one_queue(storage, name, store, digits, record_property):
    workers, trials = 8, 200
    client, search = connect(), searched(1, digits)
    queue, _ = create_queue(storage, name, search.direction)
    run = run_search.open_search(client, name)
    run_search.begin(search, digits.without_test(), queue, run, {}, reuse=False)
    supply = SlotSupply(queue, search, Budget(trials, None))
    supply([])
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", WORK, storage, name]
    team = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(workers)]
    try:
        while any(process.poll() is None for process in team):
            now = progress(queue)
            supply(now)
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
    given = asked(name, storage, 2, trials=4)
    Path("two.yaml").write_text(ABLATION.format(epochs=2))
    given_too = {"task": "two.yaml", "data": "digits", "seeds": 1, "workers": 1, "storage": storage, "reuse": "false"}
    programs = [start("search", **given), start("search", **given)]
    programs += [start("ablation", **given_too), start("ablation", **given_too)]
    messages = [said(program) for program in programs]
    assert [program.returncode for program in programs] == [0] * 4, messages
    client = connect()
    check_whole(client, storage, name, 4)
    assert len(studies(client, "search")) == 1
    ablations = studies(client, "two")
    assert [run.info.status for run in ablations] == ["FINISHED"] * 2
    for run in ablations:
        check_whole(client, storage, run.data.tags["study"], 2)
