"""The queue as a state machine: whatever its workers and commands do, in any order, no trial is lost or counted twice.

Hypothesis draws what happens next. Each worker and each command sees the queue with eyes of its own, as a process does.
What a process can do is done by the functions that it would call; only its death is played, and the passing of time,
which makes heartbeats old in the database.
"""

from collections import Counter
from contextlib import suppress

import optuna
import pytest
from conftest import DATABASES
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from optuna.storages import fail_stale_trials
from optuna.trial import TrialState
from sqlalchemy import event, text

from study.design.ablation import TrialSpec
from study.execution import attributes, recovery
from study.execution.attributes import doubles, slot_of, tries_before, tries_counted, tries_that_count
from study.execution.optuna_internals import QueueEmpty, mark_failed
from study.execution.queue import Assignment, Queue, progress
from study.execution.storage import Storage, open_storage
from study.training.config import TrialConfig

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # `optimize` hides it as well
SPECS = [TrialSpec("arm", TrialConfig.parse({"seed": seed})) for seed in range(1, 6)]
WORKERS, COMMANDS = range(3), range(2)
ALIVE = (TrialState.WAITING, TrialState.RUNNING)
PATIENCE_SECONDS = 3_600  # before the machine takes a worker for dead: no pause of a busy machine is as long
LONG_AGO = 2 * PATIENCE_SECONDS
UNSAFE = "PRAGMA synchronous=OFF"
worker_of = st.sampled_from(WORKERS)
command_of = st.sampled_from(COMMANDS)


class Machine(RuleBasedStateMachine):
    """Five trials at most, three workers, two commands. `storage` and `number` belong to all examples of a test."""

    storage: Storage
    number = 0

    def __init__(self):
        super().__init__()
        Machine.number += 1
        name = f"machine {Machine.number}"
        optuna.create_study(study_name=name, storage=self.storage)
        self.workers = [Queue(name, self.storage) for _ in WORKERS]
        self.commands = [Queue(name, self.storage) for _ in COMMANDS]
        self.commands[0].assign(Assignment("sqlite:///unused.db", "no-run", "digits", "auto", "0" * 64))
        self.held: dict[int, optuna.Trial] = {}  # the trial that a worker believes to be its own
        self.lives: Counter[int] = Counter()  # how often a worker has been started
        self.dead: set[str] = set()
        self.finished: dict[int, float] = {}  # the value of each slot that a worker has told
        recovery.is_gone = lambda process: process["pid"] in self.dead

    # --- what a command does ------------------------------------------------------------------------

    @rule(command=command_of, until=st.integers(1, len(SPECS)))
    def enqueue(self, command, until):
        self.commands[command].add_specs(SPECS, until)

    @rule(until=st.integers(1, len(SPECS)))
    def enqueue_by_both_at_once(self, until):
        """Both commands look before either writes."""
        first = self.commands[0].slots()
        for queue in self.commands:
            queue.slots = lambda: first
            queue.add_specs(SPECS, until)
            del queue.slots

    @rule(command=command_of)
    def end(self, command):
        self.commands[command].end("stopped")

    @rule(command=command_of)
    def reopen(self, command):
        self.commands[command].reopen()

    @rule(command=command_of)
    def look(self, command):
        recovery.requeue_forgotten(self.commands[command])
        recovery.requeue_lost(self.commands[command])

    # --- what a worker does -------------------------------------------------------------------------

    @rule(worker=worker_of)
    def claim(self, worker):
        if worker not in self.held and not self.workers[worker].ended:
            self._claim(worker)

    def _claim(self, worker: int) -> bool:
        queue = self.workers[worker]
        fail_stale_trials(queue)  # as `optimize` does before each trial
        trials = queue.get_trials(deepcopy=False)
        twice = doubles(trials)
        waiting = [one for one in trials if one.state == TrialState.WAITING and one.number not in twice]
        try:
            trial = queue.ask()
        except QueueEmpty:
            assert not waiting
            return False
        assert slot_of(queue.frozen(trial)) == min(map(slot_of, waiting)), "not in the order of the slots"
        self.storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(attributes.WORKER, {"host": "here", "pid": self._pid(worker)})
        self.held[worker] = trial
        return True

    def _pid(self, worker: int) -> str:
        return f"{worker}.{self.lives[worker]}"

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def heartbeat(self, data):
        self.storage.record_heartbeat(self._any(data)[1]._trial_id)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), value=st.floats(0, 1))
    def finish(self, data, value):
        self._finish(self._any(data)[0], value)

    def _finish(self, worker: int, value: float) -> None:
        trial = self.held.pop(worker)
        with suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):  # it stood still: the trial is not its
            self.workers[worker].tell(trial, value)
            slot = slot_of(self.workers[worker].frozen(trial))
            assert slot not in self.finished, "a slot has two results"
            self.finished[slot] = value

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail(self, data):
        """Its code raises."""
        worker, trial = self._any(data)
        del self.held[worker]
        with suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
            trial.set_user_attr(attributes.REASON, "its own fault")
            self.workers[worker].tell(trial, state=TrialState.FAIL)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), finishes=st.booleans())
    def be_interrupted(self, data, finishes):
        """It requeues its trial, and dies before or after it has marked it as failed."""
        worker, trial = self._any(data)
        queue = self.workers[worker]
        del self.held[worker]
        recovery.requeue(queue, queue.frozen(trial), counts=False)
        if finishes:
            with suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
                queue.tell(trial, state=TrialState.FAIL)
        self._dies(worker)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def die(self, data):
        worker, _ = self._any(data)
        del self.held[worker]
        self._dies(worker)

    def _dies(self, worker: int) -> None:
        self.dead.add(self._pid(worker))
        self.lives[worker] += 1

    @rule(worker=worker_of, told=st.booleans())
    def die_between_claim_and_first_word(self, worker, told):
        """It takes a trial and is gone before its first heartbeat, or before it has said who it is."""
        if worker in self.held or self.workers[worker].ended:
            return
        with suppress(QueueEmpty):
            trial = self.workers[worker].ask()
            if told:
                self.storage.record_heartbeat(trial._trial_id)
            self._dies(worker)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def be_taken_for_dead_by_one_that_dies(self, data):
        """Somebody marks its trial as failed, and dies before requeueing it."""
        _, trial = self._any(data)
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            mark_failed(self.commands[0], self.commands[0].frozen(trial))

    # --- what time does -----------------------------------------------------------------------------

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def stand_still(self, data):
        """Its heartbeats stop for long enough; it does not know."""
        self._age(self._any(data)[1]._trial_id)

    def _age(self, trial_id: int | None = None) -> None:
        only = "" if trial_id is None else f" WHERE trial_id = {trial_id}"
        past = {"sqlite": f"datetime('now', '-{LONG_AGO} seconds')"}.get(
            self.storage.engine.dialect.name, f"now() - interval '{LONG_AGO} seconds'"
        )
        with self.storage.engine.begin() as connection:
            connection.execute(text(f"UPDATE trial_heartbeats SET heartbeat = {past}{only}"))

    def _any(self, data) -> tuple[int, optuna.Trial]:
        worker = data.draw(st.sampled_from(sorted(self.held)))
        return worker, self.held[worker]

    # --- what always holds --------------------------------------------------------------------------

    @invariant()
    def no_slot_is_lost_or_counted_twice(self):
        trials = self.commands[1].get_trials(deepcopy=False)
        slots = [slot_of(trial) for trial in tries_that_count(trials)]
        assert slots == list(range(len(slots))), "a slot is missing, or out of order"
        complete = Counter(slot_of(trial) for trial in trials if trial.state == TrialState.COMPLETE)
        assert set(complete) == set(self.finished) and set(complete.values()) <= {1}
        for trial in tries_that_count(trials):
            if trial.state == TrialState.COMPLETE:
                assert trial.value == self.finished[slot_of(trial)]
        assert [one.slot for one in progress(self.commands[1])] == slots

    def teardown(self):
        """Whatever has happened: all workers die, the command is repeated, and one new worker does the rest."""
        for worker in list(self.held):
            del self.held[worker]
            self._dies(worker)
        before = set(self.finished)
        queue = self.commands[0]
        queue.reopen()
        for _ in range(10 * len(SPECS)):
            recovery.requeue_forgotten(queue)
            recovery.requeue_lost(queue)
            self._age()  # of those that died before their first word
            if not self._claim(0) and not self._left():
                break
            if 0 in self.held:
                self._finish(0, 0.5)
        assert not self._left(), "a trial runs, or waits, for ever"
        trials = queue.get_trials(deepcopy=False)
        for trial in tries_that_count(trials):
            for_good = attributes.REASON in trial.user_attrs or recovery.is_exhausted(trial)
            assert trial.state == TrialState.COMPLETE or for_good, "a trial was lost"
            assert tries_counted(trial) <= recovery.RETRIES + 1 and trial.number not in tries_before(trial)
        assert before <= set(self.finished)

    def _left(self) -> list[int]:
        return [trial.number for trial in self.commands[0].get_trials(deepcopy=False, states=ALIVE)]


def check(storage: str, examples: int, steps: int, monkeypatch) -> None:
    monkeypatch.setattr(recovery, "is_gone", recovery.is_gone)  # which each machine sets anew
    Machine.storage = open_storage(storage, recovery.requeue)
    Machine.storage.grace_period = PATIENCE_SECONDS
    if storage.startswith("sqlite"):  # no power fails here, and a disk takes ten times as long as all the rest
        event.listen(Machine.storage.engine, "connect", lambda connection, _: connection.execute(UNSAFE))
        Machine.storage.close()
    # The same examples each time: what a test finds does not depend on the day.
    how = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    try:
        run_state_machine_as_test(Machine, settings=how)
    finally:
        Machine.storage.close()


def test_whatever_happens_every_trial_has_one_result(tmp_path, monkeypatch):
    check(f"sqlite:///{tmp_path}/machine.db", 12, 25, monkeypatch)


@pytest.mark.matrix
@pytest.mark.parametrize("storage", ["sqlite", *DATABASES[1:]], indirect=True)
def test_whatever_happens_in_many_more_ways(storage, store, monkeypatch):
    check(storage, 100, 50, monkeypatch)
