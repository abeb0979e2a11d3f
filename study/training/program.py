"""A network, its optimizer, and one compiled program that takes both through an epoch.

The stock model is called as `model.fit` calls it. Two things are done in Keras's place, whose way would cost many times
the epoch in a compiled loop: Dropout draws from Philox, and L1 and L2 penalties are added up in strips.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from study.base import xla_cache
from study.base.backend import keras, tf
from study.base.startup import stderr_without_chatter
from study.training import network
from study.training.config import TrialConfig
from study.training.network import Rows, layers_within

MOMENTUM = ("momentum", "nesterov")  # the optimizers that use one
MOST_BYTES_AT_ONCE = 64 * 2**20  # of the largest layer's output, when rows are passed through a network
MOST_ROWS_AT_ONCE = 10_000
FIRST_ROWS = 1_000  # where no layer's size is known
XLA, GRAPH = "xla", "graph"
NOT_FOR_XLA = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
_PENALTIES = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


class Program:
    """A network of some structure, its optimizer, and the compiled epoch.

    Learning rate, momentum, weight decay, dropout rates and the strengths of L1 and L2 penalties are variables of it:
    only whether there is any of them shapes it, so that many trials share one program.
    """

    def __init__(self, config: TrialConfig, model: keras.Sequential, rows: Rows):
        self.batch_size = config.training.batch_size
        self.model = model
        own = network.own_layers(model, rows, front=False)
        self._set_optimizer(config)
        self.loss = keras.losses.SparseCategoricalCrossentropy()
        self.class_weights = tf.Variable(np.ones(rows.classes, np.float32))
        self.weighted = config.training.class_weight != "none"
        self.dropouts = dropouts(own)
        self.rates = tf.Variable(np.zeros(max(1, len(self.dropouts)), np.float32))
        self._draws = Counter[int]()  # how often each has been called in the step that is traced
        self.seed = tf.Variable(0, dtype=tf.int64)
        for index, (place, layer) in enumerate(self.dropouts):
            layer.call = partial(self._drop, layer, index, place)
        self.penalized = penalized(model)
        self._strengths: list[tuple[float, float]] = []
        self.strengths = tf.Variable(np.zeros((max(1, len(self.penalized)), 2), np.float32))
        self.compiler = GRAPH if _is_better_as_graph(model) else XLA
        self._set_compiled()
        entry = model.inputs[0]
        self._answers = tf.function(
            lambda inputs: logits_of(model(inputs, training=False)), [tf.TensorSpec(entry.shape, entry.dtype)]
        )
        self._rows_at_once = rows_at_once(model)

    def _set_optimizer(self, config: TrialConfig) -> None:
        self.optimizer = network.optimizer(config)
        self.optimizer.build(self.model.trainable_variables)
        self.momentum, self.weight_decay = tf.Variable(0.0), tf.Variable(0.0)
        self.decays, self.optimizer.weight_decay = self.optimizer.weight_decay is not None, None  # `step` does it
        if config.training.optimizer in MOMENTUM and config.training.momentum:
            self.optimizer.momentum = _Nonzero(self.momentum)
        self._fresh_optimizer = [variable.numpy() for variable in self.optimizer.variables]

    def _set_compiled(self) -> None:
        self._compiled = {kind: tf.function(self._epoch, jit_compile=kind == XLA) for kind in (XLA, GRAPH)}

    def compile(self, inputs: tf.Tensor, labels: tf.Tensor) -> None:
        """Compile the epoch for data of this size, by an epoch of no steps.

        What XLA cannot compile is left as a plain graph.
        """
        nothing = inputs, labels, *map(tf.constant, (np.zeros(len(labels), np.int32), 0, 0))
        with stderr_without_chatter():
            try:
                self.epoch(*nothing)
            except tf.errors.OpError as failure:
                if xla_cache.mend():  # what was kept was damaged, and that may be why
                    self._set_compiled()
                    return self.compile(inputs, labels)
                if self.compiler == GRAPH or not isinstance(failure, NOT_FOR_XLA):
                    raise
                self.compiler = GRAPH
                self.epoch(*nothing)
        xla_cache.seal()
        return None

    def start(self, config: TrialConfig, model: keras.Sequential, class_weights: np.ndarray) -> None:
        """Prepare for a trial: set its initial weights, those of a fresh model, and all else that is a variable."""
        for variable, fresh in zip(self.model.variables, model.variables, strict=True):
            variable.assign(fresh)
        for variable, value in zip(self.optimizer.variables, self._fresh_optimizer, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate.assign(config.training.learning_rate)
        self.momentum.assign(config.training.momentum)
        self.weight_decay.assign(config.training.weight_decay)
        self.class_weights.assign(class_weights)
        self.seed.assign(config.seed)
        if found := dropouts(model.layers):
            self.rates.assign(np.array([layer.rate for _, layer in found], np.float32))
        self._strengths = [strengths(kernel) for kernel in penalized(model)]
        if self._strengths:
            self.strengths.assign(np.array(self._strengths, np.float32))

    def penalty(self) -> float:
        """Return what Keras adds to every loss for the weights as they are now, with the trial's strengths."""
        return penalty(self.model, self._strengths)

    def logits(self, inputs: tf.Tensor) -> np.ndarray:
        """Return what the network computes for `inputs` before its softmax: (n, classes)."""
        return in_parts(self._answers, inputs, self._rows_at_once)

    def epoch(self, *arguments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Train on the rows in `order`, from step `first` to before `last`; return all steps' losses (0 where it was
        not taken) and the hits among the rows. The arguments are inputs, labels, order, first and last.
        """
        found: tuple[tf.Tensor, tf.Tensor] = self._compiled[self.compiler](*arguments)
        return found

    def _epoch(
        self, inputs: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # The rows that do not fill a batch are one more, shorter step. `first` and `last` are given at run time, so
        # that the program can be compiled without training, and an epoch taken in stretches.
        full, rest = divmod(len(order), self.batch_size)
        losses = tf.TensorArray(tf.float32, full + (rest > 0), element_shape=())
        step, hits = first, 0
        # Not `for step in tf.range(first, last)`: that would make the number of steps part of the program.
        while full and step < tf.minimum(last, full):
            rows = tf.slice(order, [step * self.batch_size], [self.batch_size])
            loss, hit = self.step(tf.gather(inputs, rows), tf.gather(labels, rows))
            losses, hits, step = losses.write(step, loss), hits + hit, step + 1
        if rest and last > full:
            rows = order[full * self.batch_size :]
            loss, hit = self.step(tf.gather(inputs, rows), tf.gather(labels, rows))
            losses, hits = losses.write(full, loss), hits + hit
        return losses.stack(), hits

    def step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one optimizer step on a batch; return its loss before the step and the hits in it."""
        variables = self.model.trainable_variables
        self._draws = Counter()
        with tf.GradientTape() as tape:
            probabilities = self.model(inputs, training=True)
            loss = self.loss(labels, probabilities, tf.gather(self.class_weights, labels) if self.weighted else None)
            # What layers add themselves: penalties on their outputs, or of a kind that is not known here.
            loss += sum(other_losses(self.model), tf.constant(0.0))
        gradients = tape.gradient(loss, variables)
        if self.penalized:
            loss, gradients = self._penalize(loss, gradients, variables)
        if self.decays:
            # As Keras's optimizers do it. There the decay is a constant, and XLA multiplies it with the learning rate
            # first; with a variable it would not, and the last bits would differ.
            decay = self.weight_decay * self.optimizer.learning_rate
            for variable in variables:
                variable.assign_sub(variable * decay)
        self.optimizer.apply(gradients, variables)
        predicted = tf.argmax(logits_of(probabilities), axis=-1, output_type=tf.int32)
        return loss, tf.reduce_sum(tf.cast(predicted == labels, tf.int32))

    def _penalize(
        self, loss: tf.Tensor, gradients: list[tf.Tensor], variables: list[keras.Variable]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        places = {id(kernel): place for place, kernel in enumerate(self.penalized)}
        found = []
        for gradient, variable in zip(gradients, variables, strict=True):
            place = places.get(id(variable))
            if place is not None:
                l1, l2 = self.strengths[place, 0], self.strengths[place, 1]
                uses_l1, uses_l2 = (strength > 0 for strength in strengths(variable))
                # The gradients, written out: derived from the sum in strips they would cost as much again.
                if uses_l1:
                    loss += l1 * _in_strips(tf.abs(variable))
                    gradient += l1 * tf.sign(variable)
                if uses_l2:
                    loss += l2 * _in_strips(tf.square(variable))
                    gradient += 2 * l2 * variable
            found.append(gradient)
        return loss, found

    def _drop(
        self, layer: keras.layers.Dropout, index: int, place: int, values: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        # Keras's SeedGenerator inside a compiled loop is 8 times slower than no dropout at all. Philox keyed by the
        # seed, the layer and the step needs no state, and the program does not depend on the rate. 16 bits a unit cost
        # half as much as 32; the rate is then a multiple of 1/65536, and the scale is that of this very rate.
        if not training:
            return values
        sides = _sides_drawn(layer, values)
        units = int(np.prod(sides))
        again = self._draws[index]  # a layer that is called twice in a step draws twice
        self._draws[index] += 1
        key = tf.stack([self.seed + (place << 32) + (again << 48), tf.cast(self.optimizer.iterations, tf.int64)])
        words = tf.random.stateless_uniform([-(-units // 2)], key, None, None, tf.uint32, alg="philox")
        bits = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:units], sides)
        dropped = tf.round(self.rates[index] * 65_536)
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


# --- what a model consists of -----------------------------------------------------------------------


def dropouts(layers: list[keras.layers.Layer]) -> list[tuple[int, keras.layers.Dropout]]:
    """Return the layers that drop units at all, with their places."""
    found = ((place, layer) for place, layer in layers_within(layers) if isinstance(layer, keras.layers.Dropout))
    return [(place, layer) for place, layer in found if layer.rate > 0]


def penalized(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that have an L1 or L2 penalty of any strength."""
    return [variable for variable in model.trainable_variables if any(strengths(variable))]


def strengths(variable: keras.Variable) -> tuple[float, float]:
    """Return the strengths of the L1 and L2 penalties on a variable."""
    penalty = variable.regularizer
    if not isinstance(penalty, _PENALTIES):
        return 0.0, 0.0
    return float(getattr(penalty, "l1", 0.0)), float(getattr(penalty, "l2", 0.0))


def penalty(model: keras.Model, both: Sequence[tuple[float, float]] | None = None) -> float:
    """Return what Keras adds to every loss for a model's weights: Σ λ₁ |w| + λ₂ w², and penalties of other kinds.

    `both` are the strengths for each weight that has an L1 or L2 penalty; None means those that the model was built
    with.
    """
    kernels = penalized(model)
    both = [strengths(kernel) for kernel in kernels] if both is None else both
    total = sum(float(one.regularizer(one)) for one in model.trainable_variables if _has_other_penalty(one))
    for kernel, (l1, l2) in zip(kernels, both, strict=True):
        values = kernel.numpy().astype(np.float64)
        total += l1 * float(np.abs(values).sum()) + l2 * float(np.square(values).sum())
    return total


def other_losses(model: keras.Model) -> list[tf.Tensor]:
    """Return what a model that was just called adds to its loss, without the L1 and L2 penalties on its weights."""
    # Keras puts the losses of the weights last, one for each variable that has any regularizer.
    weighted = [variable for variable in model.trainable_variables if variable.regularizer is not None]
    losses = model.losses
    own = losses[: len(losses) - len(weighted)]
    return [*own, *(weight.regularizer(weight) for weight in weighted if _has_other_penalty(weight))]


def _has_other_penalty(variable: keras.Variable) -> bool:
    return variable.regularizer is not None and not isinstance(variable.regularizer, _PENALTIES)


def _is_better_as_graph(model: keras.Model) -> bool:
    # XLA has no fast convolution on a CPU. A plain graph, which has oneDNN's, is 10 to 60 times faster.
    kinds = (kind.__name__ for _, layer in layers_within([model]) for kind in type(layer).__mro__)
    return any("Conv" in kind for kind in kinds)


def _sides_drawn(layer: keras.layers.Dropout, values: tf.Tensor) -> tuple[int, ...]:
    """Return the shape in which a layer draws what it drops; a side of 1 is dropped as a whole."""
    sides = layer.noise_shape
    if hasattr(layer, "_get_noise_shape"):  # SpatialDropout
        sides = layer._get_noise_shape(values)
    if sides is None:
        return tuple(values.shape)
    return tuple(int(whole if side is None else side) for side, whole in zip(sides, values.shape, strict=True))


def _in_strips(values: tf.Tensor, strips: int = 64) -> tf.Tensor:
    # XLA adds up on a CPU one number after the other. Adding strips to one another first uses the vector units:
    # at batch 8 the penalty's value costs a third of the epoch this way, instead of as much as the epoch.
    values = tf.reshape(values, [-1])
    even = values.shape[0] // strips * strips
    total = tf.reduce_sum(values[even:])
    if even:
        total += tf.reduce_sum(tf.add_n(tf.unstack(tf.reshape(values[:even], [strips, -1]))))
    return total


# --- answers ----------------------------------------------------------------------------------------


def logits_of(probabilities: tf.Tensor) -> tf.Tensor:
    """Return what the softmax got that gave these probabilities; without one their logarithm, as Keras takes it."""
    found = getattr(probabilities, "_keras_logits", None)
    if found is not None:
        return found
    epsilon = keras.config.epsilon()
    return tf.math.log(tf.clip_by_value(probabilities, epsilon, 1 - epsilon))


def logits(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Return what the model computes for `inputs` before its softmax: (n, classes)."""
    return in_parts(lambda part: logits_of(model(part, training=False)), inputs, rows_at_once(model))


def in_parts(function: Callable[[tf.Tensor], tf.Tensor], inputs: np.ndarray | tf.Tensor, rows: int) -> np.ndarray:
    """Return a function's results for so many rows at a time, together."""
    firsts = range(0, max(1, len(inputs)), rows)
    return np.concatenate([function(tf.convert_to_tensor(inputs[first : first + rows])).numpy() for first in firsts])


def rows_at_once(model: keras.Model) -> int:
    """Return how many rows may be passed through a model together, so that no layer's output is too large."""
    sizes = []
    for _, layer in layers_within([model]):
        try:
            sizes.append(4 * int(np.prod([side or 1 for side in layer.output.shape])))
        except AttributeError:  # the layer has more outputs, or was never called by itself
            continue
    if not sizes:
        return FIRST_ROWS
    return int(np.clip(MOST_BYTES_AT_ONCE // max(sizes), 1, MOST_ROWS_AT_ONCE))
