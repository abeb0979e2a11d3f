"""Conduct a study: queue its trials, let workers run them, and write down what they came to."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study import config, findings, plan, report, tracking, workers
from study.ablation import Ablation
from study.data import Dataset
from study.errors import Interrupted
from study.findings import Study
from study.tracking import csv_text
from study.workers import Assignment, Cell, Progress, Workers

QUEUE = "sqlite:///optuna.db"
MOST_IMAGE_BYTES = 20_000_000  # of test images that a study keeps, before they are compressed


@dataclass(frozen=True)
class Outcome:
    """What an ablation came to: the study read back, where its report lies, and the trials that did not end well.

    A diverged trial is a result; a failure is a fault of the machine, the store or the program.
    """

    study: Study
    page: str
    diverged: list[Progress]
    failures: list[Progress]


def conduct(
    ablation: Ablation,
    cells: Sequence[Cell],
    dataset: Dataset,
    *,
    params: Mapping[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    title: str | None = None,
    open_test: bool = True,
) -> Outcome:
    """Run every cell once, each as a child of the study's run, and write the comparison into that.

    The run is called `title`, or ``ablation`` and the task. With `open_test` false no trial sees a test row. `observe`
    is called about twice a second with the progress of all trials. Raises TrackingError, WorkerError when the workers
    died, Interrupted; the study's run is ended in any case.
    """
    # First of all, for a worker needs ten seconds and more to import TensorFlow.
    with Workers(min(worker_count, len(cells))) as team:
        client = tracking.connect()
        title = title or f"ablation {ablation.task}"
        run = tracking.open_study_run(client, title)
        trials: list[Progress] = []
        try:
            name = f"{title} {run.run_id[:8]}"
            run.set_tags({"study": name})
            assignment = _describe(ablation, cells, dataset, run, params, open_test)
            queue = workers.create_queue(QUEUE, name, assignment, cells)
            team.assign(QUEUE, queue.study_name)
            for trials in team.watch(queue):
                observe(trials)
            outcome = _write_outcome(run, trials)
        except KeyboardInterrupt:
            team.stop()
            _abandon(run, "KILLED", "interrupted")
            done = sum(trial.finished for trial in trials)
            raise Interrupted(f"stopped with {done} of {len(cells)} trials done; those are in MLflow") from None
        except BaseException as failure:
            team.stop()
            _abandon(run, "FAILED", str(failure))
            raise
    run.end("FAILED" if outcome.failures else "FINISHED", _failure_text(outcome.failures))
    return outcome


def _describe(
    ablation: Ablation,
    cells: Sequence[Cell],
    dataset: Dataset,
    run: tracking.Run,
    params: Mapping[str, str],
    open_test: bool,
) -> Assignment:
    """Describe the study in its run; return what its workers have to know."""
    run.log_params(params)
    run.set_tags(_tags(ablation, dataset))
    run.log_dataset(dataset)
    files: dict[str, bytes | str] = {"plan.csv": plan_table(cells, dataset), tracking.ABLATION: ablation.as_yaml()}
    if open_test:
        files[tracking.TEST_SET] = _test_set(dataset)
    run.log_files(files)
    tracking.describe(run, f"**{ablation.question}**\n\n{ablation.known}")
    return Assignment(
        tracking_uri=tracking.tracking_uri(),
        run_id=run.run_id,
        data=dataset.spec,
        validation=str(len(dataset.validation)),
        data_sha256=dataset.sha256,
        substitute_for=dataset.substitute_for,
        open_test=open_test,
    )


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


def _tags(ablation: Ablation, dataset: Dataset) -> dict[str, object]:
    """Return what marks the study's run, and by it each of its trials."""
    code = {"training_code": config.training_code_version()[:16], "libraries": config.training_libraries()}
    return {"task": ablation.task} | tracking.data_tags(dataset) | code | tracking.code_tags()


def _write_outcome(run: tracking.Run, trials: Sequence[Progress]) -> Outcome:
    study = findings.read(run.client, run.run_id)
    page = report.log(study)
    thrown = {trial.name for trial in study.trials if trial.tags.get("state") == "diverged"}
    failed = [trial for trial in trials if trial.state == "FAIL"]
    diverged = [trial for trial in failed if trial.name in thrown]
    return Outcome(study, page, diverged, failures=[trial for trial in failed if trial.name not in thrown])


def _failure_text(failures: Sequence[Progress]) -> str | None:
    return "; ".join(f"{trial.name}: {trial.reason}" for trial in failures) or None


def _abandon(run: tracking.Run, status: str, reason: str) -> None:
    """End the study's run and those that its workers, now stopped, have left open, as far as the store lets us."""
    with contextlib.suppress(Exception):
        for record in tracking.read_trials(run.client, run.run_id):
            if record.status == "RUNNING":
                with contextlib.suppress(Exception):
                    tracking.Run(run.client, record.run_id).end("KILLED", "its worker was stopped")
    with contextlib.suppress(Exception):
        run.end(status, reason)
