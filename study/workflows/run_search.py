"""Runs a search: starts or resumes it, keeps its queue filled, and records what it found."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from study.analysis import search_results
from study.analysis.formatting import count
from study.analysis.search_results import SearchResults
from study.base import interruption, processes
from study.base.errors import ConfigError
from study.data.dataset import Dataset
from study.design.search import TASK, Budget, Search, parse_search
from study.design.search_space import FIXED
from study.execution import attributes, recovery, sampling
from study.execution.engines.engine import Request
from study.execution.queue import Assignment, Progress, Queue, create_queue, find_queue
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.reports import search_report
from study.reports.markdown import plain
from study.tracking import records, runs, store, tags
from study.tracking.artifacts import SEARCH
from study.tracking.runs import Run
from study.training.config import NETWORK, value_text
from study.workflows import confirmation
from study.workflows.common import (
    RESUME,
    Outcome,
    assignment,
    ended,
    origin_files,
    outcome_of,
    run_trials,
    stocked,
    study_tags,
)
from study.workflows.confirmation import Show, minutes_of_trials

LEAST_MINUTES = 0.01  # for a comparison, if the trials took all
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
    confirm: Show | None = None,
    reuse: bool = True,
    storage: str = DEFAULT_STORAGE,
    launch: Request | None = None,
) -> Outcome[SearchResults]:
    """Start or resume the search of this name and run it until its budget is spent; its run is the trials' parent.

    With `confirm`, which shows the progress, the best that the search found is then compared with its baseline, within
    the same minutes. No trial sees a test row. `observe` is called about twice a second with the progress of all
    trials. A search does not need all its trials: its run ends FAILED only if some failed and none is complete. With
    `launch` an engine's workers run the trials, beside `worker_count` here, and end with the search. Raises ConfigError
    if another search has this name, TrackingError, WorkerError, Interrupted.
    """
    dataset, began = dataset.without_test(), time.monotonic()
    with WorkerPool(worker_count) as pool:
        client = store.connect()
        recovery.end_lost_runs(client)
        queue, new = create_queue(storage, name, search.direction, search.metric)
        run = open_search(client, name) if new else resume(search, dataset, queue, client, reuse)
        with ended(run, f"stopped. {RESUME}"):
            if new:
                begin(search, dataset, queue, run, params, reuse)
            own = replace(budget, minutes=minutes_of_trials(budget.minutes)) if confirm else budget
            supply, epochs = Supply(queue, search, own), search.baseline.training.epochs
            trials = run_trials(
                run, queue, pool, storage=storage, observe=observe, refill=supply, epochs=epochs, wanted=budget.trials,
                launch=launch,
            )  # fmt: skip
            if excluded := sum(attributes.EXCLUDED in trial.user_attrs for trial in queue.begun()):
                run.set_tags({tags.EXCLUDED: excluded})
            study, confirmed = search_results.read(client, run.run_id), None
            if confirm and study.complete:
                search_report.log(study)  # what is known already, if the rest is interrupted
                left = _minutes_left(budget, began)
                confirmed = confirmation.confirm(
                    study, run, dataset, show=confirm, worker_count=worker_count, storage=storage, reuse=reuse,
                    minutes=left, launch=None if worker_count else launch, announce=partial(_compares_in, queue),
                )  # fmt: skip
                study = search_results.read(client, run.run_id)
            page = search_report.log(study)
            outcome = replace(outcome_of(study, page, trials), note=supply.note, confirmed=confirmed)
            if outcome.failures:
                run.end("FINISHED" if study.complete else "FAILED", outcome.failure_text)
    return outcome


def _compares_in(queue: Queue, name: str) -> None:
    """Note in a search's queue the study in which its best is compared, and end where the search has been cancelled.

    Who cancels it from now on finds that study as well.
    """
    queue.set_user_attr(attributes.COMPARISON, name)
    if queue.cancelled:
        interruption.ask()


def _minutes_left(budget: Budget, began: float) -> float | None:
    if budget.minutes is None:
        return None
    return max(LEAST_MINUTES, budget.minutes - (time.monotonic() - began) / 60)


class Supply:
    """Has the queue hand out as many trials as are wanted, and one more for each that was not trained.

    `note` says why it does not, once the space has no more points.
    """

    def __init__(self, queue: Queue, search: Search, budget: Budget):
        self._queue, self._budget = queue, budget
        self._deadline = time.monotonic() + 60 * budget.minutes if budget.minutes else None
        self._space, self._every = search.space, sampling.in_order(search)
        self._points = (search.sampler == "grid" and self._every) or [search.space.first()]
        self._limited = bool(search.limit)
        self.note: str | None = None
        queue.withdraw()  # what an earlier command left waiting may be more than this one wants
        queue.reopen()

    def __call__(self, trials: list[Progress]) -> None:
        """Enqueue the missing slots, or end the queue when another trial would not end in time."""
        if (
            self._deadline
            and not self._queue.ended
            and time.monotonic() + self._queue.seconds_a_trial() > self._deadline
        ):
            self._queue.end("the time is up")
        size = None if self._every is None else len(self._every)
        wanted = min(end for end in (self._budget.trials, size, stocked(trials)) if end is not None)
        self.note = self._exhausted(wanted)
        if not (self.note or self._queue.ended):
            self._queue.want(wanted, self._points)

    def _exhausted(self, wanted: int) -> str | None:
        """Say that the space has no more points to try; None while it may have."""
        begun = self._queue.begun()
        if self._every is not None:
            left = next(iter(sampling.untried(self._space, self._every, begun)), None)
            return None if left else f"All {count(len(self._every), 'point')} of the space have been tried."
        repeats = sum(attributes.stands_aside(trial) for trial in begun)
        if repeats <= MOST_REPEATS * wanted:
            return None
        beyond = " or broke the limit" if self._limited else ""
        return f"The space seems exhausted: {repeats} suggestions repeated trials{beyond}, in a search for {wanted}."


def open_search(client: store.MlflowClient, name: str) -> Run:
    """Open the run of a new search of this name."""
    return runs.open_study_run(client, f"search {name}")


def begin(search: Search, dataset: Dataset, queue: Queue, run: Run, params: Mapping[str, str], reuse: bool) -> None:
    """Describe a new search in its run, and write its workers' assignment."""
    run.log_params(params)
    networks = [search.baseline.network.name]
    own = {tags.KIND: tags.STUDY_KIND, tags.TASK: TASK, tags.STUDY: queue.study_name}
    run.set_tags(own | study_tags(dataset, networks) | processes.this_process())
    run.log_dataset(dataset)
    run.log_files({SEARCH: search.as_yaml()} | origin_files(networks))
    runs.describe(run, f"**{plain(search.words)}**")
    queue.assign(assignment(dataset, run.run_id, networks, open_test=False, reuse=reuse, search=search.as_yaml()))


def resume(search: Search, dataset: Dataset, queue: Queue, client: store.MlflowClient, reuse: bool = True) -> Run:
    """Reopen the run of a search that was started before and return it; this program's own run only points to it.

    From now on `reuse` says whether the search's trials are carried over.
    """
    before = queue.assignment
    _check_equal(search, dataset, queue)
    records.check_study(client, before.run_id, before.tracking_uri)
    if runs.begun_run() not in (None, before.run_id):
        pointer = runs.open_study_run(client, f"search {queue.study_name} (resumed)")
        runs.describe(pointer, f"This resumes the search in run `{before.run_id}`; its trials are there.")
        pointer.set_tags({tags.CONTINUES: before.run_id} | processes.this_process())
        pointer.end("FINISHED")
    run = Run(client, before.run_id)
    run.reopen()
    run.set_tags(processes.this_process())
    queue.assign(replace(before, reuse=reuse))
    run.log_files({SEARCH: before.search or ""})  # a disk that failed may have lost it
    return run


def check_same(search: Search, dataset: Dataset, storage: str, name: str) -> None:
    """Raise ConfigError if a different search has this name; create nothing if none has it."""
    if queue := find_queue(storage, name):
        _check_equal(search, dataset, queue)


def _check_equal(search: Search, dataset: Dataset, queue: Queue) -> None:
    before = queue.assignment
    if before.search is None:
        raise ConfigError(f"{queue.study_name} is an ablation's queue", where="study", hint="Give another name.")
    now = assignment(
        dataset,
        before.run_id,
        [search.baseline.network.name],
        open_test=False,
        reuse=before.reuse,
        search=search.as_yaml(),
    )
    for what, then, here in _settings(before, now):
        if then != here:
            raise ConfigError(
                f"the study {queue.study_name} exists, with another {what}", where="study", expected=then, got=here,
                hint="Use its settings, or start another study: -P study=NAME. Equal trials are not trained again.",
            )  # fmt: skip


def _settings(before: Assignment, now: Assignment) -> list[tuple[str, str, str]]:
    """Return each setting that is fixed in a search: its name, the search's value, and the value asked for now."""
    if before.networks != now.networks:
        first, second = (", ".join(one.networks) or "one of the project's" for one in (before, now))
        return [("network", first, second)]
    then, here = (parse_search(each.search or "", "search") for each in (before, now))
    pairs: list[tuple[str, str, str]] = [
        (what, getattr(then, what), getattr(here, what)) for what in ("metric", "sampler", "pruner")
    ]
    pairs.append(("limit", then.limit.text, here.limit.text))
    pairs.append(("also", then.also or "none", here.also or "none"))
    pairs.append(("replicate", value_text(then.replicate), value_text(here.replicate)))
    for field in here.baseline.fields if then.baseline.network.name == here.baseline.network.name else [NETWORK]:
        if field not in ("data", "target", "size", "validation"):  # the SHA-256 and the rows stand for them
            name = field if field in FIXED else f"baseline: {field}"
            pairs.append((name, then.baseline.as_text()[field], here.baseline.as_text()[field]))
    names = [dimension.field for dimension in (*then.space.dimensions, *here.space.dimensions)]
    for name in dict.fromkeys(names):
        pairs.append((f"range of {name}", _range_of(then, name), _range_of(here, name)))
    pairs.append(("data", f"SHA-256 {before.data_sha256[:12]}…", f"SHA-256 {now.data_sha256[:12]}…"))
    pairs.append(("number of validation rows", before.validation, now.validation))
    pairs.append(("training code", before.training_code[:12], now.training_code[:12]))
    return pairs


def _range_of(search: Search, field: str) -> str:
    return next((one.words for one in search.space.dimensions if one.field == field), "not searched")
