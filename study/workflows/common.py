"""Does what all workflows share: opens and ends runs, runs trials, and sums up a study's outcome."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from study.analysis.ablation_results import AblationResults
from study.analysis.search_results import SearchResults
from study.base import interruption, processes
from study.base.errors import Interrupted, in_one_line
from study.base.interruption import ParentWatch
from study.data.dataset import Dataset
from study.design.ablation import TrialSpec
from study.execution import attributes, recovery
from study.execution.carrier import Carrier
from study.execution.engines.engine import Request
from study.execution.queue import Assignment, Progress, Queue, progress
from study.execution.worker_pool import POLL_SECONDS, WorkerPool
from study.tracking import arm_runs, provenance, runs, store, tags
from study.tracking.runs import Run
from study.training.fingerprint import training_code_version, training_libraries
from study.training.networks import described, own_file
from study.workflows.launch import OwnLaunch

RESUME = "Run the same command again to resume: finished trials are not trained again"

STOCK = 32  # trials that wait at a time, at least: each slows down every worker that looks for the next

# --- a run ------------------------------------------------------------------------------------------


@contextmanager
def open_run(
    name: str,
    *,
    params: Mapping[str, str],
    marks: Mapping[str, object] | None = None,
    client: store.MlflowClient | None = None,
) -> Iterator[Run]:
    """Open this program's own run, tag it with its code and its process, and end it as `ended` does.

    It is the run that `mlflow run` made, or a new one. Runs that dead processes left RUNNING are ended first. Raises
    TrackingError.
    """
    client = client or store.connect()
    recovery.end_lost_runs(client)
    run = runs.open_study_run(client, name)
    with ended(run):
        run.log_params(params)
        run.set_tags(provenance.origin_tags() | processes.this_process() | dict(marks or {}))
        yield run


@contextmanager
def ended(run: Run, interrupted: str | None = None) -> Iterator[None]:
    """End a run, and the runs of its arms, when the block that writes it ends, however it ends.

    | the block | status | reason |
    |---|---|---|
    | ends | FINISHED, unless it has ended the run itself | – |
    | is interrupted | KILLED | interrupted |
    | raises anything else | FAILED | the error in one line |

    A KeyboardInterrupt becomes Interrupted, whose message is `interrupted`.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as failure:
        _end(run, "KILLED", "interrupted")
        if isinstance(failure, Interrupted):
            raise
        raise Interrupted(interrupted or f"stopped; run {run.run_id} keeps what was done before") from None
    except BaseException as failure:
        _end(run, "FAILED", in_one_line(failure))
        raise
    if not run.ended:
        run.end("FINISHED")


def _end(run: Run, status: str, reason: str) -> None:
    if not run.ended:
        with suppress(Exception):  # the store may be the very thing that failed
            run.end(status, reason)
            arm_runs.close_arm_runs(run, status, reason)


# --- trials -----------------------------------------------------------------------------------------


def assignment(
    dataset: Dataset,
    run_id: str,
    networks: Sequence[str] = (),
    *,
    open_test: bool,
    reuse: bool,
    search: str | None = None,
) -> Assignment:
    """Return the assignment for the workers of a study of these networks on this dataset."""
    return Assignment(
        tracking_uri=store.shown_uri(),
        run_id=run_id,
        data=dataset.spec,
        target=dataset.target,
        size=dataset.size,
        validation=str(len(dataset.validation)),
        data_sha256=dataset.sha256,
        substitute_for=dataset.substitute_for,
        open_test=open_test,
        reuse=reuse,
        training_code=training_code_version(),
        search=search,
        networks=described.sources(networks),
    )


def study_tags(dataset: Dataset, networks: Sequence[str]) -> dict[str, object]:
    """Return the tags of a study's data, networks and code, which each of its trials repeats."""
    code = {tags.TRAINING_CODE: training_code_version()[:16], tags.LIBRARIES: training_libraries()}
    if own := described.description(networks):
        code[tags.NETWORKS] = own
    return runs.data_tags(dataset) | code | provenance.origin_tags()


def origin_files(networks: Sequence[str]) -> dict[str, bytes | str]:
    """Return what a study's run keeps so that its trials can be trained again, by path: code and environment.

    The code is that of one's own networks, and what was not committed of this project.
    """
    own = {network_file(name): text for name, text in described.sources(networks).items()}
    return own | provenance.files()


def network_file(name: str) -> str:
    """Return the path of the artifact that has the file of one's own network; two files may share their name."""
    return f"network/{name.rpartition('@')[2]}/{own_file.parts(name)[0]}"


def stocked(trials: Sequence[Progress]) -> int:
    """Return how many trials there should be, so that enough wait for all workers until the next look."""
    running = sum(trial.state == "RUNNING" for trial in trials)
    finished = sum(trial.finished for trial in trials)
    return finished + running + max(STOCK, 2 * running)


def run_trials(
    run: Run,
    queue: Queue,
    pool: WorkerPool,
    *,
    storage: str,
    observe: Callable[[list[Progress]], None],
    refill: Callable[[list[Progress]], None],
    epochs: int = 0,
    specs: Sequence[TrialSpec] = (),
    end_queue: str | None = None,
    launch: Request | None = None,
    wanted: int | None = None,
    carrier: Carrier | None = None,
) -> list[Progress]:
    """Let the pool's workers run the queue's trials until all of them, or the queue, have ended; return their progress.

    About twice a second `refill` may enqueue more, and `observe` sees the progress of all trials. Of a search `epochs`
    is how many a trial trains, and `wanted` how many trials it wants; `specs` are all trials of an ablation. With
    `launch` an engine's workers run trials too, and the `carrier` takes those that the store already has.

    However this ends, no worker outlives it, no trial's run stays RUNNING, and the queue is ended with the reason
    `end_queue`, if given. Raises WorkerError if no worker of the pool and of the launch is left, and Interrupted, also
    if the study is cancelled.
    """
    parent, looked, own = ParentWatch(), time.monotonic(), OwnLaunch(queue, storage, launch)
    trials: list[Progress] = []
    told: int | None = None
    queue.set_user_attr(attributes.CONDUCTOR, processes.this_process())
    try:
        refill(progress(queue, epochs, specs))
        trials = progress(queue, epochs, specs)
        pool.assign(storage, queue.study_name)
        own.start()
        while True:
            alive = pool.working() or own.alive()  # before the look: it includes all that dead workers finished
            if time.monotonic() - looked > recovery.LOOK_SECONDS:
                recovery.requeue_lost(queue)
                looked = time.monotonic()
            with queue.one_look():
                recovery.requeue_forgotten(queue)
                trials = progress(queue, epochs, specs)
                observe(trials)
                planned = wanted or len(specs)
                if planned != told:  # for whoever asks how far the study is
                    told = planned
                    queue.set_user_attr(attributes.PLAN, {"trials": told, "epochs": epochs})
                if queue.cancelled:
                    interruption.ask()
                refill(trials)
                over = queue.ended is not None
            if over or all(trial.finished for trial in trials):
                trials = progress(queue, epochs, specs)  # with what was enqueued, and what was taken, since the look
                running = any(trial.state == "RUNNING" for trial in trials)
                if all(trial.finished for trial in trials) or (over and not running):
                    observe(trials)
                    return trials
            if not alive:
                raise own.failure() or pool.failure(trials)
            parent.check()
            pool.wake()
            if not (carrier and carrier.carry(trials, POLL_SECONDS)):
                pool.wait(POLL_SECONDS)
    except KeyboardInterrupt:
        done = sum(trial.finished for trial in trials)
        how = f"cancelled from {queue.cancelled}" if queue.cancelled else "stopped"
        of = max(wanted or 0, len(trials))  # of a search's trials a stock is in the queue
        raise Interrupted(f"{how} with {done} of {of} trials done. {RESUME}") from None
    finally:
        pool.stop()
        if end_queue:
            with suppress(Exception):  # before the trials of the stopped workers are requeued
                queue.end(end_queue)
        with suppress(Exception):  # what is left of it stays remembered, and `cancel` ends it
            own.stop()
        if carrier:
            carrier.close()
        recovery.end_lost_trials(run.client, run.run_id, queue)


# --- the outcome ------------------------------------------------------------------------------------

S = TypeVar("S", AblationResults, SearchResults)  # an ablation or a search, read back


@dataclass(frozen=True)
class Outcome(Generic[S]):
    """A study's outcome: the study read back, the path of its report, and the trials that diverged or failed.

    A diverged trial is a result; a failure is a fault of the machine, the store or the program. `reused` counts the
    trials that were carried over from earlier studies. `note` says why a search ended before its budget was spent, or
    an ablation before its questions were settled. `confirmed` is the comparison with which a search ended, if it ran
    now.
    """

    study: S
    page: str
    diverged: list[Progress]
    failures: list[Progress]
    reused: int = 0
    note: str | None = None
    confirmed: "Outcome[AblationResults] | None" = None

    @property
    def failure_text(self) -> str | None:
        """The failed trials with their reasons in one line; None if none failed."""
        return "; ".join(f"{trial.name}: {trial.reason}" for trial in self.failures) or None


def outcome_of(study: S, page: str, trials: Sequence[Progress]) -> Outcome[S]:
    """Return a study's outcome; trials that failed without diverging are failures."""
    every = study.all_trials if isinstance(study, SearchResults) else study.trials
    thrown = {int(trial.tags[tags.SLOT]) for trial in every if trial.tags.get(tags.STATE) == tags.DIVERGED}
    failed = [trial for trial in trials if trial.state == "FAIL"]
    diverged = [trial for trial in failed if trial.slot in thrown]
    failures = [trial for trial in failed if trial.slot not in thrown]
    return Outcome(study, page, diverged, failures, reused=sum(trial.reused for trial in trials))
