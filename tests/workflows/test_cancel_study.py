"""What a killed study leaves running is ended, and its command can go on; a conductor that lives hears of it."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import click.testing
import optuna
import pytest
from factories.programs import null_run, searched
from optuna.trial import TrialState

from entrypoints import cancel, launch, status, status_tables
from entrypoints import worker as worker_program
from study.base import processes
from study.base.errors import ConfigError, Interrupted
from study.design.search import Budget
from study.execution import attributes, optuna_internals, recovery, worker
from study.execution.engines import engine, launches, local
from study.execution.engines.engine import Request
from study.execution.queue import QueueError, create_queue, load_queue
from study.execution.study_status import study_status
from study.tracking import records, runs, tags
from study.tracking.store import connect
from study.workflows import cancel_study, run_search
from study.workflows.launch import launch_workers
from study.workflows.search_budget import plan
from study.workflows.slot_supply import SlotSupply

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")
STORAGE = "sqlite:///optuna.db"
DEAD = processes.this_process() | {"pid": str(2**22 - 1)}
ELSEWHERE = processes.this_process() | {"host": "elsewhere", "machine": "elsewhere 1"}


@pytest.fixture(autouse=True)
def alone(store, connections_closed, monkeypatch):
    monkeypatch.setattr(cancel_study, "ANSWER_SECONDS", 1)


@pytest.fixture
def queue(digits, name):
    """A search whose conductor has died: a trial is done, one is a dead worker's, one a silent one's elsewhere."""
    client, search, dataset = connect(), searched(1, digits), digits.without_test()
    queue, _ = create_queue(STORAGE, name, search.direction)
    run = run_search.open_search(client, name)
    run_search.begin(search, dataset, queue, run, {}, reuse=False)
    SlotSupply(queue, search, Budget(5, None))([])
    queue.set_user_attr(attributes.CONDUCTOR, DEAD)
    queue.set_user_attr(attributes.PLAN, {"trials": 5, "epochs": 1})
    trial = queue.ask()
    trial.set_user_attr(attributes.WORKER, DEAD)
    queue.tell(trial, 0.5)
    for process in (DEAD, ELSEWHERE):
        begun(queue, process).report(0.7, 1)
    return queue


def begun(queue, worker: dict[str, str]) -> optuna.Trial:
    """Return the next trial, as this worker has it when it has begun its run."""
    trial = queue.ask()
    trial.set_user_attr(attributes.WORKER, worker)
    slot = trial.user_attrs[attributes.SLOT]
    marks = {tags.OPTUNA_STUDY: queue.study_name, tags.OPTUNA_TRIAL: str(trial.number), tags.SLOT: str(slot)}
    run = runs.start_trial_run(connect(), queue.assignment.run_id, "a trial", {}, marks)
    trial.set_user_attr(attributes.RUN_ID, run.run_id)
    optuna_internals.expect_heartbeat(queue, queue.frozen(trial))
    return trial


def running_runs(name: str) -> int:
    """Return how many runs of the study, and of its trials, have not ended."""
    queries = (f"tags.{tag} = '{name}' and attributes.status = 'RUNNING'" for tag in (tags.STUDY, tags.OPTUNA_STUDY))
    return len({run.info.run_id for query in queries for run in connect().search_runs(["0"], query)})


def test_nothing_of_a_killed_study_is_left_running(queue):
    assert running_runs(queue.study_name) == 3
    left = cancel_study.cancel_study(STORAGE, queue.study_name)
    assert (left.finished, left.waiting, left.stopped, left.problems) == (1, 4, 2, ())
    assert running_runs(queue.study_name) == 0
    assert (
        sorted(trial.state.name for trial in queue.get_trials(deepcopy=False))
        == ["COMPLETE", "FAIL", "FAIL"] + ["WAITING"] * 4
    )
    assert queue.ended == f"cancelled from {queue.cancelled}"
    again = cancel_study.cancel_study(STORAGE, queue.study_name)
    assert (again.finished, again.waiting, again.stopped) == (1, 4, 0)


def test_who_resumes_a_study_while_it_is_cancelled_loses_nothing(queue, monkeypatch):
    monkeypatch.setattr(recovery, "requeue_silent", lambda *given: load_queue(STORAGE, queue.study_name).reopen())
    with pytest.raises(QueueError, match="its command was given again while it was being cancelled"):
        cancel_study.cancel_study(STORAGE, queue.study_name)
    assert queue.running() == [1, 2] and running_runs(queue.study_name) == 3


@pytest.mark.parametrize("begins", [True, False])
def test_workers_elsewhere_go_on_while_lost_runs_are_ended(queue, begins, monkeypatch):
    client, read = connect(), records.read_running_trials
    of_the_dead, elsewhere = (trial.user_attrs[attributes.RUN_ID] for trial in queue.get_trials()[1:3])
    meant: list[str] = []

    def meanwhile(*given):
        if begins:  # before the runs are read, and after the trials if they were read first
            meant.append(queue.frozen(begun(queue, ELSEWHERE)).user_attrs[attributes.RUN_ID])
            return read(*given)
        found = read(*given)
        client.set_terminated(elsewhere, "FINISHED")
        queue.tell(2, 0.4)
        return found

    monkeypatch.setattr(records, "read_running_trials", meanwhile)
    recovery.end_lost_trials(client, queue.assignment.run_id, queue)
    states = {run_id: client.get_run(run_id).info.status for run_id in (of_the_dead, elsewhere, *meant)}
    assert states.pop(of_the_dead) == "KILLED"
    assert list(states.values()) == (["RUNNING", "RUNNING"] if begins else ["FINISHED"])


def test_the_command_that_is_repeated_goes_on(queue, digits):
    cancel_study.cancel_study(STORAGE, queue.study_name)
    SlotSupply(queue, searched(1, digits), Budget(5, None))([])
    assert queue.cancelled is None and queue.ended is None
    assert queue.ask().number == 5  # the next try of the one that came first


def test_a_conductor_that_lives_ends_when_its_study_is_cancelled(digits, name):
    def cancel_it(trials):
        load_queue(STORAGE, name).cancel("there")

    search = searched(1, digits)
    message = r"cancelled from there with 0 of 40 trials done\. Run the same command again"  # a stock of them waits
    with pytest.raises(Interrupted, match=message):
        run_search.run_search(
            search, digits, name=name, plan=plan(search, digits, Budget(40, None), 1, 0), params={}, worker_count=0,
            observe=cancel_it, storage=STORAGE,
        )  # fmt: skip
    (run,) = connect().search_runs(["0"], f"tags.study = '{name}'")
    assert run.info.status == "KILLED"


def test_a_conductor_ends_in_the_middle_of_its_comparison_as_well(digits, name, monkeypatch):
    client, search, dataset = connect(), searched(1, digits), digits.without_test()
    queue, _ = create_queue(STORAGE, name, search.direction, search.metric)
    run_search.begin(search, dataset, queue, run_search.open_search(client, name), {}, reuse=False)
    SlotSupply(queue, search, Budget(3, None))([])
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0)
    assert worker.work(STORAGE, name, spec="digits", train=null_run) == 3
    monkeypatch.setattr(cancel_study, "ANSWER_SECONDS", 60)
    with ThreadPoolExecutor() as pool:
        answers = []

        def observe(trials):
            compared = load_queue(STORAGE, queue.user_attrs[attributes.COMPARISON])
            answers.append(pool.submit(cancel_study.cancel_study, STORAGE, name))
            while not compared.cancelled:
                time.sleep(0.01)

        with pytest.raises(Interrupted, match=r"cancelled from \S+ with 0 of 14 trials done"):
            run_search.run_search(
                search, digits, name=name, plan=plan(search, digits, Budget(3, None), 1, 1), params={},
                worker_count=0, reuse=False, observe=lambda trials: None, storage=STORAGE,
                confirm=lambda specs: nullcontext((observe, lambda study, more: None)),
            )  # fmt: skip
        (answer,) = answers
        left = answer.result()
    assert (left.finished, left.waiting, left.stopped, left.problems) == (3, 0, 0, ())
    found = client.search_runs(["0"], f"tags.study LIKE '%{name}%' and tags.kind = '{tags.STUDY_KIND}'")
    assert sorted((run.data.tags["task"], run.info.status) for run in found) == [
        ("confirm", "KILLED"), ("search", "KILLED"),
    ]  # fmt: skip
    assert running_runs(name) == 0


def test_what_a_search_killed_in_its_comparison_leaves_is_ended_too(queue):
    client, compared = connect(), f"confirm {queue.study_name}"
    below, _ = create_queue(STORAGE, compared)
    run = runs.open_study_run(client, compared)
    below.assign(replace(queue.assignment, run_id=run.run_id, search=None))
    queue.set_user_attr(attributes.COMPARISON, compared)
    cancel_study.cancel_study(STORAGE, queue.study_name)
    assert below.cancelled and client.get_run(run.run_id).info.status == "KILLED"


def test_a_launch_that_is_begun_while_its_study_is_cancelled_is_ended(queue, monkeypatch):
    ended = []
    monkeypatch.setattr(engine, "new_folder", str)  # none
    monkeypatch.setattr(local, "start", lambda launch: queue.cancel("there"))
    monkeypatch.setattr(local, "cancel", ended.append)
    with pytest.raises(ConfigError, match="takes no more workers: cancelled from there"):
        launch_workers(STORAGE, queue.study_name, Request("local", 1, {}))
    assert len(ended) == 1 and not list(launches.remembered(queue))


def test_a_study_that_has_ended_takes_no_more_workers(queue):
    queue.end("the ablation has ended")
    with pytest.raises(ConfigError, match=r"takes no more workers: the ablation has ended\. Run the command that"):
        launch_workers(STORAGE, queue.study_name, Request("local", 1, {}))
    assert not os.path.exists("launches")


def test_status_counts_trials_by_state_host_and_worker(queue):
    now = study_status(STORAGE, queue.study_name)
    assert (now.trials, now.complete, now.running, now.waiting, now.failed) == (5, 1, 2, 2, 0)
    assert now.conductor_ended and now.ended is None
    assert {(one.host, one.running, one.ended) for one in now.hosts} == {("elsewhere", 1, 0), (DEAD["host"], 1, 1)}
    assert {(one.host, one.epoch, one.epochs) for one in now.workers} == {("elsewhere", 1, 1), (DEAD["host"], 1, 1)}
    assert all(0 <= one.heartbeat_seconds < 60 for one in now.workers)
    assert now.seconds_left is not None
    lines = list(status_tables.lines(now))
    assert lines[0] == f"{now.study}: 1 of 5 trials done, 2 running, 2 waiting"
    assert lines[-1].endswith(f":{DEAD['pid']}, which has ended: run its command again to resume")


def test_a_trial_whose_worker_is_silent_waits_again_and_has_lost_no_try(queue):
    recovery.requeue_silent(queue, seconds=3_600)
    assert len(queue.running()) == 1  # that of the dead worker here needs no patience
    recovery.requeue_silent(queue, seconds=-1)
    assert queue.running() == []
    last = queue.get_trials(deepcopy=False)[-1]
    assert last.state == TrialState.WAITING and last.user_attrs[attributes.UNCOUNTED] == 1


def test_the_commands_say_what_they_see_and_do(queue):
    def called(command, *words: str) -> click.testing.Result:
        given = ["--study", queue.study_name, "--storage", STORAGE, *words]
        return click.testing.CliRunner().invoke(command, given)

    shown = called(status.main).stdout
    assert re.search(r"^worker +trial +epoch +heartbeat *$", shown, re.M) and "trial 2" in shown
    assert '"waiting": 2,' in called(status.main, "--output", "json").stdout
    said = f"{queue.study_name} is cancelled, with 1 trial finished; 2 were running and are requeued."
    assert said in called(cancel.main).stdout
    ended = f"0 trials ran here; {queue.study_name} takes no more trials: cancelled from"
    assert ended in called(worker_program.main, "--workers", "1").stdout
    refused = called(launch.main, "--workers", "1").exception
    assert isinstance(refused, ConfigError) and "takes no more workers: cancelled from" in str(refused)
