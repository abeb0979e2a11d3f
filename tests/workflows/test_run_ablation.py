"""One small ablation, run for real by two worker processes, and everything that it has to leave in MLflow."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, load_text

from study.base.errors import Interrupted, StudyError
from study.design.ablation import load_ablation, parse_ablation
from study.execution import worker
from study.execution.queue import create_queue
from study.execution.storage import DEFAULT_STORAGE
from study.tracking.artifacts import CURVES
from study.tracking.records import read_arms, read_trials
from study.tracking.stored import read_kernels
from study.training.config import FIELDS, TrialConfig
from study.workflows import run_ablation
from study.workflows.common import assignment

YAML = """
question: Does a network of 16 units learn the digits, and one that is thrown off at once?
baseline: {hidden: 16, epochs: 3, patience: 2, learning_rate: 0.01, dropout: 0.1, l2: 0.0001}
arms:
  list:
    - {name: small, batch_size: 32}
    - {name: "large, at 1/3", batch_size: 128, learning_rate: 0.0033333333333333335}
    - {name: thrown, optimizer: sgd, learning_rate: 1.0e+20}
seeds: 2
"""


@pytest.fixture(scope="module")
def folder(store):
    """The folder in which MLflow and Optuna keep their files, and in which the ablation lies."""
    (store / "sizes.yaml").write_text(YAML)
    return store


def run(folder, digits, worker_count, observe=lambda trials: None, reuse=True):
    sizes = load_ablation(str(folder / "sizes.yaml"))
    return run_ablation.run_ablation(
        sizes,
        sizes.trial_specs(sizes.seeds, digits),
        digits,
        params={"task": "sizes", "seeds": "auto"},
        worker_count=worker_count,
        observe=observe,
        reuse=reuse,
    )


def loaded(run_id):
    """Return the model of a run, as MLflow opens it."""
    from study.base import backend  # noqa: F401  sets its threads before MLflow starts TensorFlow

    return mlflow.pyfunc.load_model(f"runs:/{run_id}/model")


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def outcome(folder, digits, seen):
    return run(folder, digits, 2, observe=seen.append)


@pytest.fixture(scope="module")
def run_id(outcome):
    return outcome.study.record.run_id


@pytest.fixture(scope="module")
def records(run_id):
    client = MlflowClient()
    return {record.name: record for record in read_trials(client, run_id, CURVES)}


def artifact(run_id, name):
    return load_text(f"runs:/{run_id}/{name}")


def is_png(run_id, name):
    return Path(download_artifacts(f"runs:/{run_id}/{name}")).read_bytes()[:4] == b"\x89PNG"


def test_every_cell_is_run_exactly_once(run_id, records, seen):
    names = {f"{arm} · seed {seed}" for arm in ("small", "large, at 1/3", "thrown") for seed in (1, 2)}
    assert set(records) == names
    assert [trial.name for trial in seen[-1]] == [
        f"{a} · seed {s}" for s in (1, 2) for a in ("small", "large, at 1/3", "thrown")
    ]
    assert all(trial.finished for trial in seen[-1])
    queue = optuna.load_study(study_name=f"ablation-sizes-{run_id[:8]}", storage="sqlite:///optuna.db")
    assert len(queue.trials) == 6  # no stray beside them


def test_study_run_has_a_name_a_table_and_a_picture(run_id, outcome):
    run = MlflowClient().get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("ablation sizes", "FINISHED")
    assert run.data.params == {"task": "sizes", "seeds": "auto"}
    note = run.data.tags["mlflow.note.content"]
    assert "Does a network of 16 units" in note and "| large, at 1/3 | 2 |" in note and "0 (2 failed)" in note
    rows = list(csv.DictReader(io.StringIO(artifact(run_id, "arms.csv"))))
    assert [row["arm"] for row in rows] == ["small", "large, at 1/3", "thrown"]
    accuracy = outcome.study.arms[0].values["model_val_accuracy"]
    assert 100 * float(rows[0]["model_val_accuracy_mean"]) == pytest.approx(accuracy.mean)
    assert rows[2]["model_val_accuracy_mean"] == ""
    assert is_png(run_id, "arms.png")
    assert len(artifact(run_id, "plan.csv").splitlines()) == 7


def test_arms_have_runs_of_their_own_above_their_trials(run_id, records):
    arms = read_arms(MlflowClient(), run_id)
    small, large, thrown = (arms[name] for name in ("small", "large, at 1/3", "thrown"))
    assert [arm.status for arm in (small, large, thrown)] == ["FINISHED", "FINISHED", "FAILED"]
    for name, record in records.items():
        assert record.tags["mlflow.parentRunId"] == arms[record.tags["arm"]].run_id, name
    first, second = (records[f"small · seed {seed}"].curves["val_loss"] for seed in (1, 2))
    points = MlflowClient().get_metric_history(small.run_id, "val_loss")
    assert [point.value for point in points] == pytest.approx(np.mean([first, second], axis=0))
    assert "val_loss" not in thrown.metrics and thrown.metrics["trials_failed"] == 2
    assert small.tags["verdict"] == "baseline" and large.tags["verdict"] == "not tested"
    assert small.params["hidden"] == records["small · seed 1"].params["hidden"] and "seed" not in small.params


def test_study_can_be_filtered_by_a_verdict(run_id):
    found = MlflowClient().search_runs(["0"], "tags.`verdict.large: at 1::3` = 'not tested'")
    assert run_id in {run.info.run_id for run in found}


def test_trial_run_says_all_that_decides_it(run_id, records, digits):
    record = records["large, at 1/3 · seed 2"]
    params = {name: record.params[name] for name in FIELDS}
    config = TrialConfig.parse(params)
    assert (config.training.batch_size, config.training.learning_rate, config.seed, config.get("hidden")) == (
        128,
        0.0033333333333333335,
        2,
        "16",
    )
    assert (config.data.source, config.data.validation) == ("digits", "216")
    others = ("mlflow.", "pid", "process_started", "machine", "kind", "verdict")  # the worker's own, and results
    tags = MlflowClient().get_run(run_id).data.tags
    study_tags = {key: value for key, value in tags.items() if not key.startswith(others)}
    assert study_tags.items() <= record.tags.items()
    assert record.tags["dataset"] == "digits" and record.tags["dataset_sha256"] == digits.sha256
    assert {"study", "task", "arm", "seed", "fingerprint", "host", "pid", "git_commit", "git_dirty"} <= set(record.tags)
    assert record.params["seeds"] == "auto"
    prints = [record.tags["fingerprint"] for record in records.values()]
    assert len(set(prints)) == 6 and all(len(mark) == 64 for mark in prints)


def test_trial_run_has_curves_and_summary_that_agree(records):
    for record in records.values():
        if record.tags["arm"] == "thrown":
            continue
        # The losses have the penalty in them, the cross-entropy has not.
        assert 0 < record.metrics["model_val_cross_entropy"] < record.metrics["model_val_loss"]
        assert 0 < record.metrics["test_cross_entropy"] < record.metrics["test_loss"]
        gap = record.metrics["model_train_accuracy"] - record.metrics["model_val_accuracy"]
        assert record.metrics["model_generalization_gap"] == pytest.approx(gap)
        curves, metrics = record.curves, record.metrics
        best = int(np.argmin(curves["val_loss"]))
        assert len(curves["loss"]) == 3
        assert metrics["best_epoch"] == metrics["model_epoch"] == best + 1
        assert metrics["best_val_loss"] == metrics["model_val_loss"] == curves["val_loss"][best]
        assert metrics["best_val_accuracy"] == curves["val_accuracy"][best]
        assert metrics["generalization_gap"] == pytest.approx(curves["accuracy"][-1] - curves["val_accuracy"][-1])
        recalls = [metrics[f"test_recall_{label}"] for label in range(10)]
        assert all(0 <= recall <= 1 for recall in recalls)
        assert {"epoch_seconds", "train_seconds", "test_loss", "test_macro_f1", "val_macro_f1"} <= set(metrics)


def test_confusion_tables_add_up_to_the_metrics(records, digits):
    record = records["small · seed 1"]
    for split, accuracy in (("validation", "model_val_accuracy"), ("test", "test_accuracy")):
        rows = list(csv.reader(io.StringIO(artifact(record.run_id, f"confusion_{split}.csv"))))
        counts = np.array([row[1:] for row in rows[1:]], dtype=int)
        labels = getattr(digits, split).labels
        assert counts.sum(axis=1).tolist() == np.bincount(labels, minlength=10).tolist()
        assert np.trace(counts) / counts.sum() == pytest.approx(record.metrics[accuracy])
        pairs = list(csv.DictReader(io.StringIO(artifact(record.run_id, f"confused_pairs_{split}.csv"))))
        assert sum(int(pair["images"]) for pair in pairs) == counts.sum() - np.trace(counts)
    assert all(is_png(record.run_id, f"{name}.png") for name in ("learning_curves", "confusion_matrices", "step_loss"))
    assert len(artifact(record.run_id, "step_loss.csv").splitlines()) == 1 + 3 * 39


def test_trial_keeps_its_predictions_and_its_weights_in_numbers(records, digits):
    record = records["small · seed 1"]
    predicted = np.load(download_artifacts(f"runs:/{record.run_id}/predictions_test.npy"))
    assert (predicted.shape, predicted.dtype) == ((359,), np.uint8)
    assert (predicted == digits.test.labels).mean() == record.metrics["test_accuracy"]
    kernels = read_kernels(MlflowClient(), record.run_id)
    assert [kernel.shape for kernel in kernels] == [(784, 16), (16, 10)]
    rows = list(csv.DictReader(io.StringIO(artifact(record.run_id, "weights.csv"))))
    assert [(row["layer"], row["shape"]) for row in rows] == [("hidden_1", "784×16"), ("logits", "16×10")]
    for row, kernel in zip(rows, kernels, strict=True):
        numbers = [float(row[name]) for name in ("mean", "sd", "least", "most", "norm")]
        expected = [kernel.mean(), kernel.std(), kernel.min(), kernel.max(), np.linalg.norm(kernel)]
        assert numbers == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert record.metrics["parameters"] == 784 * 16 + 16 + 16 * 10 + 10
    squares = [float((kernel.astype(float) ** 2).sum()) for kernel in kernels]
    assert record.metrics["weight_norm"] == pytest.approx(np.sqrt(sum(squares)), rel=1e-5)
    penalty = record.metrics["model_val_loss"] - record.metrics["model_val_cross_entropy"]
    assert penalty == pytest.approx(1e-4 * squares[0], rel=1e-4)  # l2_on: the hidden layer's
    assert 0 <= record.metrics["dead_1"] <= record.metrics["saturated_1"] < 1


def test_study_run_keeps_what_its_report_is_made_of(run_id, outcome, digits):
    kept = parse_ablation(artifact(run_id, "ablation.yaml"), "sizes", "ablation.yaml")
    assert kept == outcome.study.ablation
    labels, images = outcome.study.test_set
    np.testing.assert_array_equal(labels, digits.test.labels)
    np.testing.assert_array_equal(images, digits.test.inputs)
    rows = list(csv.DictReader(io.StringIO(artifact(run_id, "verdicts.csv"))))
    assert [(row["arm"], row["against"], row["seeds"], row["kind"]) for row in rows] == [
        ("large, at 1/3", "small", "2", "not tested"),
        ("thrown", "small", "0", "unstable"),
    ]
    assert Path(outcome.page).read_text() == artifact(run_id, "report/report.html")


def test_logged_model_answers_as_it_was_scored(records, digits):
    record = records["small · seed 1"]
    model = loaded(record.run_id)
    probabilities = model.predict(digits.test.inputs)
    assert probabilities.shape == (len(digits.test), 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == digits.test.labels).mean() == record.metrics["test_accuracy"]
    requirements = artifact(record.run_id, "model/requirements.txt")
    assert all(f"{name}==" in requirements for name in ("tensorflow", "keras", "numpy", "mlflow"))


def test_dataset_is_an_input_of_study_and_trials(run_id, records, digits):
    for owner in (run_id, records["small · seed 1"].run_id):
        (given,) = MlflowClient().get_run(owner).inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest) == ("digits", digits.sha256[:16])
        assert json.loads(given.dataset.profile) == {"train": 1222, "validation": 216, "test": 359}


def test_diverged_trial_is_failed_with_reason_and_curve(outcome, records):
    record = records["thrown · seed 1"]
    assert (record.status, record.tags["state"]) == ("FAILED", "diverged")
    assert "not finite" in record.tags["reason"]
    assert len(record.curves["loss"]) >= 1
    assert "test_accuracy" not in record.metrics
    assert "best_epoch" not in record.metrics
    assert [trial.name for trial in outcome.diverged] == ["thrown · seed 1", "thrown · seed 2"]
    assert outcome.failures == []  # it is a result of the ablation, not a fault
    assert outcome.study.arms[2].failed == 2


@pytest.mark.slow
def test_one_worker_gives_the_same_numbers_as_two(records, folder, digits):
    again = run(folder, digits, 1, reuse=False).study
    alone = {trial.name: trial for trial in again.trials}
    for name, record in records.items():
        curves = {metric: alone[name].curves[metric] for metric in record.curves}
        np.testing.assert_equal(curves, record.curves)  # not close: equal, and NaN where NaN was
        assert alone[name].tags["fingerprint"] == record.tags["fingerprint"]


@pytest.mark.slow
def test_interrupt_ends_every_run(folder, digits):
    def stop(trials):
        if any(trial.epoch for trial in trials):
            raise KeyboardInterrupt

    sizes = load_ablation("dropout").with_baseline({"epochs": 3000})
    with pytest.raises(Interrupted, match="of 3 trials done"):
        run_ablation.run_ablation(sizes, sizes.trial_specs(1, digits), digits, params={}, worker_count=2, observe=stop)
    client = MlflowClient()
    (study,) = client.search_runs(["0"], "attributes.run_name = 'ablation dropout'")
    assert study.info.status == "KILLED"
    trials = read_trials(client, study.info.run_id)
    assert trials and {trial.status for trial in trials} == {"KILLED"}
    arms = read_arms(client, study.info.run_id).values()
    assert [(arm.status, arm.tags["reason"]) for arm in arms] == [("KILLED", "interrupted")] * 3


def test_worker_refuses_what_is_not_the_studys(folder, digits, run_id):
    right = assignment(digits, run_id, open_test=True, reuse=True)
    for name, wrong, message in (
        ("data", replace(right, data_sha256="0" * 64), "not the data of this study"),
        ("code", replace(right, training_code="0" * 64), "or the compilers' flags differ from the study's"),
        ("store", replace(right, run_id="0" * 32, tracking_uri="http://there"), "is not in this .*Set MLFLOW_TRACKING"),
        ("record", replace(right, run_id="0" * 32), "is not in this MLflow store .* It was there. Begin another study"),
    ):
        create_queue(DEFAULT_STORAGE, name)[0].assign(wrong)
        with pytest.raises(StudyError, match=message):
            worker.work(DEFAULT_STORAGE, name)


@pytest.fixture
def server(tmp_path):
    """A real MLflow server on loopback, with a store of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        f"{tmp_path}/artifacts",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *words],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the MLflow server does not start"
            time.sleep(0.5)
    yield uri
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


@pytest.mark.slow
def test_everything_reaches_a_tracking_server(server, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    study = load_ablation("dropout").with_baseline({"epochs": 2})
    outcome = run_ablation.run_ablation(
        study, study.trial_specs(1, digits), digits, params={}, worker_count=2, observe=lambda _: None
    )
    client, run_id, records = MlflowClient(server), outcome.study.record.run_id, outcome.study.trials
    assert [record.status for record in records] == ["FINISHED"] * 3
    assert all(len(record.curves["val_loss"]) == 2 for record in records)
    names = {file.path for file in client.list_artifacts(records[0].run_id)}
    assert {"learning_curves.png", "confusion_matrices.png", "confusion_test.csv", "step_loss.csv"} <= names
    assert {"arms.csv", "arms.png", "report"} <= {file.path for file in client.list_artifacts(run_id)}
    assert outcome.page.startswith("mlflow-artifacts:/")
    shapes = [kernel.shape for kernel in read_kernels(client, records[0].run_id)]
    assert shapes == [(784, 128), (128, 10)]
    model = loaded(records[0].run_id)
    assert model.predict(digits.test.inputs[:3]).shape == (3, 10)
    assert not (tmp_path / "mlflow.db").exists()
