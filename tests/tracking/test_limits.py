import pytest
from factories import written
from factories.written import Trial
from mlflow.store.model_registry.dbmodels import models as registered
from mlflow.store.tracking.dbmodels import models as tracked
from mlflow.utils import validation

from study.tracking import arm_runs, limits, registry, runs
from study.tracking.arm_runs import ArmSummary
from study.tracking.store import connect


def length(column) -> int:
    return column.property.columns[0].type.length


def test_the_limits_are_those_of_mlflow():
    assert length(tracked.SqlRun.name) == limits.RUN_NAME
    assert length(tracked.SqlTag.value) == validation.MAX_TAG_VAL_LENGTH == limits.TAG
    assert length(tracked.SqlParam.value) >= validation.MAX_PARAM_VAL_LENGTH == limits.PARAM
    assert length(registered.SqlRegisteredModel.name) == limits.MODEL_NAME
    assert length(registered.SqlRegisteredModel.description) == limits.MODEL_DESCRIPTION
    assert length(registered.SqlModelVersion.description) == limits.MODEL_DESCRIPTION
    assert validation.MAX_METRICS_PER_BATCH == limits.METRICS_A_REQUEST


@pytest.mark.parametrize("text, most, expected", [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "ab…")])
def test_what_is_too_long_is_shortened_visibly(text, most, expected):
    assert limits.shortened(text, most) == expected


def test_everything_that_is_written_fits_into_its_column(store):
    """As PostgreSQL demands: SQLite would take all of it, and MLflow cuts some of it off without a mark."""
    client, long = connect(), "x" * 9_000
    run_id = written.write("question: Why?\narms:\n  list: [{name: a}, {name: b, l2: 0.1}]\n", [Trial("a", 1)])
    study = runs.Run(client, run_id)
    runs.describe(study, long)
    study.set_tags({"mlflow.runName": long})
    study.log_params({"long": long})
    arm_runs.open_arm_runs(study, {"a": {"hidden": long}})
    arm_runs.write_arms(client, run_id, {"a": ArmSummary({}, {}, [], verdict=long, description=long)})
    trial = runs.start_trial_run(client, run_id, long, {"hidden": long}, {"why": long})
    trial.end("FAILED", long)
    found = client.search_runs(["0"])
    assert len(found) == 4
    texts = [text for run in found for text in run.data.tags.values()]
    assert max(map(len, texts)) == limits.TAG and all(text[-1] == "…" for text in texts if len(text) > 260)
    assert {len(text) for run in found for text in run.data.params.values() if len(text) > 260} == {limits.PARAM}
    assert sorted(len(run.info.run_name) for run in found)[-2:] == [limits.RUN_NAME] * 2
    version = registry.crown(client, "long", client.get_run(run_id).info.artifact_uri, run_id, long, {})
    assert len(client.get_model_version("long", version.number).description) == limits.MODEL_DESCRIPTION
