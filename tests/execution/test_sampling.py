"""Samplers and pruners by slots: the same search twice, interrupted or not, by one worker or several."""

import random

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from study.base import yaml_file
from study.design.search import PRUNERS, SAMPLERS, Search
from study.design.search_space import SPACES, load_space, parse_space
from study.execution import pruning, sampling
from study.execution.attributes import REPLICATES, seed_number, slot_of, tries_before
from study.execution.queue import Queue
from study.execution.recovery import requeue

SLOTS = 64
SPACES = yaml_file.names(SPACES)


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a warning fails the test that reads them
    yield
    optuna.logging.set_verbosity(before)


def a_search(sampler: str, space: str = "default", pruner: str = "none", epochs: int = 4, seed: int = 1) -> Search:
    around = load_space(space).with_baseline({"epochs": epochs, "seed": seed})
    return Search(around, "val_cross_entropy", sampler, pruner)


def queue_of(search: Search, slots: int = SLOTS, storage=None) -> Queue:
    storage = storage or optuna.storages.InMemoryStorage()
    name = optuna.create_study(storage=storage).study_name
    queue = Queue(name, storage, sampling.sampler(search), pruning.pruner(search))
    queue.add_slots(slots, [search.space.first()])
    return queue


def trained(search: Search):
    """Return an objective with curves that fall towards a value that depends on the point."""

    def objective(trial: optuna.Trial) -> float:
        settings = search.space.suggest(trial)
        value = abs(settings["learning_rate"] - 0.01) + settings["dropout"] / 10
        report_curve(trial, search, value, 1.0)
        return value

    return objective


def report_curve(trial: optuna.Trial, search: Search, value: float, start: float) -> None:
    """Report a curve that falls from `start` above a value, as long as the trial is not pruned."""
    for epoch in range(1, search.baseline.training.epochs + 1):
        trial.report(value + start / epoch, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned


def points(queue: Queue) -> list[tuple]:
    """Return the state and the point of each slot."""
    last = {slot_of(trial): trial for trial in queue.get_trials(deepcopy=False)}
    return [(last[slot].state, last[slot].params) for slot in sorted(last)]


def searched(search: Search, slots: int = SLOTS) -> list[tuple]:
    queue = queue_of(search, slots)
    queue.optimize(trained(search), n_trials=slots)
    return points(queue)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_point_comes_twice_and_the_first_is_the_baseline(sampler, space, caplog, capfd):
    search = a_search(sampler, space)
    found = [params for _, params in searched(search)]
    assert found[0] == search.space.first()
    assert len({str(params) for params in found}) == SLOTS
    for params in found:
        applying = {each.field for each in search.space.dimensions if each.applies(params)}
        assert params.keys() == applying
    assert not caplog.records and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_search_is_the_same_twice_and_another_with_another_seed(sampler, pruner):
    once = searched(a_search(sampler, "wide", pruner), 24)
    assert once == searched(a_search(sampler, "wide", pruner), 24)
    other = searched(a_search(sampler, "wide", pruner, seed=2), 24)
    assert all(one[1] != two[1] for one, two in zip(once[1:], other[1:], strict=True))


@pytest.mark.filterwarnings("ignore:.*RetryHeartbeat:optuna.exceptions.ExperimentalWarning")  # as the queue does
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_interruptions_change_nothing(sampler, pruner):
    """Trials are lost before, between and after their suggestions and after some epochs, each with its worker."""
    search = a_search(sampler, "wide", pruner)
    queue = queue_of(search, 32)
    while any(trial.state == TrialState.WAITING for trial in queue.get_trials(deepcopy=False)):
        worker = Queue(queue.study_name, queue._storage, sampling.sampler(search), pruning.pruner(search))
        trial = worker.ask()
        slot = trial.user_attrs["slot"]
        if slot % 4 == 3 and not tries_before(queue.frozen(trial)):
            if slot % 8 == 3:
                for dimension in search.space.dimensions[: slot // 8]:
                    dimension.suggest(trial)
            else:
                search.space.suggest(trial)
                trial.report(1.0, 1)
                trial.should_prune()
            worker.tell(trial.number, state=TrialState.FAIL)
            requeue(queue, queue.get_trials(deepcopy=False)[trial.number], counts=False)
            continue
        try:
            worker.tell(trial.number, trained(search)(trial))
        except optuna.TrialPruned:
            worker.tell(trial.number, state=TrialState.PRUNED)
    assert len(queue.trials) == 40
    assert points(queue) == searched(search, 32)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_points_that_nothing_is_learnt_for_do_not_depend_on_the_order_of_the_slots(sampler):
    search = a_search(sampler, "wide")
    queue = queue_of(search, 0)
    order = random.Random(1).sample(range(SLOTS), SLOTS)
    for slot in order:
        queue.enqueue_trial({} if slot else search.space.first(), user_attrs={"slot": slot})
    for _ in order:
        # The queue hands out by slot; this is Optuna's own order.
        waiting = queue.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        queue._storage.set_trial_state_values(waiting[0]._trial_id, TrialState.RUNNING)
        search.space.suggest(optuna.Trial(queue, waiting[0]._trial_id))
    assert [params for _, params in points(queue)] == [params for _, params in searched(search)]


def test_sobol_points_lie_evenly():
    found = [params for _, params in searched(a_search("qmc"))][1:]
    for quarter in range(4):
        assert 14 <= sum(quarter <= params["dropout"] / 0.15 < quarter + 1 for params in found) <= 18
    assert {sum(params["activation"] == each for params in found) for each in ("relu", "tanh")} <= {15, 16, 17}


@pytest.mark.parametrize("sampler", ["gp", "tpe", "cmaes"])
def test_two_workers_at_once_have_points_of_their_own(sampler, tmp_path):
    search = a_search(sampler)
    queue = queue_of(search, 16, optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db"))
    made = (sampling.sampler(search), pruning.pruner(search))
    workers = [Queue(queue.study_name, queue._storage, *made) for _ in range(2)]
    for _ in range(8):
        trials = [worker.ask() for worker in workers]
        values = [trained(search)(trial) for trial in trials]
        for worker, trial, value in zip(workers, trials, values, strict=True):
            worker.tell(trial.number, value)
    assert len({str(params) for _, params in points(queue)}) == 16


def test_cma_es_is_that_of_the_library_told_the_same():
    """Each trial carries its generation; generation by generation the library's optimizer narrows in on the best."""
    text = "fields: {dropout: {range: [0, 0.5]}, learning_rate: {range: [0.0001, 0.1], log: true}}"
    search = Search(parse_space(text, "two", "two"), "val_loss", "cmaes", "none")
    queue = queue_of(search, 80)
    queue.optimize(lambda trial: search.space.suggest(trial)["dropout"], n_trials=80)
    generations = [trial.user_attrs.get("generation") for trial in queue.trials]
    members = 6  # of a generation, in two dimensions
    assert generations == [None, *(slot // members for slot in range(79))]
    found = [trial.params["dropout"] for trial in queue.trials]
    assert np.median(found[1:20]) > 3 * np.median(found[60:])


def test_gaussian_process_finds_a_valley():
    """After 20 trials it is nearer to the best point than random search after 64."""

    def nearest(sampler: str, trials: int) -> float:
        search = a_search(sampler)
        queue = queue_of(search, trials)
        draw = np.random.default_rng(1)

        def objective(trial: optuna.Trial) -> float:
            point = search.space.suggest(trial)
            far = np.log10(point["learning_rate"] / 0.005) ** 2 + 4 * (point["dropout"] - 0.2) ** 2
            return (0.1 + far + 0.2 * (point["activation"] != "gelu")) * np.exp(0.02 * draw.standard_normal())

        queue.optimize(objective, n_trials=trials)
        return queue.best_value

    assert nearest("gp", 20) < 0.12 < nearest("random", 64)


# --- seeds inside a search --------------------------------------------------------------------------


def noisy(search: Search):
    """Return an objective of whose values the place in the queue, as a seed would, changes a third."""

    def objective(trial: optuna.Trial) -> float:
        point = search.space.suggest(trial)
        value = 0.1 + (point["dropout"] - 0.2) ** 2
        value *= np.exp(0.3 * np.random.default_rng(trial.user_attrs["slot"]).standard_normal())
        report_curve(trial, search, value, 0.1)
        return value

    return objective


def replicating(pruner: str, replicate: bool = True) -> Search:
    space = parse_space("baseline: {epochs: 4}\nfields: {dropout: {range: [0, 0.6]}}", "one", "one")
    return Search(space, "val_cross_entropy", "gp", pruner, replicate=replicate)


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_promising_points_get_more_seeds_which_are_never_pruned(pruner):
    search = replicating(pruner)
    queue = queue_of(search, 16)
    queue.optimize(noisy(search), n_trials=16)
    again = [trial for trial in queue.trials if REPLICATES in trial.user_attrs]
    assert again and {trial.state for trial in again} == {TrialState.COMPLETE}
    for trial in again:
        first = queue.trials[trial.user_attrs[REPLICATES]]
        assert trial.params == first.params and first.state == TrialState.COMPLETE and seed_number(first) == 0
    seeds = [(trial.user_attrs[REPLICATES], seed_number(trial)) for trial in again]
    assert len(set(seeds)) == len(seeds) and min(number for _, number in seeds) == 1
    without = queue_of(replicating(pruner, replicate=False), 16)
    without.optimize(noisy(search), n_trials=16)
    assert not any(REPLICATES in trial.user_attrs for trial in without.trials)


def test_seeds_of_an_interrupted_search_are_those_of_another():
    """Each replicate is lost once before its point is stored, and once after."""
    search = replicating("hyperband")
    queue, objective = queue_of(search, 14), noisy(search)
    while any(trial.state == TrialState.WAITING for trial in queue.get_trials(deepcopy=False)):
        worker = Queue(queue.study_name, queue._storage, sampling.sampler(search), pruning.pruner(search))
        trial = worker.ask()
        frozen = queue.frozen(trial)
        tries = len(tries_before(frozen))
        if REPLICATES in frozen.user_attrs and tries < 2:
            if tries == 1:
                search.space.suggest(trial)
            worker.tell(trial.number, state=TrialState.FAIL)
            requeue(queue, queue.frozen(trial), counts=False)
            continue
        try:
            worker.tell(trial.number, objective(trial))
        except optuna.TrialPruned:
            worker.tell(trial.number, state=TrialState.PRUNED)
    whole = queue_of(search, 14)
    whole.optimize(objective, n_trials=14)

    def seeds(one: Queue) -> dict[int, int]:
        return {slot_of(trial): seed_number(trial) for trial in one.trials if trial.state != TrialState.FAIL}

    assert points(queue) == points(whole) and seeds(queue) == seeds(whole) and any(seeds(whole).values())


def test_workers_at_once_never_train_the_same_seed_of_a_point():
    search = replicating("none")
    queue = queue_of(search, 20)
    objective, running = noisy(search), []
    for _ in range(20):
        trial = queue.ask()
        search.space.suggest(trial)
        running.append(trial)
        if len(running) == 3:  # the oldest ends
            first = running.pop(0)
            queue.tell(first.number, objective(first))
    places = [(trial.params["dropout"], seed_number(trial)) for trial in queue.trials]
    assert len(set(places)) == 20 and any(number for _, number in places)


@pytest.mark.parametrize("sampler", ["gp", "tpe", "qmc", "cmaes"])
def test_space_of_one_range_and_space_of_choices(sampler):
    one = "fields: {learning_rate: {range: [0.0001, 0.1], log: true}}"
    choices = "fields: {batch_size: {choices: [32, 64]}, activation: {choices: [relu, tanh]}}"
    for text in (one, choices):
        search = Search(parse_space(text, "one", "one"), "val_accuracy", sampler, "none")
        queue = queue_of(search, 24)
        queue.optimize(lambda trial, search=search: len(str(search.space.suggest(trial))), n_trials=24)
        assert {state for state, _ in points(queue)} == {TrialState.COMPLETE}


# --- pruners ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruners_make_sense_for_any_number_of_epochs(pruner, epochs):
    search = a_search("random", pruner=pruner, epochs=epochs)
    queue = queue_of(search, 12)
    queue.optimize(trained(search), n_trials=12)
    states = [state for state, _ in points(queue)]
    assert states[0] == TrialState.COMPLETE
    assert (TrialState.PRUNED in states) == (epochs >= {"hyperband": 2, "median": 4, "none": np.inf}[pruner])
    assert all(max(trial.intermediate_values) < epochs for trial in queue.trials if trial.state == TrialState.PRUNED)


def test_brackets_of_hyperband_go_by_the_slot():
    pruner = pruning.Hyperband(27, reduction=3, least=1)
    assert pruner.brackets == [(1, 3, 9), (3, 9), (9,), ()]
    brackets = [pruner.bracket(slot) for slot in range(4000)]
    shares = [brackets.count(number) / 4000 for number in range(4)]
    weights = [27 / 4, 9 / 3, 3 / 2, 1]
    assert shares == pytest.approx([weight / sum(weights) for weight in weights], abs=0.002)
    assert set(brackets[:12]) == {0, 1, 2, 3}


def test_halving_is_that_of_optuna(tmp_path):
    """In one bracket whose rungs Optuna has too, the same trials go on."""

    def halved(pruner: optuna.pruners.BasePruner) -> list[int]:
        draw = random.Random(7)
        study = optuna.create_study(pruner=pruner, direction="maximize")

        def objective(trial: optuna.Trial) -> float:
            for epoch in range(1, 27):
                trial.report(draw.random(), epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return 0.0

        study.optimize(objective, n_trials=100)
        return [trial.last_step for trial in study.trials]

    ours = pruning.Hyperband(27, reduction=3, least=1)
    ours.bracket = lambda slot: 0
    assert halved(ours) == halved(optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3))
