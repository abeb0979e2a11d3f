import numpy as np
import pytest

from study.training import diagnostics, network
from study.training.config import TrialConfig


def images(count: int, value: int = 0) -> np.ndarray:
    return np.full((count, 28, 28), value, np.uint8)


def model_with(activation: str, kernel: np.ndarray, bias: np.ndarray):
    model = network.build(TrialConfig.parse({"hidden": str(len(bias)), "activation": activation}))
    weights = model.get_weights()
    model.set_weights([kernel, bias, *weights[2:]])
    return model


def test_weights_are_numpys_numbers_from_input_to_output():
    model = network.build(TrialConfig.parse({"hidden": "20-7", "batch_norm": "after"}))
    found = diagnostics.weights(model)
    assert [(one.layer, one.shape) for one in found] == [
        ("hidden_1", (784, 20)), ("hidden_2", (20, 7)), ("logits", (7, 10)),
    ]  # fmt: skip
    kernels = [weights for weights in model.get_weights() if weights.ndim == 2]
    for one, kernel in zip(found, kernels, strict=True):
        expected = (kernel.mean(), kernel.std(), kernel.min(), kernel.max(), np.linalg.norm(kernel))
        assert (one.mean, one.sd, one.least, one.most, one.norm) == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("config, count", [
    (TrialConfig.parse({"hidden": "128"}), 784 * 128 + 128 + 1_290),
    (TrialConfig.parse({"hidden": "none"}), 7_850),
    (TrialConfig.parse({"hidden": "5", "batch_norm": "after"}), 784 * 5 + 5 + 2 * 5 + 60),  # without moving averages
    (TrialConfig.parse({"hidden": "5", "batch_norm": "before"}), 784 * 5 + 2 * 5 + 60),
])  # fmt: skip
def test_parameters_are_those_that_are_learned(config, count):
    assert diagnostics.parameters(network.build(config)) == count


def test_a_relu_below_zero_is_saturated_and_dead_where_every_image_finds_it_there():
    # Unit 0 is always on, unit 1 never, unit 2 for the white images only; a black image gives the biases alone.
    kernel = np.zeros((784, 3), np.float32)
    kernel[:, 2] = 1.0
    model = model_with("relu", kernel, np.array([1.0, -1.0, -1.0], np.float32))
    (layer,) = diagnostics.activity(model, np.concatenate([images(3), images(1, 255)]))
    assert layer.layer == "activation_1"
    assert layer.dead == pytest.approx(1 / 3)
    assert layer.saturated == pytest.approx((0 + 4 + 3) / 12)


@pytest.mark.parametrize("activation, edge", [
    ("tanh", np.arctanh(np.sqrt(0.95))),  # 1 − tanh² = 0.05
    ("softsign", 1 / np.sqrt(0.05) - 1),  # 1 / (1 + |z|)² = 0.05
    ("sigmoid", -np.log((1 - np.sqrt(0.95)) / (1 + np.sqrt(0.95)))),  # s(1 − s) = 0.05 / 4
])  # fmt: skip
def test_a_bounded_activation_is_saturated_where_its_slope_is_below_a_twentieth_of_the_steepest(activation, edge):
    biases = np.array([edge - 0.01, edge + 0.01, -edge + 0.01, -edge - 0.01], np.float32)
    model = model_with(activation, np.zeros((784, 4), np.float32), biases)
    (layer,) = diagnostics.activity(model, images(2))
    assert layer.saturated == layer.dead == 0.5


def test_without_hidden_layers_there_is_no_activity():
    assert diagnostics.activity(network.build(TrialConfig.parse({"hidden": "none"})), images(1)) == []
