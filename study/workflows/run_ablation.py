"""Conduct an ablation: queue its trials, let workers run them, and write down what they came to."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np

from study.analysis import ablation_results
from study.analysis.ablation_results import Study
from study.base import processes
from study.base.errors import Interrupted
from study.data.dataset import Dataset
from study.design.ablation import Ablation, TrialSpec
from study.execution import recovery, time_estimate
from study.execution.queue import Progress, create_queue
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.reports import ablation_report
from study.tracking import runs, store
from study.tracking.artifacts import ABLATION, TEST_SET, csv_text
from study.workflows.common import GO_ON, Outcome, assignment, ended_with, failure_text, outcome_of, study_tags

MOST_IMAGE_BYTES = 20_000_000  # of test images that a study keeps, before they are compressed


def run_ablation(
    ablation: Ablation,
    cells: Sequence[TrialSpec],
    dataset: Dataset,
    *,
    params: Mapping[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    announce: Callable[[str], None] = lambda name: None,
    title: str | None = None,
    open_test: bool = True,
    reuse: bool = True,
    storage: str = DEFAULT_STORAGE,
) -> Outcome[Study]:
    """Run every cell once, each as a child of the study's run, and write the comparison into that.

    The run is called `title`, or ``ablation`` and the task. With `open_test` false no trial sees a test row; with
    `reuse` a trial that the store has already is carried over. `announce` is called once with the name by which other
    workers can join, `observe` about twice a second with the progress of all trials. Raises TrackingError, WorkerError
    when the workers died, Interrupted; the study's run is ended in any case.
    """
    # First of all, for a worker needs ten seconds and more to import TensorFlow.
    with WorkerPool(min(worker_count, len(cells))) as team:
        client = store.connect()
        recovery.end_lost_runs(client)
        title = title or f"ablation {ablation.task}"
        run = runs.open_study_run(client, title)
        with ended_with(run):
            name = f"{title} {run.run_id[:8]}".replace(" ", "-")
            run.set_tags({"study": name} | processes.this_process())
            describe(ablation, cells, dataset, run, params, open_test)
            queue, _ = create_queue(storage, name)
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
                recovery.end_lost_trials(client, run.run_id, queue)
            study = ablation_results.read(client, run.run_id)
            outcome = outcome_of(study, ablation_report.log(study), trials)
    run.end("FAILED" if outcome.failures else "FINISHED", failure_text(outcome.failures))
    return outcome


def describe(
    ablation: Ablation,
    cells: Sequence[TrialSpec],
    dataset: Dataset,
    run: runs.Run,
    params: Mapping[str, str],
    open_test: bool,
) -> None:
    """Describe the study in its run."""
    run.log_params(params)
    run.set_tags({"task": ablation.task} | study_tags(dataset))
    run.log_dataset(dataset)
    files: dict[str, bytes | str] = {"plan.csv": plan_table(cells, dataset), ABLATION: ablation.as_yaml()}
    if open_test:
        files[TEST_SET] = _test_set(dataset)
    run.log_files(files)
    runs.describe(run, f"**{ablation.question}**\n\n{ablation.known}")


def plan_table(cells: Sequence[TrialSpec], dataset: Dataset) -> str:
    """Return every trial with its full config and the guess at its time, as a CSV file's text."""
    fields = list(cells[0].config.as_text())
    rows = (
        (cell.name, f"{time_estimate.trial_seconds(cell.config, dataset):.1f}", *cell.config.as_text().values())
        for cell in cells
    )
    return csv_text(("trial", "about seconds", *fields), rows)


def _test_set(dataset: Dataset) -> bytes:
    """Return the test labels, and the images unless they are too many, as the bytes of an ``.npz`` file."""
    images = dataset.test.images if dataset.test.images.nbytes <= MOST_IMAGE_BYTES else np.empty(0, np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, labels=dataset.test.labels, images=images)
    return buffer.getvalue()
