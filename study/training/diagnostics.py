"""A look inside a trained network: statistics of its weights, and how many of its units still respond."""

from dataclasses import dataclass

import numpy as np

from study.base.backend import keras, tf
from study.training.program import rows_at_once

FLAT = 0.05  # of the activation's steepest slope: below that a unit hardly passes a gradient on
IMAGES = 2_000  # enough to know a share to one percent


@dataclass(frozen=True)
class Weights:
    """One kernel: its shape and the mean, standard deviation, extremes and Euclidean norm of its weights."""

    layer: str
    shape: tuple[int, ...]
    mean: float
    sd: float
    least: float
    most: float
    norm: float


@dataclass(frozen=True)
class Activity:
    """One hidden layer: the share of its units that are `dead`, and of all its answers that are `saturated`.

    An answer (of a unit to an image) is saturated where the activation's slope is below 5 % of its steepest: a ReLU
    that is off, a tanh near ±1. A unit whose answer to every image is saturated is dead: none of them teaches it.
    """

    layer: str
    dead: float
    saturated: float


def weights(model: keras.Sequential) -> list[Weights]:
    """Return the statistics of the model's kernels, from the input to the output."""
    found = []
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            values = variable.numpy().astype(np.float64)
            numbers = (values.mean(), values.std(), values.min(), values.max(), np.sqrt(np.square(values).sum()))
            layer = variable.path.removeprefix(f"{model.name}/").removesuffix("/kernel")
            found.append(Weights(layer, values.shape, *map(float, numbers)))
    return found


def parameters(model: keras.Sequential) -> int:
    """Return how many numbers the model learns."""
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def activity(model: keras.Sequential, images: np.ndarray) -> list[Activity]:
    """Return how the hidden layers respond to the first 2,000 of `images`, fewer where a layer's output is large.

    Layers are those of a Sequential that are an Activation of their own.
    """
    found, values = [], tf.constant(images[: min(IMAGES, rows_at_once(model))])
    for layer in model.layers[:-1]:  # the last is the softmax
        if isinstance(layer, keras.layers.Activation):
            flat = np.abs(_slopes(layer, values)) < FLAT * np.abs(_slopes(layer, tf.linspace(-10.0, 10.0, 2_001))).max()
            found.append(Activity(layer.name, float(flat.all(axis=0).mean()), float(flat.mean())))
        values = layer(values, training=False)
    return found


def _slopes(activation: keras.layers.Layer, values: tf.Tensor) -> np.ndarray:
    with tf.GradientTape() as tape:
        tape.watch(values)
        answers = activation(values)
    slopes: np.ndarray = tape.gradient(answers, values).numpy()
    return slopes
