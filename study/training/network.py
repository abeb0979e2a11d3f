"""Turns a TrialConfig into an ordinary Keras model and its optimizer."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from study.base import keras_file
from study.base.backend import keras
from study.base.errors import ConfigError, StudyError
from study.data.dataset import Dataset
from study.training.config import TrialConfig, network_of_config
from study.training.fields import Value
from study.training.networks import own_file
from study.training.networks.network import Network, find, network_shape

PROBE_ROWS = 4
SUM_TOLERANCE = 1e-3  # of a row's probabilities around 1


@dataclass(frozen=True, eq=False)
class Rows:
    """What a network gets and gives: the `shape` of a row of the data, and the number of `classes`.

    Rows of pixels, of uint8, have no `mean`. Features have the `mean` and the `variance` of their training rows,
    arrays of a row's shape.
    """

    shape: tuple[int, ...] = (28, 28)
    classes: int = 10
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> "Rows":
        """Return what a network of this dataset gets; features are scaled by the training rows alone."""
        if dataset.kind == "pixels":
            return cls(dataset.row_shape, dataset.classes)
        inputs = dataset.train.inputs
        return cls(
            dataset.row_shape, dataset.classes, inputs.mean(axis=0, dtype=np.float64), inputs.var(0, dtype=np.float64)
        )

    @property
    def sd(self) -> np.ndarray:
        """The standard deviations by which features are divided; 1 for one that is constant."""
        sd = np.sqrt(np.zeros(self.shape) if self.variance is None else self.variance)
        return np.where(sd > keras.config.epsilon(), sd, 1.0)

    @property
    def network_shape(self) -> tuple[int, ...]:
        """The shape of a row as the network's function gets it: pictures have three sides, the last of channels."""
        return network_shape(self.shape, self.mean is None)

    def scaled(self, inputs: np.ndarray) -> np.ndarray:
        """Return features (n, …) as the network's own layers get them; pixels stay as they are."""
        if self.mean is None:
            return inputs
        scaled: np.ndarray = ((inputs - self.mean) / self.sd).astype(np.float32)
        return scaled


def build(config: TrialConfig, rows: Rows | None = None, *, front: bool = True) -> keras.Sequential:
    """Return the config's network: rows of the data in, class probabilities (n, classes) out.

    In front of the layers of the network's function stand those that scale its inputs: Rescaling for pixels 0–255 (with
    ``pixels=raw`` by 1), Normalization for features, with the mean and variance of the training rows. The `front` of
    features can be left out, for rows that are scaled. The layers of a Sequential are taken over one by one, any other
    model is one layer. The initial weights depend on the config's seed alone. Raises ConfigError if the function fails
    or returns something else.
    """
    rows, network = rows or Rows(), network_of_config(config)
    with _seeded(config.seed):
        own = _own_layers(network, config, rows)
        with _told(network):
            model = keras.Sequential([*_front(config, rows, front), *own], name="network")
    _check(model, network, rows)
    return model


def own_layers(model: keras.Sequential, rows: Rows, front: bool = True) -> list[keras.layers.Layer]:
    """Return the layers of a model that `build` made which the network's function has made."""
    layers: list[keras.layers.Layer] = model.layers
    before = int(front) if rows.mean is not None else 2 if rows.network_shape != rows.shape else 1
    return layers[before:]


def _front(config: TrialConfig, rows: Rows, front: bool) -> list[keras.layers.Layer]:
    if rows.mean is not None:
        entry = keras.Input(rows.shape, dtype="float32", name="features")
        if not front:
            return [entry]
        sides = tuple(range(1, 1 + len(rows.shape)))
        mean, variance = rows.mean.tolist(), (rows.sd**2).tolist()
        return [entry, keras.layers.Normalization(sides, mean=mean, variance=variance, name="scaled_features")]
    scale = 1 / 255 if config.network.pixels == "scaled" else 1.0
    layers = [
        keras.Input(rows.shape, dtype="uint8", name="image"),
        keras.layers.Rescaling(scale, name="scaled_pixels"),  # or uint8 to float
    ]
    if rows.network_shape != rows.shape:
        layers.append(keras.layers.Reshape(rows.network_shape, name="picture"))
    return layers


@contextmanager
def _told(network: Network) -> Iterator[None]:
    """Tell what somebody's own network raises with the line of its file; what the project's raise passes unchanged."""
    try:
        yield
    except StudyError:
        raise
    except Exception as failure:
        if network.source is None:
            raise
        raise own_file.failure(network, failure) from failure


def known_function(network: Network) -> Callable[..., keras.Model]:
    """Return the function of a network; raises ConfigError if this process knows it from the record only."""
    if network.function is None:
        raise ConfigError(f"the code of {network.name} is not known here", hint="Name its file: network=FILE.py.")
    return network.function


def _own_layers(network: Network, config: TrialConfig, rows: Rows) -> list[keras.layers.Layer]:
    function = known_function(network)
    settings = dict(config.network.settings) | ({"seed": config.seed} if network.takes_seed else {})
    with _told(network):
        model = function(rows.network_shape, rows.classes, **settings)
    if not isinstance(model, keras.Model):
        raise own_file.wrong(network, "returns no keras.Model", "a keras.Model", type(model).__name__)
    model.compiled = False  # nobody calls its `fit`, and its file needs no optimizer
    if len(getattr(model, "inputs", None) or [None]) != 1:
        raise own_file.wrong(network, "has more than one input", "one", len(model.inputs))
    if not _is_stock(model):
        return [OwnModel(model, config.network.name, rows, settings)]
    return list(model.layers) if type(model) is keras.Sequential else [model]


@keras.saving.register_keras_serializable("study")
class OwnModel(keras.layers.Layer):  # type: ignore[misc]
    """A model with layers that are not Keras's, or of a class of its own, as one layer that can be saved.

    What is saved of it are its weights, the name of its network, and how the network's function was called. To open it
    again, this process has to know the network: its code is not in the file.
    """

    def __init__(self, model: keras.Model, network: str, rows: "Rows", settings: Mapping[str, Value], **keywords: Any):
        super().__init__(name="own_model", **keywords)
        self.model = model
        model(np.zeros((1, *rows.network_shape), np.float32), training=False)  # so that all its weights are there
        self._call = {
            "network": network, "shape": rows.network_shape, "classes": rows.classes, "settings": dict(settings)
        }  # fmt: skip

    def build(self, shape: object) -> None:
        """Do nothing: the model has its weights."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return what the model gives for a batch."""
        return self.model(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        """Return how the model was made."""
        return dict(self._call)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "OwnModel":
        """Return the model that the network's function makes; raises ConfigError if this process does not know it."""
        function = known_function(find(config["network"], "network"))
        shape, classes = tuple(config["shape"]), config["classes"]
        model = function(shape, classes, **config["settings"])
        return cls(model, config["network"], Rows(shape, classes), config["settings"])


def layers_within(layers: Sequence[keras.layers.Layer]) -> Iterator[tuple[int, keras.layers.Layer]]:
    """Yield every layer, and those within it, with its place among all of them, counted from 1."""
    place = 0
    for layer in layers:
        for one in layer._flatten_layers():  # Keras has no public way to those within
            place += 1
            yield place, one


def is_stock(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is Keras's own, and has no function of somebody's, such as an activation."""
    if not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.layers.Lambda):
        return False
    functions = (value for value in vars(layer).values() if isinstance(value, FunctionType))
    return all((function.__module__ or "").startswith("keras.") for function in functions)


def _is_stock(model: keras.Model) -> bool:
    """Return whether a model's configuration says all of it, so that its file can be opened without its code."""
    if not all(is_stock(layer) for _, layer in layers_within([model])):
        return False
    try:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model), default=str))
    except (TypeError, ValueError, NotImplementedError):  # it has something that Keras cannot save
        return False
    return next(keras_file.foreign_parts(config), None) is None


def _check(model: keras.Sequential, network: Network, rows: Rows) -> None:
    shape = model.output_shape
    if not isinstance(shape, tuple) or tuple(shape) != (None, rows.classes):
        raise own_file.wrong(network, "has the wrong output", f"(n, {rows.classes}) probabilities", shape)


def check_outputs(config: TrialConfig, rows: Rows) -> None:
    """Raise ConfigError unless the config's network can be built, and gives probabilities that add up to 1."""
    model, rng = build(config, rows), np.random.default_rng(0)
    shape = (PROBE_ROWS, *rows.shape)
    values = rng.integers(0, 256, shape).astype(np.uint8) if rows.mean is None else rng.normal(size=shape)
    network = network_of_config(config)
    with _told(network):
        answers = np.asarray(model(values.astype(model.inputs[0].dtype), training=False))
    sums = answers.sum(axis=1)
    if not (np.isfinite(sums).all() and (answers >= 0).all() and (np.abs(sums - 1) < SUM_TOLERANCE).all()):
        got = "logits, it seems" if np.isfinite(sums).all() else "numbers that are not finite"
        raise own_file.wrong(
            network, "does not return probabilities", "numbers from 0 to 1 that add up to 1", got,
            hint="Let its last layer have activation='softmax'.",
        )  # fmt: skip


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what Keras draws from, as `keras.utils.set_random_seed` does; Python and numpy go on as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def optimizer(config: TrialConfig) -> keras.optimizers.Optimizer:
    """Return Keras's own optimizer as the config sets it."""
    training = config.training
    rate, decay = training.learning_rate, training.weight_decay or None
    match training.optimizer:
        case "sgd":
            return keras.optimizers.SGD(rate, weight_decay=decay)
        case "momentum":
            return keras.optimizers.SGD(rate, momentum=training.momentum, weight_decay=decay)
        case "nesterov":
            return keras.optimizers.SGD(rate, momentum=training.momentum, nesterov=True, weight_decay=decay)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, weight_decay=decay)
        case "adam":
            return keras.optimizers.Adam(rate, weight_decay=decay)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=training.weight_decay)
