"""How a network is trained: one compiled program an epoch, around stock Keras layers, loss and optimizer.

`model.fit` goes back to Python after every batch. Here the loop over the batches of an epoch is part of the compiled
program, which makes an epoch 4 to 18 times faster (docs/lab-log.md) and computes the same numbers. Everything that
happens once an epoch (validation, early stopping, pruning) is ordinary Python.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from study.base.backend import keras, tf
from study.data.dataset import SPLITS, Dataset
from study.training import network
from study.training.config import TrialConfig
from study.training.early_stopping import EarlyStopping, Plateau, lowest
from study.training.metrics import evaluate
from study.training.network import Rows
from study.training.program import Program
from study.training.structure import structure


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
    before the first epoch; `train_seconds` that of the epochs. `compiler` is ``xla``, or ``graph`` for networks with
    convolutions and what XLA cannot compile. If it is complete, `model` is the network with these weights, for rows
    that are not scaled, and `logits` has what it computes before its softmax, (n, classes) for each split with rows.
    """

    state: str
    reason: str | None
    epochs: tuple[Epoch, ...]
    best_epoch: int
    model_epoch: int
    weights: list[np.ndarray]
    compile_seconds: float
    train_seconds: float
    compiler: str = "xla"
    model: keras.Model | None = None
    logits: Mapping[str, np.ndarray] = field(default_factory=dict)


def train(
    config: TrialConfig, dataset: Dataset, on_epoch: Callable[[Epoch], bool | None] = lambda epoch: None
) -> TrialResult:
    """Train the config's network on `dataset.train` and return the outcome; nothing depends on the test rows.

    `on_epoch` is called after every epoch and ends the training by returning True. The same config and data give
    the same bits on one machine, whatever was trained before in this process.
    """
    clock = time.perf_counter()
    rows, training, validation = Rows.of(dataset), _resident(dataset, "train"), _resident(dataset, "validation")
    program, fresh = _started(config, rows, training)
    compile_seconds = time.perf_counter() - clock

    epochs: list[Epoch] = []
    limits = config.training
    stopping = EarlyStopping(limits.patience, limits.min_delta)
    plateau = Plateau(limits.patience_steps, limits.min_delta)
    state, reason = "complete", None
    while state == "complete" and len(epochs) < limits.epochs and not (stopping.stop or plateau.stop):
        epoch = _take_epoch(program, config, training, validation, len(epochs) + 1, plateau)
        epochs.append(epoch)
        stopping.update(epoch.number, epoch.val_loss, program.model.get_weights)
        if not (np.isfinite(epoch.step_losses).all() and np.isfinite(epoch.val_loss)):
            state, reason = "diverged", _divergence(epoch)
        if on_epoch(epoch) and state == "complete":
            state, reason = "pruned", f"stopped after epoch {epoch.number}"

    weights = stopping.kept_weights or program.model.get_weights()
    model, outputs = None, {}
    if state == "complete":
        model = fresh if rows.mean is None else network.build(config, rows)
        model.set_weights(weights)
        outputs = _logits(program, weights, dataset)
    return TrialResult(
        state=state,
        reason=reason,
        epochs=tuple(epochs),
        best_epoch=1 + lowest([epoch.val_loss for epoch in epochs]),
        model_epoch=stopping.kept_epoch or len(epochs),
        weights=weights,
        compile_seconds=compile_seconds,
        train_seconds=sum(epoch.seconds for epoch in epochs),
        compiler=program.compiler,
        model=model,
        logits=outputs,
    )


class _Resident(NamedTuple):
    """Rows of a split as the network gets them, and their labels (n,), in TensorFlow's memory."""

    inputs: tf.Tensor
    labels: tf.Tensor


@lru_cache(maxsize=len(SPLITS))  # a worker trains many trials on one dataset
def _resident(dataset: Dataset, name: str) -> _Resident:
    rows = getattr(dataset, name)
    return _Resident(tf.constant(Rows.of(dataset).scaled(rows.inputs)), tf.constant(rows.labels))


def _logits(program: Program, weights: list[np.ndarray], dataset: Dataset) -> dict[str, np.ndarray]:
    program.model.set_weights(weights)
    return {name: program.logits(_resident(dataset, name).inputs) for name in dataset.splits}


def _take_epoch(
    program: Program, config: TrialConfig, rows: _Resident, validation: _Resident, number: int, plateau: Plateau
) -> Epoch:
    clock = time.perf_counter()
    order = epoch_order(config.seed, number, len(rows.labels))
    sizes = _rows_by_step(len(order), config.training.batch_size)
    step_losses, hits, val_losses = np.empty(0, np.float32), 0, []
    for first, last in _stretches(len(sizes), config.training.validate_every):
        losses, hit = program.epoch(*rows, *map(tf.constant, (order, first, last)))
        step_losses, hits = np.append(step_losses, losses.numpy()[first:last]), hits + int(hit)
        scores = evaluate(program.logits(validation.inputs), validation.labels.numpy())
        val_loss = scores.loss + program.penalty()
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
        val_accuracy=scores.accuracy,
        val_cross_entropy=scores.loss,
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


def _divergence(epoch: Epoch) -> str:
    bad = np.flatnonzero(~np.isfinite(epoch.step_losses))
    where = (
        f"from step {bad[0] + 1} of epoch {epoch.number}"
        if len(bad)
        else f"on the validation rows, epoch {epoch.number}"
    )
    return f"the loss was not finite {where}"


# --- programs ---------------------------------------------------------------------------------------

# By their structure, and the size of the data. All of them are kept: TensorFlow does not give back the memory of a
# program that is dropped. A worker that has grown too large is replaced between two trials.
_PROGRAMS: dict[tuple[str, tuple[int, ...]], Program] = {}


def _started(config: TrialConfig, rows: Rows, training: _Resident) -> tuple[Program, keras.Sequential]:
    """Return the program of the config's structure, compiled if this process has none yet, and ready for this trial.

    With it comes the fresh network from which it starts.
    """
    model = network.build(config, rows, front=False)
    key = structure(config, model, rows), tuple(training.inputs.shape)
    if key not in _PROGRAMS:
        program = Program(config, model, rows)
        program.compile(*training)
        _PROGRAMS[key] = program
    _PROGRAMS[key].start(config, model, class_weights(config, training.labels.numpy(), rows.classes))
    return _PROGRAMS[key], model


def class_weights(config: TrialConfig, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the weight of each class in the loss (classes,): 1, or n / (classes · n of the class) where balanced."""
    weights = np.ones(classes, np.float32)
    if config.training.class_weight == "balanced":
        counts = np.bincount(labels, minlength=classes)
        weights[counts > 0] = len(labels) / (np.count_nonzero(counts) * counts[counts > 0])
    return weights
