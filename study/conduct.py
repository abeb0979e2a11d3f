"""Conduct a study: queue its trials, let workers run them, and write down what they came to."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from study import plan, report, tracking, workers
from study.ablation import Ablation
from study.data import Dataset
from study.errors import Interrupted
from study.tracking import CURVES, csv_text
from study.workers import Assignment, Cell, Progress, Workers

QUEUE = "sqlite:///optuna.db"


@dataclass(frozen=True)
class Findings:
    """What an ablation came to: the run that keeps it, the arms summed up, and the trials that did not end well.

    A diverged trial is a result; a failure is a fault of the machine, the store or the program.
    """

    run_id: str
    arms: list[report.Arm]
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
) -> Findings:
    """Run every cell once, each as a child of the study's run, and write the comparison into that.

    `observe` is called about twice a second with the progress of all trials. Raises TrackingError, WorkerError when the
    workers died, Interrupted; the study's run is ended in any case.
    """
    # First of all, for a worker needs ten seconds and more to import TensorFlow.
    with Workers(min(worker_count, len(cells))) as team:
        client = tracking.connect()
        run = tracking.open_study_run(client, f"ablation {ablation.task}")
        trials: list[Progress] = []
        try:
            assignment = _describe(ablation, cells, dataset, run, params)
            queue = workers.create_queue(QUEUE, _name(ablation, run), assignment, cells)
            team.assign(QUEUE, queue.study_name)
            for trials in team.watch(queue):
                observe(trials)
            findings = _write_findings(ablation, dataset, run, trials)
        except KeyboardInterrupt:
            team.stop()
            _abandon(run, "KILLED", "interrupted")
            done = sum(trial.finished for trial in trials)
            raise Interrupted(f"stopped with {done} of {len(cells)} trials done; those are in MLflow") from None
        except BaseException as failure:
            team.stop()
            _abandon(run, "FAILED", str(failure))
            raise
    run.end("FAILED" if findings.failures else "FINISHED", _failure_text(findings.failures))
    return findings


def _name(ablation: Ablation, run: tracking.Run) -> str:
    return f"ablation {ablation.task} {run.run_id[:8]}"


def _describe(
    ablation: Ablation, cells: Sequence[Cell], dataset: Dataset, run: tracking.Run, params: Mapping[str, str]
) -> Assignment:
    """Describe the study in its run; return what its workers have to know."""
    run.log_params(params)
    run.set_tags(_tags(ablation, dataset, run))
    run.log_dataset(dataset)
    run.log_files({"plan.csv": plan_table(cells, dataset)})
    tracking.describe(run, f"**{ablation.question}**\n\n{ablation.known}")
    return Assignment(
        tracking_uri=tracking.tracking_uri(),
        run_id=run.run_id,
        data=dataset.spec,
        validation=str(len(dataset.validation)),
        data_sha256=dataset.sha256,
        substitute_for=dataset.substitute_for,
    )


def plan_table(cells: Sequence[Cell], dataset: Dataset) -> str:
    """Return every trial with its full config and the guess at its time, as a CSV file's text."""
    fields = list(cells[0].config.as_text())
    rows = (
        (cell.name, f"{plan.trial_seconds(cell.config, dataset):.1f}", *cell.config.as_text().values())
        for cell in cells
    )
    return csv_text(("trial", "about seconds", *fields), rows)


def _tags(ablation: Ablation, dataset: Dataset, run: tracking.Run) -> dict[str, str]:
    """Return what marks the study's run, and by it each of its trials."""
    tags = {
        "study": _name(ablation, run),
        "task": ablation.task,
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
    }
    if dataset.substitute_for:
        tags["dataset_substitute_for"] = dataset.substitute_for
    return tags | tracking.code_tags()


def _write_findings(ablation: Ablation, dataset: Dataset, run: tracking.Run, trials: Sequence[Progress]) -> Findings:
    order = [arm.name for arm in ablation.arms]
    records = tracking.read_trials(run.client, run.run_id, CURVES)
    arms = report.summarize(records, order)
    warning = (
        f"> **Not on MNIST.** These are the UCI digits, in place of {dataset.substitute_for}.\n\n"
        if dataset.substitute_for
        else ""
    )
    tracking.describe(
        run,
        f"**{ablation.question}**\n\n{warning}{report.markdown(arms)}\n\n{report.NOTE} Data: {dataset.name}, "
        f"SHA-256 `{dataset.sha256[:12]}…`.\n\n{ablation.known}",
    )
    files: dict[str, bytes | str] = {"arms.csv": report.csv(arms)}
    if picture := report.comparison(records, order, f"{ablation.task} on {dataset.title}"):
        files["arms.png"] = picture
    run.log_files(files)
    thrown = {record.name for record in records if record.tags.get("state") == "diverged"}
    failed = [trial for trial in trials if trial.state == "FAIL"]
    diverged = [trial for trial in failed if trial.name in thrown]
    return Findings(run.run_id, arms, diverged, failures=[trial for trial in failed if trial.name not in thrown])


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
