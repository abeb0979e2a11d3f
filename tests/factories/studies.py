"""Ablations that are really trained, by a worker in this process: nothing has to be started."""

from collections.abc import Mapping, Sequence

import pytest

from study.analysis import ablation_results
from study.data.dataset import Dataset
from study.design.ablation import Ablation, TrialSpec
from study.execution import worker
from study.execution.queue import Queue, create_queue, progress
from study.execution.storage import DEFAULT_STORAGE
from study.reports import ablation_report
from study.tracking import arm_runs, runs
from study.tracking.store import connect
from study.workflows import run_ablation
from study.workflows.common import Outcome, assignment, outcome_of


def begin(
    ablation: Ablation,
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    *,
    params: Mapping[str, str] | None = None,
    open_test: bool = True,
    reuse: bool = True,
) -> Queue:
    """Enqueue an ablation's trials in a queue that is called as its run's ID."""
    started = runs.open_study_run(connect(), f"ablation {ablation.task}")
    started.log_params(params or {})
    run_ablation.describe(ablation, specs, dataset, started, started.run_id, open_test)
    arm_runs.open_arm_runs(started, run_ablation.arm_params(specs))
    queue, _ = create_queue(DEFAULT_STORAGE, started.run_id)
    queue.add_specs(specs)
    queue.assign(assignment(dataset, started.run_id, ablation.networks, open_test=open_test, reuse=reuse))
    return queue


def train(queue: Queue) -> Outcome:
    """Run the trials of such a queue, and write the report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "IDLE_SECONDS", 0)
        worker.work(DEFAULT_STORAGE, queue.study_name)
    study = ablation_results.read(connect(), queue.study_name)
    return outcome_of(study, ablation_report.log(study), progress(queue))
