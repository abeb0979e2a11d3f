"""`mlflow run` with a git address works from any folder: it finds files there, and leaves the queue there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from mlflow import MlflowClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the project's git repository"),
]
ABLATION = """
question: Does the width matter?
baseline: {data: digits, epochs: 1, learning_rate: 0.01}
arms:
  grid: {hidden: [8, 16]}
seeds: 1
"""
SPACE = """
baseline: {hidden: 8}
fields:
  learning_rate: {range: [1.0e-3, 1.0e-1], log: true}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """The address of a git repository with the project's last commit.

    MLflow takes a file:// address of a folder that is there for the project itself. git adds the .git; MLflow does not.
    """
    folder = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, folder / "project.git"], check=True)
    return f"file://{folder}/project"


@pytest.fixture
def run(address, tmp_path):
    """Give the command in a folder that has nothing to do with the project; return what it prints and complains."""

    def run(entry: str, *parameters: str) -> tuple[int, str, str]:
        words = [sys.executable, "-m", "mlflow", "run", address, "-e", entry, "--env-manager", "local"]
        given = [word for parameter in parameters for word in ("-P", parameter)]
        environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}", "HOME": str(tmp_path)}
        done = subprocess.run(
            [*words, *given], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_an_ablation_of_ones_own_file(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(ABLATION)
    status, output, errors = run("ablation", "task=mine.yaml")
    assert status == 0, errors
    assert output.startswith("ablation mine: Does the width matter?") and (tmp_path / "optuna.db").exists()
    run_id, link = re.search(r"^Run (\w+): `mlflow ui` shows it at (\S+)$", output.splitlines()[-1]).groups()
    assert link == f"http://127.0.0.1:5000/#/experiments/0/runs/{run_id}?workflowType=machine_learning"
    assert MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(run_id).info.status == "FINISHED"

    status, _, errors = run("ablation", "task=yours.yaml")
    assert status == 1
    (line,) = re.findall(r"^Error: (.*)$", errors, re.M)
    assert re.fullmatch(rf"yours.yaml: no such file; looked for /\S+/yours.yaml and {tmp_path}/yours.yaml\.", line)


def test_a_search_is_resumed_by_the_same_command(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(SPACE)
    quick = ("confirm=false", "space=mine.yaml", "data=digits", "epochs=1", "workers=1")
    status, output, errors = run("search", *quick, "trials=2")
    assert status == 0, errors
    (study,) = re.findall(r"^Run (\w+): ", output, re.M)
    status, output, errors = run("search", *quick, "trials=3")
    assert status == 0, errors
    assert re.findall(r"^Run (\w+): ", output, re.M) == [study] and re.search(r"^3/3 ", output, re.M)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert len(client.search_runs(["0"], f"tags.mlflow.parentRunId = '{study}'")) == 3
