"""A search goes on in another space: its parameters' names, what lies inside, and what a sampler sees of it."""

import optuna
import pytest
from optuna.trial import TrialState

from study.design.search import Search
from study.design.search_space import SearchSpace, parse_space
from study.execution import sampling
from study.execution.queue import Queue
from study.execution.space_phases import CHANGING, SpacePhases, named, split
from study.training.config import TrialConfig

FIRST = """
baseline: {epochs: 3}
fields:
  learning_rate: {range: [1.0e-4, 1.0e-1], log: true}
  batch_size: {choices: [32, 64, 128]}
"""
NARROWER = FIRST.replace("1.0e-4, 1.0e-1", "5.0e-4, 5.0e-3").replace("[32, 64, 128]", "[32, 256]")
ANOTHER_FIELD = FIRST + "  l2: {range: [1.0e-7, 1.0e-2], log: true, zero_below: 1.0e-6}\n"


def space(fields: str) -> SearchSpace:
    return parse_space(fields, "mine", "mine.yaml")


def search(fields: str, sampler: str = "random") -> Search:
    return Search(space(fields), "val_cross_entropy", sampler, "none")


def run(storage, phases: SpacePhases, asked: Search, trials: int) -> Queue:
    """Run so many more trials of a search that trains nothing: the smaller the learning rate, the better."""
    queue = Queue("mine", storage, phases.sampler(sampling.sampler(asked)))
    begun = queue.slots()
    queue.add_slots(begun + trials, [asked.space.first()])

    def objective(trial: optuna.Trial) -> float:
        return float(phases.suggest(trial, phases.phase_of(queue.frozen(trial)))["learning_rate"])

    queue.optimize(objective, n_trials=trials)
    return queue


@pytest.fixture
def storage(tmp_path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")  # which refuses other choices
    optuna.create_study(storage=storage, study_name="mine")
    return storage


@pytest.mark.parametrize(
    "field, phase, name", [("l2", 1, "l2"), ("l2", 2, "l2 (2)"), ("dropout (3)", 1, "dropout (3)")]
)
def test_a_parameter_has_the_number_of_its_phase(field, phase, name):
    assert named(field, phase) == name
    assert split(name) == (("dropout", 3) if "3" in name else (field, phase))


@pytest.mark.parametrize("settings, drawn", [
    ({}, {"learning_rate": 0.001, "batch_size": 32, "l2": 1e-7}),
    ({"learning_rate": 0.02, "l2": 1e-3}, {"learning_rate": 0.02, "batch_size": 32, "l2": 1e-3}),
    ({"seed": 7, "data": "digits"}, {"learning_rate": 0.001, "batch_size": 32, "l2": 1e-7}),
    ({"learning_rate": 0.2}, None),
    ({"batch_size": 48}, None),
    ({"l2": 1e-8}, None),  # between 0 and the least value
    ({"dropout": 0.1}, None),  # which is not searched, and 0 in the baseline
    ({"epochs": 4}, None),
])  # fmt: skip
def test_a_config_lies_in_a_space_if_one_of_its_points_becomes_it(settings, drawn):
    config = TrialConfig.parse({"epochs": 3}).replace(settings)
    found = space(ANOTHER_FIELD).place(config)
    assert found == drawn
    if drawn:
        own = space(ANOTHER_FIELD)
        assert own.baseline.replace(own.become(drawn)).training.learning_rate == config.training.learning_rate


def test_a_search_goes_on_with_other_choices_and_sees_the_trials_that_lie_inside(storage):
    first, second = search(FIRST), search(NARROWER)
    phases = SpacePhases(first)
    run(storage, phases, first, 12)
    later = SpacePhases(second, [first.as_yaml()])
    queue = run(storage, later, second, 5)
    trials = queue.get_trials(deepcopy=False)
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert [later.phase_of(trial) for trial in trials] == [1] * 12 + [2] * 5
    assert set(trials[-1].params) == {"learning_rate (2)", "batch_size (2)"}
    inside = [
        trial.number for trial in trials[:12]
        if 5e-4 <= trial.params["learning_rate"] <= 5e-3 and trial.params["batch_size"] == 32
    ]  # fmt: skip
    seen = later.seen(trials)
    assert [trial.number for trial in seen] == inside + list(range(12, 17)) and 0 < len(inside) < 12
    assert seen[0].params == {"learning_rate": 0.001, "batch_size": 32}  # the baseline
    for trial in seen:
        assert 5e-4 <= trial.params["learning_rate"] <= 5e-3
        assert trial.distributions["batch_size"].choices == (32, 256)
    assert phases.seen(trials[:12]) == trials[:12]


def test_a_new_field_has_the_baselines_value_in_earlier_trials_and_a_field_that_goes_must_have_it(storage):
    first, second = search(FIRST), search(ANOTHER_FIELD)
    run(storage, SpacePhases(first), first, 6)
    wider = SpacePhases(second, [first.as_yaml()])
    queue = run(storage, wider, second, 6)
    seen = wider.seen(queue.get_trials(deepcopy=False))
    assert len(seen) == 12 and [trial.params["l2"] for trial in seen[:6]] == [1e-7] * 6  # which means 0
    back = SpacePhases(first, [first.as_yaml(), second.as_yaml()])
    zero = [trial.number for trial in seen if trial.params["l2"] < 1e-6]
    assert [trial.number for trial in back.seen(queue.get_trials(deepcopy=False))] == zero


@pytest.mark.parametrize("sampler", CHANGING)
def test_every_sampler_goes_on_inside_the_new_space(storage, sampler):
    first, second = search(FIRST, sampler), search(NARROWER, sampler)
    run(storage, SpacePhases(first), first, 12)
    later = SpacePhases(second, [first.as_yaml()])
    queue = run(storage, later, second, 4)
    points = [trial.params for trial in queue.get_trials(deepcopy=False)[12:]]
    assert len(points) == 4
    for point in points:
        assert 5e-4 <= point["learning_rate (2)"] <= 5e-3 and point["batch_size (2)"] in (32, 256)
    again = run(storage, SpacePhases(second, [first.as_yaml()]), second, 1)  # with a memory of its own
    assert again.get_trials(deepcopy=False)[-1].state == TrialState.COMPLETE


def test_a_trial_that_is_tried_again_keeps_the_point_and_the_phase_that_it_had(storage):
    first, second = search(FIRST), search(NARROWER)
    queue = run(storage, SpacePhases(first), first, 3)
    drawn = queue.get_trials(deepcopy=False)[2]
    queue.add_trial(
        optuna.trial.create_trial(
            state=TrialState.WAITING, params=drawn.params, distributions=drawn.distributions,
            user_attrs={"slot": 3, "name": "trial 3"},
        )
    )  # fmt: skip
    later = SpacePhases(second, [first.as_yaml()])
    queue = Queue("mine", storage, later.sampler(sampling.sampler(second)))
    trial = queue.ask()
    phase = later.phase_of(queue.frozen(trial))
    assert (phase, later.suggest(trial, phase)["learning_rate"]) == (1, drawn.params["learning_rate"])
    assert queue.frozen(trial).params == drawn.params
