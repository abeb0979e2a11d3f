"""From a TrialConfig to an ordinary Keras model and its optimizer."""

import numpy as np

from study.base.backend import keras
from study.training.config import TrialConfig

SMALL_NORMAL_SD = 0.01


def build(config: TrialConfig, image_shape: tuple[int, int] = (28, 28), classes: int = 10) -> keras.Sequential:
    """Return the config's network: pixels 0–255 (n, height, width) in, class probabilities (n, classes) out.

    Stock layers only: Rescaling, Flatten, then for each hidden width Dense, Activation, and where asked for
    BatchNormalization and Dropout; last Dense ``logits`` and their softmax. With ``pixels=raw`` the Rescaling is by 1:
    pixels go in as 0–255 all the same. The initial weights depend on the config's seed alone.
    """
    parts = config.network
    layers = [
        keras.Input(image_shape, dtype="uint8", name="image"),
        keras.layers.Rescaling(1 / 255 if parts.pixels == "scaled" else 1.0, name="rescaling"),  # or uint8 to float
        keras.layers.Flatten(name="flatten"),
    ]
    for number, width in enumerate(parts.widths, start=1):
        layers.append(_dense(config, width, number, f"hidden_{number}"))
        if parts.batch_norm == "before":
            layers.append(keras.layers.BatchNormalization(name=f"batch_norm_{number}"))
        layers.append(keras.layers.Activation(parts.activation, name=f"activation_{number}"))
        if parts.batch_norm == "after":
            layers.append(keras.layers.BatchNormalization(name=f"batch_norm_{number}"))
        if parts.dropout > 0:
            layers.append(keras.layers.Dropout(parts.dropout, name=f"dropout_{number}"))
    layers.append(_dense(config, classes, 0, "logits"))
    layers.append(keras.layers.Activation("softmax", name="probabilities"))
    return keras.Sequential(layers, name="network")


def _dense(config: TrialConfig, width: int, number: int, name: str) -> keras.layers.Dense:
    parts = config.network
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0]) % 2**31
    if parts.initializer == "small_normal":
        initializer = keras.initializers.RandomNormal(stddev=SMALL_NORMAL_SD, seed=seed)
    elif parts.initializer == "he_fan_out":  # what He's formula becomes in code that mixes up a layer's two sides
        initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)
    else:
        initializer = keras.initializers.get(parts.initializer)
        if "seed" in (settings := initializer.get_config()):
            initializer = type(initializer).from_config(settings | {"seed": seed})
    regularized = parts.l2 > 0 and (number > 0 or parts.l2_on == "all")
    return keras.layers.Dense(
        width,
        kernel_initializer=initializer,
        kernel_regularizer=keras.regularizers.L2(parts.l2) if regularized else None,
        # Batch normalization subtracts what a bias before it adds. The gradient of such a bias is rounding noise, which
        # Adam would scale up to full steps.
        use_bias=parts.batch_norm != "before" or number == 0,
        name=name,
    )


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
