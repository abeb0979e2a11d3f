import numpy as np
import pytest
from factories import written, written_search
from factories.written import Trial

from study.analysis.run_summaries import summarize_ablation, summarize_arms, summarize_search
from study.analysis.statistics import estimate

YAML = """
question: Why?
arms:
  list:
    - {name: plain}
    - {name: "l2 = 0.1, or more", l2: 0.1}
    - {name: thrown, l2: 0.2}
    - {name: broken, l2: 0.3}
"""
OTHER = "l2 = 0.1, or more"
KEY = "l2 : 0.1: or more"


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(scope="module")
def run_id(store):
    """Two seeds of two arms, of which one stopped early; an arm that diverged, and one whose trial failed."""
    return written.write(YAML, [
        Trial("plain", 1, (0.80, 0.90, 0.91)),
        Trial("plain", 2, (0.82, 0.92, 0.93)),
        Trial(OTHER, 1, (0.70, 0.80)),
        Trial(OTHER, 2, (0.72, 0.84, 0.85)),
        Trial("thrown", 1, (0.1,), state="diverged"),
        Trial("broken", 1, (0.1,), state="failed"),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def study(run_id):
    return written.read(run_id)


@pytest.fixture(scope="module")
def arms(study):
    return summarize_arms(study)


def test_a_studys_run_can_be_compared_by_its_arms_and_differences(study):
    summary = summarize_ablation(study)
    assert summary.metrics == pytest.approx({
        "trials_complete": 4,
        "trials_failed": 2,
        "model_val_accuracy/plain": 0.92,
        f"model_val_accuracy/{KEY}": 0.825,
        f"difference/{KEY}": -9.5,  # two seeds have no interval
    })  # fmt: skip
    assert summary.tags == {
        "kind": "study",
        "verdict": f"not tested: {OTHER}; unstable: thrown (1 of 1 seed diverged in this arm), "
        "broken (1 of 1 seed failed in this arm)",
        f"verdict.{KEY}": "not tested",
        **{f"verdict.{name}": "unstable" for name in ("thrown", "broken")},
    }


def test_all_pairs_of_arms_have_keys_of_their_own(run_id):
    summary = summarize_ablation(written.read(run_id, "pairs"))
    assert f"difference/{KEY} vs plain" in summary.metrics and f"verdict.thrown vs {KEY}" in summary.tags
    arms = summarize_arms(written.read(run_id, "pairs"))
    assert arms["plain"].verdict is None and "difference" not in arms[OTHER].metrics
    assert arms["thrown"].description.count("against") == 2


def test_an_arms_curves_are_means_with_intervals_as_far_as_every_seed_goes(arms):
    curves = arms[OTHER].curves
    points = [estimate(np.array(values)) for values in ((0.70, 0.72), (0.80, 0.84))]
    assert curves["val_accuracy"] == pytest.approx([point.mean for point in points])
    assert curves["val_accuracy_low"] == pytest.approx([point.low for point in points])
    assert curves["val_accuracy_high"] == pytest.approx([point.high for point in points])
    assert curves["generalization_gap"] == pytest.approx([0, 0])
    names = ("val_accuracy", "val_loss", "accuracy", "loss", "val_cross_entropy", "generalization_gap")
    assert set(curves) == {name + end for name in names for end in ("", "_low", "_high")}


def test_an_arm_has_the_trials_figures_as_means(arms):
    accuracy = estimate(np.array([0.91, 0.93]))
    metrics = arms["plain"].metrics
    assert metrics["model_val_accuracy"] == pytest.approx(0.92)
    assert metrics["model_val_accuracy_low"] == pytest.approx(accuracy.low)
    assert (metrics["trials_complete"], metrics["trials_failed"]) == (2, 0)
    assert arms[OTHER].metrics["difference"] == pytest.approx(-9.5)
    assert len(arms["plain"].trials) == 2


def test_an_arm_of_one_seed_has_no_interval():
    alone = summarize_arms(written.read(written.write(YAML, [Trial("plain", 1, (0.8, 0.9))])))["plain"]
    assert alone.curves["val_accuracy"] == [0.8, 0.9]
    assert not any(name.endswith(("_low", "_high")) for name in [*alone.curves, *alone.metrics])
    assert "those of 1 seed" in alone.description


def test_an_arm_says_how_it_ended(arms):
    ended = {name: (arm.status, arm.reason, arm.verdict) for name, arm in arms.items()}
    assert ended == {
        "plain": ("FINISHED", None, "baseline"),
        OTHER: ("FINISHED", None, "not tested"),
        "thrown": ("FAILED", "no trial finished", "unstable: 1 of 1 seed diverged in this arm"),
        "broken": ("FAILED", "broken · seed 1: failed", "unstable: 1 of 1 seed failed in this arm"),
    }
    assert "**not tested" in arms[OTHER].description and "baseline" in arms["plain"].description


def test_a_baseline_that_lost_seeds_is_named_in_every_arm_and_in_its_own():
    trials = [Trial("plain", 1, (0.1,), state="diverged"), Trial("plain", 2), Trial(OTHER, 1), Trial(OTHER, 2)]
    arms = summarize_arms(written.read(written.write(YAML, trials)))
    assert arms[OTHER].verdict == "unstable: 1 of 2 seeds diverged in the baseline"
    assert "**Unstable**: 1 of 2 seeds diverged" in arms["plain"].description
    assert "difference" not in arms[OTHER].metrics


def test_a_search_shows_its_best_and_its_counts():
    trials = [
        written_search.Trial(0, (0.9, 0.3), {"batch_size": 16, "l2": 1e-5}, {"model_val_cross_entropy_se": 0.02}),
        written_search.Trial(1, (0.9, 0.4)),
        written_search.Trial(2, (1.0,), state="pruned"),
        written_search.Trial(3, (1.0,), state="diverged"),
    ]
    study = written_search.read(written_search.write(trials))
    summary = summarize_search(study)
    assert summary.metrics == {
        "best_model_val_cross_entropy": 0.3, "best_model_val_cross_entropy_se": 0.02,
        "trials_complete": 2, "trials_pruned": 1, "trials_failed": 1,
    }  # fmt: skip
    assert summary.tags["kind"] == "study" and summary.tags["best.batch_size"] == "16"
    assert summary.tags["best.l2"] == "1e-05"
    assert {name.removeprefix("best.") for name in summary.tags if name != "kind"} == set(study.settings(study.best))


def test_a_search_without_a_value_shows_its_counts():
    study = written_search.read(written_search.write([written_search.Trial(0, (1.0,), state="diverged")]))
    assert summarize_search(study).metrics == {"trials_complete": 0, "trials_pruned": 0, "trials_failed": 1}


def test_the_ends_of_a_difference_are_those_of_the_interval_that_holds_at_every_look():
    trials = [Trial(arm, seed, (0.9 + seed / 1_000 * (arm == OTHER),)) for arm in ("plain", OTHER) for seed in range(9)]
    study = written.read(written.write(YAML, trials))
    effect = study.verdicts[0].effect
    metrics = summarize_ablation(study).metrics
    assert metrics[f"difference_low/{KEY}"] == pytest.approx(effect.low, rel=1e-6)
    assert summarize_arms(study)[OTHER].metrics["difference_high"] == pytest.approx(effect.high, rel=1e-6)
