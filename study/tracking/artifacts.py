"""Names what a trial and a study leave in MLflow, and turns numbers into files."""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

# A trial logs these for each epoch, the first four under Keras's names.
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
ARM_CURVES = ("val_accuracy", "val_loss", "accuracy", "loss", "val_cross_entropy")  # means over an arm's seeds
BY_EPOCH = (*CURVES, "val_cross_entropy", "generalization_gap", "epoch_seconds")
# The study's report reads these from its trials.
PREDICTIONS = "predictions_test.npy"
STEP_LOSSES = "step_loss.csv"
STEP_VAL_LOSSES = "step_val_loss.csv"
# The report reads these from the study's own run.
ABLATION = "ablation.yaml"
SEARCH = "search.yaml"
TEST_SET = "test_set.npz"


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file's text, which the MLflow UI shows as a table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def npy_bytes(values: np.ndarray) -> bytes:
    """Return an array as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
