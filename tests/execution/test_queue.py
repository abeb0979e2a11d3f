"""The queue by itself, with many takers."""

import threading

import optuna
import pytest
from optuna.trial import TrialState

from study.base import processes
from study.design.ablation import TrialSpec
from study.execution import attributes, optuna_internals, recovery
from study.execution.optuna_internals import QueueEmpty
from study.execution.queue import (
    Assignment,
    Queue,
    QueueError,
    create_queue,
    equal_trial,
    load_queue,
    progress,
)
from study.execution.recovery import RETRIES, requeue
from study.execution.storage import GRACE_SECONDS
from study.training.config import TrialConfig

NOWHERE = Assignment("sqlite:///unused.db", "no-run", "digits", "auto", "0" * 64)


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def specs(number: int) -> list[TrialSpec]:
    return [TrialSpec("arm", TrialConfig.parse({"seed": seed})) for seed in range(1, number + 1)]


def filled(storage: str, name: str, number: int) -> Queue:
    queue, new = create_queue(storage, name)
    assert new
    queue.add_specs(specs(number))
    queue.assign(NOWHERE)
    return queue


@pytest.mark.parametrize("attempt", range(3))
def test_every_trial_is_handed_out_once_and_none_is_made_up(storage, attempt):
    filled(storage, "many takers", 12)
    taken: list[str] = []
    together = threading.Barrier(4)

    def take():
        study = load_queue(storage, "many takers")
        together.wait()
        with pytest.raises(QueueEmpty):
            while True:
                study.optimize(lambda trial: taken.append(trial.user_attrs["name"]) or 0.0, n_trials=1)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(taken) == sorted(spec.name for spec in specs(12))
    study = optuna.load_study(study_name="many takers", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12


def test_config_comes_through_the_queue_unchanged(storage):
    config = TrialConfig.parse({"learning_rate": 0.1 + 0.2, "hidden": "20-7-5", "patience": None, "l2": 1e-7})
    study, _ = create_queue(storage, "text")
    study.add_specs([TrialSpec("arm", config)])
    assert TrialConfig.parse(study.trials[0].user_attrs["config"]) == config


def test_progress_tells_state_epoch_and_reason(storage):
    study = filled(storage, "progress", 3)

    def first(trial):
        trial.report(0.5, 1)
        trial.report(0.25, 2)
        return 0.25

    def second(trial):
        trial.set_user_attr("reason", "the loss was not finite")
        raise ValueError

    study.optimize(first, n_trials=1)
    study.optimize(second, n_trials=1, catch=(Exception,))
    done, failed, waiting = progress(study)
    assert (done.name, done.state, done.epoch, done.epochs, done.value) == ("arm · seed 1", "COMPLETE", 2, 5, 0.25)
    assert (failed.state, failed.reason) == ("FAIL", "the loss was not finite")
    assert (waiting.state, waiting.finished, done.finished, failed.finished) == ("WAITING", False, True, True)
    again, *others = progress(study)
    assert again is done and [one.state for one in others] == ["FAIL", "WAITING"]  # what has ended is not read again
    assert progress(study, 7)[0] == done  # an ablation's trial knows its epochs


def test_queue_that_does_not_exist_is_an_error_that_names_those_that_do(storage):
    filled(storage, "dropout", 1)
    with pytest.raises(QueueError, match=r"no study is called 'dropuot'.*Did you mean dropout"):
        load_queue(storage, "dropuot")


def test_the_second_to_create_a_queue_finds_it_assigned(storage):
    first, new = create_queue(storage, "together")
    found = []
    second = threading.Thread(target=lambda: found.append(create_queue(storage, "together")))
    second.start()
    first.assign(NOWHERE)
    second.join()
    assert new and found[0][1] is False and found[0][0].assignment == NOWHERE


def test_two_drivers_of_one_search_hand_out_each_slot_once(storage):
    queue, _ = create_queue(storage, "twice")
    drivers = [load_queue(storage, "twice") for _ in range(2)]
    together = threading.Barrier(2)

    def drive(driver):
        together.wait()
        driver.add_slots(5, [{"dropout": 0.25}])

    threads = [threading.Thread(target=drive, args=(driver,)) for driver in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.enqueue_trial({}, user_attrs={"slot": 3, "name": "trial 3"})  # one at least, however the race went
    taken = []
    with pytest.raises(QueueEmpty):
        queue.optimize(lambda trial: taken.append(trial.user_attrs["slot"]) or 0.0)
    assert taken == list(range(5))
    assert [(trial.slot, trial.state) for trial in progress(queue)] == [(slot, "COMPLETE") for slot in range(5)]
    ended = {trial.user_attrs.get("reason") for trial in queue.trials if trial.state == TrialState.FAIL}
    assert ended == {"the queue has it twice"}


def test_of_a_slots_tries_a_complete_one_counts_then_a_pruned_one_then_the_last():
    def trial(number: int, slot: int, state: TrialState, *before: int) -> optuna.trial.FrozenTrial:
        made = optuna.trial.create_trial(
            state=state, value=1.0 if state == TrialState.COMPLETE else None, user_attrs={"slot": slot},
            system_attrs=optuna_internals.retry_attributes(before) if before else {},
        )  # fmt: skip
        made.number = number
        return made

    complete, pruned, failed, waiting = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING
    trials = [
        trial(0, 0, complete), trial(1, 0, failed),  # another driver's trial, which repeated the first
        trial(2, 1, failed), trial(3, 1, complete),  # the same the other way round
        trial(4, 2, failed), trial(5, 2, waiting, 4), trial(6, 2, waiting, 4),  # requeued by two processes
        trial(7, 3, waiting), trial(8, 3, waiting),
        trial(9, 4, pruned), trial(10, 4, failed, 9),
    ]  # fmt: skip
    assert attributes.doubles(trials) == {1, 3, 6, 8}
    assert [each.number for each in attributes.tries_that_count(trials)] == [0, 3, 5, 7, 9]


def test_an_ablation_shows_all_trials_while_a_stock_of_them_waits(storage):
    queue, _ = create_queue(storage, "stock")
    asked = specs(40)
    assert [trial.state for trial in progress(queue, specs=asked)] == ["WAITING"] * 40
    queue.add_specs(asked, 4)
    queue.optimize(lambda trial: 0.0, n_trials=3)
    queue.add_specs(asked, 6)
    assert [trial.user_attrs["name"] for trial in queue.trials] == [spec.name for spec in asked[:6]]
    seen = progress(queue, specs=asked)
    assert [(trial.slot, trial.name, trial.epochs) for trial in seen] == [
        (slot, spec.name, 5) for slot, spec in enumerate(asked)
    ]
    assert [trial.state for trial in seen] == ["COMPLETE"] * 3 + ["WAITING"] * 37
    queue.add_specs(asked, 100)
    assert queue.slots() == 40 and progress(queue, specs=asked) == progress(queue)


def test_within_a_look_the_queue_is_read_once_and_again_after_a_write_of_its_own(storage):
    filled(storage, "looked at", 3)
    queue, other = load_queue(storage, "looked at"), load_queue(storage, "looked at")
    with queue.one_look():
        first = queue.get_trials(deepcopy=False)
        assert not queue.ended
        other.add_specs(specs(4))
        other.end("elsewhere")
        assert len(progress(queue)) == 3 and queue.slots() == 3 and not queue.ended
        assert [trial.number for trial in queue.get_trials(states=(TrialState.WAITING,))] == [0, 1, 2]
        queue.add_specs(specs(5))  # the fifth is new; the fourth is there already, and is enqueued a second time
        assert queue.slots() == 5 and queue.ended == "elsewhere"
        assert len(queue.get_trials()) == 6 and len(progress(queue)) == 5
    other.end("")
    assert not queue.ended and first == queue.get_trials(states=(TrialState.WAITING,))[:3]


def test_optunas_tools_call_the_metric_by_its_name(storage):
    create_queue(storage, "named", "maximize", "val_accuracy")
    study = optuna.load_study(study_name="named", storage=storage)
    assert (study.metric_names, study.direction.name) == (["val_accuracy"], "MAXIMIZE")


def test_a_trial_that_is_put_back_goes_first_and_keeps_its_slot_and_params(storage):
    queue, _ = create_queue(storage, "slots")
    queue.add_slots(3, [{"dropout": 0.25}])

    def die(trial):
        trial.suggest_float("dropout", 0, 1)
        trial.set_user_attr("worker", {"host": "elsewhere", "pid": "1"})
        requeue(queue, queue.frozen(trial))
        raise ValueError

    queue.optimize(die, n_trials=1, catch=(ValueError,))
    taken = []
    with pytest.raises(QueueEmpty):
        queue.optimize(lambda trial: taken.append((trial.user_attrs, trial.params)) or 0.0)
    assert [attributes["slot"] for attributes, _ in taken] == [0, 1, 2]
    assert taken[0] == ({"slot": 0, "name": "trial 0", "uncounted": 0}, {"dropout": 0.25})


def test_a_trial_is_put_back_at_most_so_often(storage):
    queue = filled(storage, "often", 1)

    def die(trial):
        requeue(queue, queue.frozen(trial))
        raise ValueError

    with pytest.raises(QueueEmpty):
        queue.optimize(die, catch=(ValueError,))
    assert len(queue.trials) == 1 + RETRIES
    (trial,) = progress(queue)
    assert (trial.state, trial.reason) == ("FAIL", "its workers died")


def test_interruptions_do_not_count_as_tries(storage):
    queue = filled(storage, "interrupted", 1)
    ends = iter([False, True, False, False, True, True])

    def ends_early(trial):
        requeue(queue, queue.frozen(trial), counts=next(ends))
        raise ValueError

    with pytest.raises(QueueEmpty):
        queue.optimize(ends_early, catch=(ValueError,))
    assert len(queue.trials) == 6 and progress(queue)[0].state == "FAIL"


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # which `ask` alone does not send
def test_a_worker_that_is_gone_gives_its_trial_back_at_once(storage):
    queue = filled(storage, "gone", 1)
    trial = queue.ask()
    gone = processes.this_process() | {"process_started": "1.0"}
    trial.set_user_attr("worker", gone)
    recovery.requeue_lost(queue)
    assert [each.state for each in queue.trials] == [TrialState.FAIL, TrialState.WAITING]
    again = queue.ask()
    again.set_user_attr("worker", processes.this_process())
    recovery.requeue_lost(queue)
    assert queue.running() == [1]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage", "ignore:.*fail_stale_trials is experimental")
def test_the_databases_clock_decides_when_a_trial_without_a_worker_is_lost(storage):
    """The clock of the machine that took it may be wrong by years."""
    queue = filled(storage, "skewed", 1)
    trial = queue.ask()

    def execute(statement: str) -> int:
        with queue._storage._backend.engine.begin() as connection:
            return connection.exec_driver_sql(statement).rowcount

    def states() -> list[str]:
        recovery.requeue_lost(queue)
        optuna.storages.fail_stale_trials(queue)
        return [each.state.name for each in queue.get_trials(deepcopy=False)]

    assert execute("UPDATE trials SET datetime_start = '2001-01-01 00:00:00.000000'") == 1
    assert states() == states() == ["RUNNING"]
    earlier = f"datetime('now', '-{GRACE_SECONDS - 5} seconds')"
    assert execute(f"UPDATE trial_heartbeats SET heartbeat = {earlier}") == 1
    assert states() == ["RUNNING"]
    queue._storage.record_heartbeat(trial._trial_id)  # it lives
    earlier = f"datetime('now', '-{GRACE_SECONDS + 5} seconds')"
    assert execute(f"UPDATE trial_heartbeats SET heartbeat = {earlier}") == 1
    assert states() == ["FAIL", "WAITING"]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # which `ask` alone does not send
def test_a_trial_that_was_marked_failed_and_never_put_back_is_not_lost(storage):
    queue = filled(storage, "forgotten", 3)
    for reason in (None, None, "diverged"):
        trial = queue.ask()
        if reason:
            trial.set_user_attr("reason", reason)
        queue.tell(trial, state=TrialState.FAIL)
    requeue(queue, queue.trials[1])  # of this one nothing is forgotten
    for _ in range(2):
        recovery.requeue_forgotten(queue)
        assert [each.name for each in progress(queue) if each.state == "WAITING"] == [
            "arm · seed 1", "arm · seed 2",
        ]  # fmt: skip
        assert len(queue.trials) == 5


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # which `ask` alone does not send
def test_a_trial_that_trains_the_same_as_an_earlier_one_is_known(storage):
    queue, _ = create_queue(storage, "points")
    queue.add_slots(4, [])
    trials = [queue.ask() for _ in range(4)]
    for trial, mark in zip(trials, "abab", strict=True):
        trial.set_user_attr("fingerprint", mark)
    assert [equal_trial(queue, trial, mark) for trial, mark in zip(trials, "abab", strict=True)] == [None, None, 0, 1]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # which `ask` alone does not send
def test_a_trial_that_repeated_another_stands_for_nothing(storage):
    """The other one may be tried again, and would else find its own repeat, and nobody would train the point."""
    queue = filled(storage, "night", 2)
    repeat = queue.ask()
    repeat.set_user_attr("fingerprint", "a")
    repeat.set_user_attr("repeats", 7)
    repeat.set_user_attr("reason", "repeats trial 7")
    queue.tell(repeat.number, state=TrialState.FAIL)
    assert equal_trial(queue, queue.ask(), "a") is None
