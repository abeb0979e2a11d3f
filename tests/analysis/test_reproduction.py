"""A trial and its repetition, compared bit by bit: what counts as equal, and where the first difference is."""

import math
from dataclasses import replace

import numpy as np
import pytest

from study.analysis import reproduction
from study.analysis.reproduction import CURVES, Comparison, Kept, Part, compare
from study.tracking.artifacts import PREDICTIONS, STEP_LOSSES, csv_text, npy_bytes
from study.tracking.records import RunRecord

STEPS = [(1, 1, "0.9"), (1, 2, "0.8"), (2, 3, "0.7"), (2, 4, "0.6")]
KEPT = Kept(
    epochs=[{name: 0.25 + epoch for name in CURVES} | {"epoch_seconds": 1.5} for epoch in range(2)],
    metrics={"test_accuracy": 0.9, "dead_1": math.nan, "train_seconds": 3.0},
    files={
        STEP_LOSSES: csv_text(("epoch", "step", "loss"), STEPS).encode(),
        PREDICTIONS: npy_bytes(np.array([1, 2, 3], np.uint8)),
        "confusion_test.csv": b"a\n",
    },
    weights={"dense/0": np.array([[0.0, 1.0], [2.0, 3.0]], np.float32), "dense/1": np.zeros(2, np.float32)},
)


def parts(**changes) -> dict[str, Part]:
    return {part.name: part for part in compare(KEPT, replace(KEPT, **changes))}


def test_equal_trials_are_equal_in_every_part():
    found = compare(KEPT, KEPT)
    assert [(part.name, part.compared) for part in found] == [
        ("losses of the steps", 4), ("curves", 12), ("weights", 6), ("predictions", 3), ("scores", 2), ("tables", 1),
    ]  # fmt: skip
    assert all(part.same and part.first is None for part in found)


def test_times_are_no_result():
    epochs = [{**epoch, "epoch_seconds": 9.0} for epoch in KEPT.epochs]
    assert all(part.same for part in parts(epochs=epochs, metrics={**KEPT.metrics, "train_seconds": 9.0}).values())


def test_the_last_bit_of_a_curve_counts():
    epochs = [KEPT.epochs[0], {**KEPT.epochs[1], "val_loss": math.nextafter(1.25, 2)}]
    part = parts(epochs=epochs)["curves"]
    assert (part.equal, part.first) == (11, "epoch 2, val_loss: 1.25 then, 1.2500000000000002 now")


def test_an_epoch_more_is_a_difference():
    part = parts(epochs=[*KEPT.epochs, KEPT.epochs[0]])["curves"]
    assert (part.compared, part.equal, part.first) == (18, 12, "epoch 3, loss: none then, 0.25 now")


@pytest.mark.parametrize(
    ("value", "words"), [(-0.0, "1 of 4 numbers, 0 apart"), (math.nan, "1 of 4 numbers, nan apart")]
)
def test_the_bits_of_weights_count(value, words):
    changed = KEPT.weights["dense/0"].copy()
    changed[0, 0] = value
    part = parts(weights={**KEPT.weights, "dense/0": changed})["weights"]
    assert (part.compared, part.equal, part.first) == (6, 5, f"dense/0: {words} at most")


def test_weights_of_another_form_or_none_at_all_differ():
    part = parts(weights={"dense/0": KEPT.weights["dense/0"].T.astype(np.float64)})["weights"]
    assert not part.same and part.first == "dense/0: float32[2, 2] then, float64[2, 2] now"
    assert not parts(weights={})["weights"].same


def test_predictions_steps_and_tables_name_the_first_that_differs():
    steps = csv_text(("epoch", "step", "loss"), [*STEPS[:2], (2, 3, "0.71")])
    files = {STEP_LOSSES: steps.encode(), PREDICTIONS: npy_bytes(np.array([1, 7, 3], np.uint8))}
    found = parts(files=files | {"confusion_test.csv": b"b\n"})
    assert found["losses of the steps"].first == "step 3 of epoch 2: 0.7 then, 0.71 now"
    assert found["losses of the steps"].equal == 2
    assert (found["predictions"].equal, found["predictions"].first) == (2, "test row 1: 2 then, 7 now")
    assert found["tables"].first == "confusion_test.csv"


def test_what_only_one_run_has_is_no_difference_of_the_results():
    found = parts(files={}, metrics={**KEPT.metrics, "newer": 1.0})
    assert set(found) == {"curves", "weights", "scores"} and all(part.same for part in found.values())


def test_the_first_difference_is_that_of_the_first_part():
    trial = RunRecord("1", "t", "FINISHED", {}, {}, {})
    bad = [Part("curves", 2, 2), Part("weights", 4, 3, "w"), Part("scores", 1, 0, "s")]
    comparison = Comparison(trial, "2", tuple(bad), ())
    assert not comparison.same and comparison.first == bad[1]
    assert Comparison(trial, "2", tuple(bad[:1]), ()).first is None


def test_causes_name_what_was_different():
    then = {"dataset_sha256": "a" * 64, "processor": "one", "processor_features": "avx fma sse", "training_code": "1"}
    now = then | {"processor": "two", "processor_features": "avx avx512f", "compiler": "graph"}
    assert reproduction.causes(then, then) == ()
    assert reproduction.causes(then, now) == (
        "another processor: one then, two now",
        "other features of the processor: fma sse then, avx512f now",
        "another compiler: xla then, graph now",
    )
    (cause,) = reproduction.causes({key: then[key] for key in then if key != "training_code"}, then)
    assert cause == "other training code, libraries or compilers' flags: not recorded then, 1 now"


def test_packages_with_other_versions_are_listed():
    then = "# Python 3.11.7\nkeras==3.15.1\nnumpy==2.0\n"
    now = "# Python 3.12.1\nkeras==3.15.1\nscipy==1.1\n"
    assert reproduction.other_packages(then, now) == [
        "Python 3.11.7 then, 3.12.1 now", "numpy 2.0 then, not there now", "scipy not there then, 1.1 now",
    ]  # fmt: skip
