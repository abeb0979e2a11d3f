"""One trial in a worker, whatever goes wrong around it; nothing is trained."""

import contextlib
import os
import signal
from types import SimpleNamespace

import optuna
import pytest
from mlflow import MlflowClient
from sqlalchemy.exc import OperationalError

from study.base import interruption
from study.base.errors import TrackingError, WorkerError
from study.design.ablation import parse_ablation
from study.execution import recovery, worker
from study.execution.attempt import TrialRunner
from study.execution.optuna_internals import mark_failed
from study.execution.queue import Queue, create_queue, progress
from study.execution.storage import DEFAULT_STORAGE
from study.tracking import records, runs, tags
from study.tracking.store import connect
from study.workflows import run_ablation
from study.workflows.common import assignment

YAML = """
question: What goes wrong?
baseline: {hidden: 8, epochs: 2}
arms: {grid: {learning_rate: [0.01, 0.02]}}
"""


@pytest.fixture(autouse=True)
def alone(store, connections_closed, monkeypatch):
    """With a worker that waits for nobody and for nothing."""
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0)
    monkeypatch.setattr(worker, "FAULT_SECONDS", 0)


@pytest.fixture
def queue(few_digits) -> Queue:
    """A queue of two trials, of an ablation of its own."""
    asked = parse_ablation(YAML, "wrong", "wrong.yaml")
    started = runs.open_study_run(connect(), "ablation wrong")
    specs = asked.trial_specs(1, few_digits)
    run_ablation.describe(asked, specs, few_digits, started, started.run_id, True)
    queue, _ = create_queue(DEFAULT_STORAGE, started.run_id)
    queue.add_specs(specs)
    queue.assign(assignment(few_digits, started.run_id, open_test=True, reuse=False))
    return queue


def null_run(config, dataset, record, name, on_epoch) -> SimpleNamespace:
    """Run a trial that trains nothing."""
    epoch = SimpleNamespace(number=1, val_loss=config.training.learning_rate)
    on_epoch(epoch)
    record.log_summary({"model_val_loss": epoch.val_loss})
    return SimpleNamespace(state="complete", reason=None, epochs=(epoch,), model_epoch=1)


def work(queue: Queue, train=null_run) -> int:
    return worker.work(DEFAULT_STORAGE, queue.study_name, train=train)


def ended(queue: Queue) -> list[tuple[str, str, str | None]]:
    """Return the slot, status and state of every trial's run, in order."""
    found = records.read_trials(connect(), queue.study_name)
    return sorted((run.tags[tags.SLOT], run.status, run.tags.get(tags.STATE)) for run in found)


WHOLE = [("0", "FINISHED", "complete"), ("1", "FINISHED", "complete")]


# --- a worker that stood still ----------------------------------------------------------------------


def taken_up(queue: Queue) -> None:
    """Do what another process does about the running trial of a worker whose heartbeat has stopped."""
    (trial,) = (trial for trial in queue.trials if trial.state.name == "RUNNING")
    mark_failed(queue, trial)
    recovery.requeue(queue, trial)


@pytest.mark.parametrize("other_is_done", [False, True])
@pytest.mark.parametrize("moment", ["before an epoch", "before its end"])
def test_a_worker_that_stood_still_drops_its_trial_and_goes_on(queue, moment, other_is_done):
    stood_still = []

    def stand_still():
        if stood_still:
            return
        stood_still.append(True)
        taken_up(queue)
        if other_is_done:
            assert work(queue) == 2

    def train(config, dataset, record, name, on_epoch):
        if moment == "before an epoch":
            stand_still()
        result = null_run(config, dataset, record, name, on_epoch)
        if moment == "before its end":
            stand_still()
        return result

    assert work(queue, train) == (1 if other_is_done else 3)
    assert ended(queue) == sorted([*WHOLE, ("0", "KILLED", None)])
    assert [(trial.state, trial.reason) for trial in progress(queue)] == [("COMPLETE", None)] * 2


def test_what_a_worker_finished_before_it_died_counts(queue, monkeypatch):
    class Died(BaseException):
        """Ends everything, as kill -9 does."""

    def die(*_):
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(TrialRunner, "report", die)
        work(queue)
    taken_up(queue)
    trained = []

    def train(config, *given):
        trained.append(config.training.learning_rate)
        return null_run(config, *given)

    assert work(queue, train) == 2 and trained == [0.02]
    assert ended(queue) == WHOLE
    assert [trial.value for trial in queue.trials if trial.state.name == "COMPLETE"] == [0.02, 0.01]


def test_a_run_that_somebody_else_ended_is_not_revived(queue):
    client, killed = connect(), []

    def train(config, dataset, record, name, on_epoch):
        result = null_run(config, dataset, record, name, on_epoch)
        if not killed:
            killed.append(record.run_id)
            client.set_terminated(record.run_id, "KILLED")
        return result

    assert work(queue, train) == 3  # it is tried again
    assert ended(queue) == sorted([*WHOLE, ("0", "KILLED", None)])
    assert [trial.state for trial in progress(queue)] == ["COMPLETE"] * 2


# --- a signal ---------------------------------------------------------------------------------------


@pytest.fixture
def listening():
    """This process listens to signals as a program does."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    interruption.listen()
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("made_of_it", [None, SystemError("returned a result with an exception set")])
def test_a_signal_that_a_library_swallows_ends_the_worker_all_the_same(queue, listening, made_of_it):
    def swallow(config, dataset, record, name, on_epoch):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        if made_of_it:
            raise made_of_it
        return null_run(config, dataset, record, name, on_epoch)

    with pytest.raises(KeyboardInterrupt):
        work(queue, swallow)
    assert [trial.state for trial in progress(queue)] == ["WAITING"] * 2
    assert ended(queue) == [("0", "KILLED", None)]


# --- a store that is away ---------------------------------------------------------------------------


def interrupted(queue: Queue) -> None:
    """Begin the first trial, and leave it behind for another worker."""

    def interrupt(config, dataset, record, name, on_epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(queue, interrupt)


def once(monkeypatch, where: object, name: str, failure: Exception) -> list[Exception]:
    """Let a function fail the first time that it is called; return what it has raised."""
    works, raised = getattr(where, name), []

    def fails_once(*given, **named):
        if not raised:
            raised.append(failure)
            raise failure
        return works(*given, **named)

    monkeypatch.setattr(where, name, fails_once)
    return raised


def test_a_retried_trial_outlives_an_mlflow_that_is_away_when_its_last_try_is_looked_up(queue, monkeypatch):
    interrupted(queue)
    raised = once(monkeypatch, recovery, "end_last_try", TrackingError("no answer", where="run"))
    assert work(queue) == 3
    assert raised and ended(queue) == sorted([*WHOLE, ("0", "KILLED", None)])
    assert [trial.state for trial in progress(queue)] == ["COMPLETE"] * 2


@pytest.mark.parametrize("how", ["deleted", "purged"])
def test_a_retried_trial_whose_last_run_is_gone_is_tried_anew(queue, how):
    interrupted(queue)
    client = connect()
    (run,) = records.read_trials(client, queue.study_name)
    client.delete_run(run.run_id)
    if how == "purged":
        client._tracking_client.store._hard_delete_run(run.run_id)
    assert work(queue) == 2
    assert ended(queue) == WHOLE


class Library(Exception):
    """What the library of an artifact store raises."""


def test_an_artifact_store_that_is_away_costs_no_trial(queue, monkeypatch):
    def train(config, dataset, record, name, on_epoch):
        record.log_files({"a.txt": "a"})
        return null_run(config, dataset, record, name, on_epoch)

    raised = once(monkeypatch, MlflowClient, "log_artifacts", Library("no route to host"))
    assert work(queue, train) == 3
    assert raised and [trial.state for trial in progress(queue)] == ["COMPLETE"] * 2


def test_three_trials_in_a_row_that_cannot_be_recorded_end_the_worker(queue):
    tried = []

    def train(config, dataset, record, name, on_epoch):
        tried.append(name)
        raise TrackingError("no answer", where="run")

    with pytest.raises(WorkerError, match=r"nothing can be recorded \(run: no answer"):
        work(queue, train)
    assert len(tried) == worker.MOST_FAULTS and ended(queue) == [("0", "KILLED", None)] * worker.MOST_FAULTS
    assert [trial.state for trial in progress(queue)] == ["WAITING"] * 2
    assert work(queue) == 2  # and none of its tries counts


# --- a queue that is away ---------------------------------------------------------------------------

AWAY = OperationalError("select", {}, Exception("disk I/O error"))


@pytest.mark.parametrize(
    ("where", "name"),
    [(recovery, "requeue_lost"), (Queue, "running"), (Queue, "ask"), (optuna.study._optimize, "_tell_with_warning")],
)
def test_a_fault_of_the_queue_ends_no_worker(queue, monkeypatch, where, name):
    raised = once(monkeypatch, where, name, AWAY)
    work(queue)
    assert raised and ended(queue) == WHOLE
    assert [trial.state for trial in progress(queue)] == ["COMPLETE"] * 2


def test_a_fault_when_a_worker_asks_whether_the_queue_has_ended_ends_no_worker(queue, monkeypatch):
    answers = iter([AWAY, None, None, AWAY, "the time is up"])

    def answer(queue):
        if (next_one := next(answers)) is AWAY:
            raise AWAY
        return next_one

    monkeypatch.setattr(Queue, "ended", property(answer))
    assert work(queue) == 2


def fail(failure: Exception) -> None:
    raise failure


def test_a_queue_that_stays_away_ends_the_worker_with_the_reason(queue, monkeypatch):
    monkeypatch.setattr(recovery, "requeue_lost", lambda queue: fail(AWAY))
    monkeypatch.setattr(recovery, "LOOK_SECONDS", -1)
    with pytest.raises(WorkerError, match=r"the queue cannot be used \(.*disk I/O error"):
        work(queue)


# --- a worker that has grown too large --------------------------------------------------------------


def test_a_worker_leaves_between_two_trials_and_another_goes_on(queue):
    assert worker.work(DEFAULT_STORAGE, queue.study_name, train=null_run, leave=lambda: True) == 1
    assert [trial.state for trial in progress(queue)] == ["COMPLETE", "WAITING"]
    assert work(queue) == 1
