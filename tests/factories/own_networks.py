"""Networks as somebody would write them, for the tests: run by study.training.networks.own_file."""

import keras
from keras import layers


def residual(shape, classes, *, filters: int = 4):
    inputs = keras.Input(shape)
    # No biases before a batch normalization: their gradients are rounding noise, which Adam would scale up.
    values = layers.Conv2D(filters, 3, padding="same", use_bias=False)(inputs)
    for _ in range(2):
        change = layers.BatchNormalization()(values)
        change = layers.Activation("relu")(change)
        change = layers.Conv2D(filters, 3, padding="same", use_bias=False)(change)
        values = layers.MaxPooling2D()(layers.Add()([values, change]))
    values = layers.GlobalAveragePooling2D()(values)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(values))


def separable(shape, classes, *, filters: int = 4):
    return keras.Sequential([
        keras.Input(shape), layers.SeparableConv2D(filters, 3, activation="relu"), layers.MaxPooling2D(),
        layers.DepthwiseConv2D(3, activation="relu", use_bias=False), layers.BatchNormalization(), layers.Flatten(),
        layers.Dense(classes, activation="softmax"),
    ])  # fmt: skip


def lstm(shape, classes, *, units: int = 6):
    return keras.Sequential([
        keras.Input(shape), layers.Reshape(shape[:2]), layers.LSTM(units), layers.Dense(classes, activation="softmax"),
    ])  # fmt: skip


def transformer(shape, classes, *, width: int = 8, heads: int = 2):
    inputs = keras.Input(shape)
    tokens = layers.Reshape((-1, width))(layers.Conv2D(width, 7, strides=7)(inputs))
    normal = layers.LayerNormalization()(tokens)
    tokens = layers.Add()([tokens, layers.MultiHeadAttention(heads, width // heads)(normal, normal)])
    wider = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(tokens))
    tokens = layers.Add()([tokens, layers.Dense(width)(wider)])
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(layers.GlobalAveragePooling1D()(tokens)))


class Subclassed(keras.Model):
    def __init__(self, classes, units):
        super().__init__()
        self.flat, self.hidden = layers.Flatten(), layers.Dense(units, activation="tanh", use_bias=False)
        self.normal, self.out = layers.BatchNormalization(), layers.Dense(classes, activation="softmax")

    def call(self, inputs, training=None):
        return self.out(self.normal(self.hidden(self.flat(inputs)), training=training))


def subclassed(shape, classes, *, units: int = 16):
    return Subclassed(classes, units)


def penalized(shape, classes, *, l1: float = 0.0, l2: float = 0.0):
    both, one = keras.regularizers.L1L2(l1, l2), keras.regularizers.L2(l2)
    return keras.Sequential([
        keras.Input(shape), layers.Flatten(), layers.Dense(9, "tanh", kernel_regularizer=both, bias_regularizer=one),
        layers.Dense(classes, "softmax", kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.01)),
    ])  # fmt: skip


def dropping(shape, classes, *, units: int = 12, dropout: float = 0.2, l2: float = 1e-3):
    inputs = keras.Input(shape)
    values = layers.Dropout(dropout)(layers.Flatten()(inputs))
    values = layers.Dense(units, "relu", kernel_regularizer=keras.regularizers.L2(l2))(values)
    values = layers.Dropout(dropout / 2)(values)
    return keras.Model(inputs, layers.Dense(classes, "softmax")(values))


def augmented(shape, classes):
    return keras.Sequential([
        keras.Input(shape), layers.RandomTranslation(0.1, 0.1), layers.GaussianNoise(0.1), layers.Flatten(),
        layers.Dense(classes, "softmax"),
    ])  # fmt: skip


def normalized(shape, classes):
    return keras.Sequential([
        keras.Input(shape), layers.Flatten(), layers.Dense(16, "relu", use_bias=False), layers.BatchNormalization(),
        layers.Dense(classes, "softmax"),
    ])  # fmt: skip


def scaled(shape, classes, *, scale: float = 1.0):
    class Scaled(layers.Layer):
        def call(self, values):
            return values * scale

    return keras.Sequential([keras.Input(shape), layers.Flatten(), Scaled(), layers.Dense(classes, "softmax")])


def printing(shape, classes):
    import tensorflow as tf

    class Checked(layers.Layer):
        def call(self, values):
            return tf.ensure_shape(tf.py_function(lambda one: one, [values], tf.float32), values.shape)

    return keras.Sequential([keras.Input(shape), layers.Flatten(), Checked(), layers.Dense(classes, "softmax")])
