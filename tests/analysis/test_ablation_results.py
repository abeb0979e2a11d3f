import numpy as np
import pytest
from factories import written
from factories.written import Trial

from study.analysis import ablation_results
from study.analysis import confidence_sequence as sequence
from study.analysis.ablation_results import ACCURACY, MEASURES
from study.analysis.run_summaries import summarize_arms
from study.analysis.statistics import estimate
from study.analysis.verdicts import Kind
from study.base.errors import TrackingError
from study.tracking import runs, store

LIST = "question: Why?\narms:\n  list:\n    - {name: plain}\n    - {name: more, l2: 0.1}\n    - {name: most, l2: 0.2}\n"
GRID = "question: Why?\narms:\n  grid: {l2: [0.0, 0.01], batch_norm: [none, after, before]}\n"


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(scope="module")
def study():
    """Three arms over seeds 1 to 3; `most` has diverged once, has one trial under way, and another was pruned."""
    trials = [
        Trial("more", 2, (0.5, 0.92), predicted=[0, 0, 1, 1, 2, 0]),
        Trial("plain", 2, (0.90,), predicted=[0, 0, 1, 0, 0, 0]),
        Trial("plain", 1, (0.80, 0.91), predicted=[0, 0, 1, 0, 2, 0]),
        Trial("more", 1, (0.94,), predicted=[0, 1, 1, 1, 2, 0]),
        Trial("plain", 3, (0.92,)),
        Trial("most", 1, (0.5,), state="diverged"),
        Trial("most", 2, (0.6,), state="running"),
        Trial("most", 3, (0.7,), state="pruned"),
    ]
    return written.read(written.write(LIST, trials))


def test_arms_come_in_the_ablations_order_with_failures_counted_apart(study):
    assert [(arm.name, arm.trials, arm.failed) for arm in study.arms] == [
        ("plain", 3, 0),
        ("more", 2, 0),
        ("most", 0, 1),
    ]


def test_trials_are_counted_and_not_their_tries():
    """A worker that stood still fails after another one has finished its trial, or finishes it once more."""
    trials = [
        Trial("plain", 1, (0.90,)), Trial("plain", 1, (0.90,), state="failed"),
        Trial("plain", 2, (0.80,), state="failed"), Trial("plain", 2, (0.91,)),
        Trial("more", 1, (0.92,), predicted=[0]), Trial("more", 1, (0.92,), predicted=[0]),
        Trial("more", 2, (0.50,), state="failed"), Trial("more", 2, (0.50,), state="failed"),
    ]  # fmt: skip
    study = written.read(written.write(LIST, trials))
    assert [(arm.name, arm.trials, arm.failed) for arm in study.arms] == [
        ("plain", 2, 0),
        ("more", 1, 1),
        ("most", 0, 0),
    ]
    assert len(study.trials) == 4
    assert summarize_arms(study)["plain"].status == "FINISHED"


def test_an_arm_sums_up_its_completed_trials_in_the_units_of_the_table(study):
    plain, more, most = study.arms
    assert plain.values["model_val_accuracy"] == estimate(np.array([0.91, 0.90, 0.92]) * 100)
    assert more.values["test_accuracy"].mean == pytest.approx(92)
    assert more.values["train_seconds"] == estimate(np.array([3.0, 3.0]))
    assert set(most.values) == {measure.metric for measure in MEASURES} and set(most.values.values()) == {None}


def test_differences_are_paired_by_the_seeds_that_both_have(study):
    assert study.differences(ACCURACY, "more", "plain") == pytest.approx([3, 2])  # seeds 1 and 2; plain's 3 is alone
    assert study.differences(ACCURACY, "most", "plain").shape == (0,)


def test_curves_are_as_long_as_the_longest_and_end_where_a_trial_does(study):
    curves = study.curves("val_accuracy", 100)
    assert list(curves) == ["plain", "more"]
    np.testing.assert_array_equal(curves["plain"], [[80, 91], [90, np.nan], [92, np.nan]])


def test_verdicts_compare_with_the_baseline_or_each_with_each(study):
    assert [(one.arm, one.against, one.kind) for one in study.verdicts] == [
        ("more", "plain", Kind.UNTESTED), ("most", "plain", Kind.UNSTABLE),
    ]  # fmt: skip
    pairs = written.read(study.record.run_id, "pairs")
    assert [(one.arm, one.against) for one in pairs.verdicts] == [
        ("more", "plain"),
        ("most", "plain"),
        ("most", "more"),
    ]


def test_what_is_compared_is_what_the_study_was_asked_for():
    run_id = written.write(LIST, [], params={"compare": "pairs"})
    assert written.read(run_id).pairs and not written.read(run_id, "baseline").pairs


def half_lost(arm: str, how: str = "diverged") -> list[Trial]:
    """Sixteen seeds of `plain` and `more`, which is better in each; `arm` has lost every other one."""
    trials = [
        Trial(name, seed, (accuracy + seed / 10_000,), state=how if name == arm and seed % 2 else "complete")
        for name, accuracy in (("plain", 0.95), ("more", 0.96))
        for seed in range(16)
    ]
    return [*trials, *(Trial("most", seed, (0.95,)) for seed in range(16))]


@pytest.mark.parametrize("arm, how, more, most", [
    ("more", "diverged", "unstable: 8 of 16 seeds diverged in this arm", None),
    ("more", "failed", "unstable: 8 of 16 seeds failed in this arm", None),
    ("plain", "diverged", "unstable: 8 of 16 seeds diverged in the baseline",
     "unstable: 8 of 16 seeds diverged in the baseline"),
])  # fmt: skip
def test_an_arm_that_lost_seeds_which_the_other_finished_is_unstable(arm, how, more, most):
    study = written.read(written.write(LIST, half_lost(arm, how)))
    one, other = study.verdicts
    assert (one.kind, one.sentence, one.effect) == (Kind.UNSTABLE, more, None)
    assert (other.sentence if other.kind == Kind.UNSTABLE else None) == most
    assert list(study.unstable) == [arm]
    assert study.difference(ACCURACY, "more", "plain") is None


def test_pairs_name_the_side_that_lost_seeds():
    study = written.read(written.write(LIST, half_lost("more"), params={"compare": "pairs"}))
    sentences = {(one.arm, one.against): one.sentence for one in study.verdicts}
    assert sentences["more", "plain"] == "unstable: 8 of 16 seeds diverged in this arm"
    assert sentences["most", "more"] == "unstable: 8 of 16 seeds diverged in the other arm"
    assert not sentences["most", "plain"].startswith("unstable")


def test_seeds_that_are_missing_or_that_both_lost_make_nothing_unstable():
    trials = [Trial(arm, seed, (0.9,)) for arm in ("plain", "more") for seed in range(4)]
    trials += [Trial(arm, 5, (0.1,), state="diverged") for arm in ("plain", "more")]
    trials += [Trial("plain", 6), Trial("more", 6, state="running"), Trial("plain", 7)]
    trials += [Trial("plain", 8), Trial("more", 8, state="failed"), Trial("more", 8)]  # a second try finished
    study = written.read(written.write(LIST, trials))
    assert study.losses("more", "plain") == [] and study.unstable == {}
    assert study.lost("more") == {5: "diverged"}


def test_seven_seeds_with_one_sign_are_an_effect():
    noise = [0.0, 0.001, -0.001, 0.002, 0.0, -0.002, 0.001]
    trials = [Trial("plain", seed, (0.97 + part,)) for seed, part in enumerate(noise)]
    trials += [Trial("more", seed, (0.95 + part + seed / 10_000,)) for seed, part in enumerate(noise)]
    trials += [Trial("most", seed, (0.97 + part,)) for seed, part in enumerate(noise)]
    hurts, same = written.read(written.write(LIST, trials)).verdicts
    assert hurts.kind == Kind.HURTS
    assert hurts.effect.mean == pytest.approx(-2 + 0.03)
    assert hurts.effect.half_width == pytest.approx(sequence.interval(np.arange(7) / 100, 2).half_width)
    assert (same.kind, same.effect.mean) == (Kind.NO_EFFECT, 0)


def test_times_leave_out_what_was_carried_over():
    def trial(arm, seed, seconds, reused=False):
        return Trial(arm, seed, (0.9,), {"train_seconds": seconds}, reused=reused)

    trials = [trial("plain", 1, 3.0), trial("plain", 2, 4.0), trial("plain", 3, 90.0, reused=True)]
    trials += [trial("more", 1, 50.0, reused=True), trial("more", 2, 2.0), trial("more", 3, 2.0)]
    trials += [trial("most", 1, 50.0, reused=True)]
    study = written.read(written.write(LIST, trials))
    seconds = next(measure for measure in MEASURES if measure.metric == "train_seconds")
    plain, _, most = study.arms
    assert (plain.trials, plain.values["train_seconds"]) == (3, estimate(np.array([3.0, 4.0])))
    assert most.values["train_seconds"] is None and most.values["model_val_accuracy"].n == 1
    assert study.differences(seconds, "more", "plain").tolist() == [-2.0]
    assert len(study.differences(ACCURACY, "more", "plain")) == 3
    assert study.reused == 3


def test_arms_that_trained_the_same_are_found():
    trials = [Trial(arm, seed, (0.9, 0.9 + seed / 100)) for arm in ("plain", "most") for seed in (1, 2)]
    trials += [Trial("more", 1, (0.9, 0.91)), Trial("more", 2, (0.9, 0.921))]  # the same with one seed only
    assert written.read(written.write(LIST, trials)).same == [["plain", "most"]]
    assert written.read(written.write(LIST, trials[:1])).same == []


def test_effects_of_a_grid_are_contrasts_with_the_baselines_level():
    # 90 + 2 for l2, + 1 for after, + 3 for before, + 4 more where l2 meets before; seed 2 is 0.5 higher throughout.
    cell = {
        (0.0, "none"): 90, (0.0, "after"): 91, (0.0, "before"): 93,
        (0.01, "none"): 92, (0.01, "after"): 93, (0.01, "before"): 99,
    }  # fmt: skip
    trials = [
        Trial(f"l2={l2} batch_norm={norm}", seed, ((value + seed / 2) / 100,))
        for (l2, norm), value in cell.items()
        for seed in (1, 2)
    ]
    extra = Trial("l2=0.0 batch_norm=none", 3, (0.1,))  # a seed that the others lack changes nothing
    effects = written.read(written.write(GRID, [*trials, extra])).effects
    assert [(effect.name, effect.interaction) for effect in effects] == [
        ("l2=0.01", False), ("batch_norm=after", False), ("batch_norm=before", False),
        ("l2=0.01 × batch_norm=after", True), ("l2=0.01 × batch_norm=before", True),
    ]  # fmt: skip
    assert [effect.verdict.effect.mean for effect in effects] == pytest.approx([2 + 4 / 3, 1, 3 + 2, 0, 4])
    assert {(effect.verdict.kind, effect.verdict.effect.n) for effect in effects} == {(Kind.UNTESTED, 2)}


def test_comparisons_and_effects_of_a_grid_are_judged_together():
    cells = [f"l2={l2} batch_norm={norm}" for l2 in (0.0, 0.01) for norm in ("none", "after", "before")]
    noise = np.random.default_rng(0).normal(0, 0.001, (12, 6))
    trials = [
        Trial(arm, seed, (0.9 + 0.01 * number + noise[seed, number],))
        for number, arm in enumerate(cells)
        for seed in range(12)
    ]
    study = written.read(written.write(GRID, trials))
    assert study.question.comparisons == 5 + 5
    l2 = study.effects[0].verdict
    assert l2.kind == Kind.HELPS and l2.effect.mean == pytest.approx(3, abs=0.1)
    assert l2.effect == sequence.interval(study.effect_differences[0], 10)
    assert study.effects[-1].verdict.kind == Kind.UNDECIDED


def test_cross_entropy_decides_where_it_is_asked_to():
    trials = [
        Trial(arm, seed, (accuracy + seed / 100_000 * (arm == "more"),))
        for arm, accuracy in (("plain", 0.95), ("more", 0.96))
        for seed in range(9)
    ]
    study = written.read(written.write(LIST, trials, params={"decide": "val_cross_entropy"}))
    assert (study.decides.unit, study.beside.metric) == ("nats", "model_val_accuracy")
    verdict = study.verdicts[0]
    assert (verdict.kind, " nats" in verdict.sentence) == (Kind.HELPS, True)
    assert verdict.effect.mean == pytest.approx(-0.01, abs=0.001)  # the written loss is 1 − accuracy
    assert study.difference(study.beside, "more", "plain").mean == pytest.approx(1, abs=0.1)


def test_a_grid_of_which_an_arm_lost_seeds_has_no_effects():
    arms = [f"l2={l2} batch_norm={norm}" for l2 in (0.0, 0.01) for norm in ("none", "after", "before")]
    trials = [Trial(arm, seed) for arm in arms for seed in (1, 2)]
    assert written.read(written.write(GRID, trials)).effects
    trials[-1] = Trial(arms[-1], 2, (0.1,), state="diverged")
    assert written.read(written.write(GRID, trials)).effects == []


def test_a_grid_of_which_an_arm_is_missing_has_no_effects():
    assert written.read(written.write(GRID, [Trial("l2=0.0 batch_norm=none", 1)])).effects == []


def test_listed_arms_have_no_effects(study):
    assert study.effects == []


def test_the_ledger_is_that_of_the_stored_predictions(study):
    assert list(study.predictions) == ["plain", "more"]
    assert list(study.predictions["plain"]) == [1, 2]  # seed 3 has stored none
    book = study.ledger
    assert (book.images, book.trials) == (6, 4)
    (flips,) = book.flips  # of `most` there is nothing
    # By majority: plain is right on 0, 1, 2 (4 is a tie), more on 0, 2, 3, 4 (1 is a tie).
    assert (flips.fixed.tolist(), flips.broken.tolist()) == ([3, 4], [1])
    assert book.never_right.tolist() == [5]
    assert book.taken_for[5] == 0 and book.taken_for[0] == -1


def test_a_study_without_predictions_has_no_ledger():
    assert written.read(written.write(LIST, [Trial("plain", 1)])).ledger is None


def test_a_run_that_is_none_or_no_ablation_is_refused_with_a_way_on(study):
    client = store.connect()
    with pytest.raises(TrackingError, match=r"run: .*abc123"):
        ablation_results.read(client, "abc123")
    trial = study.trials[0].run_id
    with pytest.raises(TrackingError, match=f"'more · seed 2' is not an ablation. .* run={study.record.run_id}"):
        ablation_results.read(client, trial)
    other = runs.open_study_run(client, "something else")
    with pytest.raises(TrackingError, match=r"'something else' is not an ablation\. `mlflow ui`"):
        ablation_results.read(client, other.run_id)
