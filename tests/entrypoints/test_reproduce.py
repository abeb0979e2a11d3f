"""Trials trained again through the program, in a real store: the same bits, other bits, and what stands in the way."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import load_text

import entrypoints.program
from entrypoints import reproduce, train
from study.execution.run_trial import run_trial
from study.tracking import runs
from study.training.config import TrialConfig
from study.workflows.common import open_run, study_tags
from study.workflows.reproduce import prepare

QUICK = ("--hidden", "8", "--epochs", "2", "--learning_rate", "0.01")
NET = """
import keras


def build(shape, classes, *, units: int = 4):
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(units, "tanh"),
                             keras.layers.Dense(classes, "softmax")])
"""


@pytest.fixture
def program(store, monkeypatch, capsys):
    """Run a command as a program in the store of this module; return its exit status, its output and its errors."""

    def run(command, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        status = 0
        try:
            entrypoints.program.run(command)
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def call(program):
    return partial(program, reproduce.main)


@pytest.fixture
def trained(program):
    """Train a network and return its run's ID."""

    def trained(*options: str) -> str:
        status, output, errors = program(train.main, *QUICK, *options)
        assert status == 0, errors
        return run_of(output)

    return trained


def run_of(output: str) -> str:
    """Return the ID of the run that a command has printed last."""
    return output.splitlines()[-1].removeprefix("Run ").partition(":")[0]


def own_data(seed: int) -> str:
    """Write a small dataset and return its path; another seed changes the pixels only."""
    draw, arrays = np.random.default_rng(seed), {}
    for part, rows in (("train", 200), ("test", 40)):
        arrays[f"x_{part}"] = draw.integers(0, 256, (rows, 8, 8)).astype(np.uint8)
        arrays[f"y_{part}"] = np.arange(rows) % 4
    np.savez("mine.npz", **arrays)
    return "mine.npz"


def test_a_trial_comes_to_the_same_bits_and_its_run_says_so(call, trained):
    run_id = trained("--data", "digits", "--dropout", "0.2")
    status, output, errors = call("--run", run_id)
    assert (status, errors) == (0, "")
    assert "compared: 78 losses of the steps, 12 points of curves, 6,370 weights, 359 predictions" in output
    client = MlflowClient()
    by = run_of(output)
    run, own = client.get_run(run_id), client.get_run(by)
    assert run.data.tags["reproduced"] == f"bit for bit, by run {by}" and own.info.status == "FINISHED"
    for each in (run_id, by):
        kept = json.loads(load_text(f"runs:/{each}/certificate/certificate.json"))
        assert (kept["verdict"], kept["run"], kept["causes"]) == ("bit for bit", run_id, [])
        assert kept["then"] == kept["now"] and kept["now"]["processor"]
        assert load_text(f"runs:/{each}/certificate/certificate.md").startswith("# Certificate of reproduction: train")
    assert own.data.tags["mlflow.note.content"].startswith("# Certificate")
    # Nothing that gathers trials or carries them over finds the repetition.
    (again,) = client.search_runs(["0"], f"tags.study_run = '{by}'")
    assert not {"state", "fingerprint"} & set(again.data.tags) and again.info.status == "FINISHED"
    assert load_text(f"runs:/{run_id}/provenance/packages.txt").startswith("# Python ")


def test_other_data_end_in_one_line_that_says_where_and_why(call, trained):
    run_id = trained("--data", own_data(1))
    own_data(2)
    status, output, errors = call("--run", run_id)
    assert status == 1 and errors.startswith("Error: Not reproduced: losses of the steps, step 1 of epoch 1: ")
    assert len(errors.strip().splitlines()) == 1 and "Not as it was: other data: " in output
    client = MlflowClient()
    assert client.get_run(run_id).data.tags["reproduced"].startswith("differs, by run ")
    own = client.get_run(run_of(output))
    assert own.info.status == "FAILED" and own.data.tags["reason"].startswith("Not reproduced: ")
    kept = json.loads(load_text(f"runs:/{run_id}/certificate/certificate.json"))
    assert kept["verdict"] == "differs" and kept["trials"][0]["parts"][0]["first_difference"].startswith("step 1 of ")
    assert "## Why it may differ\n\n- other data: " in load_text(f"runs:/{run_id}/certificate/certificate.md")


def test_data_that_were_moved_are_named_and_those_that_are_gone_are_missed(call, trained):
    run_id = trained("--data", own_data(1))
    Path("moved").mkdir()
    Path("mine.npz").rename("moved/mine.npz")
    before = len(MlflowClient().search_runs(["0"]))
    status, _, errors = call("--run", run_id)
    assert status == 1 and "cannot be loaded: " in errors and "-P data=PATH." in errors
    assert len(MlflowClient().search_runs(["0"])) == before  # nothing was begun
    status, output, _ = call("--run", run_id, "--data", "moved/mine.npz")
    assert status == 0 and "Reproduced bit for bit: train " in output


def test_the_code_of_somebodys_network_runs_only_if_it_is_named(call, trained, monkeypatch):
    from study.training.networks import network

    Path("net.py").write_text(NET)
    run_id = trained("--data", own_data(1), "--network", "net.py", "--hidden", "128")
    for name in [name for name in network._KNOWN if name.startswith("net.py")]:
        monkeypatch.delitem(network._KNOWN, name)  # as in another process
    Path("net.py").unlink()
    status, _, errors = call("--run", run_id)
    assert status == 1 and "whose code would run" in errors and "-P network=recorded." in errors
    status, output, errors = call("--run", run_id, "--network", "recorded")
    assert status == 0 and "Reproduced bit for bit" in output, errors


def test_pruned_and_diverged_trials_are_repeated_as_far_as_they_went(call, store, digits):
    config = TrialConfig.parse({"data": "digits", "hidden": "8", "epochs": 9, "validation": 216})
    fast = config.replace({"optimizer": "sgd", "learning_rate": 1e20})
    ids = []
    for one, stop in ((config, 3), (fast, None)):
        with open_run("t", params=one.as_text(), marks=study_tags(digits, ["mlp"])) as run:
            result = run_trial(one, digits, run, "t", lambda epoch, stop=stop: epoch.number == stop)
            run.finish(result.state, result.reason)
            ids.append((run.run_id, result.state))
    assert [state for _, state in ids] == ["pruned", "diverged"]
    for run_id, _ in ids:
        status, output, errors = call("--run", run_id)
        assert status == 0 and "Reproduced bit for bit" in output, errors


def test_a_sample_depends_on_ids_alone_and_a_larger_one_holds_the_smaller(store, digits):
    with open_run("study", params={}, marks={"kind": "study"}) as study:
        for number in range(6):
            run = runs.start_trial_run(study.client, study.run_id, f"t{number}", {}, {})
            run.finish("complete") if number else run.end("FAILED", "no result")
    three, again, five = (prepare(study.run_id, sample, None) for sample in (None, 3, 5))
    assert three.trials == again.trials == five.trials[:3] and (len(five.trials), five.of) == (5, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run is missing"),
        (["--run", "0" * 32], "not found"),
        (["--run", "ABC", "--sample", "0"], "sample cannot be '0'"),
    ],
)
def test_bad_input_is_one_line(call, arguments, message):
    status, _, errors = call(*arguments)
    assert status == 1 and message in errors and len(errors.strip().splitlines()) == 1


def test_what_cannot_be_repeated_is_refused(call, store, trained):
    with open_run("nothing", params={}) as run:
        pass
    status, _, errors = call("--run", run.run_id)
    assert status == 1 and "no trial that ended by itself; expected the run of a trial" in errors
    status, _, errors = call("--run", trained("--data", own_data(1)), "--sample", "2")
    assert status == 1 and "sample has no effect with a single trial" in errors
