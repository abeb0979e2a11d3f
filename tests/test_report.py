import csv
import io
import math

import numpy as np
import pytest

from study import figures, report
from study.statistics import Estimate, estimate
from study.tracking import CURVES, TrialRecord

NAN = float("nan")


def trial(arm: str, val_accuracy: float = 0.5, status: str = "FINISHED", **other) -> TrialRecord:
    metrics = {
        "model_val_accuracy": val_accuracy,
        "model_val_loss": 1 - val_accuracy,
        "test_accuracy": val_accuracy - 0.01,
        "train_seconds": 100 * val_accuracy,
    }
    return TrialRecord("id", arm, status, {}, {"arm": arm}, metrics if status == "FINISHED" else {}, **other)


@pytest.fixture
def arms() -> list[report.Arm]:
    """Three finished trials, one of two that failed, and an arm of which none has finished."""
    records = [
        trial("wide", 0.97), trial("narrow", 0.90), trial("wide", 0.98), trial("narrow", status="FAILED"),
        trial("wide", 0.99), trial("linear", status="FAILED"), trial("linear", status="RUNNING"), trial("other", 0.1),
    ]  # fmt: skip
    return report.summarize(records, ["narrow", "wide", "linear"])


# --- the table --------------------------------------------------------------------------------------


def test_arms_come_in_the_given_order_with_failures_counted_apart(arms):
    assert [(arm.name, arm.trials, arm.failed) for arm in arms] == [("narrow", 1, 1), ("wide", 3, 0), ("linear", 0, 1)]


def test_an_arm_sums_up_its_finished_trials(arms):
    # 97, 98, 99 have s = 1, and t(2) = 4.302653.
    half_width = 4.302653 / math.sqrt(3)
    for value, mean, scale in (
        (arms[1].val_accuracy, 98, 1),
        (arms[1].val_loss, 0.02, 0.01),
        (arms[1].test_accuracy, 97, 1),
        (arms[1].seconds, 98, 1),
    ):
        assert (value.mean, value.half_width) == pytest.approx((mean, half_width * scale), rel=1e-6)
        assert value.n == 3


def test_an_arm_without_finished_trials_has_no_numbers(arms):
    linear = arms[2]
    assert (linear.val_accuracy, linear.val_loss, linear.test_accuracy, linear.seconds) == (None,) * 4


@pytest.mark.parametrize("mean, half_width, text", [
    (97.6183, 0.1134, "97.62 ± 0.11"),
    (98, 2.4841, "98.0 ± 2.5"),
    (97.62, 0.0996, "97.62 ± 0.10"),
    (12_345, NAN, "12345"),
    (0.08125, 0.00432, "0.0813 ± 0.0043"),
    (97.6183, 12.4, "98 ± 12"),
    (1234.56, 123.4, "1235 ± 123"),
    (0.5, 0.0, "0.5"),
    (97.6183, NAN, "97.62"),
    (NAN, NAN, "nan"),
    (0.000012345, 0.0000021, "0.0000123 ± 0.0000021"),
])  # fmt: skip
def test_a_number_has_the_digits_that_its_interval_justifies(mean, half_width, text):
    assert report.show(Estimate(mean, half_width, 3)) == text


def test_nothing_is_shown_as_a_dash():
    assert report.show(None) == "–"


def test_the_markdown_table(arms):
    assert report.markdown(arms) == (
        "| arm | trials | val accuracy (%) | val loss | test accuracy (%) | seconds a trial |\n"
        "|---|---|---|---|---|---|\n"
        "| narrow | 1 (1 failed) | 90 | 0.1 | 89 | 90 |\n"
        "| wide | 3 | 98.0 ± 2.5 | 0.020 ± 0.025 | 97.0 ± 2.5 | 98.0 ± 2.5 |\n"
        "| linear | 0 (1 failed) | – | – | – | – |"
    )


def test_the_csv_file_has_every_digit(arms):
    header, narrow, wide, linear = csv.reader(io.StringIO(report.csv(arms)))
    assert header == [
        "arm", "trials", "failed", "val_accuracy_mean", "val_accuracy_half_width", "val_loss_mean",
        "val_loss_half_width", "test_accuracy_mean", "test_accuracy_half_width", "seconds_mean", "seconds_half_width",
    ]  # fmt: skip
    expected = estimate(np.array([97.0, 98.0, 99.0]))
    assert wide[:3] == ["wide", "3", "0"]
    assert (float(wide[3]), float(wide[4])) == (expected.mean, expected.half_width)
    assert (narrow[4], linear) == ("nan", ["linear", "0", "1"] + [""] * 8)


# --- the picture ------------------------------------------------------------------------------------


def test_the_picture_has_the_finished_trials_each_as_long_as_it_ran():
    whole, stopped = {key: [4.0, 3.0, 2.0] for key in CURVES}, {key: [5.0, 1.0] for key in CURVES}
    records = [
        trial("b", curves=stopped), trial("a", curves=whole), trial("b", curves=whole),
        trial("b", status="FAILED", curves=whole), trial("c", status="RUNNING", curves=whole),
    ]  # fmt: skip
    drawn = {
        "a": dict.fromkeys(CURVES, np.array([[4, 3, 2]])),
        "b": dict.fromkeys(CURVES, np.array([[5, 1, NAN], [4, 3, 2]])),
    }
    picture = report.comparison(records, ["a", "b", "c"], "three arms")
    assert picture == figures.png(figures.arm_curves(drawn, "three arms"))


def test_there_is_no_picture_before_a_trial_has_finished():
    assert report.comparison([trial("a", status="RUNNING"), trial("b", status="FAILED")], ["a", "b"], "none") is None
