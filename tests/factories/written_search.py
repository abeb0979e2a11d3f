"""A search written into a real MLflow store without training anything: its numbers are made up, so that what is derived
from them can be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from study.analysis import search_results
from study.analysis.search_results import SearchResults
from study.design.search import TASK, Search
from study.design.search_space import parse_space
from study.tracking import runs, store
from study.tracking.artifacts import SEARCH

YAML = """
baseline: {epochs: 3}
fields:
  learning_rate: {range: [1.0e-4, 1.0e-1], log: true}
  batch_size: {choices: [16, 32, 64, 128]}
  l2: {range: [1.0e-8, 1.0e-2], log: true, zero_below: 1.0e-7}
  dropout: {range: [0.0, 0.6]}
"""
ONE_FIELD = "fields: {learning_rate: {range: [1.0e-4, 1.0e-1], log: true}}"


@dataclass(frozen=True)
class Trial:
    """What a trial came to: the metric by epoch, its settings, other metrics, and how it ended.

    A state is complete, pruned or diverged; or the status of a run that has none: FAILED, KILLED or RUNNING.
    """

    slot: int
    curve: Sequence[float] = (1.0, 0.5)
    settings: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: str = "complete"
    tags: Mapping[str, object] = field(default_factory=dict)
    name: str = ""


def write(
    trials: Sequence[Trial],
    *,
    yaml: str = YAML,
    metric: str = "val_cross_entropy",
    params: Mapping[str, str] | None = None,
    also: str | None = None,
    **tags: object,
) -> str:
    """Write a search of this space with these trials into the store of the environment; return its run's ID."""
    search = Search(parse_space(yaml, "mine", "mine.yaml"), metric, "tpe", "median", also=also)
    client = store.connect()
    run = runs.open_study_run(client, "search mine")
    run.log_params({"study": "mine", "trials": "50", "workers": "2", "storage": "sqlite:///q.db"} | dict(params or {}))
    rows = {"train_rows": 1000, "validation_rows": 100, "test_rows": 0}
    data = {"dataset": "made-up", "dataset_title": "made-up", "dataset_sha256": "5ee" + 61 * "0"}
    run.set_tags({"task": TASK, "study": "mine", "git_commit": 40 * "c"} | rows | data | tags)
    run.log_files({SEARCH: search.as_yaml()})
    for trial in trials:
        _write_trial(client, run.run_id, search, trial)
    run.end("FINISHED")
    return run.run_id


def _write_trial(client: store.MlflowClient, run_id: str, search: Search, trial: Trial) -> None:
    tags = {"slot": trial.slot, "seed": 1, "host": "here"} | dict(trial.tags)
    params = search.baseline.replace(dict(trial.settings)).as_text()
    run = runs.start_trial_run(client, run_id, trial.name or f"trial {trial.slot}", params, tags)
    for epoch, value in enumerate(trial.curve, start=1):
        run.log_epoch(epoch, {search.metric: value})
    ended = trial.state in ("complete", "pruned", "diverged")
    if ended:
        run.set_tags({"state": trial.state})
    usual = {f"model_{search.metric}": trial.curve[-1]} if trial.state == "complete" and trial.curve else {}
    run.log_summary({"train_seconds": 2.0} | usual | dict(trial.metrics))
    if trial.state != "RUNNING":
        run.end("FAILED" if trial.state == "diverged" else "FINISHED" if ended else trial.state, tags.get("reason"))


def read(run_id: str) -> SearchResults:
    """Return the search as it is read back."""
    return search_results.read(store.connect(), run_id)
