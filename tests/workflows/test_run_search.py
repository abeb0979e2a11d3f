"""A search is begun, kept filled, and gone on with: by workers in this process, on the small digits."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

import optuna
import pytest
from factories.programs import null_run

from study.analysis import search_results
from study.analysis.front import weighed
from study.base import processes
from study.base.errors import ConfigError, Interrupted
from study.design.costs import NO_LIMITS, Limits
from study.design.search import Budget, Search, parse_search
from study.design.search_space import parse_space
from study.execution import worker
from study.execution.attributes import REPEATS, REPLICATES, SEED_NUMBER, slot_of
from study.execution.forecast import MeanTime, Range
from study.execution.optuna_internals import QueueEmpty
from study.execution.queue import Queue, create_queue, equal_trial, progress
from study.execution.sampling import in_order, sampler
from study.execution.storage import DEFAULT_STORAGE
from study.reports import search_report, search_tables
from study.tracking import records, runs, store, stored
from study.tracking.artifacts import PREDICTIONS
from study.workflows import begun_search, prepare, run_ablation, run_search, search_budget, slot_supply
from study.workflows.common import STOCK, assignment
from study.workflows.search_budget import SLACK, Clock, Plan, comparison_seconds, seconds_after_trials
from study.workflows.slot_supply import SlotSupply

SPACE = """
baseline: {hidden: 8, epochs: 3}
fields:
  learning_rate: {range: [1.0e-3, 1.0e-1], log: true}
  batch_size: {choices: [32, 64]}
"""
ONE_FIELD = "baseline: {hidden: 8}\nfields: {learning_rate: {range: [1.0e-3, 1.0e-1], log: true}}"


@pytest.fixture(autouse=True)
def alone(new_store, monkeypatch):
    """In a store of its own, with workers that wait for nobody."""
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0)


def search_of(dataset, fields: str = SPACE, **how) -> Search:
    settings = {"data": "digits", "validation": len(dataset.validation)}
    asked = Search(
        parse_space(fields, "mine", "mine.yaml").with_baseline(settings), "val_cross_entropy", "random", "none"
    )
    return replace(asked, **how)


def begin(search, dataset, name="mine", reuse=True):
    queue, new = create_queue(DEFAULT_STORAGE, name, search.direction)
    assert new
    run = run_search.open_search(store.connect(), name)
    run_search.begin(search, dataset.without_test(), queue, run, {}, reuse)
    return queue, run


def points(queue) -> dict[int, dict]:
    """Return the finished trials' params by slot."""
    done = queue.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED))
    assert len({slot_of(trial) for trial in done}) == len(done)
    return {slot_of(trial): trial.params for trial in done}


def supply_of(queue, search, budget: Budget, comparing: int = 0) -> SlotSupply:
    """The supply of a search whose trials take a second, as far as is known."""
    plan = Plan(budget, 1, MeanTime(1.0, 0.5), Range.around(1.0, 0.5), comparing)
    return SlotSupply(queue, search, budget, Clock(plan))


def fill(queue, search, trials) -> SlotSupply:
    supply = supply_of(queue, search, Budget(trials, None))
    supply(progress(queue))
    return supply


def test_a_search_begins_with_its_baseline_and_shows_no_trial_the_test_set(few_digits):
    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    fill(queue, search, 3)
    assert worker.work(DEFAULT_STORAGE, "mine") == 3
    assert points(queue)[0] == {"learning_rate": 0.001, "batch_size": 32}
    trials = records.read_trials(run.client, run.run_id)
    assert [trial.name for trial in trials] == ["trial 0", "trial 1", "trial 2"]
    for trial, frozen in zip(trials, queue.trials, strict=True):
        assert (trial.tags["optuna_trial"], frozen.user_attrs["run_id"]) == (str(frozen.number), trial.run_id)
        assert frozen.value == trial.metrics["model_val_cross_entropy"]
        assert float(trial.params["learning_rate"]) == frozen.params["learning_rate"]
        assert trial.tags["test_rows"] == "0" and not any(name.startswith("test") for name in trial.metrics)
        files = {file.path for file in run.client.list_artifacts(trial.run_id)}
        assert {"learning_curves.png", "confusion_matrices.png", "confusion_validation.csv"} <= files
        assert not any("test" in name for name in files)
        assert stored.read_model(run.client, trial.run_id)


def test_another_seed_of_a_point_is_trained_and_joins_it(few_digits):
    """The third trial is another seed of the second's point, as a sampler would have it."""
    search = search_of(few_digits, replicate=True)
    queue, run = begin(search, few_digits)
    queue.add_slots(2, [search.space.first(), point := {"learning_rate": 0.02, "batch_size": 32}])
    own = {"slot": 2, "name": "trial 2", REPLICATES: 1, SEED_NUMBER: 1}
    queue.enqueue_trial(point, user_attrs=own)
    assert worker.work(DEFAULT_STORAGE, "mine") == 3
    study = search_results.read(store.connect(), run.run_id)
    assert [trial.params["seed"] for trial in study.trials] == ["1", "1", "2"]
    assert [trial.tags["seed"] for trial in study.trials] == ["1", "1", "2"]
    (two,) = [standing for standing in study.standings if len(standing.trials) == 2]
    first, second = study.seeds_of(two)
    assert (first.name, second.name) == ("trial 1", "trial 2") and study.value(first) != study.value(second)
    assert two.value == pytest.approx((study.value(first) + study.value(second)) / 2)
    assert [each.settings.endswith(" seed=2") for each in progress(queue)] == [False, False, True]


def test_another_seed_that_the_sampler_decides_on_is_trained_with_it(few_digits):
    search = search_of(few_digits, ONE_FIELD, sampler="gp", replicate=True)
    queue, _ = begin(search, few_digits)
    fill(queue, search, 12)
    worker.work(DEFAULT_STORAGE, "mine", train=null_run)
    trials = queue.get_trials(deepcopy=False)
    again = [trial for trial in trials if REPLICATES in trial.user_attrs]
    assert again and not any(REPEATS in trial.user_attrs for trial in trials)
    for trial in again:
        seed = search.baseline.seed + trial.user_attrs[SEED_NUMBER]
        assert store.connect().get_run(trial.user_attrs["run_id"]).data.params["seed"] == str(seed)


def test_an_interrupted_search_goes_on_to_the_same_points(few_digits):
    search = search_of(few_digits, sampler="gp")  # whose first six trials are random
    whole, _ = begin(search, few_digits, "whole")
    fill(whole, search, 8)
    worker.work(DEFAULT_STORAGE, "whole")

    broken, _ = begin(search, few_digits, "broken", reuse=False)
    fill(broken, search, 8)

    def dies(config, dataset, record, name, on_epoch):
        if name == "trial 2" and not died:
            died.append(name)
            raise KeyboardInterrupt
        return run_trial.run_trial(config, dataset, record, name, on_epoch)

    from study.execution import run_trial

    died = []
    with pytest.raises(KeyboardInterrupt):
        worker.work(DEFAULT_STORAGE, "broken", train=dies)
    assert sorted(points(broken)) == [0, 1]
    worker.work(DEFAULT_STORAGE, "broken", train=dies)
    assert points(broken) == points(whole)


def test_more_trials_are_added_and_none_repeats(few_digits):
    search = search_of(few_digits)
    queue, _ = begin(search, few_digits)
    fill(queue, search, 2)
    worker.work(DEFAULT_STORAGE, "mine")
    fill(queue, search, 4)
    worker.work(DEFAULT_STORAGE, "mine")
    assert sorted(points(queue)) == [0, 1, 2, 3]
    assert len({tuple(point.values()) for point in points(queue).values()}) == 4


def test_a_trial_that_would_train_the_same_again_is_replaced(few_digits):
    search = search_of(few_digits, "baseline: {hidden: 8, epochs: 1}\nfields: {batch_size: {choices: [32, 64]}}")
    search = replace(search, space=search.space.with_baseline({"seed": 3}))  # whose second suggestion is the baseline
    queue, _ = begin(search, few_digits)
    for _ in range(2):
        fill(queue, search, 50)
        worker.work(DEFAULT_STORAGE, "mine")
    assert {slot: point["batch_size"] for slot, point in points(queue).items()} == {0: 32, 2: 64}
    repeat = queue.trials[1].user_attrs
    assert repeat["repeats"] == 0 and repeat["fingerprint"] == queue.trials[0].user_attrs["fingerprint"]
    assert [(trial.slot, trial.state) for trial in progress(queue)] == [(0, "COMPLETE"), (2, "COMPLETE")]


def test_a_grid_is_every_point_once_the_baseline_first(few_digits):
    fields = "fields: {batch_size: {choices: [16, 32, 64]}, dropout: {range: [0, 0.4], step: 0.2}}"
    search = search_of(few_digits, fields, sampler="grid")
    asked = in_order(search)
    assert asked[0] == {"batch_size": 32, "dropout": 0.0}
    assert sorted(map(str, asked)) == sorted(map(str, search.space.points()))
    assert asked != search.space.points() and asked == in_order(search)


def test_a_budget_of_time_keeps_some_waiting_and_then_ends_the_queue(few_digits, monkeypatch):
    search = search_of(few_digits)
    queue, _ = begin(search, few_digits)
    supply = supply_of(queue, search, Budget(None, 5))
    supply(progress(queue))
    assert [trial.state for trial in progress(queue)] == ["WAITING"] * STOCK
    now = search_budget.time.monotonic()
    monkeypatch.setattr(search_budget.time, "monotonic", lambda: now + 301)
    supply(progress(queue))
    assert (queue.ended, supply.note) == ("the time is up", slot_supply.NO_TIME)
    assert worker.work(DEFAULT_STORAGE, "mine") == 0
    supply_of(queue, search, Budget(None, 5))
    assert queue.ended is None  # the same command goes on


def test_no_trial_is_begun_that_would_not_end_in_time(few_digits, monkeypatch):
    search = search_of(few_digits)
    queue, _ = begin(search, few_digits)
    supply = supply_of(queue, search, Budget(None, 5))
    supply(progress(queue))
    now = search_budget.time.monotonic()
    for seconds, reused in ((40, {}), (60, {}), (80, {}), (1, {"reused_from": "another"}), (1, {"reused_from": "it"})):
        began = datetime(2026, 1, 1)
        trial = optuna.trial.create_trial(value=1.0, user_attrs={"slot": 100 + seconds, "name": "trial", **reused})
        trial.datetime_start, trial.datetime_complete = began, began + timedelta(seconds=seconds)
        queue.add_trial(trial)
    monkeypatch.setattr(search_budget.time, "monotonic", lambda: now + 5 * 60 - 70)
    supply(progress(queue))
    assert queue.ended is None  # a trial takes a minute
    monkeypatch.setattr(search_budget.time, "monotonic", lambda: now + 5 * 60 - 50)
    supply(progress(queue))
    assert queue.ended == "the time is up"


@pytest.mark.parametrize("minutes, each, kept", [
    (60, 1.0, comparison_seconds(1.0, 2)[1]),  # all its seeds: 20 trials of either side
    (4, 5.0, 60),  # a quarter of the minutes
    (2, 5.0, SLACK * comparison_seconds(5.0, 2)[0]),  # the first look, with some slack
    (1, 30.0, 0),  # it would take more than half of the minutes, and so there will be none
])  # fmt: skip
def test_what_follows_the_trials_has_its_share_of_the_minutes(minutes, each, kept):
    after = seconds_after_trials(Budget(None, minutes), each, 2)
    assert after == pytest.approx(search_budget.SECONDS_TO_REPORT + kept)
    assert seconds_after_trials(Budget(None, minutes), each, 0) == search_budget.SECONDS_TO_REPORT


def test_a_clock_leaves_time_for_the_comparison_and_says_when_there_is_none(few_digits, monkeypatch):
    queue, _ = begin(search_of(few_digits), few_digits)
    plan = Plan(Budget(None, 2), 2, MeanTime(1.0, 0.5), Range.around(2.0, 0.1), comparing=2)
    assert plan.seeds == (7, 15)  # in half a minute, less 4 s to start it
    clock, now = Clock(plan), search_budget.time.monotonic()
    after = seconds_after_trials(plan.budget, 2.0, 2)

    def at(seconds: float) -> None:
        monkeypatch.setattr(search_budget.time, "monotonic", lambda: now + seconds)

    at(120 - after - 2.1)
    assert clock.has_time_for_a_trial(queue)
    at(120 - after - 1.9)
    assert not clock.has_time_for_a_trial(queue) and clock.has_time_to_confirm(queue)
    assert 60 * clock.minutes_to_confirm == pytest.approx(after + 1.9 - 4 - 2, abs=0.05)
    at(120 - 15)
    assert not clock.has_time_to_confirm(queue)
    assert replace(plan, budget=Budget(None, 0.2)).seeds is None
    endless = Clock(replace(plan, budget=Budget(9, None)))
    assert endless.has_time_for_a_trial(queue) and endless.has_time_to_confirm(queue) and not endless.minutes_to_confirm


def test_a_later_command_that_wants_fewer_trials_is_handed_out_no_more_than_it_wants(few_digits):
    """After `minutes`, which left a stock waiting, `trials` is the total."""
    search = search_of(few_digits)
    queue, _ = begin(search, few_digits)
    supply_of(queue, search, Budget(None, 5))(progress(queue))
    taken = []

    def take(number: int | None = None) -> None:
        queue.optimize(lambda trial: taken.append(slot_of(queue.frozen(trial))) or 0.0, n_trials=number)

    take(3)
    for trials, slots in ((2, 3), (3, 3), (5, 5)):
        fill(queue, search, trials)
        with pytest.raises(QueueEmpty):
            take()
        assert taken == list(range(slots))
        assert [trial.state for trial in progress(queue)] == ["COMPLETE"] * slots
    fill(queue, search, 6)
    other = fill(queue, search, 5)  # a second command, while the first still wants 6
    fill(queue, search, 6)
    other(progress(queue))
    with pytest.raises(QueueEmpty):
        take()
    assert taken == list(range(6))


def searched(search: Search, budget: Budget) -> tuple[list[dict], int, str | None]:
    """Return the settings of the trials of a search that trains nothing, the number of repeats, and why it ended."""
    storage = optuna.storages.InMemoryStorage()
    queue = Queue(optuna.create_study(storage=storage).study_name, storage, sampler(search))
    found: list[dict] = []

    def objective(trial: optuna.Trial) -> float:
        settings = search.space.suggest(trial)
        trial.set_user_attr("fingerprint", str(settings))
        if (other := equal_trial(queue, trial, str(settings))) is not None:
            trial.set_user_attr("repeats", other)
            raise optuna.TrialPruned
        found.append(settings)
        return 0.0

    supply = supply_of(queue, search, budget)
    while True:
        supply(progress(queue))
        try:
            queue.optimize(objective, n_trials=1)
        except QueueEmpty:
            return found, len(queue.trials) - len(found), supply.note


@pytest.mark.parametrize("how", ["random", "gp", "tpe", "grid"])
def test_a_finite_space_is_tried_whole_and_then_the_search_says_so(few_digits, how):
    fields = """
fields:
  batch_size: {choices: [16, 32]}
  optimizer: {choices: [adam, momentum]}
  momentum: {range: [0.8, 0.95], step: 0.05, when: {optimizer: [momentum]}}
  l2: {range: [0.0, 0.02], step: 0.01, zero_below: 0.01}
"""
    search = search_of(few_digits, fields, sampler=how)
    found, repeats, note = searched(search, Budget(None, 5))
    assert len(found) == len({str(settings) for settings in found}) == 2 * (1 + 4) * 3
    assert note == "All 30 points of the space have been tried." and repeats <= 30
    assert searched(search, Budget(None, 5))[0] == found
    few, _, note = searched(search, Budget(20, None))
    assert (few, note) == (found[:20], None)


def test_other_draws_that_train_the_same_are_repeats_and_the_search_says_when_it_gives_up(few_digits, monkeypatch):
    monkeypatch.setattr(slot_supply, "MOST_IN_VAIN", 20)
    search = search_of(few_digits, "fields: {l2: {range: [1.0e-8, 1.0e-2], log: true, zero_below: 9.99e-3}}")
    found, repeats, note = searched(search, Budget(20, None))
    assert found.count({"l2": 0.0}) == 1
    told = re.fullmatch(r"The space seems exhausted: the last (\d+) suggestions repeated trials\.", note)
    assert told and 20 <= int(told[1]) <= repeats


def test_networks_beyond_the_limit_are_counted_and_not_trained(few_digits):
    fields = """
baseline: {hidden: 8, epochs: 1}
fields: {hidden: {choices: ["8", "16", "32"]}, dropout: {range: [0, 0.5]}}
"""
    search = search_of(
        few_digits, fields, limit=Limits(10_000), sampler="gp"
    )  # 8 hidden units have 6,370, 16 have 12,730
    assert parse_search(search.as_yaml(), "search.yaml") == search
    assert search.words.endswith("; fewer than 10,000 parameters)")
    queue, run = begin(search, few_digits)
    for _ in range(8):  # a slot that was turned down is replaced at the next look
        fill(queue, search, 8)
        worker.work(DEFAULT_STORAGE, "mine")
    trials = records.read_trials(run.client, run.run_id)
    assert len(trials) == 8 and all(trial.metrics["parameters"] < 10_000 for trial in trials)
    turned_down = [trial.user_attrs["excluded"] for trial in queue.trials if "excluded" in trial.user_attrs]
    assert turned_down and all(text.endswith(" parameters") for text in turned_down)
    assert "excluded" not in queue.trials[-1].user_attrs  # the Gaussian process asks before it suggests
    other = replace(search, limit=NO_LIMITS)
    with pytest.raises(ConfigError, match=r"another limit; expected parameters<10000, got none"):
        run_search.resume(other, few_digits.without_test(), queue, run.client)


def test_networks_that_are_too_slow_are_not_trained_and_others_tell_how_fast_they_are(few_digits):
    fields = """
baseline: {hidden: 8, epochs: 1}
fields: {hidden: {choices: ["8", "3000-3000"]}, dropout: {range: [0, 0.5]}}
"""
    search = search_of(few_digits, fields, limit=Limits(latency_ms=2), also="parameters")  # 0.2 ms and 7 ms
    queue, run = begin(search, few_digits)
    for _ in range(4):
        fill(queue, search, 3)
        worker.work(DEFAULT_STORAGE, "mine")
    trials = records.read_trials(run.client, run.run_id)
    assert len(trials) == 3 and {trial.params["hidden"] for trial in trials} == {"8"}
    assert all(0 < trial.metrics["latency_ms"] < 2 for trial in trials)
    turned_down = [trial.user_attrs["excluded"] for trial in queue.trials if "excluded" in trial.user_attrs]
    assert turned_down and all(re.fullmatch(r"[\d.]+ ms a row", text) for text in turned_down)
    study = search_results.read(run.client, run.run_id)
    assert {each.cost for each in weighed(study, "parameters")} == {trials[0].metrics["parameters"]}
    with pytest.raises(ConfigError, match="another also; expected parameters, got none"):
        run_search.resume(replace(search, also=None), few_digits.without_test(), queue, run.client)


def test_going_on_with_other_settings_is_an_error_that_names_them(few_digits):
    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    again = run_search.resume(search, few_digits.without_test(), queue, run.client)
    assert again.run_id == run.run_id and queue.assignment.reuse
    run_search.resume(search, few_digits.without_test(), queue, run.client, reuse=False)
    assert not queue.assignment.reuse
    wider = search_of(few_digits, SPACE.replace("hidden: 8", "hidden: 9"))
    longer = search_of(few_digits, SPACE.replace("epochs: 3", "epochs: 4"))
    other_data = replace(few_digits, sha256="0" * 64)
    for other, dataset, message in (
        (replace(search, sampler="tpe"), few_digits, "another sampler; expected random, got tpe."),
        (replace(search, metric="val_accuracy"), few_digits, "another metric; expected val_cross_entropy, got val_"),
        (wider, few_digits, "another baseline: hidden; expected 8"),
        (longer, few_digits, "another epochs; expected 3, got 4"),
        (search, other_data, "another data; expected SHA-256 b8de01bd495a…, got SHA-256 0000"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=re.escape(f"study: the study mine exists, with {message}")):
            run_search.resume(other, dataset.without_test(), queue, run.client)


def test_a_search_goes_on_in_another_space_as_a_new_phase(few_digits):
    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    fill(queue, search, 4)
    worker.work(DEFAULT_STORAGE, "mine")
    other = search_of(few_digits, SPACE.replace("[32, 64]", "[32, 128]") + "  dropout: {range: [0, 0.5]}")
    begun = begun_search.find_begun(other, few_digits.without_test(), DEFAULT_STORAGE, "mine")
    assert begun and begun.changed == (
        "range of batch_size was 32, 64, and is now 32, 128; range of dropout was not searched, and is now 0.0 … 0.5"
    )
    again = run_search.resume(other, few_digits.without_test(), queue, run.client)
    assert again.run_id == run.run_id
    begun = begun_search.find_begun(other, few_digits.without_test(), DEFAULT_STORAGE, "mine")
    assert begun and begun.changed == ""
    fill(queue, other, 7)
    assert worker.work(DEFAULT_STORAGE, "mine") == 3

    study = search_results.read(run.client, run.run_id)
    inside = [slot for slot, point in points(queue).items() if point.get("batch_size", 32) == 32]
    assert [int(trial.tags["slot"]) for trial in study.trials] == inside and 0 in inside
    assert len(study.all_trials) == 7 and len(study.outside) == 7 - len(inside) > 0
    assert [trial.tags.get("phase", "1") for trial in study.all_trials] == ["1"] * 4 + ["2"] * 3
    assert study.phases == 2 and study.search == other and study.earlier == [search]
    assert set(study.settings(study.trials[-1])) == {"learning_rate", "batch_size", "dropout"}
    table = search_tables.trials_table(study)
    assert [each.title for each in table.columns[:2]] == ["slot", "phase"]
    assert [row[1] for row in table.rows] == [1] * 4 + [2] * 3
    (line,) = search_tables.phase_lines(study)
    assert f"{len(inside) - 3} of 4 earlier trials lie inside and count; the others" in line
    assert "What was searched in phase 1" in search_report.write(study)["report.md"]

    back = run_search.resume(search, few_digits.without_test(), queue, run.client)  # a third phase
    assert search_results.read(back.client, back.run_id).phases == 3


def test_a_search_goes_on_in_a_finite_space_until_all_of_it_is_tried(few_digits):
    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    fill(queue, search, 6)
    worker.work(DEFAULT_STORAGE, "mine")
    finite = search_of(few_digits, "baseline: {hidden: 8, epochs: 3}\nfields: {batch_size: {choices: [32, 64, 128]}}")
    begun = begun_search.find_begun(finite, few_digits.without_test(), DEFAULT_STORAGE, "mine")
    assert begun.before == 6 and prepare.search_budget(finite, 50, None, begun.before) == Budget(9, None)
    run_search.resume(finite, few_digits.without_test(), queue, run.client)
    supply = SlotSupply(queue, finite, Budget(9, None))
    for _ in range(4):
        supply(progress(queue))
        worker.work(DEFAULT_STORAGE, "mine")
    supply(progress(queue))
    assert supply.note == "All 3 points of the space have been tried."
    study = search_results.read(run.client, run.run_id)
    assert {study.settings(trial)["batch_size"] for trial in study.trials} == {32, 64, 128}


def test_the_space_of_a_grid_stays_and_so_does_that_of_a_search_that_runs(few_digits, monkeypatch):
    fields = "fields: {batch_size: {choices: [16, 32]}}"
    grid, other = (search_of(few_digits, text, sampler="grid") for text in (fields, fields.replace("16", "64")))
    queue, run = begin(grid, few_digits)
    with pytest.raises(ConfigError, match="another range of batch_size; expected 16, 32, got 64, 32"):
        run_search.resume(other, few_digits.without_test(), queue, run.client)

    running, wider = search_of(few_digits), search_of(few_digits, SPACE.replace("64", "128"))
    queue, run = begin(running, few_digits, "running")
    at_work = {"slot": 0, "name": "trial 0"}
    queue.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=at_work))
    queue.set_user_attr("conductor", processes.this_process())
    with pytest.raises(ConfigError, match=r"the study running is running in another space .*Let it end, or end it"):
        run_search.resume(wider, few_digits.without_test(), queue, run.client)
    assert queue.assignment.search == running.as_yaml()


def test_a_worker_leaves_when_its_search_goes_on_in_another_space(few_digits):
    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    before = queue.assignment
    assert not queue.is_over(before)
    run_search.resume(search_of(few_digits, SPACE.replace("64", "128")), few_digits.without_test(), queue, run.client)
    assert queue.is_over(before) and not queue.is_over(queue.assignment)
    run_search.resume(search, few_digits.without_test(), queue, run.client)
    assert queue.is_over(before)  # the space is its own again, but the phase is another


def test_a_search_is_reported_once_and_also_if_its_comparison_is_interrupted(few_digits, monkeypatch):
    """With its trials already there, so that no worker is needed."""
    search = search_of(few_digits)
    queue, _ = begin(search, few_digits)
    fill(queue, search, 2)
    worker.work(DEFAULT_STORAGE, "mine")
    plan = Plan(Budget(2, None), 1, MeanTime(1.0, 0.5), Range.around(1.0, 0.5), comparing=1)
    reported = []
    monkeypatch.setattr(run_search.search_report, "log", lambda study: reported.append(len(study.trials)) or "page")

    def searched(confirm):
        monkeypatch.setattr(run_search.confirmation, "confirm", confirm)
        return run_search.run_search(
            search, few_digits, name="mine", plan=plan, params={}, worker_count=0, observe=lambda _: None, confirm=print
        )

    def interrupted(*given, **named):
        assert not reported
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        searched(interrupted)
    assert reported == [2]
    assert searched(lambda *given, **named: None).page == "page" and reported == [2, 2]
    late = replace(plan, budget=Budget(2, 1e-3))
    monkeypatch.setattr(run_search, "confirmation", None)
    outcome = run_search.run_search(
        search, few_digits, name="mine", plan=late, params={}, worker_count=0, observe=lambda _: None, confirm=print
    )
    assert outcome.note == run_search.NO_TIME and reported == [2, 2, 2]


def test_a_search_prunes_the_same_trials_whether_the_store_has_them_or_not(few_digits):
    fields = """
baseline: {hidden: 8, epochs: 2, batch_size: 64, learning_rate: 0.01}
fields: {learning_rate: {range: [1.0e-5, 1.0e-2], log: true}}
"""
    pruned = {}
    for name, pruner, reuse in (("whole", "none", False), ("empty", "hyperband", False), ("filled", "hyperband", True)):
        search = search_of(few_digits, fields, pruner=pruner)
        queue, run = begin(search, few_digits, name, reuse)
        fill(queue, search, 3)
        worker.work(DEFAULT_STORAGE, name)
        trials = records.read_trials(run.client, run.run_id)
        states = [(trial.state.name, trial.value, trial.intermediate_values) for trial in queue.trials]
        pruned[name] = states, [(trial.status, trial.tags["state"]) for trial in trials], trials[2]
    assert pruned["filled"][:2] == pruned["empty"][:2]
    assert [state for state, *_ in pruned["filled"][0]] == ["COMPLETE", "COMPLETE", "PRUNED"]
    carried, trained, whole = (pruned[name][2] for name in ("filled", "empty", "whole"))
    assert carried.tags["reused_from"] == whole.run_id and "reused_from" not in trained.tags
    for metric in ("epochs_trained", "best_epoch", "best_val_loss", "best_val_accuracy"):
        assert carried.metrics[metric] == trained.metrics[metric]
    epochs = [records.read_epochs(run.client, trial.run_id) for trial in (carried, trained)]
    for values in (values for each in epochs for values in each):
        del values["epoch_seconds"]
    assert epochs[0] == epochs[1] and stored.read_model(run.client, carried.run_id) is None


def test_an_ablation_and_a_search_share_what_is_equal(few_digits):
    from study.design.ablation import parse_ablation

    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    fill(queue, search, 1)
    worker.work(DEFAULT_STORAGE, "mine")
    arms = "question: Shared?\nbaseline: {hidden: 8, epochs: 3}\narms: {grid: {batch_size: [32, 128]}}\nseeds: 1"
    asked = parse_ablation(arms, "shared", "shared.yaml")
    specs = asked.trial_specs(1, few_digits)
    started = runs.open_study_run(run.client, "ablation shared")
    run_ablation.describe(asked, specs, few_digits, started, "shared", True)
    own, _ = create_queue(DEFAULT_STORAGE, "shared")
    own.add_specs(specs)
    own.assign(assignment(few_digits, started.run_id, open_test=True, reuse=True))
    worker.work(DEFAULT_STORAGE, "shared")
    (searched,) = records.read_trials(run.client, run.run_id)
    shared, trained = records.read_trials(run.client, started.run_id)
    assert shared.tags["reused_from"] == searched.run_id and "reused_from" not in trained.tags
    assert shared.metrics["model_val_accuracy"] == searched.metrics["model_val_accuracy"]
    assert shared.metrics["test_accuracy"] > 0.3
    assert stored.read_file(shared, PREDICTIONS)
