"""Explains why a network classifies a test row as it does: what is near, and what each unit adds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from study.analysis import explanations
from study.analysis.explanations import Explanation
from study.base.errors import ConfigError
from study.data.dataset import Dataset
from study.inference.predict import read

if TYPE_CHECKING:  # imports TensorFlow
    from study.inference.model import Reader

NEIGHBOURS = 8  # how many training rows an explanation shows
# A network of these alone is a chain of sums, so that what each unit of its last layer adds is known.
FLAT = {
    "Rescaling", "Normalization", "Reshape", "Flatten", "Dense", "Activation", "BatchNormalization", "Dropout",
}  # fmt: skip


def explain(reader: "Reader", dataset: Dataset, indices: Sequence[int]) -> list[Explanation]:
    """Return why the network classifies these test rows as it does; raises DataError for rows of another size."""
    test, train = dataset.test, dataset.train
    image = dataset.kind == "pixels"
    what = "test image" if image else "test row"
    asked = [
        (f"{what} {index}", test.inputs[index] if image else None, test.inputs[index], int(test.labels[index]))
        for index in indices
    ]
    found = []
    for index, reading in zip(indices, read(reader, asked), strict=True):
        near = explanations.nearest(reading.seen, train.inputs, NEIGHBOURS)
        found.append(
            Explanation(
                index=index,
                reading=reading,
                neighbours=near,
                rows=train.inputs[near.rows],
                labels=train.labels[near.rows],
                **_parts(reader.network, reading.seen),
            )
        )
    return found


def _parts(network, row: np.ndarray) -> dict:
    """Return what each unit before the logits adds to them, if the network is a plain stack of Dense layers."""
    layers = network.layers
    kinds = [type(layer).__name__ for layer in layers]
    if not set(kinds) <= FLAT or kinds[-2:] != ["Dense", "Activation"] or layers[-1].activation.__name__ != "softmax":
        return {}
    answers = row[None]
    for layer in layers[:-2]:  # the last two are the logits and their softmax
        answers = layer(answers, training=False)
    dense = [layer.get_weights()[0] for layer, kind in zip(layers[:-2], kinds, strict=False) if kind == "Dense"]
    shows = len(dense) == 1 and row.dtype == np.uint8 and row.ndim == 2
    return {
        "contributions": explanations.contributions(np.asarray(answers)[0], *layers[-2].get_weights()),
        "logits": np.asarray(layers[-2](answers))[0],
        "kernel": dense[0] if shows else None,
        "hidden": len(dense),
    }


def check_indices(indices: Sequence[int], dataset: Dataset) -> None:
    """Raise ConfigError if an index is beyond the last test row."""
    if beyond := [index for index in indices if index >= len(dataset.test)]:
        last = len(dataset.test) - 1
        expected = f"test {'images' if dataset.kind == 'pixels' else 'rows'} 0 to {last} of {dataset.name}"
        raise ConfigError(f"index cannot be {beyond[0]}", expected=expected)
