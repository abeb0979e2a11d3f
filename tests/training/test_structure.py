"""Trials share a compiled program only where they compute the same."""

from study.training import network
from study.training.config import TrialConfig
from study.training.network import Rows
from study.training.networks import own_file
from study.training.structure import structure

HEAD = "import keras\nimport numpy as np\nfrom keras import layers\nfrom typing import Literal\n"


def config_of(tmp_path, text: str, **settings: object) -> TrialConfig:
    (path := tmp_path / "net.py").write_text(f"{HEAD}{text}")
    return TrialConfig.parse({"network": own_file.named(str(path)), **settings})


def text_of(config: TrialConfig) -> str:
    rows = Rows()
    return structure(config, network.build(config, rows), rows)


def test_a_function_of_ones_own_that_reads_a_hyperparameter_is_part_of_the_structure(tmp_path):
    text = """
def build(shape, classes, *, slope: float = 0.1, rate: float = 0.2):
    def act(values):
        return keras.ops.maximum(slope * values, values)
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(4, activation=act),
                             layers.Dropout(rate), layers.Dense(classes, "softmax")])
"""
    one, other = (config_of(tmp_path, text, slope=slope) for slope in (0.1, 0.5))
    assert text_of(one) != text_of(other)
    assert text_of(one) == text_of(config_of(tmp_path, text, slope=0.1, seed=2))
    (own,) = network.own_layers(network.build(one), Rows())
    assert isinstance(own, network.OwnModel)  # its file alone could not be opened


def test_a_function_with_the_name_of_one_of_keras_is_ones_own(tmp_path):
    text = """
def build(shape, classes):
    def gelu(values):
        return 0 * values
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(4, activation=gelu),
                             layers.Dense(classes, "softmax")])
"""
    (own,) = network.own_layers(network.build(config_of(tmp_path, text)), Rows())
    assert isinstance(own, network.OwnModel)


def test_names_of_layers_hide_no_setting(tmp_path):
    text = """
def build(shape, classes, *, activation: Literal["relu", "tanh"] = "relu"):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(4),
                             layers.Activation(activation, name=activation), layers.Dense(classes, "softmax")])
"""
    one, other = (config_of(tmp_path, text, activation=name) for name in ("relu", "tanh"))
    assert text_of(one) != text_of(other)


def test_constants_that_depend_on_the_seed_are_part_of_the_structure(tmp_path):
    text = """
class Masked(layers.Layer):
    def __init__(self, {argument}):
        super().__init__()
        self.mask = {mask}
    def call(self, values):
        return values * self.mask

def build(shape, classes, *, {seed}units: int = 4):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), Masked({given}), layers.Dense(classes, "softmax")])
"""
    drawn = text.format(
        argument="seed", mask="np.random.default_rng(seed).random(784) > 0.5", seed="seed: int = 0, ", given="seed"
    )
    assert text_of(config_of(tmp_path, drawn, seed=1)) != text_of(config_of(tmp_path, drawn, seed=2))
    fixed = text.format(argument="", mask="0.5", seed="", given="")
    assert text_of(config_of(tmp_path, fixed, seed=1)) == text_of(config_of(tmp_path, fixed, seed=2))
