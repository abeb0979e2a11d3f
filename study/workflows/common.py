"""What ablations, searches and promotions share: a run's life, what marks it, and how a study ended."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from study.base import processes
from study.base.errors import Interrupted, in_one_line
from study.data.dataset import Dataset
from study.execution import recovery
from study.execution.queue import Assignment, Progress
from study.tracking import runs, store
from study.training.fingerprint import training_code_version, training_libraries

GO_ON = "The same command goes on: what is finished is not trained again"


S = TypeVar("S")  # an ablation or a search, read back


@dataclass(frozen=True)
class Outcome(Generic[S]):
    """What a study came to: the study read back, where its report lies, and the trials that did not end well.

    A diverged trial is a result; a failure is a fault of the machine, the store or the program. `reused` counts the
    trials that were carried over from earlier studies.
    """

    study: S
    page: str
    diverged: list[Progress]
    failures: list[Progress]
    reused: int = 0


@contextmanager
def ended_with(run: runs.Run) -> Iterator[None]:
    """End a run where what is done in it is not finished: KILLED when it is interrupted, FAILED by any error."""
    try:
        yield
    except BaseException as failure:
        interrupted = isinstance(failure, (KeyboardInterrupt, Interrupted))
        with suppress(Exception):  # the store may be the very thing that failed
            run.end("KILLED" if interrupted else "FAILED", "interrupted" if interrupted else str(failure))
        if isinstance(failure, KeyboardInterrupt):
            raise Interrupted(f"stopped. {GO_ON}") from None
        raise


def assignment(dataset: Dataset, run_id: str, *, open_test: bool, reuse: bool, search: str | None = None) -> Assignment:
    """Return what the workers of a study on this dataset have to know."""
    return Assignment(
        tracking_uri=store.tracking_uri(),
        run_id=run_id,
        data=dataset.spec,
        validation=str(len(dataset.validation)),
        data_sha256=dataset.sha256,
        substitute_for=dataset.substitute_for,
        open_test=open_test,
        reuse=reuse,
        training_code=training_code_version(),
        search=search,
    )


def study_tags(dataset: Dataset) -> dict[str, object]:
    """Return what marks a study's run, and by it each of its trials: its data and its code."""
    code = {"training_code": training_code_version()[:16], "libraries": training_libraries()}
    return runs.data_tags(dataset) | code | runs.code_tags()


def outcome_of(study: S, page: str, trials: Sequence[Progress]) -> Outcome[S]:
    """Return what a study came to; those that failed without having diverged are failures."""
    thrown = {trial.name for trial in study.trials if trial.tags.get("state") == "diverged"}
    failed = [trial for trial in trials if trial.state == "FAIL"]
    diverged = [trial for trial in failed if trial.name in thrown]
    failures = [trial for trial in failed if trial.name not in thrown]
    return Outcome(study, page, diverged, failures, reused=sum(trial.reused for trial in trials))


def failure_text(failures: Sequence[Progress]) -> str | None:
    """Return the failed trials with their reasons in a line; None without any."""
    return "; ".join(f"{trial.name}: {trial.reason}" for trial in failures) or None


@contextmanager
def own_run(name: str, params: Mapping[str, str], dataset: Dataset, tags: Mapping[str, object]) -> Iterator[runs.Run]:
    """Open this program's own run, marked with its data and its code, and end it where what is done in it does not.

    It is the run that `mlflow run` has made, or a new one: KILLED after a Ctrl-C, which becomes Interrupted, FAILED
    after anything else that is raised. Ending it well is left to what is done in it. Raises TrackingError.
    """
    client = store.connect()
    recovery.end_lost_runs(client)
    run = runs.open_study_run(client, name)
    try:
        run.log_params(params)
        run.set_tags(runs.data_tags(dataset) | runs.code_tags() | processes.this_process() | dict(tags))
        yield run
    except KeyboardInterrupt:
        _end(run, "KILLED", "interrupted")
        raise Interrupted(f"stopped; run {run.run_id} keeps what was done before") from None
    except BaseException as failure:
        _end(run, "FAILED", in_one_line(failure))
        raise


def _end(run: runs.Run, status: str, reason: str) -> None:
    with contextlib.suppress(Exception):  # the store may be the very thing that failed
        run.end(status, reason)
