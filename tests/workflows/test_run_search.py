"""A search is begun, kept filled, and gone on with: by workers in this process, on the small digits."""

import re
from dataclasses import replace

import optuna
import pytest

from study.base.errors import ConfigError
from study.design.search import Budget, Search
from study.design.search_space import parse_space
from study.execution import worker
from study.execution.attributes import slot_of
from study.execution.queue import create_queue, progress
from study.execution.storage import DEFAULT_STORAGE
from study.tracking import records, runs, store
from study.tracking.artifacts import PREDICTIONS
from study.workflows import run_ablation, run_search
from study.workflows.common import assignment
from study.workflows.run_search import Supply

SPACE = """
baseline: {hidden: 8, epochs: 3}
fields:
  learning_rate: {range: [1.0e-3, 1.0e-1], log: true}
  batch_size: {choices: [32, 64]}
"""


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


def fill(queue, search, trials) -> Supply:
    supply = Supply(queue, search, Budget(trials, None))
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
        files = set(records.read_files(run.client, trial.run_id))
        assert {"learning_curves.png", "confusion_matrices.png", "confusion_validation.csv"} <= files
        assert not any("test" in name for name in files)
        assert records.read_model(run.client, trial.run_id)


def test_an_interrupted_search_goes_on_to_the_same_points(few_digits):
    search = search_of(few_digits, sampler="tpe")
    whole, _ = begin(search, few_digits, "whole")
    fill(whole, search, 6)
    worker.work(DEFAULT_STORAGE, "whole")

    broken, _ = begin(search, few_digits, "broken", reuse=False)
    fill(broken, search, 6)

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
    fill(queue, search, 3)  # that many are there already
    worker.work(DEFAULT_STORAGE, "mine")
    assert sorted(points(queue)) == [0, 1, 2, 3]
    assert len({tuple(point.values()) for point in points(queue).values()}) == 4


def test_a_small_space_is_tried_whole_and_then_the_search_ends(few_digits):
    fields = "baseline: {hidden: 8, epochs: 1}\nfields: {batch_size: {choices: [32, 64, 128]}}"
    search = search_of(few_digits, fields)
    queue, _ = begin(search, few_digits)
    for _ in range(10):
        supply = Supply(queue, search, Budget(50, None))
        supply(progress(queue))
        worker.work(DEFAULT_STORAGE, "mine")
    assert sorted(point["batch_size"] for point in points(queue).values()) == [32, 64, 128]
    assert all(trial.finished for trial in progress(queue)) and len(progress(queue)) == 3


def test_a_grid_is_every_point_once_the_baseline_first(few_digits):
    fields = "fields: {batch_size: {choices: [16, 32, 64]}, dropout: {range: [0, 0.4], step: 0.2}}"
    search = search_of(few_digits, fields, sampler="grid")
    asked = run_search.in_order(search.space.points(), search)
    assert asked[0] == {"batch_size": 32, "dropout": 0.0}
    assert sorted(map(str, asked)) == sorted(map(str, search.space.points()))
    assert asked != search.space.points() and asked == run_search.in_order(search.space.points(), search)


def test_a_budget_of_time_keeps_some_waiting_and_then_ends_the_queue(few_digits, monkeypatch):
    search = search_of(few_digits)
    queue, _ = begin(search, few_digits)
    supply = Supply(queue, search, Budget(None, 5))
    supply(progress(queue))
    assert [trial.state for trial in progress(queue)] == ["WAITING"] * run_search.STOCK
    now = run_search.time.monotonic()
    monkeypatch.setattr(run_search.time, "monotonic", lambda: now + 301)
    supply(progress(queue))
    assert queue.ended == "the time is up"
    assert worker.work(DEFAULT_STORAGE, "mine") == 0
    Supply(queue, search, Budget(None, 5))
    assert queue.ended is None  # the same command goes on


def test_going_on_with_other_settings_is_an_error_that_names_them(few_digits):
    search = search_of(few_digits)
    queue, run = begin(search, few_digits)
    again = run_search.resume(search, few_digits.without_test(), queue, run.client)
    assert again.run_id == run.run_id
    wider = search_of(few_digits, SPACE.replace("hidden: 8", "hidden: 9"))
    longer = search_of(few_digits, SPACE.replace("epochs: 3", "epochs: 4"))
    other_data = replace(few_digits, sha256="0" * 64)
    other_range = search_of(few_digits, SPACE.replace("1.0e-1", "1.0e-2"))
    more_fields = search_of(few_digits, SPACE + "  dropout: {range: [0, 0.5]}")
    for other, dataset, message in (
        (replace(search, sampler="tpe"), few_digits, "another sampler; expected random, got tpe."),
        (replace(search, metric="val_accuracy"), few_digits, "another metric; expected val_cross_entropy, got val_"),
        (wider, few_digits, "another baseline: hidden; expected 8"),
        (longer, few_digits, "another epochs; expected 3, got 4"),
        (other_range, few_digits, "another range of learning_rate; expected 0.001 … 0.1 (log), got 0.001 … 0.01 (log)"),
        (more_fields, few_digits, "another range of dropout; expected not searched, got 0.0 … 0.5"),
        (search, other_data, "another data; expected SHA-256 b8de01bd495a…, got SHA-256 0000"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=re.escape(f"study: the study mine exists, with {message}")):
            run_search.resume(other, dataset.without_test(), queue, run.client)


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
    assert PREDICTIONS in records.read_files(run.client, shared.run_id)
