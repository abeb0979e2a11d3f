import numpy as np
import pytest

from study.training import network
from study.training.config import TrialConfig


def kinds(**settings):
    return [type(layer).__name__ for layer in network.build(TrialConfig.parse(settings)).layers]


def test_layers_stand_in_the_order_that_the_config_names():
    assert kinds(hidden="16-8", dropout=0.1) == [
        "Rescaling", "Reshape", "Flatten",
        "Dense", "Activation", "Dropout",
        "Dense", "Activation", "Dropout",
        "Dense", "Activation",
    ]  # fmt: skip
    assert kinds(batch_norm="before")[3:6] == ["Dense", "BatchNormalization", "Activation"]
    assert kinds(batch_norm="after")[3:6] == ["Dense", "Activation", "BatchNormalization"]
    assert kinds(hidden="none") == ["Rescaling", "Reshape", "Flatten", "Dense", "Activation"]


def test_output_is_probabilities_of_raw_pixels(digits):
    probabilities = network.build(TrialConfig())(digits.test.inputs[:7]).numpy()
    assert probabilities.shape == (7, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_parameters_of_the_baseline_are_those_of_784_128_10():
    assert network.build(TrialConfig()).count_params() == 784 * 128 + 128 + 128 * 10 + 10


def test_initial_weights_depend_on_the_seed_alone():
    def weights(**settings):
        return network.build(TrialConfig.parse(settings)).get_weights()

    first, same, other = weights(), weights(dropout=0.2, learning_rate=0.5, l2=0.1), weights(seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_layers_of_one_network_start_from_different_numbers():
    weights = network.build(TrialConfig.parse({"hidden": "784", "initializer": "random_normal"})).get_weights()
    assert not np.array_equal(weights[0][:, :10], weights[2])


@pytest.mark.parametrize("l2_on, strengths", [("hidden", [0.01, 0.01, 0]), ("all", [0.01, 0.01, 0.01])])
def test_the_kernels_that_l2_on_names_and_no_bias_are_regularized(l2_on, strengths):
    layers = network.build(TrialConfig.parse({"hidden": "8-8", "l2": 0.01, "l2_on": l2_on})).layers
    dense = [layer for layer in layers if type(layer).__name__ == "Dense"]
    found = [float(layer.kernel_regularizer.l2) if layer.kernel_regularizer else 0 for layer in dense]
    assert found == pytest.approx(strengths)
    assert all(layer.bias_regularizer is None for layer in dense)


def test_raw_pixels_reach_the_first_layer_as_they_are(digits):
    images = digits.test.inputs[:3]
    raw, scaled = (network.build(TrialConfig.parse({"pixels": pixels})).layers[0] for pixels in ("raw", "scaled"))
    np.testing.assert_array_equal(raw(images).numpy(), images.astype(np.float32))
    np.testing.assert_allclose(scaled(images).numpy() * 255, images, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("sgd", "SGD", {"momentum": 0.0, "nesterov": False}),
        ("momentum", "SGD", {"momentum": 0.8, "nesterov": False}),
        ("nesterov", "SGD", {"momentum": 0.8, "nesterov": True}),
        ("rmsprop", "RMSprop", {"momentum": 0.0}),
        ("adam", "Adam", {"beta_1": 0.9, "beta_2": 0.999}),
        ("adamw", "AdamW", {"weight_decay": 0.02}),
    ],
)
def test_optimizers_are_keras_own(name, kind, expected):
    decay = 0.02 if name == "adamw" else 0
    optimizer = network.optimizer(
        TrialConfig.parse({"optimizer": name, "learning_rate": 0.3, "momentum": 0.8, "weight_decay": decay})
    )
    settings = optimizer.get_config()
    assert type(optimizer).__name__ == kind
    assert {key: settings[key] for key in expected} == pytest.approx(expected)
    assert settings["learning_rate"] == pytest.approx(0.3)


def test_adamw_decays_by_keras_default_and_the_others_do_not():
    def decay(**settings):
        return network.optimizer(TrialConfig.parse(settings)).weight_decay

    assert decay(optimizer="adamw") == network.keras.optimizers.AdamW().weight_decay == 0.004
    assert decay(optimizer="adamw", weight_decay=0) == 0
    assert not any(decay(optimizer=name) for name in ("sgd", "momentum", "nesterov", "rmsprop", "adam"))
    assert TrialConfig().replace({"optimizer": "adamw"}).training.weight_decay == 0.004  # an arm that says no more


def test_he_fan_out_divides_by_the_units_and_not_by_the_inputs():
    first, _, second, *_ = network.build(
        TrialConfig.parse({"initializer": "he_fan_out", "hidden": "20-200"})
    ).get_weights()
    assert (first.std(), second.std()) == pytest.approx(((2 / 20) ** 0.5, (2 / 200) ** 0.5), rel=0.03)
    again = network.build(TrialConfig.parse({"initializer": "he_fan_out", "hidden": "20-200", "seed": 2}))
    assert not np.array_equal(first, again.get_weights()[0])


def test_small_normal_weights_have_an_sd_of_a_hundredth():
    kernel = network.build(TrialConfig.parse({"initializer": "small_normal"})).get_weights()[0]
    assert kernel.std() == pytest.approx(0.01, rel=0.02)
    assert abs(kernel.mean()) < 1e-4
    other = network.build(TrialConfig.parse({"initializer": "small_normal", "seed": 2})).get_weights()[0]
    assert not np.array_equal(kernel, other)
