"""Whatever goes wrong at whichever write: the same command once more, and the study has the report of one undisturbed.

Byte for byte, except times, hosts and IDs. `factories.faults` says what a write is, and what goes wrong.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow
# As `factories.faults` has them, which imports TensorFlow.
STUDIES, ROLES, KINDS = ("ablation", "search", "promote"), ("conductor", "worker"), ("kill", "once", "for-ever")


def swept(study: str, folder: Path, *faults: str) -> list[dict]:
    """Return what came of each fault."""
    tests = ROOT / "tests"
    done = subprocess.run(
        [sys.executable, "-m", "factories.faults", study, str(folder), *faults],
        cwd=tests, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tests}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *found = map(json.loads, done.stdout.splitlines())
    assert min(first["writes"].values()) > 20 and first["files"] > 10
    return found


def test_a_search_with_faults_has_the_report_of_one_without(tmp_path):
    found = swept("search", tmp_path / "sweep", "conductor:for-ever:9", "worker:kill:40")
    assert [(one["fault"]["at"], one["differences"]) for one in found] == [(9, {}), (40, {})]


@pytest.mark.matrix
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("study", STUDIES)
def test_every_write_may_fail(study, role, kind, tmp_path):
    found = swept(study, tmp_path / "sweep", f"{role}:{kind}:1:1")
    assert len(found) > 20 and [one for one in found if one["differences"]] == []


@pytest.mark.matrix
@pytest.mark.parametrize("study, faults", [
    ("ablation-by-two", ("conductor:kill:5:15", "worker:kill:8:30", "worker:for-ever:20")),
    ("search-compared", ("conductor:kill:40:25", "worker:kill:120:150", "worker:once:250")),
])  # fmt: skip
def test_two_workers_and_a_comparison_come_to_the_same_report_too(study, faults, tmp_path):
    found = swept(study, tmp_path / "sweep", *faults)
    assert len(found) > 5 and [one for one in found if one["differences"]] == []
