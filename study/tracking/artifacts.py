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
WEIGHTS = "weights.csv"
# What a complete trial leaves, and what only some do.
TRIAL_FILES = (
    "learning_curves.png", "step_loss.png", STEP_LOSSES, WEIGHTS,
    "confusion_matrices.png", "confusion_validation.csv", "confused_pairs_validation.csv",
)  # fmt: skip
OPTIONAL_TRIAL_FILES = (STEP_VAL_LOSSES, "confusion_test.csv", "confused_pairs_test.csv", PREDICTIONS)
# The report reads these from the study's own run.
ABLATION = "ablation.yaml"
SEARCH = "search.yaml"
TEST_SET = "test_set.npz"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how one begins


def earlier_file(phase: int) -> str:
    """Return the path of what a search was in an earlier phase, which had another space."""
    return f"search-{phase}.yaml"


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file's text, which the MLflow UI shows as a table; a spreadsheet finds no formula in it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in [header, *rows])
    return text.getvalue()


def is_whole(name: str, content: bytes) -> bool:
    """Return whether a trial's file can be read from beginning to end, as far as its kind shows."""
    if name.endswith(".png"):
        return content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")
    try:
        if name.endswith(".npy"):
            return np.load(io.BytesIO(content), allow_pickle=False).ndim == 1
        rows = list(csv.reader(io.StringIO(content.decode(errors="replace"))))
        return content.endswith(b"\n") and len({len(row) for row in rows}) == 1
    except Exception:  # whatever damage makes numpy and csv raise
        return False


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
