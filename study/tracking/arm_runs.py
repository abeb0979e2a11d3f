"""Writes the runs of an ablation's arms: children of the study, parents of the trials, with curves over the seeds."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from study.base.processes import this_process
from study.tracking import limits, records, tags
from study.tracking.params import repeated
from study.tracking.records import RunRecord
from study.tracking.results import write_results
from study.tracking.runs import Run, create_child

RESULT_TAGS = (tags.VERDICT, tags.REASON, tags.CURVES_OF)


@dataclass(frozen=True)
class ArmSummary:
    """Holds what an arm's run shows when its trials have ended.

    `curves` have a value for each epoch, from the first: the means over the runs whose IDs are `trials`.
    """

    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    trials: Sequence[str]
    verdict: str | None = None
    description: str = ""
    status: str = "FINISHED"
    reason: str | None = None

    def tags(self) -> dict[str, str]:
        """Return the tags that hold the results."""
        found = {MLFLOW_RUN_NOTE: self.description, tags.VERDICT: self.verdict, tags.REASON: self.reason}
        return {name: text for name, text in found.items() if text}


def open_arm_runs(run: Run, arms: Mapping[str, Mapping[str, str]]) -> None:
    """Open a run for each arm below the study's run, so that its trials have their parent from the start.

    `arms` has each arm's params by its name. A run that an interrupted study left behind is reopened. `write_arms`
    ends the runs of a study that finishes, `close_arm_runs` those of one that does not.
    """
    client = run.client
    study = client.get_run(run.run_id)
    there = records.read_arms(client, run.run_id)
    for name, params in arms.items():
        if name in there:
            client.update_run(there[name].run_id, status="RUNNING")
            Run(client, there[name].run_id).set_tags(this_process())
        else:
            marks = {tags.KIND: tags.ARM_KIND, tags.ARM: name} | this_process()
            arm = create_child(client, study, name, marks, run.run_id)
            both = repeated(study.data.params) | dict(params)
            client.log_batch(arm, params=limits.run_params(both))


def close_arm_runs(run: Run, status: str, reason: str | None = None) -> None:
    """End the arm runs that are still running, because the study was interrupted (KILLED) or has failed."""
    for arm in records.read_arms(run.client, run.run_id).values():
        if arm.status == "RUNNING":
            Run(run.client, arm.run_id).end(status, reason)


def write_arms(client: MlflowClient, study_run_id: str, summaries: Mapping[str, ArmSummary]) -> None:
    """Write the arms' results into their runs, and end them: two requests an arm, none if nothing is new.

    A study of an older version has no arm runs, and gets none. An arm that is still running is left to the process that
    conducts its study.
    """
    for name, arm in records.read_arms(client, study_run_id).items():
        if name in summaries and (arm.status != "RUNNING" or _is_ours(arm)):
            _write(client, arm, summaries[name])


def _is_ours(arm: RunRecord) -> bool:
    return this_process().items() <= arm.tags.items()


def _write(client: MlflowClient, arm: RunRecord, summary: ArmSummary) -> None:
    mark = _mark(summary.trials) if summary.curves else None
    before = arm.tags.get(tags.CURVES_OF)
    if before not in (None, mark):
        arm = _replace(client, arm)
        before = None
    write_results(
        client,
        arm,
        summary.metrics,
        summary.tags() | ({tags.CURVES_OF: mark} if mark else {}),
        replaces=RESULT_TAGS,
        curves=summary.curves if before is None else None,
    )
    if arm.status != summary.status:
        client.set_terminated(arm.run_id, summary.status)


def _mark(trials: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(sorted(trials)).encode()).hexdigest()[:16]


def _replace(client: MlflowClient, old: RunRecord) -> RunRecord:
    """Replace an arm's run whose curves come from other trials by a new run: MLflow can't delete points."""
    study = client.get_run(old.tags[tags.STUDY_RUN])
    kept = {name: text for name, text in old.tags.items() if not name.startswith((*RESULT_TAGS, "mlflow."))}
    new = create_child(client, study, old.name, kept, study.info.run_id)
    client.log_batch(new, params=limits.run_params(old.params))
    for trial in records.read_trials(client, old.run_id):
        client.set_tag(trial.run_id, MLFLOW_PARENT_RUN_ID, new)
    client.delete_run(old.run_id)
    return records.read_run(client, new)
