"""What the queue needs of a database: one class of tests that every kind of it passes, and a file of an older version.

A new kind of storage is one more parameter of the fixture `address`.
"""

import threading
from datetime import datetime

import optuna
import pytest
from conftest import DATABASES
from factories import stores
from optuna.trial import TrialState
from sqlalchemy import text

from study.design.ablation import TrialSpec
from study.execution import attributes, recovery
from study.execution.optuna_internals import QueueEmpty, mark_failed
from study.execution.queue import Assignment, Queue, create_queue, load_queue, progress
from study.execution.storage import GRACE_SECONDS
from study.training.config import TrialConfig

TEXT = "naïve · 東京 \N{SNOWMAN} '\"\\; DROP TABLE trials; --\n\ttab"
ASSIGNMENT = Assignment("sqlite:///unused.db", "no-run", TEXT, "auto", "0" * 64, networks={"a.py@12345678": TEXT})
SPECS = [TrialSpec("arm", TrialConfig.parse({"seed": seed})) for seed in range(1, 6)]
DOUBLES = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -1 / 3]  # SQLite makes 0 of −0


@pytest.fixture(params=[*DATABASES, *(f"file of {version}" for version in stores.VERSIONS)])
def address(request, tmp_path, connections_closed) -> str:
    """The address of a database: new, or made by an earlier version."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").new_database()
    if request.param.startswith("file of "):
        stores.unpack(request.param.removeprefix("file of "), tmp_path)
    return f"sqlite:///{tmp_path}/optuna.db"


@pytest.mark.filterwarnings("ignore:Heartbeat of storage", "ignore:.*fail_stale_trials is experimental")
class TestStorage:
    """The contract."""

    @pytest.fixture
    def queue(self, address) -> Queue:
        queue, new = create_queue(address, "contract")
        assert new
        queue.assign(ASSIGNMENT)
        return queue

    @pytest.fixture
    def other(self, address, queue) -> Queue:
        """The same queue, as another process sees it."""
        return load_queue(address, "contract")

    def test_what_was_written_is_read_elsewhere_as_it_was(self, address, queue, other):
        assert other.assignment == ASSIGNMENT and create_queue(address, "contract")[1] is False
        queue.end(TEXT)
        assert other.ended == TEXT
        queue.reopen()
        assert other.ended is None

    def test_configs_values_and_reports_keep_every_bit(self, queue, other):
        queue.add_specs(SPECS[:1])
        trial = queue.ask()
        for step, value in enumerate(DOUBLES):
            trial.report(value, step)
        trial.set_user_attr(attributes.SETTINGS, TEXT)
        queue.tell(trial, DOUBLES[0])
        (found,) = other.trials
        assert TrialConfig.parse(found.user_attrs[attributes.CONFIG]) == SPECS[0].config
        assert list(map(repr, found.intermediate_values.values())) == list(map(repr, DOUBLES))
        assert found.value == DOUBLES[0] and found.user_attrs[attributes.SETTINGS] == TEXT
        assert isinstance(found.datetime_complete, datetime)

    def test_trials_are_numbered_in_the_order_in_which_they_came(self, queue, other):
        for until in range(1, 6):
            (queue if until % 2 else other).add_specs(SPECS, until)
        for each in (queue, other):
            assert [trial.number for trial in each.trials] == [0, 1, 2, 3, 4] == [one.slot for one in progress(each)]

    def test_of_many_that_want_a_trial_one_gets_it(self, address, queue):
        queue.add_specs(SPECS)
        taken: list[int] = []
        together = threading.Barrier(4)

        def take():
            own = load_queue(address, "contract")
            together.wait()
            with pytest.raises(QueueEmpty):
                while True:
                    own.optimize(lambda trial: taken.append(trial.number) or 0.5, n_trials=1)

        takers = [threading.Thread(target=take) for _ in range(4)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
        assert sorted(taken) == [0, 1, 2, 3, 4]
        assert {trial.state for trial in queue.trials} == {TrialState.COMPLETE}

    def test_of_two_that_create_a_queue_one_does(self, address):
        together, found = threading.Barrier(2), []

        def create():
            together.wait()
            queue, new = create_queue(address, "both")
            if new:
                queue.assign(ASSIGNMENT)
            found.append((new, queue.assignment))

        creators = [threading.Thread(target=create) for _ in range(2)]
        for creator in creators:
            creator.start()
        for creator in creators:
            creator.join()
        assert sorted(new for new, _ in found) == [False, True]
        assert all(assignment == ASSIGNMENT for _, assignment in found)

    def test_what_has_ended_stays_as_it_ended(self, queue, other):
        queue.add_specs(SPECS[:1])
        trial = queue.ask()
        mark_failed(other, other.frozen(trial))
        for change in (lambda: trial.report(0.5, 1), lambda: trial.set_user_attr("x", 1),
                       lambda: mark_failed(queue, queue.frozen(trial))):  # fmt: skip
            with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
                change()
        assert other.trials[0].intermediate_values == {} and "x" not in other.trials[0].user_attrs

    def test_a_trial_that_is_requeued_comes_first_with_all_it_had(self, queue, other):
        queue.add_specs(SPECS[:3])
        lost = queue.ask()
        recovery.fail_and_requeue(other, other.frozen(lost))
        again = other.ask()
        kept = {attributes.SLOT: 0, attributes.NAME: SPECS[0].name, attributes.CONFIG: SPECS[0].config.as_text()}
        assert kept.items() <= queue.frozen(again).user_attrs.items()
        assert attributes.tries_before(queue.frozen(again)) == [lost.number] and again.number == 3
        assert [one.state for one in progress(queue)] == ["RUNNING", "WAITING", "WAITING"]

    def test_who_sends_no_heartbeat_loses_the_trial_by_the_databases_clock(self, queue, other):
        queue.add_specs(SPECS[:1])
        trial = queue.ask()
        storage = other._storage._backend
        storage.record_heartbeat(trial._trial_id)
        optuna.storages.fail_stale_trials(other)
        assert progress(other)[0].state == "RUNNING"
        on_sqlite = storage.engine.dialect.name == "sqlite"
        for seconds, state in ((GRACE_SECONDS - 10, "RUNNING"), (GRACE_SECONDS + 10, "WAITING")):
            past = f"datetime('now', '-{seconds} seconds')" if on_sqlite else f"now() - interval '{seconds} seconds'"
            with storage.engine.begin() as connection:
                connection.execute(text(f"UPDATE trial_heartbeats SET heartbeat = {past}"))
            optuna.storages.fail_stale_trials(other)
            assert progress(other)[0].state == state
