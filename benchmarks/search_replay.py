"""Replays whole searches, with their queues, slots and baselines, on trainings that are looked up in an objective.

Regret is in thousandths of cross-entropy: the lowest noise-free value among the search's top five, which `promote`
would find with more seeds, minus the lowest possible value. The baseline is not among the five, because it is already
good.

Seconds are those of one worker on MNIST: training by the usual machine's times, RECORD for each trial, COMPILE for the
first of each structure, and what the sampler and the pruner really took of this processor.
"""

import multiprocessing
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.search_objectives import EPOCHS, Replayed
from study.analysis.search_process import Ended, Expectation
from study.analysis.unit_cube import UnitCube
from study.design.search import REPLICATING, Search
from study.execution import pruning, sampling
from study.execution.gp_sampler import as_ended
from study.execution.optuna_internals import QueueEmpty
from study.execution.queue import Queue, create_queue, load_queue
from study.execution.time_estimate import epoch_seconds
from study.training.config import TrialConfig

FIRST = 5
TRIAL, SPENT, SECONDS, REGRET = range(4)  # the columns of a replay's marks
PRUNERS = {
    "none": ("none", {}),
    "median": ("median", {}),
    "hyperband 1 in 2": ("hyperband", {}),
    "hyperband 1 in 3": ("hyperband", {"reduction": 3}),
}
USUAL = "hyperband 1 in 2"
MNIST = SimpleNamespace(train=range(55_000), validation=range(5_000), row_shape=(28, 28), kind="pixels", classes=10)
RECORD, COMPILE, SLOWNESS = 0.2, 1.5, 1.5  # seconds, seconds, and times the estimate for an epoch (docs/lab-log.md)


def searched(
    objective: Replayed,
    sampler: str,
    seed: int,
    *,
    trials: int,
    pruner: tuple[str, dict] = PRUNERS["none"],
    epochs: float = np.inf,
    seconds: float = np.inf,
    workers: int = 1,
) -> tuple[np.ndarray, Queue]:
    """Search until trials, epochs or seconds are spent; return the marks and the queue.

    There is a mark after each trial: how many have ended, the epochs and seconds spent, and the regret: (n, 4).
    """
    search = _search(objective, sampler, seed, pruner)
    storage = optuna.storages.InMemoryStorage()
    name = optuna.create_study(storage=storage, study_name=f"replay {seed}").study_name
    queue = Queue(name, storage, sampling.sampler(search), pruning.pruner(search, **pruner[1]))

    marks, top = list[tuple](), Top()
    compiled: set[tuple] = set()
    spent, passed, slots = 0, 0.0, iter(range(trials))
    at_work = [_training(queue, search, slots, objective, seed, compiled) for _ in range(workers)]
    while at_work and spent < epochs and passed < seconds:
        for worker in list(at_work):  # the workers take turns, one epoch each
            step = next(worker, None)
            if step is None:
                at_work.remove(worker)
                continue
            took, ended = step
            spent, passed = spent + 1, passed + took / workers
            if ended:
                top.add(*ended)
                marks.append((len(marks) + 1, spent, passed, top.regret))
    return np.array(marks), queue


def _search(objective: Replayed, sampler: str, seed: int, pruner: tuple[str, dict]) -> Search:
    space = objective.space.with_baseline({"epochs": EPOCHS, "seed": seed})
    return Search(space, "val_cross_entropy", sampler, pruner[0], replicate=sampler == REPLICATING)


class Top:
    """The configurations of the trials that ended; those with the lowest means over their seeds are the first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[float], float]] = {}

    def add(self, settings: dict, value: float, regret: float) -> None:
        self._found.setdefault(str(settings), ([], regret))[0].append(value)

    @property
    def regret(self) -> float:
        """The least regret among the first."""
        ranked = sorted((np.mean(values), regret) for values, regret in self._found.values())
        return min(regret for _, regret in ranked[:FIRST])


def _training(
    queue: Queue, search: Search, slots: Iterator[int], objective: Replayed, seed: int, compiled: set[tuple]
) -> Iterator[tuple[float, tuple[dict, float, float] | None]]:
    """Run a trial for each slot; yield each epoch's seconds, and at a trial's end its settings, value and regret.

    The latter are infinite where a trial is pruned, and for the baseline.
    """
    for slot in slots:
        clock = time.thread_time()
        # Enqueue them one by one, because a long queue makes each look at the storage slow.
        queue.enqueue_trial({} if slot else search.space.first(), user_attrs={"slot": slot})
        trial = queue.ask()
        settings = search.space.suggest(trial)
        seconds = RECORD + time.thread_time() - clock
        config = search.baseline.replace(settings)
        if (structure := _structure(config)) not in compiled:
            compiled.add(structure)
            seconds += COMPILE
        each = SLOWNESS * epoch_seconds(config, MNIST)
        curve, regret = objective.curve(settings, np.random.default_rng([seed, slot]))
        for epoch, value in enumerate(curve, start=1):
            clock = time.thread_time()
            trial.report(value, epoch)
            prune = trial.should_prune() and epoch < EPOCHS
            seconds += each + time.thread_time() - clock
            if prune:
                queue.tell(trial.number, state=TrialState.PRUNED)
                yield seconds, (settings, np.inf, np.inf)
                break
            if epoch < EPOCHS:
                yield seconds, None
            seconds = 0.0 if epoch < EPOCHS else seconds
        else:
            queue.tell(trial.number, float(curve[-1]))
            yield seconds, (settings, *((float(curve[-1]), regret) if slot else (np.inf, np.inf)))


def _structure(config: TrialConfig) -> tuple:
    own, training = dict(config.network.settings), config.training
    return (
        training.optimizer, training.batch_size, own["hidden"], own["activation"], own["l2"] > 0, own["dropout"] > 0
    )  # fmt: skip


def after(marks: np.ndarray, column: int, budget: float) -> float:
    """Return the regret after `budget` of a column of the marks."""
    done = marks[marks[:, column] <= budget]
    return float(done[-1, REGRET]) if len(done) else np.inf


def choice(objective: Replayed, queue: Queue, epochs: float) -> float:
    """Return the regret of what a search chooses after so many epochs: of the best expected value."""
    spent, ended = 0, list[Ended]()
    for trial in queue.get_trials(deepcopy=False):
        spent += len(trial.intermediate_values)
        if spent > epochs or not trial.state.is_finished():
            break
        ended.append(as_ended(trial))
    expected = Expectation(UnitCube(objective.space), ended, maximize=False).ranks
    assert expected is not None  # so few trials no search here has
    complete = [index for index, each in enumerate(ended) if each.value is not None]
    best = min(complete, key=lambda index: expected[index])
    return objective.regret(objective.space.become(ended[best].point))


# --- workers that are processes, and a database -----------------------------------------------------


def at_once(
    objective: Replayed, sampler: str, seed: int, *, trials: int, pruner: tuple[str, dict], url: str, workers: int
) -> np.ndarray:
    """Search with so many processes on the database at `url`; return the marks, without seconds."""
    search, name = _search(objective, sampler, seed, pruner), f"replay {uuid.uuid4()}"
    create_queue(url, name)[0].add_slots(trials, [search.space.first()])
    fork = multiprocessing.get_context("fork")
    at_work = [fork.Process(target=_work, args=(objective, search, pruner, seed, url, name)) for _ in range(workers)]
    for process in at_work:
        process.start()
    for process in at_work:
        process.join()
        assert process.exitcode == 0
    queue = load_queue(url, name)
    marks, top, spent = list[tuple](), Top(), 0
    for trial in sorted(queue.get_trials(deepcopy=False), key=lambda each: each.datetime_complete):
        spent += len(trial.intermediate_values)
        counts = trial.state == TrialState.COMPLETE and trial.user_attrs["slot"]
        settings = objective.space.become(trial.params)
        top.add(settings, *((trial.value, objective.regret(settings)) if counts else (np.inf, np.inf)))
        marks.append((len(marks) + 1, spent, np.nan, top.regret))
    return np.array(marks)


def _work(objective: Replayed, search: Search, pruner: tuple[str, dict], seed: int, url: str, name: str) -> None:
    queue = load_queue(url, name, sampling.sampler(search), pruning.pruner(search, **pruner[1]))
    while True:
        try:
            trial = queue.ask()
        except QueueEmpty:
            return
        settings = search.space.suggest(trial)
        curve, _ = objective.curve(settings, np.random.default_rng([seed, trial.user_attrs["slot"]]))
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            if epoch < EPOCHS and trial.should_prune():
                queue.tell(trial.number, state=TrialState.PRUNED)
                break
        else:
            queue.tell(trial.number, float(curve[-1]))
