"""One network trained through the program, recorded in a real store as a study's trial is."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
from click.testing import CliRunner
from conftest import ROOT
from mlflow import MlflowClient

from entrypoints import train
from study.base.errors import Interrupted
from study.tracking import records, runs, store
from study.training import fingerprint
from study.training.config import FIELDS, TrialConfig
from study.workflows import train_network

QUICK = ("--data", "digits", "--hidden", "16", "--epochs", "3", "--learning_rate", "0.01")


@pytest.fixture
def call(call_program):
    return partial(call_program, train.main)


def only_run():
    (run,) = MlflowClient().search_runs(["0"])
    return run


def test_options_are_the_fields_of_a_config():
    assert {
        option.name: option.default for option in train.main.params if option.name not in ("debug", "settings")
    } == (TrialConfig().as_text())
    assert "--optimizer sgd|momentum|nesterov|rmsprop|adam|adamw" in CliRunner().invoke(train.main, ["--help"]).output


def test_a_network_is_printed_by_epoch_and_recorded_as_a_trial_is(call, digits):
    status, output, errors = call(*QUICK, "--patience", "2", "--seed", "4")
    assert (status, errors) == (0, "")
    run = only_run()
    run_id = run.info.run_id
    lines = output.splitlines()
    assert lines[0] == "train hidden=16 learning_rate=0.01 epochs=3 patience=2 · seed 4"
    assert re.fullmatch(r" +3/3  [\d.]+ +[\d.]+%  +[\d.]+ +[\d.]+% +0 s", lines[5])
    metrics = run.data.metrics
    assert f"Accuracy: {metrics['model_val_accuracy']:.2%} validation, {metrics['test_accuracy']:.2%} test" in lines
    assert lines[-2:] == [
        f"Model: runs:/{run_id}/model",
        f"Run {run_id}: `mlflow ui` shows it at {store.run_link(MlflowClient(), run_id)}",
    ]

    assert (run.info.run_name, run.info.status) == (lines[0], "FINISHED")
    settings = {"data": "digits", "validation": 216, "hidden": 16, "learning_rate": 0.01, "epochs": 3, "patience": 2}
    trained = TrialConfig.parse({**settings, "seed": 4})
    assert run.data.params == trained.as_text()
    tags = run.data.tags
    assert (tags["state"], tags["seed"], tags["dataset_title"]) == ("complete", "4", "digits")
    assert tags["dataset_sha256"] == digits.sha256
    assert tags["fingerprint"] == fingerprint.fingerprint(trained, digits.sha256, 216)
    assert tags["libraries"] == fingerprint.training_libraries()
    if (ROOT / ".git").exists():
        assert re.fullmatch("[0-9a-f]{40}", tags["git_commit"])
    client = MlflowClient()
    assert [point.step for point in client.get_metric_history(run_id, "val_loss")] == [1, 2, 3]
    artifacts = {file.path for file in client.list_artifacts(run_id)}
    assert {"learning_curves.png", "confusion_matrices.png", "confusion_test.csv", "predictions_test.npy"} <= artifacts
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == digits.sha256[:16]
    assert run.outputs.model_outputs


def test_a_training_validates_on_the_fold_it_is_given(call, digits):
    status, output, _ = call(*QUICK, "--fold", "11", "--validation", "99999")
    assert status == 0 and "digits: 1,319 train, 119 validation, 359 test rows; " in output
    run = only_run()
    params, tags = run.data.params, run.data.tags
    assert (params["fold"], params["validation"], tags["validation_rows"]) == ("11", "119", "119")
    assert tags["validation_split"] == "fold 11: part 12 of 12 by class, permutation 1"
    settings = {"data": "digits", "fold": 11, "hidden": 16, "learning_rate": 0.01, "epochs": 3}
    assert tags["fingerprint"] == fingerprint.fingerprint(TrialConfig.parse(settings), digits.sha256, 119)


def test_the_run_of_mlflow_run_is_the_trial(call, monkeypatch):
    run_id = store.connect().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    status, output, _ = call(*QUICK)
    assert status == 0 and f"Run {run_id}: " in output
    assert (only_run().info.run_id, only_run().info.status) == (run_id, "FINISHED")
    # Without early stopping the last epoch is kept, whatever epoch had the lowest val_loss.
    assert "Kept: epoch 3 of 3" in output


def test_what_was_trained_is_recorded_whatever_mlflow_run_has_written_before(call, monkeypatch):
    """`mlflow run` writes every option of the command into the run first, those of `mlp` among them."""
    client = MlflowClient()
    made = client.create_run("0").info.run_id
    for name, value in TrialConfig().as_text().items():
        client.log_param(made, name, "cnn" if name == "network" else value)
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    settings = "filters=2,dense=4"
    status, output, errors = call(
        "--data", "digits", "--epochs", "1", "--network", "cnn", "--set", f"{settings},learning_rate=0.002"
    )
    assert (status, errors) == (0, "") and "cnn's own defaults: dropout=0.25; set=… changes them." in output
    config = TrialConfig.recorded(records.read_run(client, made).params)
    assert (config.get("dropout"), config.training.learning_rate, config.get("filters")) == (0.25, 0.002, "2")


def test_a_diverged_training_ends_in_one_line_and_a_failed_run(call):
    status, _, errors = call(*QUICK, "--optimizer", "sgd", "--learning_rate", "1e20")
    assert status == 1
    assert errors.startswith("Error: the training diverged: the loss was not finite from step ")
    assert len(errors.strip().splitlines()) == 1
    run = only_run()
    assert (run.info.status, run.data.tags["state"]) == ("FAILED", "diverged")
    assert run.data.tags["reason"].startswith("the loss was not finite from step ")
    assert not (run.outputs and run.outputs.model_outputs)


def test_ctrl_c_ends_the_run_as_killed_and_keeps_its_epochs(call, digits):
    def interrupt(epoch):
        if epoch.number == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"stopped; run [0-9a-f]{32} keeps what was done before"):
        train_network.train_network(
            TrialConfig.parse({"data": "digits", "hidden": "16", "epochs": 50}), digits, interrupt
        )
    run = only_run()
    assert (run.info.status, run.data.tags["reason"]) == ("KILLED", "interrupted")
    assert len(MlflowClient().get_metric_history(run.info.run_id, "val_loss")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dropout", "1.5"], "dropout cannot be '1.5'; expected less than or equal to 0.999."),
        (["--hidden", "20--5"], "hidden cannot be '20--5'; expected widths"),
        (["--epochs", "0"], "epochs cannot be '0'; expected greater than or equal to 1."),
        (["--droput", "0.5"], "No such option '--droput'"),
        (["--data", "nowhere.npz"], "nowhere.npz: no such file; looked for /"),
    ],
)
def test_bad_input_is_one_line(call, arguments, message):
    status, _, errors = call(*arguments)
    assert status != 0 and message in errors and len(errors.strip().splitlines()) == 1


@pytest.mark.slow
def test_what_is_wrong_is_told_before_tensorflow_is_imported(tmp_path):
    program = (
        "import sys\nsys.argv = ['train', '--data', 'nowhere.npz']\nfrom entrypoints import program, train\n"
        "try:\n    program.run(train.main)\nfinally:\n    print('tensorflow' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (1, "False")


def test_a_name_says_what_is_not_the_default():
    assert train_network.name_of(TrialConfig()) == "train · seed 1"
    assert (
        train_network.name_of(TrialConfig.parse({"data": "digits", "l2": 1e-5, "seed": 2})) == "train l2=1e-05 · seed 2"
    )


def test_a_substitute_is_marked(digits):
    tags = runs.data_tags(replace(digits, substitute_for="MNIST, which could not be had"))
    assert tags["dataset_substitute_for"] == "MNIST, which could not be had"
    assert tags["dataset_title"] == "digits (a substitute for MNIST)"


@pytest.mark.slow
def test_mlflow_run_train(tmp_path):
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "train", "--env-manager", "local"]
    given = [word for text in ("data=digits", "learning_rate=0.003", "hidden=20-7") for word in ("-P", text)]
    environment = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run([*words, *given], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "INFO mlflow" not in line] == []
    (run,) = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["0"])
    assert (run.info.run_name, run.info.status) == ("train hidden=20-7 learning_rate=0.003 · seed 1", "FINISHED")
    assert set(FIELDS) <= set(run.data.params)
    assert f"Model: runs:/{run.info.run_id}/model" in done.stdout


@pytest.mark.slow
def test_ctrl_c_at_the_terminal_ends_with_130_and_a_killed_run(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    words = [sys.executable, "-u", "-m", "entrypoints.train", "--data", "digits", "--epochs", "100000"]
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "2/100000" in line:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "Error: stopped; run " in errors and "Traceback" not in errors
    (run,) = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["0"])
    assert run.info.status == "KILLED"
