"""The Python door, as a notebook uses it: real workers, a real store, and DataFrames at the end."""

import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

import study
from study.base.errors import StudyError

ARMS = """
question: Does the batch size matter?
baseline: {hidden: 8, epochs: 2}
arms: {grid: {batch_size: [32, 64]}}
seeds: 2
"""
SPACE = "baseline: {hidden: 8, epochs: 2}\nfields: {learning_rate: {range: [1.0e-3, 1.0e-1], log: true}}\n"


@pytest.fixture(scope="module")
def ablation(store):
    (store / "sizes.yaml").write_text(ARMS)
    return study.run_ablation("sizes.yaml", data="digits", workers=1, progress=False)


@pytest.fixture(scope="module")
def search(store):
    (store / "rate.yaml").write_text(SPACE)
    return study.run_search("rate.yaml", trials=3, data="digits", workers=1, pruner="none", confirm=False,
                            progress=False)  # fmt: skip


def test_importing_the_package_is_quick():
    program = "import sys, study; print({'tensorflow', 'mlflow', 'optuna', 'pandas'} & set(sys.modules), dir(study))"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.startswith("set() ") and all(name in said for name in ("'load'", "'run_ablation'", "'run_search'"))


def test_what_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'study' has no attribute 'run_everything'"):
        study.run_everything  # noqa: B018


def test_an_ablation_is_read_as_frames(ablation):
    assert list(ablation.trials["state"]) == ["complete"] * 4
    assert set(ablation.trials["arm"]) == set(ablation.arms.index) == {"batch_size=32", "batch_size=64"}
    by_arm = ablation.trials.groupby("arm")["model_val_accuracy"].mean()
    pd.testing.assert_series_equal(ablation.arms["model_val_accuracy"], by_arm, check_names=False)
    (verdict,) = ablation.verdicts.to_dict("records")
    assert (verdict["arm"], verdict["against"], verdict["seeds"]) == ("batch_size=64", "batch_size=32", 2)
    difference = 100 * (by_arm["batch_size=64"] - by_arm["batch_size=32"])
    assert verdict["difference"] == pytest.approx(difference)
    assert verdict["low"] < verdict["difference"] < verdict["high"]


def test_a_report_shows_itself(ablation):
    shown = ablation.report._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "Does the batch size matter?" in shown
    assert "<script" not in shown.partition(">")[0]


def test_a_search_is_read_as_frames_and_resumed(search, ablation):
    assert len(search.trials) == 3
    assert search.best["model_val_cross_entropy"] == search.trials["model_val_cross_entropy"].min()
    assert search.importances.empty  # one field, three trials
    more = study.run_search("rate.yaml", trials=4, data="digits", workers=1, pruner="none", confirm=False,
                            progress=False)  # fmt: skip
    assert (more.run_id, len(more.trials)) == (search.run_id, 4)
    assert search.confirmation is more.confirmation is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: study.run_ablation("sizes.yaml", decide="accuracy"), "decide cannot be 'accuracy'"),
        (lambda: study.run_ablation("sizes.yaml", compare="pair"), "compare cannot be 'pair'"),
        (lambda: study.run_ablation("sizes.yaml", minutes=0), "minutes cannot be 0"),
        (lambda: study.run_ablation("sizes.yaml", most_seeds=0), "most_seeds cannot be 0"),
        (lambda: study.run_ablation("sizes.yaml", workers=-1), "workers cannot be -1"),
        (lambda: study.run_search("rate.yaml", sampler="gpp"), "sampler cannot be 'gpp'"),
        (lambda: study.run_search("rate.yaml", metric="accuracy"), "metric cannot be 'accuracy'"),
        (lambda: study.run_search("rate.yaml", trials=0), "trials cannot be 0"),
    ],
)  # fmt: skip
def test_a_parameter_that_the_command_would_refuse_is_refused_at_once(store, call, said):
    with pytest.raises(StudyError, match=said):
        call()


@pytest.mark.slow
def test_a_search_is_confirmed(store):
    (store / "rates.yaml").write_text(SPACE)
    found = study.run_search("rates.yaml", trials=3, data="digits", settings={"learning_rate": 0.001}, pruner="none",
                             progress=False)  # fmt: skip
    (verdict,) = found.confirmation.verdicts.to_dict("records")
    assert (verdict["against"], verdict["seeds"] >= 7) == ("baseline", True)
    assert len(found.trials) == 3 and len(found.confirmation.trials) == 2 * verdict["seeds"]


def test_any_study_is_loaded_by_its_run(ablation, search):
    pd.testing.assert_frame_equal(study.load(ablation.run_id).trials, ablation.trials)
    assert study.load(search.run_id).study.search == search.study.search
    with pytest.raises(StudyError, match="is not an ablation"):
        study.load(ablation.trials.index[0])
