import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import MNIST, ROOT, head

from study.base.backend import keras
from study.training import loop, network
from study.training.config import TrialConfig
from study.training.early_stopping import EarlyStopping
from study.training.loop import train
from study.training.program import Program, logits, penalty

ACTIVATIONS = ("relu", "tanh", "softsign", "gelu", "sigmoid", "elu", "selu", "silu", "leaky_relu")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")


def same_as_fit() -> list:
    """Every optimizer, activation, place of batch norm and L2 once or more; half of these are slow.

    All their pairs are in `make test-matrix`.
    """
    penalties = ((0, "none"), (1e-3, "none"), (0, "before"), (1e-3, "after"))
    product = [
        {"optimizer": optimizer, "activation": activation, "l2": l2, "batch_norm": batch_norm}
        for optimizer in OPTIMIZERS for activation in ACTIVATIONS for l2, batch_norm in penalties
    ]  # fmt: skip
    once = [
        {"optimizer": OPTIMIZERS[index % 6], "activation": ACTIVATIONS[index % 9], "batch_norm": norm, "l2": l2}
        for index, (l2, norm) in enumerate(penalties * 3)
    ]

    def marks(settings: dict) -> tuple:
        if settings in once[:6]:
            return ()
        return (pytest.mark.slow,) if settings in once else (pytest.mark.slow, pytest.mark.matrix)

    return [
        pytest.param(
            TrialConfig.parse({
                "hidden": "12-8", "epochs": 3, "batch_size": (26, 32)[(index + index // 4) % 2],
                "weight_decay": 0.01 * (settings["optimizer"] == "adamw"), **settings,
                "l2_on": "all" if settings["batch_norm"] == "after" else "hidden",
            }),
            marks=marks(settings),
            id="-".join(map(str, settings.values())),
        )
        for index, settings in enumerate(product)
    ]  # fmt: skip


def fit(config, dataset):
    """Train with Keras's own `fit`, on the same weights and in the same order; return its curves and weights."""
    model = network.build(config)
    model.compile(network.optimizer(config), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    curves = []
    for epoch in range(1, config.training.epochs + 1):
        order = loop.epoch_order(config.seed, epoch, len(dataset.train))
        history = model.fit(
            dataset.train.inputs[order],
            dataset.train.labels[order],
            batch_size=config.training.batch_size,
            shuffle=False,
            verbose=0,
            validation_data=(dataset.validation.inputs, dataset.validation.labels),
            validation_batch_size=len(dataset.validation),
        ).history
        curves.append([history[name][0] for name in ("loss", "accuracy", "val_loss", "val_accuracy")])
    return curves, model.get_weights()


@pytest.mark.parametrize("config", same_as_fit())
def test_training_reproduces_fit(config, few_digits):
    curves, weights = fit(config, few_digits)
    result = train(config, few_digits)
    ours = [[epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy] for epoch in result.epochs]
    np.testing.assert_allclose(ours, curves, atol=1e-5)
    for mine, keras_own in zip(result.weights, weights, strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [32, 128])
def test_training_reproduces_fit_on_mnist(batch_size, mnist):
    config = TrialConfig.parse({"batch_size": batch_size, "epochs": 1, "l2": 1e-4})
    curves, weights = fit(config, mnist)
    result = train(config, mnist)
    assert [result.epochs[0].loss, result.epochs[0].val_loss] == pytest.approx([curves[0][0], curves[0][2]], abs=1e-4)
    np.testing.assert_allclose(result.weights[0], weights[0], atol=2e-2)


@pytest.mark.parametrize("activation, l2_on", [("sigmoid", "all"), ("relu", "hidden")])
def test_one_step_is_the_gradient_that_numpy_finds(activation, l2_on, few_digits):
    """Softmax cross-entropy, one hidden layer and L2, derived by hand; a batch of all rows is one step of SGD."""
    rate, l2 = 0.5, 0.01
    config = TrialConfig.parse(
        {
            "hidden": "6",
            "activation": activation,
            "optimizer": "sgd",
            "learning_rate": rate,
            "l2": l2,
            "l2_on": l2_on,
            "batch_size": 260,
            "epochs": 1,
        }
    )
    w1, b1, w2, b2 = (weights.astype(np.float64) for weights in network.build(config).get_weights())
    x = few_digits.train.inputs.reshape(260, -1) / 255
    y = np.eye(10)[few_digits.train.labels]
    on_output = l2_on == "all"

    before = x @ w1 + b1
    hidden = 1 / (1 + np.exp(-before)) if activation == "sigmoid" else np.maximum(before, 0)
    slope = hidden * (1 - hidden) if activation == "sigmoid" else before > 0
    scores = hidden @ w2 + b2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log((probabilities * y).sum(axis=1)).mean() + l2 * ((w1**2).sum() + on_output * (w2**2).sum())
    at_scores = (probabilities - y) / 260
    at_before = at_scores @ w2.T * slope
    gradients = (
        x.T @ at_before + 2 * l2 * w1,
        at_before.sum(axis=0),
        hidden.T @ at_scores + 2 * l2 * on_output * w2,
        at_scores.sum(axis=0),
    )

    result = train(config, few_digits)
    assert result.epochs[0].loss == pytest.approx(loss, abs=1e-5)
    for mine, start, gradient in zip(result.weights, (w1, b1, w2, b2), gradients, strict=True):
        np.testing.assert_allclose(mine, start - rate * gradient, atol=1e-6)


RECIPE = TrialConfig.parse(
    {"hidden": "12", "dropout": 0.2, "l2": 1e-4, "batch_size": 32, "epochs": 3, "learning_rate": 0.003}
)


def bits(result):
    return [array.tobytes() for array in result.weights] + [epoch.step_losses.tobytes() for epoch in result.epochs]


def test_same_config_gives_same_bits_whatever_was_trained_before(few_digits):
    first = bits(train(RECIPE, few_digits))
    train(RECIPE.replace({"learning_rate": 0.1, "seed": 9, "dropout": 0.5}), few_digits)
    train(RECIPE.replace({"optimizer": "momentum"}), few_digits)
    assert bits(train(RECIPE, few_digits)) == first
    assert bits(train(RECIPE.replace({"seed": 2}), few_digits)) != first


def test_same_config_gives_same_bits_in_another_process(digits):
    program = (
        "import hashlib, test_loop as t; from study.data.dataset import load_dataset;"
        "from study.training.loop import train;"
        "print(hashlib.sha256(b''.join(t.bits(train(t.RECIPE, load_dataset('digits'))))).hexdigest())"
    )
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}{os.pathsep}{ROOT / 'tests' / 'training'}"
    }
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert other.stdout.strip() == hashlib.sha256(b"".join(bits(train(RECIPE, digits)))).hexdigest()


def test_next_trial_of_the_same_shape_compiles_nothing(few_digits):
    config = TrialConfig.parse({"hidden": "11", "dropout": 0.1, "l2": 1e-3, "batch_size": 26, "epochs": 1})
    train(config, few_digits)
    programs = len(loop._PROGRAMS)
    others = {"learning_rate": 0.02, "dropout": 0.4, "l2": 1e-5, "momentum": 0.5, "seed": 3, "epochs": 2}
    train(config.replace(others), few_digits)
    assert len(loop._PROGRAMS) == programs
    program = list(loop._PROGRAMS.values())[-1]
    assert program._compiled[program.compiler].experimental_get_tracing_count() == 1


def test_momentum_and_decay_are_no_constants_of_the_program(few_digits):
    config = TrialConfig.parse({"hidden": "none", "optimizer": "nesterov", "momentum": 0.3, "weight_decay": 1e-3})
    settings = [{}, {"momentum": 0.8}, {"weight_decay": 0.1}]
    first = len(loop._PROGRAMS)
    losses = [train(config.replace({"epochs": 1} | own), few_digits).epochs[0].val_loss for own in settings]
    assert len(set(losses)) == 3 and len(loop._PROGRAMS) == first + 1
    loop._PROGRAMS.clear()
    assert train(config.replace({"epochs": 1} | settings[2]), few_digits).epochs[0].val_loss == losses[2]


def test_rate_strength_and_dropout_reach_the_program(few_digits):
    losses = {
        name: train(RECIPE.replace({name: value}), few_digits).epochs[-1].loss
        for name, value in (("seed", 1), ("learning_rate", 0.03), ("l2", 0.01), ("dropout", 0.6))
    }
    assert len(set(losses.values())) == 4


def test_dropout_keeps_the_mean_and_draws_anew_each_step(few_digits):
    config = TrialConfig.parse({"hidden": "50", "dropout": 0.3, "batch_size": 26})
    model = network.build(config)
    program = Program(config, model, network.Rows())
    program.start(config, model, np.ones(10))
    ones = np.ones((400, 50), np.float32)
    (place, layer), *_ = program.dropouts
    assert place == 4  # among the layers of the network's own function

    def drop(place):
        return program._drop(layer, 0, place, loop.tf.constant(ones), training=True).numpy()

    drawn = drop(4)
    assert np.unique(drawn).tolist() == pytest.approx([0, 1 / (1 - round(0.3 * 65_536) / 65_536)], rel=1e-6)
    assert (drawn == 0).mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / ones.size))
    assert not np.array_equal(drawn, drop(7))
    program.optimizer.iterations.assign(1)
    assert not np.array_equal(drawn, drop(4))


def test_step_losses_are_the_noise_of_the_gradient(few_digits):
    epoch = train(RECIPE, few_digits).epochs[0]
    assert epoch.step_losses.shape == (9,)  # 8 batches of 32 rows and one of 4
    assert epoch.loss == pytest.approx(np.average(epoch.step_losses, weights=[32] * 8 + [4]))


@pytest.mark.parametrize("every", [1, 4, 9, 100])
def test_an_epoch_taken_in_stretches_gives_the_same_bits(every, few_digits):
    whole, parts = (train(config, few_digits) for config in (RECIPE, RECIPE.replace({"validate_every": every})))
    assert bits(parts) == bits(whole)
    assert [epoch.val_losses for epoch in whole.epochs] == [(), (), ()]
    for one, other in zip(parts.epochs, whole.epochs, strict=True):
        assert (one.loss, one.accuracy, one.val_loss) == (other.loss, other.accuracy, other.val_loss)
        steps = [step for step, _ in one.val_losses]
        assert steps == sorted({*range(every, 9, every), 9})  # nine steps an epoch
        assert one.val_losses[-1] == (9, one.val_loss)


def test_patience_in_steps_ends_a_training_within_an_epoch(few_digits):
    # No val_loss falls by 10: the first look is the best, and the third comes six steps later.
    patient = {"validate_every": 3, "patience_steps": 5, "min_delta": 10.0, "epochs": 9}
    result = train(RECIPE.replace(patient), few_digits)
    assert (result.state, len(result.epochs), result.model_epoch) == ("complete", 1, 1)
    (epoch,) = result.epochs
    assert [step for step, _ in epoch.val_losses] == [3, 6, 9]
    later = train(RECIPE.replace(patient | {"validate_every": 2, "patience_steps": 10}), few_digits)
    assert [[step for step, _ in epoch.val_losses] for epoch in later.epochs] == [[2, 4, 6, 8, 9], [2, 4]]
    short = later.epochs[1]
    assert short.step_losses.shape == (4,)
    assert short.loss == pytest.approx(short.step_losses.mean())
    whole = train(RECIPE.replace({"epochs": 2}), few_digits)
    assert whole.epochs[1].step_losses[:4].tobytes() == short.step_losses.tobytes()


def test_val_cross_entropy_is_the_loss_without_its_penalty(few_digits):
    result = train(RECIPE.replace({"l2": 0.01}), few_digits)
    model = network.build(RECIPE.replace({"l2": 0.01}))
    model.set_weights(result.weights)
    first_kernel = result.weights[0].astype(np.float64)
    assert penalty(model) == pytest.approx(0.01 * (first_kernel**2).sum())
    last = result.epochs[-1]
    assert last.val_loss - last.val_cross_entropy == pytest.approx(penalty(model), rel=1e-6)
    plain = train(RECIPE.replace({"l2": 0.0}), few_digits).epochs[-1]
    assert plain.val_loss == plain.val_cross_entropy


def test_order_is_a_new_permutation_every_epoch_and_seed():
    orders = [loop.epoch_order(seed, epoch, 50) for seed, epoch in ((1, 1), (1, 2), (2, 1))]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 3


@pytest.mark.parametrize(("patience", "min_delta"), [(0, 0.0), (1, 0.0), (2, 0.05), (3, 0.0)])
def test_early_stopping_stops_and_restores_where_keras_does(patience, min_delta):
    losses = [1.0, 0.9, 0.95, 0.88, 0.97, 0.96, 0.95, 0.99, 0.5]
    keras_own = keras.callbacks.EarlyStopping(
        "val_loss", patience=patience, min_delta=min_delta, restore_best_weights=True, mode="min"
    )
    model = network.build(TrialConfig.parse({"hidden": "none"}))
    keras_own.set_model(model)
    keras_own.on_train_begin()
    model.stop_training = False
    ours = EarlyStopping(patience, min_delta)
    for number, loss in enumerate(losses, start=1):
        keras_own.on_epoch_end(number - 1, {"val_loss": loss})
        ours.update(number, loss, model.get_weights)
        assert ours.stop == model.stop_training
        if ours.stop:
            break
    assert ours.kept_epoch == keras_own.best_epoch + 1


def test_early_stopping_keeps_the_weights_of_the_best_epoch(few_digits):
    config = TrialConfig.parse({"hidden": "64", "learning_rate": 0.02, "batch_size": 26, "epochs": 40, "patience": 2})
    stopped = train(config, few_digits)
    assert stopped.best_epoch == stopped.model_epoch == len(stopped.epochs) - 2 < 38
    until_best = train(config.replace({"epochs": stopped.best_epoch, "patience": None}), few_digits)
    assert [weights.tobytes() for weights in stopped.weights] == [weights.tobytes() for weights in until_best.weights]


def test_without_patience_the_last_epoch_is_the_model(few_digits):
    result = train(
        TrialConfig.parse({"hidden": "64", "learning_rate": 0.05, "batch_size": 26, "epochs": 12}), few_digits
    )
    assert result.model_epoch == len(result.epochs) == 12
    assert result.best_epoch == min(result.epochs, key=lambda epoch: epoch.val_loss).number


@pytest.mark.parametrize("patience", [None, 5])
def test_the_best_epoch_is_the_lowest_whatever_min_delta_says(few_digits, patience):
    # Every epoch is better than the one before it, and none by as much as min_delta.
    config = {"hidden": "16", "batch_size": 26, "epochs": 4, "min_delta": 10.0, "patience": patience}
    result = train(TrialConfig.parse(config), few_digits)
    losses = [epoch.val_loss for epoch in result.epochs]
    assert result.best_epoch == 1 + int(np.argmin(losses)) == 4
    assert result.model_epoch == (1 if patience else 4)


def test_from_zeros_the_kernels_never_leave_zero_and_one_class_is_predicted(few_digits):
    result = train(
        TrialConfig.parse({"hidden": "8", "initializer": "zeros", "batch_size": 26, "epochs": 3}), few_digits
    )
    assert all(not weights.any() for weights in result.weights if weights.ndim == 2)
    assert result.weights[-1].any()  # the last biases learn how frequent the classes are
    counts = np.bincount(few_digits.validation.labels)
    assert result.epochs[-1].val_accuracy * len(few_digits.validation) in counts


def test_diverged_trial_ends_with_its_curve(few_digits):
    result = train(TrialConfig.parse({"optimizer": "sgd", "learning_rate": 1e20, "l2": 0.1, "epochs": 5}), few_digits)
    assert result.state == "diverged"
    assert "not finite from step" in result.reason
    assert 1 <= len(result.epochs) < 5


def test_on_epoch_sees_every_epoch_and_can_end_the_trial(few_digits):
    seen = []
    result = train(RECIPE, few_digits, lambda epoch: seen.append(epoch.number) or epoch.number == 2)
    assert seen == [1, 2]
    assert (result.state, len(result.epochs)) == ("pruned", 2)


def test_last_batch_of_one_row_and_batch_larger_than_the_data(few_digits):
    odd = replace(few_digits, train=head(few_digits.train, 53))
    for batch_size, steps in ((26, 3), (500, 1), (1, 53)):
        result = train(TrialConfig.parse({"hidden": "8", "batch_size": batch_size, "epochs": 1}), odd)
        assert result.epochs[0].step_losses.shape == (steps,)


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.exists(), reason=f"needs real MNIST, which is not at {MNIST}")
def test_mnist_is_learned_as_well_as_it_should_be(mnist):
    result = train(TrialConfig.parse({"batch_size": 64, "epochs": 5}), mnist)
    model = network.build(TrialConfig())
    model.set_weights(result.weights)
    predicted = logits(model, mnist.test.inputs).argmax(axis=1)
    assert 0.970 < (predicted == mnist.test.labels).mean() < 0.980
