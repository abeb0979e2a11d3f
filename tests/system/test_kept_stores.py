"""Stores of earlier versions, opened by this one: reports, queues, and what a trial of that time can still be asked."""

import pytest
from conftest import in_store
from factories import stores

from study.analysis import ablation_results, reproduction, search_results
from study.base.errors import ConfigError
from study.execution.queue import load_queue, progress
from study.reports import ablation_report, search_report
from study.tracking import records, store, stored, tags
from study.training.config import TrialConfig
from study.workflows import begun_search, reproduce
from study.workflows.prepare import prepare_search


@pytest.fixture(params=stores.VERSIONS, scope="module")
def client(request, tmp_path_factory):
    with in_store(stores.unpack(request.param, tmp_path_factory.mktemp("kept"))):
        yield store.connect()


def study_of(client, task: str) -> str:
    """Return the run of the study of this task."""
    (run,) = client.search_runs(["0"], f"tags.task = '{task}' and tags.kind = 'study'")
    return run.info.run_id


def test_an_ablation_is_read_and_reported(client):
    study = ablation_results.read(client, study_of(client, "mine"))
    assert [(trial.name, trial.status) for trial in study.trials] == [
        ("learning_rate=0.01 · seed 1", "FINISHED"), ("learning_rate=0.02 · seed 1", "FINISHED"),
    ]  # fmt: skip
    assert study.record.metrics["trials_complete"] == 2
    ablation_report.log(study)
    page = stored.read_file(study.record, "report/report.md").decode()
    kept = stored.read_file(study.record, "arms.csv").decode()
    assert page.startswith("# mine: Does it open?") and kept.count("\n") == 3


def test_a_search_is_read_and_reported_and_is_not_resumed_by_other_code(client, digits):
    run_id = study_of(client, "search")
    study = search_results.read(client, run_id)
    assert len(study.complete) == 3 and {trial.params["network"] for trial in study.trials} == {"mlp"}
    search_report.log(study)
    assert b"trial 2" in stored.read_file(records.read_run(client, run_id), "report/report.md")
    queue = load_queue("sqlite:///optuna.db", "mine")
    assert [(one.slot, one.state) for one in progress(queue)] == [(0, "COMPLETE"), (1, "COMPLETE"), (2, "COMPLETE")]
    assert queue.assignment.run_id == run_id
    search, dataset = prepare_search(
        metric="val_cross_entropy", sampler="tpe", pruner="hyperband", seed=1,
        data="digits",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="the study mine exists, with another"):
        begun_search.find_begun(search, dataset, "sqlite:///optuna.db", "mine")


def test_a_trial_has_what_a_reproduction_compares(client, digits):
    request = reproduce.prepare(study_of(client, "mine"), 2, None)
    for record in request.trials:
        config = TrialConfig.recorded(record.params)
        assert (config.training.epochs, record.tags[tags.DATASET_SHA256]) == (2, digits.sha256)
        kept = reproduction.read(client, record)
        parts = reproduction.compare(kept, kept)
        assert [part.name for part in parts][:2] == ["losses of the steps", "curves"] and len(parts) == 6
        assert {part.name: part.compared for part in parts}["weights"] == 784 * 4 + 4 + 4 * 10 + 10
        assert len(kept.epochs) == 2 and all(part.same for part in parts)
