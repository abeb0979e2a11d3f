"""A convolutional network: blocks of convolution and pooling, then Dense layers."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from study.base.errors import ConfigError
from study.training import fields
from study.training.networks.mlp import Activation, BatchNorm, Rate, Widths, between, seeded

if TYPE_CHECKING:
    from study.base.backend import keras


def _filters(value: str) -> str:
    if value == fields.NONE:
        raise ValueError("expected filters of at least one convolution, such as 32-64")
    return value


def check(shape: tuple[int, ...], *, filters: str, pool: str, **others: object) -> None:
    """Raise ConfigError for rows that are no pictures, or too small for as many poolings."""
    blocks = len(fields.width_list(filters))
    if len(shape) != 3:
        raise ConfigError("a cnn needs pictures", expected="rows of (height, width, channels)", got=shape)
    if pool != "none" and min(shape[:2]) < 2**blocks:
        hint = "Take fewer filters=, or pool=none."
        expected = f"pictures of at least {2**blocks} × {2**blocks} pixels"
        raise ConfigError(f"filters={filters} halves a side too often", expected=expected, got=shape[:2], hint=hint)


def work(
    shape: tuple[int, ...], classes: int, *, filters: str, kernel: int, pool: str, dense: str, **others: object
) -> int:
    """Return about how many multiplications a row takes."""
    places, channels, total = math.prod(shape[:2]), shape[2], 0
    for width in fields.width_list(filters):
        total += places * channels * width * kernel**2
        places, channels = places // 4 if pool != "none" else places, width
    return total + between((places * channels, *fields.width_list(dense), classes))


def cnn(
    shape: tuple[int, ...],
    classes: int,
    *,
    seed: int = 1,
    filters: Annotated[
        Widths, AfterValidator(_filters), Field(description="filters of each block's convolution, such as 32-64")
    ] = "32-64",
    kernel: Annotated[Literal[3, 5, 7], Field(description="side of the convolutions' kernels, in pixels")] = 3,
    pool: Annotated[
        Literal["max", "average", "none"], Field(description="pooling of 2×2 at the end of each block")
    ] = "max",
    dense: Annotated[Widths, Field(description="widths of the Dense layers behind the blocks, or none")] = "128",
    activation: Annotated[Activation, Field(description="activation of the blocks and the Dense layers")] = "relu",
    batch_norm: Annotated[
        BatchNorm, Field(description="batch normalization before or after the activation of the blocks, or none")
    ] = "none",
    dropout: Annotated[Rate, Field(description="share of the units that are dropped before each Dense layer")] = 0.25,
    l2: Annotated[
        float, Field(ge=0, description="λ of the penalty λ Σ w² on all kernels but the output layer's")
    ] = 0.0,
) -> "keras.Sequential":
    """Return blocks of convolution and pooling, then Dense layers: pictures (height, width, channels) in, class
    probabilities (n, classes) out.

    Raises ConfigError for rows that are no pictures, or too small for as many poolings.
    """
    from study.base.backend import keras

    check(shape, filters=filters, pool=pool)
    blocks = fields.width_list(filters)
    penalty = keras.regularizers.L2(l2) if l2 > 0 else None
    layers = [keras.Input(shape)]

    def activate(number: int) -> None:
        if batch_norm == "before":
            layers.append(keras.layers.BatchNormalization(name=f"batch_norm_{number}"))
        layers.append(keras.layers.Activation(activation, name=f"activation_{number}"))
        if batch_norm == "after":
            layers.append(keras.layers.BatchNormalization(name=f"batch_norm_{number}"))

    for number, width in enumerate(blocks, start=1):
        layers.append(
            keras.layers.Conv2D(
                width, kernel, padding="same", use_bias=batch_norm != "before", kernel_regularizer=penalty,
                kernel_initializer=seeded("glorot_uniform", seed, number), name=f"conv_{number}",
            )
        )  # fmt: skip
        activate(number)
        if pool != "none":
            pooling = keras.layers.MaxPooling2D if pool == "max" else keras.layers.AveragePooling2D
            layers.append(pooling(name=f"pool_{number}"))
    layers.append(keras.layers.Flatten(name="flatten"))
    widths = fields.width_list(dense)
    for number, width in enumerate((*widths, classes), start=1):
        if dropout > 0:
            layers.append(keras.layers.Dropout(dropout, name=f"dropout_{number}"))
        last = number > len(widths)
        layers.append(
            keras.layers.Dense(
                width, kernel_regularizer=None if last else penalty,
                kernel_initializer=seeded("glorot_uniform", seed, 0 if last else len(blocks) + number),
                name="logits" if last else f"dense_{number}",
            )
        )  # fmt: skip
        if not last:
            layers.append(keras.layers.Activation(activation, name=f"activation_{len(blocks) + number}"))
    layers.append(keras.layers.Activation("softmax", name="probabilities"))
    return keras.Sequential(layers, name="network")
