"""Conduct an ablation: queue its trials, let workers run them, and write down what they came to."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from study import findings, fingerprint, plan, processes, repair, report, tracking
from study import queue as queues
from study.ablation import Ablation
from study.data import Dataset
from study.errors import Interrupted
from study.findings import Study
from study.queue import Assignment, Cell, Progress
from study.tracking import csv_text
from study.workers import Workers

QUEUE = "sqlite:///optuna.db"
MOST_IMAGE_BYTES = 20_000_000  # of test images that a study keeps, before they are compressed
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


def conduct(
    ablation: Ablation,
    cells: Sequence[Cell],
    dataset: Dataset,
    *,
    params: Mapping[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    announce: Callable[[str], None] = lambda name: None,
    title: str | None = None,
    open_test: bool = True,
    reuse: bool = True,
    storage: str = QUEUE,
) -> Outcome[Study]:
    """Run every cell once, each as a child of the study's run, and write the comparison into that.

    The run is called `title`, or ``ablation`` and the task. With `open_test` false no trial sees a test row; with
    `reuse` a trial that the store has already is carried over. `announce` is called once with the name by which other
    workers can join, `observe` about twice a second with the progress of all trials. Raises TrackingError, WorkerError
    when the workers died, Interrupted; the study's run is ended in any case.
    """
    # First of all, for a worker needs ten seconds and more to import TensorFlow.
    with Workers(min(worker_count, len(cells))) as team:
        client = tracking.connect()
        repair.end_lost_runs(client)
        title = title or f"ablation {ablation.task}"
        run = tracking.open_study_run(client, title)
        with ended_with(run):
            name = f"{title} {run.run_id[:8]}".replace(" ", "-")
            run.set_tags({"study": name} | processes.this_process())
            describe(ablation, cells, dataset, run, params, open_test)
            queue, _ = queues.create(storage, name)
            queue.add_cells(cells)
            queue.assign(assignment(dataset, run.run_id, open_test=open_test, reuse=reuse))
            announce(name)
            trials: list[Progress] = []
            try:
                team.assign(storage, name)
                for trials in team.watch(queue):
                    observe(trials)
            except KeyboardInterrupt:
                done = sum(trial.finished for trial in trials)
                raise Interrupted(f"stopped with {done} of {len(cells)} trials done. {GO_ON}") from None
            finally:
                team.stop()
                with suppress(Exception):
                    queue.end("the ablation has ended")
                repair.end_lost_trials(client, run.run_id, queue)
            study = findings.read(client, run.run_id)
            outcome = outcome_of(study, report.log(study), trials)
    run.end("FAILED" if outcome.failures else "FINISHED", failure_text(outcome.failures))
    return outcome


@contextmanager
def ended_with(run: tracking.Run) -> Iterator[None]:
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
        tracking_uri=tracking.tracking_uri(),
        run_id=run_id,
        data=dataset.spec,
        validation=str(len(dataset.validation)),
        data_sha256=dataset.sha256,
        substitute_for=dataset.substitute_for,
        open_test=open_test,
        reuse=reuse,
        training_code=fingerprint.training_code_version(),
        search=search,
    )


def describe(
    ablation: Ablation,
    cells: Sequence[Cell],
    dataset: Dataset,
    run: tracking.Run,
    params: Mapping[str, str],
    open_test: bool,
) -> None:
    """Describe the study in its run."""
    run.log_params(params)
    run.set_tags({"task": ablation.task} | study_tags(dataset))
    run.log_dataset(dataset)
    files: dict[str, bytes | str] = {"plan.csv": plan_table(cells, dataset), tracking.ABLATION: ablation.as_yaml()}
    if open_test:
        files[tracking.TEST_SET] = _test_set(dataset)
    run.log_files(files)
    tracking.describe(run, f"**{ablation.question}**\n\n{ablation.known}")


def study_tags(dataset: Dataset) -> dict[str, object]:
    """Return what marks a study's run, and by it each of its trials: its data and its code."""
    code = {"training_code": fingerprint.training_code_version()[:16], "libraries": fingerprint.training_libraries()}
    return tracking.data_tags(dataset) | code | tracking.code_tags()


def plan_table(cells: Sequence[Cell], dataset: Dataset) -> str:
    """Return every trial with its full config and the guess at its time, as a CSV file's text."""
    fields = list(cells[0].config.as_text())
    rows = (
        (cell.name, f"{plan.trial_seconds(cell.config, dataset):.1f}", *cell.config.as_text().values())
        for cell in cells
    )
    return csv_text(("trial", "about seconds", *fields), rows)


def _test_set(dataset: Dataset) -> bytes:
    """Return the test labels, and the images unless they are too many, as the bytes of an ``.npz`` file."""
    images = dataset.test.images if dataset.test.images.nbytes <= MOST_IMAGE_BYTES else np.empty(0, np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, labels=dataset.test.labels, images=images)
    return buffer.getvalue()


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
