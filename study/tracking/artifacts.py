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
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how one begins


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file's text, which the MLflow UI shows as a table; a spreadsheet finds no formula in it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in [header, *rows])
    return text.getvalue()


def _cell(value: object) -> object:
    """Return a cell's value; a word that a spreadsheet would take for a formula gets an apostrophe in front."""
    if not (isinstance(value, str) and value.startswith(FORMULA)):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def npy_bytes(values: np.ndarray) -> bytes:
    """Return an array as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
