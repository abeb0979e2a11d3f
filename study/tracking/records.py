"""Reads runs back as records, with their curves, files and models."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from mlflow.utils.search_utils import SearchUtils

from study.base.errors import TrackingError, first_line
from study.tracking import tags
from study.tracking.artifacts import BY_EPOCH
from study.tracking.params import unquoted
from study.tracking.store import active_experiment, every_page, said_clearly, shown_uri

RUNS_AT_ONCE = 100
TIMED = 40  # trials that tell how fast this machine is
MOST_POINTS = 2**31 - 1  # of the answer: all
# A process that dies after it has written a trial's state leaves a run that is ended as KILLED.
_COMPLETE = f"tags.{tags.STATE} = '{tags.COMPLETE}' and attributes.status = 'FINISHED'"


@dataclass(frozen=True)
class RunRecord:
    """A run as MLflow has it, with all that a comparison needs; it `started` and `ended` in seconds since 1970."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[float]] = field(default_factory=dict)
    started: float = 0.0
    experiment_id: str = "0"
    ended: float | None = None
    artifacts: str = ""  # where its files lie


def read_run(client: MlflowClient, run_id: str) -> RunRecord:
    """Return the run with this ID; raises TrackingError if there is none."""
    with said_clearly("run"):
        return _record(client.get_run(run_id), {})


def find_run(client: MlflowClient, run_id: str) -> RunRecord | None:
    """Return the run with this ID, or None if it was deleted; raises TrackingError if the store does not answer."""
    with said_clearly("run"):
        try:
            run = client.get_run(run_id)
        except MlflowException as failure:
            if failure.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return None
            raise
    return _record(run, {}) if run.info.lifecycle_stage == LifecycleStage.ACTIVE else None


def find_studies(client: MlflowClient, task: str) -> list[str]:
    """Return the IDs of the finished studies of a task, in all experiments, the newest first."""
    experiments = _experiments(client)
    query = f"tags.{tags.TASK} = '{task}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(experiments, query, order_by=["attributes.start_time DESC"])
    return [run.info.run_id for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags]


def find_trials(client: MlflowClient, study_run_id: str | None, query: str | None) -> list[RunRecord]:
    """Return the completed trials of a study, or of the whole experiment, that match an MLflow filter.

    Raises TrackingError, also for a filter that MLflow does not understand, or that chooses by test results.
    """
    if query:
        check_filter(query)
    conditions = [_COMPLETE, *([query] if query else [])]
    with said_clearly("from" if study_run_id else "filter"):
        if study_run_id:
            return _trials(client, study_run_id, conditions)
        return _search(client, [active_experiment(client)], " and ".join(conditions))


def check_filter(query: str) -> None:
    """Raise TrackingError if an MLflow filter, which chooses models, reads anything that comes from the test rows."""
    with said_clearly("filter"):
        keys = [comparison["key"] for comparison in SearchUtils.parse_search_filter(query)]
    for key in keys:
        if key.lower().startswith(tags.OF_TEST) or key == MLFLOW_RUN_NOTE:  # a description may quote test figures
            raise TrackingError(
                f"{key} would choose by test results", where="filter",
                expected=f"params, tags or metrics of validation, such as metrics.{tags.MODEL_VAL_ACCURACY} > 0.9",
                hint="The test set is for the winner only.",
            )  # fmt: skip


def find_equals(client: MlflowClient, fingerprint: str) -> list[RunRecord]:
    """Return finished trials with this fingerprint from any experiment, those with test results first."""
    query = f"tags.{tags.FINGERPRINT} = '{fingerprint}' and {_COMPLETE}"
    experiments = _experiments(client)
    found = client.search_runs(experiments, query, max_results=20, order_by=["attributes.start_time ASC"])
    runs = sorted(found, key=lambda run: tags.TEST_ACCURACY not in run.data.metrics)
    return [_record(run, {}) for run in runs]


def has_trials(client: MlflowClient, data_sha256: str) -> bool:
    """Return whether any trial on these data has finished, in any experiment."""
    query = f"tags.{tags.DATASET_SHA256} = '{data_sha256}' and {_COMPLETE}"
    experiments = _experiments(client)
    return bool(client.search_runs(experiments, query, max_results=1))


def find_timed(client: MlflowClient, data_sha256: str, processor: str) -> list[RunRecord]:
    """Return the newest trials on these data that such a processor has trained to their end, in any experiment."""
    query = (
        f"tags.{tags.KIND} = '{tags.TRIAL_KIND}' and tags.{tags.DATASET_SHA256} = '{data_sha256}' and "
        f"attributes.status = 'FINISHED' and tags.{tags.PROCESSOR} = '{processor}' and tags.{tags.REUSED_FROM} IS NULL"
    )
    newest = ["attributes.start_time DESC"]
    with said_clearly("trials"):
        found = client.search_runs(_experiments(client), query, max_results=TIMED, order_by=newest)
    return [_record(run, {}) for run in found]


def find_running(client: MlflowClient) -> list[RunRecord]:
    """Return the runs of every experiment that have not ended."""
    return _search(client, _experiments(client), "attributes.status = 'RUNNING'")


def used_seeds(client: MlflowClient, data_sha256: str) -> dict[str, set[int]]:
    """Return, by task, the seeds of all trials on these data, in every experiment of the store, finished or not."""
    query = f"tags.{tags.DATASET_SHA256} = '{data_sha256}'"
    experiments = _experiments(client)
    used: dict[str, set[int]] = {}
    for run in _search(client, experiments, query):
        if run.tags.get(tags.SEED, "").isdigit():
            used.setdefault(run.tags.get(tags.TASK, ""), set()).add(int(run.tags[tags.SEED]))
    return used


def race_seed(client: MlflowClient, race: str) -> int | None:
    """Return the first seed of the race with this fingerprint, as its last run recorded it; None for a new race.

    A run that was interrupted, has failed or was deleted counts too: none of that changes a race's seeds.
    """
    experiments = _experiments(client, ViewType.ALL)
    runs = _search(client, experiments, f"tags.{tags.RACE} = '{race}'", view=ViewType.ALL)
    return int(runs[-1].tags[tags.RACE_SEED]) if runs else None


def test_openings(client: MlflowClient, data_sha256: str) -> dict[str, str]:
    """Return what has opened the test set of these data: the task of each study, training or promotion, by its run ID.

    It looks at every experiment of the store. Deleted runs count: what a person has seen stays seen.
    """
    experiments = _experiments(client, ViewType.ALL)
    of_data = f"tags.{tags.DATASET_SHA256} = '{data_sha256}'"
    # A promotion marks its run before it tests; every other command leaves results of the test rows.
    marks = (f"metrics.{tags.TEST_ACCURACY} >= 0", f"tags.{tags.TEST_OPENED} != ''")
    found = [
        record for mark in marks for record in _search(client, experiments, f"{of_data} and {mark}", view=ViewType.ALL)
    ]
    return {study_of(record) or record.run_id: record.tags.get(tags.TASK, "") for record in found}


def find_tagged(client: MlflowClient, tag: str, value: str) -> list[RunRecord]:
    """Return the finished runs of the experiment that have this tag, the oldest first."""
    return _search(client, [active_experiment(client)], f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'")


def _experiments(client: MlflowClient, view: int = ViewType.ACTIVE_ONLY) -> list[str]:
    """Return the IDs of the store's experiments."""
    found = every_page(lambda token: client.search_experiments(view_type=view, page_token=token))
    return [experiment.experiment_id for experiment in found]


def _search(
    client: MlflowClient,
    experiments: Sequence[str],
    query: str,
    curves: Sequence[str] = (),
    view: int = ViewType.ACTIVE_ONLY,
) -> list[RunRecord]:
    """Return the runs of these experiments that match an MLflow filter, the oldest first."""
    where, order = list(experiments), ["attributes.start_time ASC"]
    runs = every_page(lambda token: client.search_runs(where, query, view, order_by=order, page_token=token))
    histories = _histories(client, [run.info.run_id for run in runs], curves)
    return [_record(run, histories[run.info.run_id]) for run in runs]


def _histories(client: MlflowClient, run_ids: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, list[Metric]]]:
    """Return the history of each of these metrics by run, as `get_metric_history` does."""
    # Its public way is one request for each run and metric: half a minute for 5,000 trials. A store in a database of
    # this machine's, in contrast to a server, answers for many runs at once.
    bulk = getattr(client._tracking_client.store, "get_metric_history_bulk", None)
    if bulk is None:
        return {run_id: {key: client.get_metric_history(run_id, key) for key in keys} for run_id in run_ids}
    found: dict[str, dict[str, list[Metric]]] = {run_id: {key: [] for key in keys} for run_id in run_ids}
    for first in range(0, len(run_ids), RUNS_AT_ONCE):
        for key in keys:
            for point in bulk(run_ids[first : first + RUNS_AT_ONCE], key, MOST_POINTS):
                found[point.run_id][key].append(point)
    return found


def check_study(client: MlflowClient, run_id: str, home: str) -> None:
    """Raise TrackingError if the store that the environment names lacks this run; `home` is the store that has it."""
    another = "Begin another study: -P study=NAME."
    try:
        run = client.get_run(run_id)
    except MlflowException as failure:
        there = home == shown_uri()
        hint = f"Set MLFLOW_TRACKING_URI to the store in which the study was started: {home}."
        raise TrackingError(
            f"the study's run {run_id} is not in this MLflow store ({first_line(failure)})",
            where=mlflow.get_tracking_uri(), hint=f"It was there. {another}" if there else hint,
        ) from None  # fmt: skip
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        back = f"`mlflow runs restore --run-id {run_id}` brings it back."
        raise TrackingError("the study's run was deleted", where=run_id, hint=f"{back} {another}")


def study_of(record: RunRecord) -> str | None:
    """Return the ID of the study's run that this trial or arm belongs to, or None."""
    return record.tags.get(tags.STUDY_RUN) or record.tags.get(MLFLOW_PARENT_RUN_ID)


def read_trials(client: MlflowClient, study_run_id: str, curves: Sequence[str] = ()) -> list[RunRecord]:
    """Return the study's trials, oldest first, with the metrics named in `curves` epoch by epoch."""
    return _trials(client, study_run_id, [], curves)


def read_running_trials(client: MlflowClient, study_run_id: str) -> list[RunRecord]:
    """Return the study's trials whose runs have not ended."""
    return _trials(client, study_run_id, ["attributes.status = 'RUNNING'"])


def read_arms(client: MlflowClient, study_run_id: str) -> dict[str, RunRecord]:
    """Return an ablation's arm runs by arm name; empty for a search or a study of an older version."""
    query = f"tags.{tags.STUDY_RUN} = '{study_run_id}' and tags.{tags.KIND} = '{tags.ARM_KIND}'"
    found = _search(client, [client.get_run(study_run_id).info.experiment_id], query)
    return {record.tags[tags.ARM]: record for record in found}


def _trials(
    client: MlflowClient, run_id: str, conditions: Sequence[str], curves: Sequence[str] = ()
) -> list[RunRecord]:
    """Return the trials of a study, or of one arm of it, oldest first."""
    run = client.get_run(run_id)
    below = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"
    places = [below]
    if run.data.tags.get(tags.KIND) != tags.ARM_KIND:
        marked = f"tags.{tags.STUDY_RUN} = '{run_id}' and tags.{tags.KIND} = '{tags.TRIAL_KIND}'"
        # Versions before 0.2.0 marked no trial with its study, and had all of them right below it.
        places = [marked, f"{below} and tags.{tags.STUDY_RUN} IS NULL"]
    queries = [" and ".join([place, *conditions]) for place in places]
    found = [record for query in queries for record in _search(client, [run.info.experiment_id], query, curves)]
    return sorted(found, key=lambda record: record.started)


def _record(run, histories: Mapping[str, Sequence[Metric]]) -> RunRecord:
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        params=unquoted(run.data.params) | _own_config(run.data.tags),
        tags=run.data.tags,
        metrics=run.data.metrics,
        curves={
            key: [point.value for point in sorted(history, key=lambda point: point.step)]
            for key, history in histories.items()
        },
        started=run.info.start_time / 1000,
        experiment_id=run.info.experiment_id,
        ended=run.info.end_time / 1000 if run.info.end_time else None,
        artifacts=run.info.artifact_uri,
    )


def _own_config(its: Mapping[str, str]) -> dict[str, str]:
    """Return what a training by hand has trained, where the params are what was given; empty for any other run."""
    try:
        found = json.loads(its.get(tags.CONFIG, "{}")) if its.get(tags.TASK) == tags.TRAIN else {}
    except ValueError:  # somebody has edited it
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def read_epochs(client: MlflowClient, run_id: str) -> list[dict[str, float]]:
    """Return a trial's metrics of every epoch, in order; raises TrackingError."""
    with said_clearly(run_id):
        histories = {key: client.get_metric_history(run_id, key) for key in BY_EPOCH}
    epochs: dict[int, dict[str, float]] = {}
    for key, history in histories.items():
        for point in history:
            epochs.setdefault(point.step, {})[key] = point.value
    return [values for _, values in sorted(epochs.items())]
