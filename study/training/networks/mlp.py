"""The multilayer perceptron: Dense layers with an activation, batch normalization, dropout and an L2 penalty."""

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from study.training import fields

if TYPE_CHECKING:
    from study.base.backend import keras

SMALL_NORMAL_SD = 0.01
# The loop draws dropout in steps of 1/65,536. Nearer to 1 the rate is no more what was asked for, or 1 itself.
MOST_DROPOUT = 0.999

Widths = Annotated[str, BeforeValidator(fields.text), AfterValidator(fields.widths)]
Activation = Literal["relu", "tanh", "softsign", "gelu", "sigmoid", "elu", "selu", "silu", "leaky_relu"]
BatchNorm = Literal["none", "before", "after"]
Rate = Annotated[float, Field(ge=0, le=MOST_DROPOUT)]
Initializer = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "random_normal", "random_uniform", "small_normal", "he_fan_out", "zeros",
]  # fmt: skip

WITHOUT_EFFECT: dict[str, dict[str, tuple[fields.Value, ...]]] = {
    **{name: {"hidden": (fields.NONE,)} for name in ("activation", "batch_norm", "dropout", "l2")},
    "l2_on": {"l2": (0.0,)},
}
# The output layer is there without hidden ones.
UNLESS: dict[str, dict[str, tuple[fields.Value, ...]]] = {"l2": {"l2_on": ("all",)}}


def work(shape: tuple[int, ...], classes: int, *, hidden: str, **others: object) -> int:
    """Return how many multiplications a row takes."""
    return between((math.prod(shape), *fields.width_list(hidden), classes))


def between(sizes: tuple[int, ...]) -> int:
    """Return how many weights Dense layers between layers of these sizes have."""
    return sum(before * after for before, after in itertools.pairwise(sizes))


def mlp(
    shape: tuple[int, ...],
    classes: int,
    *,
    seed: int = 1,
    hidden: Annotated[Widths, Field(description="widths of the hidden layers, such as 128 or 20-7-5, or none")] = "128",
    activation: Annotated[Activation, Field(description="activation of the hidden layers")] = "relu",
    batch_norm: Annotated[
        BatchNorm, Field(description="batch normalization before or after the activation, or none")
    ] = "none",
    dropout: Annotated[Rate, Field(description="share of the hidden units that are dropped during training")] = 0.0,
    initializer: Annotated[
        Initializer,
        Field(
            description="initializer of the kernels (small_normal: sd 0.01; he_fan_out: normal, sd √(2 / units), not "
            "inputs); biases start at 0"
        ),
    ] = "glorot_uniform",
    l2: Annotated[float, Field(ge=0, description="λ of the penalty λ Σ w² on the kernels that l2_on names")] = 0.0,
    l2_on: Annotated[
        Literal["hidden", "all"],
        Field(description="kernels with a penalty: the hidden layers', or all with the output layer's"),
    ] = "hidden",
) -> "keras.Sequential":
    """Return a stack of Dense layers: rows of `shape` in, class probabilities (n, classes) out.

    Stock layers only: Flatten, then for each hidden width Dense, Activation, and where asked for BatchNormalization and
    Dropout; last Dense ``logits`` and their softmax. Every layer draws its initial weights from the seed and its own
    number, so that two networks which differ elsewhere start alike.
    """
    from study.base.backend import keras

    def dense(width: int, number: int, name: str) -> keras.layers.Dense:
        regularized = l2 > 0 and (number > 0 or l2_on == "all")
        return keras.layers.Dense(
            width,
            kernel_initializer=seeded(initializer, seed, number),
            kernel_regularizer=keras.regularizers.L2(l2) if regularized else None,
            # Batch normalization subtracts what a bias before it adds. The gradient of such a bias is rounding noise,
            # which Adam would scale up to full steps.
            use_bias=batch_norm != "before" or number == 0,
            name=name,
        )

    layers = [keras.Input(shape), keras.layers.Flatten(name="flatten")]
    for number, width in enumerate(fields.width_list(hidden), start=1):
        layers.append(dense(width, number, f"hidden_{number}"))
        if batch_norm == "before":
            layers.append(keras.layers.BatchNormalization(name=f"batch_norm_{number}"))
        layers.append(keras.layers.Activation(activation, name=f"activation_{number}"))
        if batch_norm == "after":
            layers.append(keras.layers.BatchNormalization(name=f"batch_norm_{number}"))
        if dropout > 0:
            layers.append(keras.layers.Dropout(dropout, name=f"dropout_{number}"))
    layers.append(dense(classes, 0, "logits"))
    layers.append(keras.layers.Activation("softmax", name="probabilities"))
    return keras.Sequential(layers, name="network")


def seeded(name: str, seed: int, number: int) -> "keras.initializers.Initializer":
    """Return the initializer of this name for a trial's layer of this number."""
    import numpy as np  # the options of a command need this module, and not numpy

    from study.base.backend import keras

    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % 2**31
    if name == "small_normal":
        return keras.initializers.RandomNormal(stddev=SMALL_NORMAL_SD, seed=own_seed)
    if name == "he_fan_out":  # what He's formula becomes in code that mixes up a layer's two sides
        return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=own_seed)
    initializer = keras.initializers.get(name)
    settings = initializer.get_config()
    return type(initializer).from_config(settings | {"seed": own_seed}) if "seed" in settings else initializer
