"""Says which trials share a compiled program: those whose networks and training have the same structure."""

import json
import re

from study.base.backend import keras
from study.training.config import TrialConfig, network_of_config
from study.training.network import Rows, is_stock, layers_within
from study.training.program import MOMENTUM

_ANY = "any"  # in place of an initial value
LEFT_OUT = ("name", "seed", "build_config")  # of a part of a model's configuration
NAMES = ("keras_history", "input_layers", "output_layers")  # under which it names its layers
DRAWING = re.compile(r"random|initializers|seed")  # in the text of a network that may draw constants
DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")


def structure(config: TrialConfig, model: keras.Sequential, rows: Rows) -> str:
    """Return a text that is equal for trials that can share a program.

    It is the model's own configuration, without what is a variable of the program, or only decides how it starts. A
    model with layers of one's own may read a hyperparameter wherever it likes: then all of them belong to the text, and
    the seed, if it may draw constants.
    """
    parts: list[object] = [config.network.name, config.network.pixels, rows.shape, rows.classes]
    training = config.training
    decays = training.optimizer == "adamw" or bool(training.weight_decay)  # AdamW always decays, if only by 0
    moves = training.optimizer in MOMENTUM and bool(training.momentum)
    parts += [training.optimizer, decays, moves, training.batch_size, training.class_weight != "none"]
    layers = [layer for _, layer in layers_within([model])]
    if all(is_stock(layer) for layer in layers):
        names = {layer.name: f"layer {place}" for place, layer in enumerate(layers)}
        parts.append(_masked(model.get_config(), names))
    else:
        network = network_of_config(config)
        parts += [config.network.settings, config.seed if DRAWING.search(network.source or "") else None]
    return json.dumps(parts, default=str)


def _masked(part: object, names: dict[str, str]) -> object:
    """Return a part of a model's configuration without names, initial values, rates and strengths."""
    if isinstance(part, (list, tuple)):
        return [_masked(one, names) for one in part]
    if not isinstance(part, dict):
        return part
    found = {key: _value(key, value, names) for key, value in part.items() if key not in LEFT_OUT}
    if part.get("class_name") in DROPOUTS and isinstance(found["config"], dict):
        found["config"]["rate"] = bool(found["config"]["rate"])
    return found


def _renamed(part: object, names: dict[str, str]) -> object:
    """Return a part that refers to layers with their places in place of their names."""
    if isinstance(part, (list, tuple)):
        return [_renamed(one, names) for one in part]
    if isinstance(part, dict):
        return {key: _renamed(one, names) for key, one in part.items()}
    return names.get(part, part) if isinstance(part, str) else part


def _value(key: str, value: object, names: dict[str, str]) -> object:
    if key in NAMES:
        return _renamed(value, names)
    if key.endswith("_initializer") and isinstance(value, dict):
        return _ANY
    if key.endswith("_regularizer") and key != "activity_regularizer" and isinstance(value, dict):
        strength = value.get("config", {})
        if value.get("class_name") in ("L1", "L2", "L1L2"):
            return [bool(strength.get("l1")), bool(strength.get("l2"))]
    return _masked(value, names)
