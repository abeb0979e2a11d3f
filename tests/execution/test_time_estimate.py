from dataclasses import replace

import pytest

from study.design.ablation import TrialSpec
from study.execution.queue import Progress
from study.execution.time_estimate import (
    SECONDS_A_ROW_SCORED,
    SECONDS_A_STEP,
    SECONDS_A_WEIGHT_AND_ROW,
    SECONDS_A_WEIGHT_AND_ROW_SCORED,
    SECONDS_A_WEIGHT_AND_STEP,
    SECONDS_TO_COMPILE,
    SECONDS_TO_RECORD,
    SECONDS_TO_START,
    USUAL,
    epoch_seconds,
    pace_of,
    stored_pace,
    time_left,
    total_seconds,
    trial_seconds,
)
from study.tracking.records import RunRecord
from study.training.config import TrialConfig


def specs(arms=2, seeds=2) -> list[TrialSpec]:
    return [
        TrialSpec(f"arm {arm}", TrialConfig.parse({"epochs": 4, "seed": seed}))
        for seed in range(seeds)
        for arm in range(arms)
    ]


def at(spec: TrialSpec, epoch: int, state: str = "RUNNING") -> Progress:
    slot = specs().index(spec)
    return Progress(slot, spec.name, state, epoch, spec.config.training.epochs, None, None)


@pytest.mark.parametrize("hidden, batch_size, weights, steps", [
    ("none", 32, 7_840, 39),  # 784 · 10; 1,222 rows are 38 batches of 32 and one of 6
    ("128", 32, 101_632, 39),  # 784 · 128 + 128 · 10
    ("20-7-5", 1, 15_905, 1_222),  # 784 · 20 + 20 · 7 + 7 · 5 + 5 · 10
    ("128", 2_000, 101_632, 1),
])  # fmt: skip
def test_a_trial_costs_its_weights_rows_and_steps(digits, hidden, batch_size, weights, steps):
    config = TrialConfig.parse({"hidden": hidden, "batch_size": batch_size, "epochs": 3})
    epoch = (
        weights * 1_222 * SECONDS_A_WEIGHT_AND_ROW
        + weights * steps * SECONDS_A_WEIGHT_AND_STEP
        + steps * SECONDS_A_STEP
    )
    assert trial_seconds(config, digits) == pytest.approx(SECONDS_TO_RECORD + 3 * epoch)


def test_validating_within_an_epoch_costs_its_rows(digits):
    config = TrialConfig.parse({"hidden": "none", "batch_size": 32})  # 39 steps: validated after 10, 20, 30 and 39
    more = epoch_seconds(config.replace({"validate_every": 10}), digits) - epoch_seconds(config, digits)
    row = SECONDS_A_ROW_SCORED + 7_840 * SECONDS_A_WEIGHT_AND_ROW_SCORED
    assert more == pytest.approx(3 * len(digits.validation) * row)
    assert epoch_seconds(config.replace({"validate_every": 39}), digits) == epoch_seconds(config, digits)


def test_the_weights_follow_the_images_and_the_classes(digits):
    config = TrialConfig.parse({"hidden": "none", "epochs": 1})
    small = replace(digits, classes=2, train=replace(digits.train, inputs=digits.train.inputs[:, :14, :7]))
    share = (trial_seconds(config, small) - SECONDS_TO_RECORD - 39 * SECONDS_A_STEP) / (
        trial_seconds(config, digits) - SECONDS_TO_RECORD - 39 * SECONDS_A_STEP
    )
    assert share == pytest.approx(14 * 7 * 2 / 7_840)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_trials_share_the_workers_and_each_arm_is_compiled(digits, workers):
    trials = 4 * trial_seconds(TrialConfig.parse({"epochs": 4}), digits)
    expected = SECONDS_TO_START + trials / workers + 2 * SECONDS_TO_COMPILE
    assert total_seconds(specs(), digits, workers) == pytest.approx(expected)


@pytest.mark.parametrize("elapsed, left", [(0, 1.0), (0.25, 0.75), (1, 0.0), (2, 0.0)])
def test_before_the_first_epoch_the_guess_counts(digits, elapsed, left):
    guess = total_seconds(specs(), digits, 2)
    waiting = [at(spec, 0, "WAITING") for spec in specs()]
    assert time_left(specs(), digits, 2).after(elapsed * guess, waiting) == pytest.approx(left * guess)


def test_half_way_the_guess_and_what_was_seen_count_alike(digits):
    # Half is done after 40 s, so all of it takes 80 s by what was seen; half of what both say is left.
    guess = total_seconds(specs(), digits, 2)
    first, second, third, fourth = specs()
    trials = [at(first, 4, "COMPLETE"), at(second, 2), at(third, 2), at(fourth, 0, "WAITING")]
    assert time_left(specs(), digits, 2).after(40, trials) == pytest.approx(0.5 * (0.5 * guess + 0.5 * 80))


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED", "FAIL"])
def test_a_trial_that_ended_early_is_done(digits, state):
    assert time_left(specs(), digits, 2).after(40, [at(spec, 1, state) for spec in specs()]) == 0


def recorded(seconds: float, batch_size: int = 32, task: str = "search", **marks) -> RunRecord:
    """A trial of three epochs whose run lasted `seconds`, of which it compiled for 1 and trained for half."""
    config = TrialConfig.parse({"epochs": 3, "batch_size": batch_size})
    metrics = {"train_seconds": seconds / 2, "compile_seconds": 1.0, "epochs_trained": 3.0}
    return RunRecord("id", "trial", "FINISHED", config.as_text(), {"task": task, **marks}, metrics, ended=seconds)


def test_the_pace_is_that_of_the_stores_trials_by_batch_size(digits):
    slow = [recorded(10.0) for _ in range(4)] + [recorded(6.0, batch_size=128)]
    pace = pace_of(slow, digits)
    config = TrialConfig.parse({"epochs": 3})
    assert 3 * epoch_seconds(config, digits, pace) == pytest.approx(5)  # what the others trained
    assert (pace.record, pace.compiling) == (4.0, 1.0)
    assert trial_seconds(config, digits, pace) == pytest.approx(pace.record + 5)
    other = config.replace({"batch_size": 64})  # which none had: as the median of all
    assert epoch_seconds(other, digits, pace) == pytest.approx(pace.slowness * epoch_seconds(other, digits))
    assert epoch_seconds(config.replace({"batch_size": 128}), digits, pace) == pytest.approx(1)
    assert pace.doubt < USUAL.doubt and pace.evidence != USUAL.evidence


def test_too_few_trials_and_those_that_were_carried_over_tell_nothing_of_the_pace(digits):
    assert pace_of([recorded(10.0)] * 4, digits) == USUAL
    assert pace_of([recorded(10.0, reused_from="another")] * 9, digits) == USUAL
    of_ablations = pace_of([recorded(10.0, task="dropout")] * 5, digits)
    assert (of_ablations.compiling, of_ablations.doubt) == (
        SECONDS_TO_COMPILE,
        pace_of([recorded(9.0)] * 5, digits).doubt,
    )


def test_a_store_that_is_not_there_is_not_made_to_learn_the_pace(digits, new_store):
    assert stored_pace("mlp", digits) == USUAL and not list(new_store.glob("*.db"))
