"""Chooses how a row's novelty is measured: by strokes for handwritten digits, by distances for all else."""

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from study.base.errors import DataError
from study.data.handwriting import is_handwriting
from study.inference import novelty, row_novelty

if TYPE_CHECKING:
    from study.data.dataset import Dataset

Score = Callable[[np.ndarray], tuple[np.ndarray, list[str]]]


def fit(dataset: "Dataset") -> tuple[bytes | None, str]:
    """Return the reference for doubts about rows like these as bytes, or None and why there is none."""
    rows, labels = dataset.train.inputs, dataset.train.labels
    if is_handwriting(rows, dataset.class_names):
        try:
            return novelty.fit(rows, labels).to_bytes(), ""
        except DataError:
            return None, "no score: fewer than five training images of each class"
    if reason := row_novelty.why_not(rows):
        return None, reason
    names = dataset.features.names if dataset.features else ()
    return row_novelty.fit(rows, labels, names).to_bytes(), ""


def scorer(reference: bytes | None, why_not: str = "") -> Callable[[np.ndarray], tuple[list[float | None], list[str]]]:
    """Return the function that gives rows (n, …) a doubt and its reason each, from the bytes of a reference.

    Without a reference the doubts are None, and the reason is `why_not`.
    """
    if reference is None:
        return lambda rows: ([None] * len(rows), [why_not] * len(rows))
    with np.load(io.BytesIO(reference), allow_pickle=False) as arrays:
        of_strokes = "axes" in arrays.files
    score: Score = (
        partial(novelty.score, novelty.Reference.from_bytes(reference)) if of_strokes
        else partial(row_novelty.score, row_novelty.Reference.from_bytes(reference))
    )  # fmt: skip

    def scored(rows: np.ndarray) -> tuple[list[float | None], list[str]]:
        doubts, reasons = score(rows)
        return doubts.tolist(), reasons

    return scored
