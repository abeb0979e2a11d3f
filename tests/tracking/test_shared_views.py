import json
import uuid

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.tracking import records, tags
from study.tracking.shared_views import ARMS, PREFIX, STUDIES, WRITTEN, store_views
from study.tracking.store import connect


@pytest.fixture
def client(store) -> MlflowClient:
    return connect()


@pytest.fixture
def study(client) -> records.RunRecord:
    experiment = client.create_experiment(uuid.uuid4().hex)
    run = client.create_run(experiment, run_name="ablation mine", tags={tags.KIND: tags.STUDY_KIND})
    marks = {tags.KIND: tags.ARM_KIND, tags.STUDY_RUN: run.info.run_id}
    client.create_run(experiment, run_name="an arm", tags=marks)
    client.create_run(experiment, run_name="a trial", tags=marks | {tags.KIND: tags.TRIAL_KIND})
    return records.read_run(client, run.info.run_id)


def views(client: MlflowClient, study: records.RunRecord) -> dict[str, tuple[str, dict]]:
    found = client.get_experiment(study.experiment_id).tags
    assert all(len(text) < 20_000 for text in found.values())  # MLflow's limit
    envelopes = {key.removeprefix(PREFIX): json.loads(text) for key, text in found.items() if key.startswith(PREFIX)}
    return {key: (each["name"], json.loads(each["state"])) for key, each in envelopes.items()}


def test_views_show_the_studies_and_the_arms_of_the_latest(client, study):
    store_views(client, study, has_arms=True)
    for key, (name, state) in views(client, study).items():
        assert name == {ARMS: "Arms of ablation mine", STUDIES: "Studies, with their arms"}[key]
        assert "tags.`verdict`" in state["selectedColumns"]
        order = [f"{state['orderByKey']} DESC"]
        found = client.search_runs([study.experiment_id], state["searchFilter"], order_by=order)
        names = {run.info.run_name for run in found}
        assert names == {ARMS: {"an arm"}, STUDIES: {"an arm", "ablation mine"}}[key]
        sections = {section["uuid"] for section in state.get("compareRunSections", [])}
        assert {chart["metricSectionId"] for chart in state.get("compareRunCharts", [])} == sections


def test_a_search_has_no_view_of_arms(client, study):
    store_views(client, study, has_arms=False)
    assert set(views(client, study)) == {STUDIES}


def test_a_view_of_the_studies_that_a_person_has_changed_stays(client, study):
    own = json.dumps({"name": "mine", "createdAt": WRITTEN, "updatedAt": 2e12, "state": "{}"})
    for before, after in ((own, "mine"), ("nonsense", "Studies, with their arms")):
        client.set_experiment_tag(study.experiment_id, PREFIX + STUDIES, before)
        store_views(client, study, has_arms=False)
        assert views(client, study)[STUDIES][0] == after


def test_a_store_that_takes_no_views_is_no_error(client, study, monkeypatch):
    def refuse(*given):
        raise MlflowException("not allowed")

    monkeypatch.setattr(client, "set_experiment_tag", refuse)
    store_views(client, study, has_arms=True)
    assert views(client, study) == {}
