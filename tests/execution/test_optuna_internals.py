"""The private names of Optuna that we rest on: where an upgrade changes one, it fails here."""

import inspect

import optuna
import pytest
from optuna.samplers import QMCSampler
from optuna.storages import InMemoryStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

from study.execution import optuna_internals
from study.execution.optuna_internals import OrderedStudy, QueueEmpty, SobolPoint, by_slots

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", optuna_internals.STORAGE_METHODS)
def test_the_storage_has_the_methods_that_wait_for_a_server(name):
    assert callable(getattr(RDBStorage, name))


def test_every_method_of_the_storage_that_opens_a_session_waits_for_a_server():
    # Those that a worker or a conductor calls; the rest are of Optuna's own housekeeping.
    housekeeping = {
        "__init__", "delete_study", "get_trial_id_from_study_id_trial_number", "get_best_trial", "get_n_trials",
        "record_heartbeat", "_get_prepared_new_trial", "get_all_trials", "_get_best_trial_id",
        "_check_and_set_param_distribution",
    }  # fmt: skip
    opening = {
        name for name, method in inspect.getmembers(RDBStorage, inspect.isfunction)
        if "_create_scoped_session(" in inspect.getsource(method)
    }  # fmt: skip
    assert opening - housekeeping - set(optuna_internals.STORAGE_METHODS) == set()


@pytest.mark.parametrize("method, expected", [
    (optuna.Study._pop_waiting_trial_id, ["self"]),
    (optuna.Study._get_trials, ["self", "deepcopy", "states", "use_cache"]),
    (QMCSampler._find_sample_id, ["self", "study", "search_space"]),
    (RDBStorage.set_trial_state_values, ["self", "trial_id", "state", "values"]),
])  # fmt: skip
def test_what_we_override_or_call_has_the_signature_that_we_know(method, expected):
    assert parameters(method) == expected


@pytest.fixture
def study() -> OrderedStudy:
    storage = InMemoryStorage()
    study = OrderedStudy(optuna.create_study(storage=storage).study_name, storage)
    for slot in (2, 0, 1):
        study.enqueue_trial({"x": slot / 10}, user_attrs={"slot": slot})
    return study


def test_waiting_trials_are_handed_out_by_slot_and_none_is_made_up(study):
    with pytest.raises(QueueEmpty):
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1))
    done = sorted(study.trials, key=lambda trial: trial.datetime_start)
    assert [trial.user_attrs["slot"] for trial in done] == [0, 1, 2]
    assert [trial.params["x"] for trial in done] == [0.0, 0.1, 0.2]


def test_a_trial_can_be_marked_as_failed_from_outside_and_known_as_a_retry(study):
    trial = study.ask()
    optuna_internals.mark_failed(study, study.trials[trial.number])
    assert study.trials[trial.number].state == TrialState.FAIL
    again = optuna.trial.create_trial(
        state=TrialState.WAITING, user_attrs={"slot": 0}, system_attrs=optuna_internals.retry_attributes([trial.number])
    )
    study.add_trial(again)
    assert RetryHeartbeatStaleTrialCallback.retry_history(study.trials[-1]) == [trial.number]
    assert RetryHeartbeatStaleTrialCallback.retried_trial_number(study.trials[-1]) == trial.number


def test_samplers_see_the_last_try_of_each_slot_under_its_slot(study):
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"slot": 0}))
    seen = by_slots(study).get_trials()
    assert [(trial.number, trial.state.name) for trial in seen] == [(0, "COMPLETE"), (1, "WAITING"), (2, "WAITING")]
    assert by_slots(study).direction == study.direction


def test_a_point_of_the_sobol_sequence_depends_on_its_number_alone():
    space = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("x", "y")}

    def point(number: int, trials: int) -> dict:
        study = optuna.create_study(sampler=SobolPoint(space, number, 1, optuna.samplers.RandomSampler()))
        study.add_trials([optuna.trial.create_trial(value=1.0)] * trials)
        return study.ask(space).params

    assert point(3, 0) == point(3, 2) != point(4, 0)


def test_params_become_coordinates_and_come_back():
    floats, ints = optuna.distributions.FloatDistribution, optuna.distributions.IntDistribution
    cube = optuna_internals.unit_cube({"x": floats(1e-4, 1.0, log=True), "y": ints(0, 10), "z": floats(0, 1, step=0.5)})
    params = {"x": 1e-2, "y": 10, "z": 0.5}
    assert cube.transform(params) == pytest.approx([0.5, 10.5 / 11, 0.5])
    assert cube.untransform(cube.transform(params)) == pytest.approx(params)


def test_a_sampler_can_write_an_attribute_of_its_trial(study):
    trial = by_slots(study).get_trials(deepcopy=False)[1]
    optuna_internals.set_attribute(by_slots(study), trial, "generation", 3)
    assert [each.user_attrs.get("generation") for each in study.trials] == [None, None, 3]
