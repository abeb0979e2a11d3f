"""How a network is trained: one compiled program an epoch, around stock Keras layers, loss and optimizer.

`model.fit` goes back to Python after every batch. Here the loop over the batches of an epoch is part of the compiled
program, which makes an epoch 4 to 18 times faster (docs/lab-log.md) and computes the same numbers. Everything that
happens once an epoch (validation, early stopping, pruning) is ordinary Python.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from study.base.backend import keras, tf
from study.data.dataset import Dataset
from study.training import network
from study.training.config import FIELDS, TrialConfig
from study.training.early_stopping import EarlyStopping, Plateau, lowest
from study.training.metrics import evaluate

MOMENTUM = ("momentum", "nesterov")  # the optimizers that use one
ROWS_AT_ONCE = 10_000  # of images in floating point, 31 MB of MNIST's


@dataclass(frozen=True, eq=False)
class Epoch:
    """One pass over the training rows, under Keras's names; the losses include the L2 penalty, as Keras's do.

    `loss` and `accuracy` are means over the epoch, taken while the weights change and with dropout at work;
    `val_loss` and `val_accuracy` are those of the weights at its end, and `val_cross_entropy` is `val_loss` without the
    penalty, which can be compared between strengths of it. `step_losses` (steps,) has the loss of each batch, and
    `val_losses` the pairs (step of the epoch, val_loss) measured within it. `patience_steps` can cut an epoch
    short. `seconds` counts training and validation.
    """

    number: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_cross_entropy: float
    seconds: float
    step_losses: np.ndarray
    val_losses: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class TrialResult:
    """The outcome of training.

    `state` is ``complete``, ``pruned`` (`on_epoch` asked to stop) or ``diverged`` (a loss was not finite), with the
    `reason` in words if it is not complete. `best_epoch` has the lowest val_loss. `weights` (in the order of
    `model.get_weights()`) are those of the epoch `model_epoch`: the last, or under early stopping the last that was
    better than all before by more than `min_delta`; where that is 0, it is `best_epoch`. `compile_seconds` is the time
    before the first epoch; `train_seconds` that of the epochs.
    """

    state: str
    reason: str | None
    epochs: tuple[Epoch, ...]
    best_epoch: int
    model_epoch: int
    weights: list[np.ndarray]
    compile_seconds: float
    train_seconds: float


def train(
    config: TrialConfig, dataset: Dataset, on_epoch: Callable[[Epoch], bool | None] = lambda epoch: None
) -> TrialResult:
    """Train the config's network on `dataset.train` and return the outcome; the test images are not touched.

    `on_epoch` is called after every epoch and ends the training by returning True. The same config and data give
    the same bits on one machine, whatever was trained before in this process.
    """
    clock = time.perf_counter()
    images, labels = tf.constant(dataset.train.inputs), tf.constant(dataset.train.labels)
    program = _program(_shape_of(config), len(dataset.train), dataset.row_shape, dataset.classes)
    program.start(config)
    compile_seconds = time.perf_counter() - clock

    epochs: list[Epoch] = []
    limits = config.training
    stopping = EarlyStopping(limits.patience, limits.min_delta)
    plateau = Plateau(limits.patience_steps, limits.min_delta)
    state, reason = "complete", None
    while state == "complete" and len(epochs) < limits.epochs and not (stopping.stop or plateau.stop):
        epoch = _take_epoch(program, config, dataset, (images, labels), len(epochs) + 1, plateau)
        epochs.append(epoch)
        stopping.update(epoch.number, epoch.val_loss, program.model.get_weights)
        if not (np.isfinite(epoch.step_losses).all() and np.isfinite(epoch.val_loss)):
            state, reason = "diverged", _divergence(epoch)
        if on_epoch(epoch) and state == "complete":
            state, reason = "pruned", f"stopped after epoch {epoch.number}"

    return TrialResult(
        state=state,
        reason=reason,
        epochs=tuple(epochs),
        best_epoch=1 + lowest([epoch.val_loss for epoch in epochs]),
        model_epoch=stopping.kept_epoch or len(epochs),
        weights=stopping.kept_weights or program.model.get_weights(),
        compile_seconds=compile_seconds,
        train_seconds=sum(epoch.seconds for epoch in epochs),
    )


def _take_epoch(
    program: "Program",
    config: TrialConfig,
    dataset: Dataset,
    rows: tuple[tf.Tensor, tf.Tensor],
    number: int,
    plateau: Plateau,
) -> Epoch:
    clock = time.perf_counter()
    order = epoch_order(config.seed, number, len(dataset.train))
    sizes = _rows_by_step(len(order), config.training.batch_size)
    step_losses, hits, val_losses = np.empty(0, np.float32), 0, []
    for first, last in _stretches(len(sizes), config.training.validate_every):
        losses, hit = program.epoch(*rows, *map(tf.constant, (order, first, last)))
        step_losses, hits = np.append(step_losses, losses.numpy()[first:last]), hits + int(hit)
        validation = evaluate(logits(program.model, dataset.validation.inputs), dataset.validation.labels)
        val_loss = validation.loss + l2_penalty(program.model, config.network.l2)
        val_losses.append((last, val_loss))
        plateau.update(last - first, val_loss)
        if plateau.stop:
            break
    sizes = sizes[: len(step_losses)]
    return Epoch(
        number=number,
        loss=float(np.average(step_losses, weights=sizes)),
        accuracy=hits / sum(sizes),
        val_loss=val_loss,
        val_accuracy=validation.accuracy,
        val_cross_entropy=validation.loss,
        seconds=time.perf_counter() - clock,
        step_losses=step_losses,
        val_losses=tuple(val_losses) if config.training.validate_every else (),
    )


def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """Return the order in which an epoch (counted from 1) takes the rows: a permutation (rows,) of int32."""
    return np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)


def _stretches(steps: int, length: int | None) -> list[tuple[int, int]]:
    """Return the stretches (first step, step after the last) of an epoch; val_loss is measured after each."""
    length = length or steps
    return [(first, min(first + length, steps)) for first in range(0, steps, length)]


def _rows_by_step(rows: int, batch_size: int) -> list[int]:
    full, rest = divmod(rows, batch_size)
    return [batch_size] * full + [rest] * (rest > 0)


def logits(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """Return what the model computes for `images` before its last layer, the softmax: (n, classes)."""
    parts = []
    for first in range(0, len(images), ROWS_AT_ONCE):
        values = tf.constant(images[first : first + ROWS_AT_ONCE])
        for layer in model.layers[:-1]:
            values = layer(values, training=False)
        parts.append(values.numpy())
    return np.concatenate(parts)


def l2_penalty(model: keras.Sequential, strength: float) -> float:
    """Return λ Σ w² over the model's kernels that have the penalty, which Keras adds to every loss."""
    if strength == 0:
        return 0.0
    return strength * sum(float(np.square(kernel.numpy(), dtype=np.float64).sum()) for kernel in _regularized(model))


def _divergence(epoch: Epoch) -> str:
    bad = np.flatnonzero(~np.isfinite(epoch.step_losses))
    where = (
        f"from step {bad[0] + 1} of epoch {epoch.number}"
        if len(bad)
        else f"on the validation rows, epoch {epoch.number}"
    )
    return f"the loss was not finite {where}"


# --- the compiled epoch -----------------------------------------------------------------------------


def _shape_of(config: TrialConfig) -> TrialConfig:
    """Return the network and training of a config, with the values evened out that the compiled program leaves open.

    Learning rate, momentum, weight decay, L2 strength and dropout rate are variables of the program: only whether there
    is any of it at all shapes it. Trials with equal shapes share one program and compile once.
    """
    # A field that is missing here costs a compilation. One that does not belong here would train the wrong program.
    left_open = (
        "initializer", "learning_rate", "epochs", "patience", "min_delta", "validate_every", "patience_steps"
    )  # fmt: skip
    evened = {name: 0.5 if config.get(name) else 0.0 for name in ("dropout", "l2", "weight_decay")}
    if config.training.optimizer == "adamw":
        evened["weight_decay"] = 0.5  # it always decays, if only by 0
    evened["momentum"] = 0.5 if config.training.optimizer in MOMENTUM and config.training.momentum else 0.0
    return TrialConfig(network=config.network, training=config.training).replace(
        {name: FIELDS[name].default for name in left_open} | evened
    )


# All of them are kept: TensorFlow does not give back the memory of a program that is dropped. A worker that has grown
# too large is replaced between two trials.
@cache
def _program(shape: TrialConfig, rows: int, image_shape: tuple[int, int], classes: int) -> "Program":
    program = Program(shape, image_shape, classes)
    # Compiled here, by an epoch of no steps.
    nothing = np.zeros((rows, *image_shape), np.uint8), np.zeros(rows, np.int32), np.zeros(rows, np.int32), 0, 0
    program.epoch(*map(tf.constant, nothing))
    return program


class Program:
    """A network, its optimizer and one XLA program that takes both through an epoch."""

    def __init__(self, shape: TrialConfig, image_shape: tuple[int, int], classes: int):
        self.batch_size = shape.training.batch_size
        self.model = network.build(shape, image_shape, classes)
        self.optimizer = network.optimizer(shape)
        self.optimizer.build(self.model.trainable_variables)
        self.momentum, self.weight_decay = tf.Variable(0.0), tf.Variable(0.0)
        self.decays, self.optimizer.weight_decay = self.optimizer.weight_decay is not None, None  # `step` does it
        if shape.training.momentum:
            self.optimizer.momentum = _Nonzero(self.momentum)
        self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.regularized = _regularized(self.model)
        self.l2, self.dropout = tf.Variable(0.0), tf.Variable(0.0)
        self.seed = tf.Variable(0, dtype=tf.int64)
        self._image_shape, self._classes = image_shape, classes
        self._fresh_optimizer = [variable.numpy() for variable in self.optimizer.variables]

    def start(self, config: TrialConfig) -> None:
        """Prepare for a trial: set its initial weights, a fresh optimizer, its seed, and all that are variables."""
        self.model.set_weights(network.build(config, self._image_shape, self._classes).get_weights())
        for variable, value in zip(self.optimizer.variables, self._fresh_optimizer, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate.assign(config.training.learning_rate)
        self.momentum.assign(config.training.momentum)
        self.weight_decay.assign(config.training.weight_decay)
        self.l2.assign(config.network.l2)
        self.dropout.assign(config.network.dropout)
        self.seed.assign(config.seed)

    @tf.function(jit_compile=True, autograph=True)  # type: ignore[untyped-decorator]
    def epoch(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Train on the rows in `order`, from step `first` to before `last`; return all steps' losses (0 where it was
        not taken) and the hits among the rows.

        The rows that do not fill a batch are one more, shorter step. `first` and `last` are given at run time, so that
        the program can be compiled without training, and an epoch taken in stretches.
        """
        full, rest = divmod(len(order), self.batch_size)
        losses = tf.TensorArray(tf.float32, full + (rest > 0), element_shape=())
        step, hits = first, 0
        # Not `for step in tf.range(first, last)`: that would make the number of steps part of the program.
        while full and step < tf.minimum(last, full):
            rows = tf.slice(order, [step * self.batch_size], [self.batch_size])
            loss, hit = self.step(tf.gather(images, rows), tf.gather(labels, rows))
            losses, hits, step = losses.write(step, loss), hits + hit, step + 1
        if rest and last > full:
            rows = order[full * self.batch_size :]
            loss, hit = self.step(tf.gather(images, rows), tf.gather(labels, rows))
            losses, hits = losses.write(full, loss), hits + hit
        return losses.stack(), hits

    def step(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one optimizer step on a batch; return its loss before the step and the hits in it."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            values = self.forward(images)
            loss = self.loss(labels, values)
        gradients = tape.gradient(loss, variables)
        if self.regularized:
            loss += self.l2 * tf.add_n([_sum_of_squares(kernel) for kernel in self.regularized])
            # The gradient of λ Σ w², written out: 2 λ w. Derived from the sum in strips it would cost as much again.
            shrinks = {id(kernel) for kernel in self.regularized}
            gradients = [
                gradient + 2 * self.l2 * variable if id(variable) in shrinks else gradient
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        if self.decays:
            # As Keras's optimizers do it. There the decay is a constant, and XLA multiplies it with the learning rate
            # first; with a variable it would not, and the last bits would differ.
            decay = self.weight_decay * self.optimizer.learning_rate
            for variable in variables:
                variable.assign_sub(variable * decay)
        self.optimizer.apply(gradients, variables)
        predicted = tf.argmax(values, axis=-1, output_type=tf.int32)
        return loss, tf.reduce_sum(tf.cast(predicted == labels, tf.int32))

    def forward(self, values: tf.Tensor) -> tf.Tensor:
        """Return the logits of a batch in training: every layer is Keras's own, except how dropout is drawn."""
        for position, layer in enumerate(self.model.layers[:-1]):
            if isinstance(layer, keras.layers.Dropout):
                values = self._drop(values, position)
            else:
                values = layer(values, training=True)
        return values

    def _drop(self, values: tf.Tensor, position: int) -> tf.Tensor:
        # Keras's SeedGenerator inside a compiled loop is 8 times slower than no dropout at all. Philox keyed by the
        # seed, the layer and the step needs no state, and the program does not depend on the rate. 16 bits a unit cost
        # half as much as 32; the rate is then a multiple of 1/65536, and the scale is that of this very rate.
        key = tf.stack([self.seed + (position << 32), tf.cast(self.optimizer.iterations, tf.int64)])
        units = values.shape.num_elements()
        words = tf.random.stateless_uniform([-(-units // 2)], key, None, None, tf.uint32, alg="philox")
        bits = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:units], values.shape)
        dropped = tf.round(self.dropout * 65_536)
        return tf.where(bits >= tf.cast(dropped, tf.uint16), values / (1 - dropped / 65_536), 0.0)


class _Nonzero:
    """A variable that Keras's SGD, which asks whether its momentum is 0, takes for a number that is not."""

    def __init__(self, variable: tf.Variable):
        self.variable = variable

    def __ne__(self, other: object) -> bool:
        return True


tf.register_tensor_conversion_function(
    _Nonzero, lambda value, dtype=None, name=None, as_ref=False: tf.convert_to_tensor(value.variable, dtype, name=name)
)


def _regularized(model: keras.Sequential) -> list[keras.Variable]:
    """Return the kernels that have a penalty, of whatever strength."""
    dense = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    return [layer.kernel for layer in dense if layer.kernel_regularizer is not None]


def _sum_of_squares(kernel: keras.Variable, strips: int = 64) -> tf.Tensor:
    # XLA adds up on a CPU one number after the other. Adding strips to one another first uses the vector units:
    # at batch 8 the penalty's value costs a third of the epoch this way, instead of as much as the epoch.
    squares = tf.reshape(tf.square(kernel), [-1])
    even = squares.shape[0] // strips * strips
    total = tf.reduce_sum(squares[even:])
    if even:
        total += tf.reduce_sum(tf.add_n(tf.unstack(tf.reshape(squares[:even], [strips, -1]))))
    return total
