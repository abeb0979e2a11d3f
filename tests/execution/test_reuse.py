"""A finished trial is not trained again: it is carried over, whole, into whatever study asks for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import studies

from study.base import backend
from study.design.ablation import parse_ablation
from study.execution import reuse
from study.execution.carrier import Carrier
from study.execution.queue import Queue, progress
from study.tracking import records, stored, tags
from study.tracking.artifacts import PREDICTIONS
from study.tracking.store import connect
from study.tracking.stored import artifact_path
from study.training import config, fingerprint, network, program
from study.workflows.common import Outcome

YAML = """
question: Is the same trained again?
baseline: {hidden: 8, epochs: 2, batch_size: 64}
arms: {grid: {learning_rate: [0.01, 0.02]}}
seeds: 2
"""


@pytest.fixture(scope="module", autouse=True)
def alone(store):
    """In a store of the module's own."""


def begin(dataset, seeds=2, arms=YAML, vary="seed", **options) -> Queue:
    asked = replace(parse_ablation(arms, "same", "same.yaml"), vary=vary)
    return studies.begin(asked, asked.trial_specs(seeds, dataset), dataset, **options)


def run(dataset, **options) -> Outcome:
    return studies.train(begin(dataset, **options))


@pytest.fixture(scope="module")
def first(few_digits) -> Outcome:
    return run(few_digits)


def files_of(client, run_id: str) -> dict[str, bytes]:
    names = [file.path for file in client.list_artifacts(run_id)]
    return stored.read_files(records.read_run(client, run_id), names)


def by_name(outcome) -> dict[str, records.RunRecord]:
    return {trial.name: trial for trial in outcome.study.trials}


def test_more_seeds_train_the_new_ones_only(first, few_digits):
    more = run(few_digits, seeds=3)
    assert (first.reused, more.reused) == (0, 4)
    new = {name for name, trial in by_name(more).items() if "reused_from" not in trial.tags}
    assert new == {"learning_rate=0.01 · seed 3", "learning_rate=0.02 · seed 3"}


def test_what_is_carried_over_is_whole(first, few_digits):
    again = run(few_digits)
    assert again.reused == 4
    client = connect()
    for name, trial in by_name(again).items():
        before = by_name(first)[name]
        assert trial.tags["reused_from"] == before.run_id
        assert (trial.params, trial.metrics, trial.curves) == (before.params, before.metrics, before.curves)
        assert files_of(client, trial.run_id) == files_of(client, before.run_id)
        for one, other in zip(
            stored.read_kernels(client, trial.run_id), stored.read_kernels(client, before.run_id), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert again.study.verdicts == first.study.verdicts


def test_the_conductor_carries_over_what_has_to_be_neither_trained_nor_scored(first, few_digits):
    queue = begin(few_digits, arms=YAML.replace("0.02]", "0.02, 0.05]"))
    carrier = Carrier(queue, few_digits, connect())
    assert carrier.carry([], 600) and not carrier.carry(progress(queue), 600)
    assert [(trial.state, trial.reused) for trial in progress(queue)] == 2 * [
        ("COMPLETE", True), ("COMPLETE", True), ("WAITING", False)
    ]  # fmt: skip
    carried = {trial.name: trial for trial in records.read_trials(connect(), queue.study_name)}
    for name, before in by_name(first).items():
        assert (carried[name].status, carried[name].metrics) == (before.status, before.metrics)
        assert files_of(connect(), carried[name].run_id) == files_of(connect(), before.run_id)
    assert not Carrier(begin(few_digits, open_test=False), few_digits, connect()).carry([], 600)


def test_an_interrupted_carrier_leaves_its_trial_to_others(first, few_digits, monkeypatch):
    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    queue = begin(few_digits, seeds=1)
    carrier = Carrier(queue, few_digits, connect())
    with monkeypatch.context() as patch:
        patch.setattr(reuse, "carry", interrupt)
        with pytest.raises(KeyboardInterrupt):
            carrier.carry([], 600)
    carrier.close()
    assert not queue.running() and [trial.state for trial in progress(queue)] == ["WAITING", "WAITING"]
    assert Carrier(queue, few_digits, connect()).carry([], 600)
    assert [trial.reused for trial in progress(queue)] == [True, True]


def test_reuse_false_trains_anyway(first, few_digits):
    anyway = run(few_digits, reuse=False)
    assert anyway.reused == 0
    assert not any("reused_from" in trial.tags for trial in anyway.study.trials)


@pytest.mark.parametrize("change", ["code", "libraries", "data", "split"])
def test_other_code_libraries_or_data_are_not_shared(first, few_digits, monkeypatch, change):
    config_, dataset = by_name(first)["learning_rate=0.01 · seed 1"].params, few_digits
    trial = config.TrialConfig.parse({name: config_[name] for name in config.FIELDS})
    sha256, rows = dataset.sha256, len(dataset.validation)
    assert records.find_equals(connect(), fingerprint.fingerprint(trial, sha256, rows))
    if change == "code":
        monkeypatch.setattr(fingerprint, "training_code_version", lambda: "other")
    elif change == "libraries":
        monkeypatch.setattr(fingerprint, "training_libraries", lambda: "tensorflow 9")
    elif change == "data":
        sha256 = "0" * 64
    else:
        rows -= 1
    assert records.find_equals(connect(), fingerprint.fingerprint(trial, sha256, rows)) == []


def test_the_test_set_opens_and_closes_with_the_study_that_asks(few_digits):
    arms = YAML.replace("hidden: 8", "hidden: 10")
    blind = run(few_digits, arms=arms, seeds=1, open_test=False)
    assert not any(name.startswith("test_") for trial in blind.study.trials for name in trial.metrics)
    seeing = run(few_digits, arms=arms, seeds=1)
    trained = run(few_digits, arms=arms, seeds=1, reuse=False)
    assert seeing.reused == 2
    client = connect()
    for name, trial in by_name(seeing).items():
        other = by_name(trained)[name]
        scores = {key: value for key, value in other.metrics.items() if "seconds" not in key}
        assert {key: trial.metrics[key] for key in scores} == pytest.approx(scores)
        own, others = (files_of(client, each.run_id) for each in (trial, other))
        assert own.keys() == others.keys() and own[PREDICTIONS] == others[PREDICTIONS]
    blind_again = run(few_digits, arms=arms, seeds=1, open_test=False)
    assert blind_again.reused == 2
    for trial in blind_again.study.trials:
        assert not any(name.startswith("test_") for name in trial.metrics)
        files = files_of(client, trial.run_id)
        assert not any("test" in name for name in files)


def model_path(client, run_id: str) -> Path:
    (output,) = client.get_run(run_id).outputs.model_outputs
    return Path(client.get_logged_model(output.model_id).artifact_location, "data", "model.keras")


def test_a_trial_of_which_the_store_has_no_whole_copy_is_trained_again(few_digits):
    arms, client = YAML.replace("hidden: 8", "hidden: 11"), connect()
    one, other = run(few_digits, arms=arms, seeds=1).study.trials
    file = model_path(client, one.run_id)
    file.write_bytes(file.read_bytes()[:-1_000])
    (output,) = client.get_run(other.run_id).outputs.model_outputs
    client.delete_logged_model(output.model_id)
    assert run(few_digits, arms=arms, seeds=1).reused == 0
    whole = run(few_digits, arms=arms, seeds=1)  # although the first equal ones are still damaged
    assert whole.reused == 2

    trial = whole.study.trials[0]
    found, config_ = [], config.TrialConfig.parse({name: trial.params[name] for name in config.FIELDS})

    def find() -> reuse.Equal | None:
        return reuse.find(client, trial.tags["fingerprint"], config_, few_digits)

    for name in ("weights.csv", "step_loss.png", PREDICTIONS):
        found.append(find().record.run_id)
        file = Path(artifact_path(client, found[-1], name))
        file.write_bytes(file.read_bytes()[:-5])
        if len(set(found)) == 2:
            break
    assert len(set(found)) == 2 and find() is None


def test_of_a_model_that_its_trial_did_not_write_only_fitting_numbers_are_carried(few_digits, monkeypatch):
    trial, _ = run(few_digits, arms=YAML.replace("hidden: 8", "hidden: 9"), seeds=1).study.trials
    client, config_ = connect(), config.TrialConfig.parse({name: trial.params[name] for name in config.FIELDS})

    def find() -> reuse.Equal | None:
        return reuse.find(client, trial.tags["fingerprint"], config_, few_digits)

    def weights(content: bytes) -> list[np.ndarray]:
        return backend.from_bytes(content).get_weights()

    file = model_path(client, trial.run_id)
    written = file.read_bytes()
    assert find().model == written
    client.delete_tag(trial.run_id, tags.MODEL_SHA256)  # as versions up to 0.2.0 left it
    without_tag = find().model
    assert without_tag != written
    for one, other in zip(weights(without_tag), weights(written), strict=True):
        np.testing.assert_array_equal(one, other)
    file.write_bytes(backend.to_bytes(network.build(config_.replace({"hidden": "7"}), network.Rows.of(few_digits))))
    assert find() is None
    file.write_bytes(written)
    monkeypatch.setattr(records, "read_epochs", lambda *given: [])
    assert find() is None


# --- other splits -----------------------------------------------------------------------------------

PATIENT = YAML.replace("epochs: 2", "epochs: 4, patience: 1, min_delta: 0.5")


@pytest.fixture(scope="module")
def folded(digits) -> Outcome:
    """An ablation of which each seed validates on another fold, with early stopping, by a search's rules: no test."""
    return run(digits.in_folds(), seeds=2, arms=PATIENT, vary="split", open_test=False)


def test_every_seed_trains_and_validates_on_its_own_fold_in_every_arm(folded, digits):
    trials, study = folded.study.trials, folded.study.record
    pairs = sorted((trial.params["seed"], trial.params["fold"]) for trial in trials)
    assert pairs == [("1", "0"), ("1", "0"), ("2", "1"), ("2", "1")]
    assert folded.study.ablation.vary == "split"
    assert (study.tags["train_rows"], study.tags["validation_rows"]) == ("1318", "120")
    assert study.tags["validation_split"] == "12 folds by class, another one with each seed"
    for trial in trials:
        rows = digits.with_fold(int(trial.params["fold"])).validation
        assert (trial.tags["validation_rows"], trial.tags["train_rows"]) == (trial.params["validation"], "1318")
        assert trial.tags["validation_split"].startswith(f"fold {trial.params['fold']}: ")
        # It stopped early by these rows, and the model that it kept is the one of its accuracy on them.
        assert trial.metrics["epochs_trained"] < 4
        model = backend.from_bytes(stored.read_model(connect(), trial.run_id), trial.run_id)
        found = (program.logits(model, rows.inputs).argmax(axis=1) == rows.labels).mean()
        assert trial.metrics["model_val_accuracy"] == pytest.approx(found)
        assert not [name for name in trial.metrics if name.startswith("test_")]


def test_trials_are_carried_over_with_their_folds(folded, digits, few_digits):
    more = run(digits.in_folds(), seeds=3, arms=PATIENT, vary="split")
    assert more.reused == 4
    before, after = by_name(folded), by_name(more)
    for name in before:
        assert after[name].tags["reused_from"] == before[name].run_id
        same = {key: value for key, value in after[name].metrics.items() if not key.startswith("test_")}
        assert same == before[name].metrics and "test_accuracy" in after[name].metrics
        assert after[name].tags["validation_split"] == before[name].tags["validation_split"]
    assert run(few_digits, seeds=1, arms=PATIENT).reused == 0  # nor do folds stand in for a fixed split
