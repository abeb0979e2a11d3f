"""A network of one's own, from its file to the report, and on a worker that does not have the file."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

NETWORK = """
import keras
from typing import Literal


class Scale(keras.layers.Layer):
    def call(self, values):
        return values * 2


def build(shape, classes, *, units: int = 8, kind: Literal["relu", "tanh"] = "relu", dropout: float = 0.0):
    return keras.Sequential([
        keras.Input(shape), keras.layers.Flatten(), Scale(), keras.layers.Dense(units, kind),
        keras.layers.Dropout(dropout), keras.layers.Dense(classes, "softmax"),
    ])
"""
TASK = """
question: Do more units help?
baseline: {epochs: 1, batch_size: 64}
arms: {grid: {units: [4, 8]}}
"""


def run(folder, *words, **variables):
    environment = os.environ | {"PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_own_network_is_ablated_searched_and_carried_over(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "units.yaml").write_text(TASK)
    options = ("--network", "net.py", "--data", "digits")
    ablation = ("entrypoints.ablation", "--task", "units.yaml", *options, "--seeds", "2", "--output", "json")
    first = json.loads(run(tmp_path, *ablation))
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "net.py", tmp_path / "elsewhere" / "net.py")
    again = run(tmp_path, *ablation[:3], "--network", "elsewhere/net.py", *ablation[5:])
    assert len(json.loads(again)["arms"]) == len(first["arms"]) == 2
    assert (first["cost"]["carried_over"], json.loads(again)["cost"]["carried_over"]) == (0, 4)
    # The report is read without the file, and without running its code.
    (tmp_path / "elsewhere" / "net.py").write_text("raise SystemExit('never run')")
    read = (
        "from study.tracking.store import connect; from study.analysis import ablation_results as r;"
        f"s = r.read(connect(), {first['run']!r});"
        "print(s.ablation.networks, [t.params['units'] for t in s.trials])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(
        [sys.executable, "-c", read], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    ).stdout
    assert printed.startswith("['net.py@") and "'4'" in printed and "'8'" in printed
    (tmp_path / "elsewhere" / "net.py").write_text(NETWORK)
    found = run(
        tmp_path, "entrypoints.search", "--network", "elsewhere/net.py", "--data", "digits", "--trials", "3",
        "--epochs", "1", "--confirm", "false",
    )  # fmt: skip
    assert "over learning_rate, batch_size, units, kind" in found and "not searched, because no range" in found
