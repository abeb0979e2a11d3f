"""Runs an ablation: enqueues its trials, lets workers run them, and records the comparison."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from study.analysis import ablation_results
from study.analysis.ablation_results import AblationResults
from study.data.dataset import Dataset
from study.design.ablation import Ablation, TrialSpec
from study.execution import time_estimate
from study.execution.carrier import Carrier
from study.execution.engines.engine import Request
from study.execution.queue import Progress, create_queue
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.reports import ablation_report
from study.reports.markdown import plain
from study.tracking import arm_runs, runs, tags
from study.tracking.artifacts import ABLATION, TEST_SET
from study.tracking.records import has_trials
from study.tracking.runs import Run
from study.workflows.common import Outcome, assignment, open_run, origin_files, outcome_of, run_trials, study_tags
from study.workflows.seed_supply import OnLook, SeedRule, SeedSupply

PLAN = "plan.csv"
MOST_IMAGE_BYTES = 20_000_000  # of test images that a study keeps, before they are compressed


def run_ablation(
    ablation: Ablation,
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    *,
    params: Mapping[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    announce: Callable[[str], None] = lambda name: None,
    rule: SeedRule | None = None,
    on_look: OnLook = lambda study, more: None,
    reuse: bool = True,
    storage: str = DEFAULT_STORAGE,
    launch: Request | None = None,
) -> Outcome[AblationResults]:
    """Run every trial once, each as a run below the study's, and write the comparison into the study's run.

    With a `rule` trials with more seeds follow, as `SeedSupply` plans them; `on_look` is called as it says. `announce`
    is called once with the name by which other workers can join; with `launch` an engine's workers do, and end with the
    ablation. `observe` is called about twice a second with the progress of all trials. An ablation needs all its
    trials: if any fails other than by diverging, the study's run ends FAILED with the reasons. Raises TrackingError,
    WorkerError if the workers died, Interrupted.
    """
    # The workers' server starts first: it needs seconds to import TensorFlow.
    with (
        WorkerPool(min(worker_count, len(specs))) as pool,
        open_run(f"ablation {ablation.task}", params=params) as run,
    ):
        outcome = run_specs(
            run, pool, ablation, specs, dataset, storage=storage, reuse=reuse, observe=observe, announce=announce,
            rule=rule, on_look=on_look, launch=launch,
        )  # fmt: skip
        if outcome.failures:
            run.end("FAILED", outcome.failure_text)
    return outcome


def run_specs(
    run: Run,
    pool: WorkerPool,
    ablation: Ablation,
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    *,
    observe: Callable[[list[Progress]], None],
    storage: str,
    announce: Callable[[str], None] = lambda name: None,
    rule: SeedRule | None = None,
    on_look: OnLook = lambda study, more: None,
    open_test: bool = True,
    reuse: bool = True,
    launch: Request | None = None,
) -> Outcome[AblationResults]:
    """Run an ablation's trials below an open run, which gets its description, report and tables, and stays open.

    `rule` and `on_look` are as in `run_ablation`. With `open_test` false no trial sees a test row; with `reuse` a trial
    that the store already has is carried over. Raises as `run_trials` does.
    """
    title = run.client.get_run(run.run_id).info.run_name
    name = f"{title} {run.run_id[:8]}".replace(" ", "-")
    describe(ablation, specs, dataset, run, name, open_test)
    arm_runs.open_arm_runs(run, arm_params(specs))
    queue, _ = create_queue(storage, name)
    queue.assign(assignment(dataset, run.run_id, ablation.networks, open_test=open_test, reuse=reuse))
    announce(name)
    carrier = Carrier(queue, dataset, run.client) if reuse and has_trials(run.client, dataset.sha256) else None
    supply = SeedSupply(run, queue, ablation, dataset, specs, rule, on_look)
    trials = run_trials(
        run, queue, pool, storage=storage, observe=observe, specs=supply.specs, end_queue="the ablation has ended",
        refill=supply, launch=launch, carrier=carrier,
    )  # fmt: skip
    if len(supply.specs) > len(specs):
        run.log_files({PLAN: time_estimate.plan_table(supply.specs, dataset)})
    study = ablation_results.read(run.client, run.run_id)
    return replace(outcome_of(study, ablation_report.log(study), trials), note=supply.note)


def describe(
    ablation: Ablation,
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    run: Run,
    name: str,
    open_test: bool,
) -> None:
    """Write the study's tags, dataset, plan and description into its run."""
    run.set_tags(
        {tags.KIND: tags.STUDY_KIND, tags.TASK: ablation.task, tags.STUDY: name}
        | study_tags(dataset, ablation.networks)
    )
    run.log_dataset(dataset)
    files: dict[str, bytes | str] = {PLAN: time_estimate.plan_table(specs, dataset), ABLATION: ablation.as_yaml()}
    if open_test:
        files[TEST_SET] = _test_set(dataset)
    run.log_files(files | origin_files(ablation.networks))
    runs.describe(run, f"**{plain(ablation.question)}**\n\n{plain(ablation.known)}")


def arm_params(specs: Sequence[TrialSpec]) -> dict[str, dict[str, str]]:
    """Return, by arm name, the config that the arm's trials share: everything except the seed and a fold."""
    found: dict[str, dict[str, str]] = {}
    for spec in specs:
        found.setdefault(spec.arm, spec.shared)
    return found


def _test_set(dataset: Dataset) -> bytes:
    """Return the test labels, and the images if there are any, not too many, as the bytes of an ``.npz`` file."""
    kept = dataset.kind == "pixels" and dataset.test.inputs.nbytes <= MOST_IMAGE_BYTES
    images = dataset.test.inputs if kept else np.empty(0, np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, labels=dataset.test.labels, images=images, class_names=np.array(dataset.class_names, str)
    )
    return buffer.getvalue()
