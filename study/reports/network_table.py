"""The layers of a network on some data, as a table: what `explore` shows of a network that is named."""

from collections.abc import Iterator, Sequence
from typing import Any

from study.data.dataset import Dataset
from study.reports.table import Table
from study.training.config import TrialConfig


def network_table(network: str, dataset: Dataset) -> tuple[Table, str]:
    """Return the layers of a network, at its defaults, on these data, and a line about all of them.

    A model inside another is a layer, and its own layers follow it. Raises ConfigError if the network cannot be built
    on these data, or returns something else than probabilities.
    """
    from study.training.network import Rows, build, check_outputs  # imports TensorFlow

    config, rows = TrialConfig.parse({"network": network}), Rows.of(dataset)
    check_outputs(config, rows)
    model = build(config, rows)
    layers = (
        (f"{'· ' * depth}{layer.name}", type(layer).__name__, _shape(layer), layer.count_params())
        for depth, layer in _within(model.layers, 0)
    )
    trained = sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
    note = f"{model.count_params():,} parameters, {trained:,} of them trained"
    return Table(("layer", "kind", "output", "parameters"), layers, words=("kind", "output")), note


def _within(layers: Sequence[Any], depth: int) -> Iterator[tuple[int, Any]]:
    for layer in layers:
        yield depth, layer
        inner = getattr(layer, "model", layer)  # that of a network with layers of its own is inside one layer
        yield from _within(getattr(inner, "layers", ()), depth + 1)


def _shape(layer) -> str:
    try:
        return "×".join("?" if side is None else str(side) for side in layer.output.shape[1:])
    except AttributeError:  # it has several outputs, or was never called by itself
        return "–"
