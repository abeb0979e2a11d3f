"""Conduct a search: begin it or go on with it, keep its queue filled, and write down what it found."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from study.analysis import search_results
from study.analysis.search_results import SearchStudy
from study.base import processes
from study.base.errors import ConfigError, Interrupted
from study.data.dataset import Dataset
from study.design.search import TASK, Budget, Search, parse_search
from study.design.search_space import NOT_SEARCHED
from study.execution import recovery
from study.execution.queue import Assignment, Progress, Queue, create_queue, find_queue, progress
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.reports import search_report
from study.tracking import records, runs, store
from study.tracking.artifacts import SEARCH
from study.workflows.common import GO_ON, Outcome, assignment, ended_with, failure_text, outcome_of, study_tags

STOCK = 32  # slots that wait at a time: each takes a moment of everybody who looks for the next
MOST_REPEATS = 10  # for each trial wanted, before a space counts as exhausted


def run_search(
    search: Search,
    dataset: Dataset,
    *,
    name: str,
    budget: Budget,
    params: Mapping[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    reuse: bool = True,
    storage: str = DEFAULT_STORAGE,
) -> Outcome[SearchStudy]:
    """Run the search of this name until its budget is spent, or go on with it; each trial is a child of its run.

    No trial sees a test row. `observe` is called about twice a second with the progress of all trials. Raises
    ConfigError where there is a search of this name that is another one, TrackingError, WorkerError, Interrupted.
    """
    dataset = dataset.without_test()
    with WorkerPool(worker_count) as team:
        client = store.connect()
        recovery.end_lost_runs(client)
        queue, new = create_queue(storage, name, search.direction, search.metric)
        run = begin(search, dataset, queue, client, params, reuse) if new else go_on(search, dataset, queue, client)
        with ended_with(run):
            supply = Supply(queue, search, budget)
            trials = supply(progress(queue, search.baseline.epochs))
            try:
                team.assign(storage, name)
                for trials in team.watch(queue, search.baseline.epochs):
                    observe(supply(trials))
            except KeyboardInterrupt:
                done = sum(trial.finished for trial in trials)
                raise Interrupted(f"stopped with {done} of {len(trials)} trials done. {GO_ON}") from None
            finally:
                team.stop()
                recovery.end_lost_trials(client, run.run_id, queue)
            study = search_results.read(client, run.run_id)
            outcome = outcome_of(study, search_report.log(study), trials)
    run.end("FINISHED", failure_text(outcome.failures))
    return outcome


class Supply:
    """Keeps the queue filled, up to as many slots as are wanted, and one more for each that repeated a point."""

    def __init__(self, queue: Queue, search: Search, budget: Budget):
        self._queue, self._budget = queue, budget
        self._deadline = time.monotonic() + 60 * budget.minutes if budget.minutes else None
        every = search.space.points()
        self._size = len(every) if every is not None else None
        self._points = in_order(every, search) if search.sampler == "grid" else [search.space.first()]
        queue.reopen()

    def __call__(self, trials: list[Progress]) -> list[Progress]:
        """Enqueue what is missing, or end the queue when the time is up; return the trials that the budget is for."""
        if self._deadline and time.monotonic() > self._deadline and not self._queue.ended:
            self._queue.end("the time is up")
        waiting = sum(trial.state == "WAITING" for trial in trials)
        ends = [self._budget.trials, self._size, len(trials) - waiting + STOCK]
        wanted = min(end for end in ends if end is not None)
        repeats = self._queue.slots() - len(trials)
        if len(trials) < wanted and repeats <= MOST_REPEATS * wanted and not self._queue.ended:
            self._queue.add_slots(wanted + repeats, self._points)
        return trials


def in_order(points: list[dict], search: Search) -> list[dict]:
    """Return a grid's points, the baseline first, the others in an order that the seed decides."""
    first = search.space.first()
    others = [point for point in points if point != first]
    order = np.random.default_rng(search.baseline.seed).permutation(len(others))
    return [first, *(others[index] for index in order)]


def begin(
    search: Search,
    dataset: Dataset,
    queue: Queue,
    client: store.MlflowClient,
    params: Mapping[str, str],
    reuse: bool,
) -> runs.Run:
    """Open the search's run, describe it there, and let its workers know."""
    run = runs.open_study_run(client, f"search {queue.study_name}")
    with ended_with(run):
        run.log_params(params)
        run.set_tags({"task": TASK, "study": queue.study_name} | study_tags(dataset) | processes.this_process())
        run.log_dataset(dataset)
        run.log_files({SEARCH: search.as_yaml()})
        runs.describe(run, f"**{search.words}**")
        queue.assign(assignment(dataset, run.run_id, open_test=False, reuse=reuse, search=search.as_yaml()))
    return run


def go_on(search: Search, dataset: Dataset, queue: Queue, client: store.MlflowClient) -> runs.Run:
    """Return the run of a search that was begun before, running again; this program's own run only points at it."""
    before = queue.assignment
    _check_equal(search, dataset, queue)
    records.check_study(client, before.run_id, before.tracking_uri)
    if runs.begun_run() not in (None, before.run_id):
        pointer = runs.open_study_run(client, f"search {queue.study_name} (continued)")
        runs.describe(pointer, f"This goes on with the search in run `{before.run_id}`; its trials are there.")
        pointer.set_tags({"continues": before.run_id} | processes.this_process())
        pointer.end("FINISHED")
    run = runs.Run(client, before.run_id)
    run.reopen()
    run.set_tags(processes.this_process())
    run.log_files({SEARCH: before.search})  # a disk that failed may have lost it
    return run


def check_same(search: Search, dataset: Dataset, storage: str, name: str) -> None:
    """Raise ConfigError where there is a search of this name that is another one; make nothing where there is none."""
    if queue := find_queue(storage, name):
        _check_equal(search, dataset, queue)


def _check_equal(search: Search, dataset: Dataset, queue: Queue) -> None:
    before = queue.assignment
    if before.search is None:
        raise ConfigError(f"{queue.study_name} is an ablation's queue", where="study", hint="Give another name.")
    now = assignment(dataset, before.run_id, open_test=False, reuse=before.reuse, search=search.as_yaml())
    for what, then, here in _settings(before, now):
        if then != here:
            raise ConfigError(
                f"the study {queue.study_name} exists, with another {what}", where="study", expected=then, got=here,
                hint="Ask for what it has, or begin another: -P study=NAME. Equal trials are not trained again.",
            )  # fmt: skip


def _settings(before: Assignment, now: Assignment) -> list[tuple[str, str, str]]:
    """Return what is fixed in a search: its name, as the search has it, and as it is asked for now."""
    then, here = (parse_search(each.search, "search") for each in (before, now))
    pairs = [(what, getattr(then, what), getattr(here, what)) for what in ("metric", "sampler", "pruner")]
    for field in type(then.baseline).model_fields:
        if field not in ("data", "validation"):
            texts = [each.baseline.as_text()[field] for each in (then, here)]
            pairs.append((field if field in NOT_SEARCHED else f"baseline: {field}", *texts))
    names = [dimension.field for dimension in (*then.space.dimensions, *here.space.dimensions)]
    for name in dict.fromkeys(names):
        words = [
            next((one.words for one in each.space.dimensions if one.field == name), "not searched")
            for each in (then, here)
        ]
        pairs.append((f"range of {name}", *words))
    pairs.append(("data", f"SHA-256 {before.data_sha256[:12]}…", f"SHA-256 {now.data_sha256[:12]}…"))
    pairs.append(("number of validation rows", before.validation, now.validation))
    pairs.append(("training code", before.training_code[:12], now.training_code[:12]))
    return pairs
