"""How the data that options and YAML files name reach the trials and the workers."""

import numpy as np
import pandas as pd
import pytest

from study.base.errors import DataError
from study.execution import worker
from study.training.config import TrialConfig
from study.workflows.common import assignment
from study.workflows.prepare import prepare_ablation, prepare_search

TASK = """question: Does the width matter?
known: Not yet.
margin: 1
because: It is a test.
baseline: {%s}
arms: {grid: {hidden: ["4", "8"]}}
"""


@pytest.fixture
def table(tmp_path):
    """The path of a table whose columns a and kind could both be labels."""
    whole = {"a": [row % 3 for row in range(60)], "b": range(60), "kind": ["x", "y"] * 30}
    pd.DataFrame(whole).to_csv(tmp_path / "t.csv", index=False)
    return str(tmp_path / "t.csv")


def task(tmp_path, baseline: str) -> str:
    (tmp_path / "task.yaml").write_text(TASK % baseline)
    return str(tmp_path / "task.yaml")


def test_the_target_of_a_task_or_of_the_command_is_that_of_every_trial(tmp_path, table):
    own = task(tmp_path, f"data: {table}, target: kind")
    for settings, target in (({}, "kind"), ({"target": "a"}, "a"), ({"data": table, "target": "a"}, "a")):
        ablation, dataset = prepare_ablation(own, **settings)
        assert dataset.target == target
        for spec in ablation.trial_specs(2, dataset):
            data = spec.config.data
            assert (data.source, data.target, data.size) == (table, target, None)
            assert TrialConfig.recorded(spec.config.as_text()) == spec.config
    search, dataset = prepare_search(
        "default", metric="val_loss", sampler="tpe", pruner="none", seed=1, data=table, target="kind"
    )
    assert (search.baseline.data.target, dataset.target) == ("kind", "kind")


def test_other_data_than_the_tasks_need_a_target_of_their_own(tmp_path, table):
    own = task(tmp_path, f"data: {table}, target: kind")
    assert prepare_ablation(own, data="iris")[1].name == "iris"
    with pytest.raises(DataError, match=r"target is missing. Name the column that has the labels: -P target=…"):
        prepare_ablation(own, data=table)


def test_a_worker_loads_the_same_rows_by_the_target_of_the_assignment(tmp_path, table, new_store):
    _, dataset = prepare_ablation(task(tmp_path, f"data: {table}, target: kind"))
    again = worker._data(assignment(dataset, "run", networks=(), open_test=True, reuse=True), None)
    assert (again.sha256, again.target) == (dataset.sha256, "kind")
    assert again.validation.inputs.tolist() == dataset.validation.inputs.tolist()


def test_a_feature_of_too_large_numbers_is_named(tmp_path):
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"grams": 1e20 * draw.normal(size=60), "volt": draw.normal(size=60), "kind": ["x", "y"] * 30})
    frame.to_csv(tmp_path / "large.csv", index=False)
    with pytest.raises(DataError, match=r"large\.csv: grams: a feature whose scale a network cannot take; expected"):
        prepare_ablation(task(tmp_path, f"data: {tmp_path}/large.csv, target: kind"))
