"""A dataset looked at through the program, with a real store."""

import json
import subprocess
import sys
from functools import partial

import pytest
from conftest import ROOT
from mlflow import MlflowClient
from mlflow.artifacts import load_text

from entrypoints import explore


@pytest.fixture
def call(call_program):
    return partial(call_program, explore.main)


def test_the_digits_are_printed_and_kept(call, tmp_path, digits):
    status, output, errors = call("--data", "digits", "--seed", "3")
    assert (status, errors) == (0, "")
    assert "digits: 1,797 images of 28×28 pixels in 10 classes" in output and digits.sha256 in output
    assert "There are no duplicate images." in output
    (run,) = MlflowClient().search_runs(["0"])
    assert (run.info.run_name, run.info.status) == ("explore digits", "FINISHED")
    assert run.data.params == {
        "data": "digits", "target": "none", "size": "none", "validation": "216", "seed": "3",
    }  # fmt: skip
    assert run.data.tags["dataset_sha256"] == digits.sha256
    assert run.data.metrics["exact_duplicates"] == run.data.metrics["near_duplicates"] == 0
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == digits.sha256[:16]
    assert json.loads(entry.dataset.profile) == {"train": 1222, "validation": 216, "test": 359}
    line = next(line for line in output.splitlines() if line.startswith("Page: "))
    page = (tmp_path / line.removeprefix("Page: ")).read_text()
    assert page.count("<figure>") == 8 and "src=" not in page and 'href="http' not in page
    counts = load_text(f"runs:/{run.info.run_id}/class_counts.csv").splitlines()
    assert len(counts) == 11 and counts[1].startswith("0,127,24,27,")
    assert len(load_text(f"runs:/{run.info.run_id}/duplicates.csv").splitlines()) == 1
    assert "figures/samples.svg" in load_text(f"runs:/{run.info.run_id}/explore/explore.md")


def test_points_are_no_pictures_and_have_their_duplicates_named(call):
    status, output, _ = call("--data", "synthetic")
    assert status == 0 and "synthetic: 1,800 images of 1×2 pixels in 2 classes" in output
    (run,) = MlflowClient().search_runs(["0"])
    assert len(load_text(f"runs:/{run.info.run_id}/duplicates.csv").splitlines()) == 33
    assert run.data.metrics["exact_duplicates"] == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.npz"], "nowhere.npz: no such file; looked for /"),
        (["--data", "digits", "--seed", "x"], "seed cannot be 'x'"),
        (["--data", "digits", "--validation", "0"], "validation cannot be '0'"),
    ],
)
def test_bad_input_is_one_line(call, arguments, message):
    status, _, errors = call(*arguments)
    assert status == 1 and message in errors and len(errors.strip().splitlines()) == 1


def test_a_store_that_cannot_be_reached_is_one_line(call, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, _, errors = call("--data", "digits")
    assert status == 1 and "no MLflow server answers" in errors and len(errors.strip().splitlines()) == 1


@pytest.mark.slow
def test_mlflow_run_explore(tmp_path):
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "explore", "--env-manager", "local"]
    environment = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run(
        [*words, "-P", "data=digits"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "INFO mlflow" not in line] == []
    (run,) = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["0"])
    assert (run.info.run_name, run.info.status) == ("explore digits", "FINISHED")
    others = {"target": "none", "size": "none", "network": "auto"}
    assert run.data.params == {"data": "digits", "validation": "auto", "seed": "1", **others}
