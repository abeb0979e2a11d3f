"""Runs a search: starts or resumes it, keeps its queue filled, and records what it found."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from study.analysis import search_results
from study.analysis.search_results import SearchResults
from study.base import interruption, processes
from study.base.errors import ConfigError
from study.data.dataset import Dataset
from study.design.search import TASK, Search
from study.execution import attributes, recovery
from study.execution.engines.engine import Request
from study.execution.queue import Progress, Queue, create_queue
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.reports import search_report
from study.reports.markdown import plain
from study.tracking import records, runs, store, tags
from study.tracking.artifacts import SEARCH, earlier_file
from study.tracking.runs import Run
from study.workflows import confirmation
from study.workflows.begun_search import Begun, changed_space
from study.workflows.common import (
    RESUME,
    Outcome,
    assignment,
    ended,
    origin_files,
    outcome_of,
    run_trials,
    study_tags,
)
from study.workflows.confirmation import Show
from study.workflows.search_budget import Clock, Plan
from study.workflows.slot_supply import SlotSupply

NO_TIME = "The comparison with the baseline was left out: it would not have ended in time."


def run_search(
    search: Search,
    dataset: Dataset,
    *,
    name: str,
    plan: Plan,
    params: Mapping[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    confirm: Show | None = None,
    reuse: bool = True,
    storage: str = DEFAULT_STORAGE,
    launch: Request | None = None,
    begun: Begun | None = None,
) -> Outcome[SearchResults]:
    """Start or resume the search of this name and run it until its budget is spent; its run is the trials' parent.

    The budget is that of the `plan`. With `confirm`, which shows the progress, the best that the search found is then
    compared with its baseline, within the same minutes, if there is time for that. No trial sees a test row. `observe`
    is called about twice a second with the progress of all trials. A search does not need all its trials: its run ends
    FAILED only if some failed and none is complete. With `launch` an engine's workers run the trials, beside
    `worker_count` here, and end with the search. `begun` is what `find_begun` returned, if it was called. Raises
    ConfigError if another search has this name, TrackingError, WorkerError, Interrupted.
    """
    dataset, clock = dataset.without_test(), Clock(plan)
    with WorkerPool(worker_count) as pool:
        client = store.connect()
        recovery.end_lost_runs(client)
        if begun:
            queue, new = begun.queue, False
        else:
            queue, new = create_queue(storage, name, search.direction, search.metric)
        run = open_search(client, name) if new else resume(search, dataset, queue, client, reuse)
        with ended(run, f"stopped. {RESUME}"):
            if new:
                begin(search, dataset, queue, run, params, reuse)
            supply, epochs = SlotSupply(queue, search, plan.budget, clock), search.baseline.training.epochs
            trials = run_trials(
                run, queue, pool, storage=storage, observe=observe, refill=supply, epochs=epochs,
                wanted=plan.budget.trials, launch=launch,
            )  # fmt: skip
            if excluded := sum(attributes.EXCLUDED in trial.user_attrs for trial in queue.begun()):
                run.set_tags({tags.EXCLUDED: excluded})
            study, confirmed, note = search_results.read(client, run.run_id), None, supply.note
            if confirm and study.complete and not clock.has_time_to_confirm(queue):
                note = NO_TIME if study.confirmation is None else note
            elif confirm and study.complete:
                with _reported(study):
                    confirmed = confirmation.confirm(
                        study, run, dataset, show=confirm, worker_count=worker_count, storage=storage, reuse=reuse,
                        minutes=clock.minutes_to_confirm, launch=None if worker_count else launch,
                        announce=partial(_compares_in, queue),
                    )  # fmt: skip
                study = search_results.read(client, run.run_id)
            page = search_report.log(study)
            outcome = replace(outcome_of(study, page, trials), note=note, confirmed=confirmed)
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


@contextmanager
def _reported(study: SearchResults) -> Iterator[None]:
    """Report what is known of a search if the block does not come to its end."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the store may be the very thing that failed
            search_report.log(study)
        raise


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

    From now on `reuse` says whether the search's trials are carried over. With other ranges or fields it goes on in a
    new phase, for which the trials of the earlier ones count where they lie inside.
    """
    before = queue.assignment
    changed = changed_space(search, dataset, queue)
    records.check_study(client, before.run_id, before.tracking_uri)
    if changed:
        _check_alone(queue, changed)
    if runs.begun_run() not in (None, before.run_id):
        pointer = runs.open_study_run(client, f"search {queue.study_name} (resumed)")
        runs.describe(pointer, f"This resumes the search in run `{before.run_id}`; its trials are there.")
        pointer.set_tags({tags.CONTINUES: before.run_id} | processes.this_process())
        pointer.end("FINISHED")
    run = Run(client, before.run_id)
    run.reopen()
    run.set_tags(processes.this_process())
    now = replace(before, reuse=reuse)
    if changed:
        now = replace(now, search=search.as_yaml(), earlier=[*before.earlier, before.search or ""])
    queue.assign(now)
    # A disk that failed may have lost what an earlier command wrote.
    earlier = {earlier_file(number): text for number, text in enumerate(now.earlier, start=1)}
    run.log_files({SEARCH: now.search or ""} | earlier)
    if now.earlier:
        run.set_tags({tags.PHASES: len(now.earlier) + 1})
    return run


def _check_alone(queue: Queue, changed: str) -> None:
    """Raise ConfigError if another command is filling the queue of a search whose space is to change."""
    conductor = queue.user_attrs.get(attributes.CONDUCTOR)
    if queue.running() and conductor and not processes.is_gone(conductor):
        raise ConfigError(
            f"the study {queue.study_name} is running in another space ({changed})", where="space",
            got=f"its command is {processes.label(conductor)}", hint="Let it end, or end it: mlflow run . -e cancel.",
        )  # fmt: skip
