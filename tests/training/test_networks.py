"""Networks as functions: their signatures, their errors, and that the compiled epoch takes any of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from factories import own_networks

from study.base import keras_file
from study.base.backend import from_bytes, keras
from study.base.errors import ConfigError
from study.training import loop, network, program
from study.training.config import TrialConfig
from study.training.networks import described, own_file
from study.training.networks.network import Network, find, make_parameter

NETWORKS = Path(own_networks.__file__)
SETTINGS = {"epochs": 3, "batch_size": 32}
# Name, settings, and whether the epoch is compiled by XLA or left a graph.
EACH = [
    ("mlp", {}, "xla"), ("cnn", {"dropout": 0, "filters": "4-8", "dense": "16"}, "graph"), ("residual", {}, "graph"),
    ("separable", {}, "graph"), ("lstm", {}, "xla"), ("transformer", {}, "graph"), ("subclassed", {}, "xla"),
    ("penalized", {"l1": 1e-4, "l2": 1e-3}, "xla"),
]  # fmt: skip
QUICK = ("mlp", "cnn", "residual", "lstm")  # with all that differs: both compilers, branches, a recurrent layer


def named(name):
    return name if name in ("mlp", "cnn") else own_file.named(f"{NETWORKS}:{name}")


def config_of(name, settings):
    return TrialConfig.parse({"network": named(name), **SETTINGS, **settings})


@pytest.mark.parametrize(
    ("name", "settings", "compiler"),
    [pytest.param(*each, id=each[0], marks=() if each[0] in QUICK else pytest.mark.slow) for each in EACH],
)
def test_any_network_is_trained_to_the_numbers_of_fit(name, settings, compiler, few_digits):
    config = config_of(name, settings)
    model = network.build(config, network.Rows.of(few_digits))
    model.compile(network.optimizer(config), "sparse_categorical_crossentropy", jit_compile=False)
    ours = loop.train(config, few_digits)
    for epoch in ours.epochs:
        order = loop.epoch_order(config.seed, epoch.number, len(few_digits.train))
        history = model.fit(
            few_digits.train.inputs[order], few_digits.train.labels[order], batch_size=32, shuffle=False, verbose=0,
            validation_data=(few_digits.validation.inputs, few_digits.validation.labels), validation_batch_size=500,
        ).history  # fmt: skip
        assert [epoch.loss, epoch.val_loss] == pytest.approx([history["loss"][0], history["val_loss"][0]], abs=1e-5)
    assert ours.compiler == compiler
    last = ours.epochs[-1]
    assert last.val_loss - last.val_cross_entropy == pytest.approx(program.penalty(model), abs=1e-5)
    for mine, keras_own in zip(ours.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-4)


@pytest.mark.parametrize(("name", "settings"), [
    ("augmented", {}), ("dropping", {"dropout": 0.4}), pytest.param("lstm", {}, marks=pytest.mark.slow),
])  # fmt: skip
def test_what_is_drawn_in_a_network_depends_on_the_seed_alone(name, settings, few_digits):
    config = config_of(name, settings)
    first = loop.train(config, few_digits).weights
    loop.train(config.replace({"seed": 5, "learning_rate": 0.1}), few_digits)
    again = loop.train(config, few_digits).weights
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], loop.train(config.replace({"seed": 2}), few_digits).weights[0])


def test_rates_and_strengths_of_stock_layers_are_variables_of_one_program(few_digits):
    config = config_of("dropping", {"dropout": 0.2, "l2": 1e-3})
    loop.train(config, few_digits)
    before = len(loop._PROGRAMS)
    losses = {
        str(own): loop.train(config.replace(own), few_digits).epochs[-1].loss
        for own in ({}, {"dropout": 0.6}, {"l2": 0.1}, {"learning_rate": 0.01}, {"seed": 2})
    }
    assert len(set(losses.values())) == 5 and len(loop._PROGRAMS) == before
    loop.train(config.replace({"units": 9}), few_digits)
    loop.train(config.replace({"dropout": 0}), few_digits)
    assert len(loop._PROGRAMS) == before + 2


def test_layers_of_ones_own_share_no_program(few_digits):
    for settings in ({"scale": 1.0}, {"scale": 2.0}):  # nothing in the model's configuration tells them apart
        loop.train(config_of("scaled", settings), few_digits)
    first, second = list(loop._PROGRAMS.values())[-2:]
    assert first is not second


def test_moving_averages_are_those_of_the_best_epoch(few_digits):
    config = config_of("normalized", {"patience": 2, "epochs": 30, "learning_rate": 0.05})
    stopped = loop.train(config, few_digits)
    assert stopped.model_epoch < len(stopped.epochs)
    until_best = loop.train(config.replace({"epochs": stopped.model_epoch, "patience": "none"}), few_digits)
    assert [values.tobytes() for values in stopped.weights] == [values.tobytes() for values in until_best.weights]


def test_what_xla_cannot_compile_is_left_a_graph(few_digits):
    assert loop.train(config_of("printing", {}), few_digits).compiler == program.GRAPH


def test_features_are_scaled_by_their_training_rows_in_the_saved_network():
    from study.data.dataset import load_dataset

    wine = load_dataset("wine")
    config = TrialConfig.parse({"hidden": "8", "epochs": 20, "learning_rate": 0.01})
    result = loop.train(config, wine)
    assert result.epochs[-1].val_accuracy > 0.85
    model = network.build(config, network.Rows.of(wine))
    model.set_weights(result.weights)
    inner = network.build(config, network.Rows.of(wine), front=False)
    inner.set_weights(result.weights)
    scaled = network.Rows.of(wine).scaled(wine.test.inputs)
    assert np.abs(scaled.mean(axis=0)).max() < 1 and wine.train.inputs.mean() > 10
    np.testing.assert_allclose(
        program.logits(model, wine.test.inputs), program.logits(inner, scaled), rtol=1e-4, atol=1e-4
    )


def test_balanced_classes_count_the_same(few_digits):
    labels = np.array([0] * 30 + [1] * 10, np.int32)
    config = TrialConfig.parse({"class_weight": "balanced"})
    np.testing.assert_allclose(loop.class_weights(config, labels, 3), [40 / 60, 2, 1])
    assert loop.class_weights(TrialConfig(), labels, 3).tolist() == [1, 1, 1]
    few = replace(few_digits, train=few_digits.train.take(few_digits.train.labels < 2))
    balanced, plain = (
        loop.train(TrialConfig.parse({"epochs": 1, "class_weight": word}), few).epochs[0].loss
        for word in ("balanced", "none")
    )
    assert balanced != plain


@pytest.mark.parametrize("name", [name for name, *_ in EACH])
def test_a_model_file_holds_every_network(name, tmp_path):
    model = network.build(config_of(name, {}))
    model.save(path := tmp_path / "model.keras")
    own = {"OwnModel": network.OwnModel, "study>OwnModel": network.OwnModel}
    opened = from_bytes(path.read_bytes(), custom_objects=own)
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    np.testing.assert_allclose(np.asarray(opened(images)), np.asarray(model(images)), atol=1e-6)


# --- signatures -------------------------------------------------------------------------------------


def written(tmp_path, text, name="net.py"):
    (path := tmp_path / name).write_text(f"import keras\nfrom typing import Annotated, Literal\n{text}\n")
    return path


def test_parameters_are_fields_in_text_and_back(tmp_path):
    text = (
        "from pydantic import Field\n"
        "def build(shape, classes, *, filters: int = 32, kernel: Literal[3, 5] = 3, wide: bool = False,"
        " rate: Annotated[float, Field(ge=0, lt=1)] = 0.25, kind: str = 'a-b', most: int | None = None, plain=0.5):\n"
        "    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(classes, 'softmax')])"
    )
    name = own_file.named(str(written(tmp_path, text)))
    typed = {
        "network": name, "filters": "64", "kernel": "5", "wide": "true", "rate": "0.5", "kind": "c", "most": "7",
        "plain": "1",
    }  # fmt: skip
    config = TrialConfig.parse(typed)
    assert dict(config.network.settings) == {
        "filters": 64, "kernel": 5, "wide": True, "rate": 0.5, "kind": "c", "most": 7, "plain": 1.0
    }  # fmt: skip
    assert TrialConfig.parse(config.as_text()) == config
    assert TrialConfig.parse({"network": name}).as_text()["most"] == "none"
    for field, value in (
        ("filters", 1.5),
        ("kernel", 4),
        ("wide", "maybe"),
        ("rate", 1),
        ("kind", "a b"),
        ("most", "x"),
    ):
        with pytest.raises(ConfigError, match=f"^x: {field} cannot be "):
            config.replace({field: value}, where="x")
    with pytest.raises(ConfigError, match=r"no hyperparameter is called hidden\. "):
        config.replace({"hidden": "128"})
    assert config.replace({"network": "mlp"}) == TrialConfig()


def test_a_network_is_known_by_its_content(tmp_path):
    text = "def build(shape, classes, *, units: int = {}):\n    return None"
    first = own_file.named(str(written(tmp_path, text.format(3))))
    assert own_file.named(str(written(tmp_path, text.format(3)))) == first
    second = own_file.named(str(written(tmp_path, text.format(4))))
    assert first != second and first.startswith("net.py@")
    assert TrialConfig.parse({"network": first}).get("units") == 3


def test_a_record_is_read_without_the_code(tmp_path):
    name = own_file.named(f"{NETWORKS}:dropping")
    words = described.description([name, "mlp"])
    assert json.loads(words).keys() == {name} and described.description(["mlp"]) == ""
    foreign = words.replace(name, "other.py@01234567")
    described.know_described(foreign)
    known = find("other.py@01234567")
    assert isinstance(known, Network) and known.function is None
    config = TrialConfig.parse({"network": "other.py@01234567", "units": "4"})
    assert config.get("units") == 4
    with pytest.raises(ConfigError, match=r"the code of other\.py@01234567 is not known here\. Name its file"):
        network.build(config)
    described.know_described(words)
    assert find(name).function is not None  # what can be built stays


WRONG = [
    (
        "def build(shape): ...",
        r"net\.py:3: not the signature of a network; expected def build\(shape, classes, \*",
    ),
    ("def build(shape, classes, *, units): ...", r"net\.py:3: units has no default"),
    ("def build(shape, classes, *, units: list = []): ...", r"net\.py:3: units has a mutable default"),
    ("def build(shape, classes, **others): ...", r"net\.py:3: \*\*others is no hyperparameter"),
    ("def build(shape, classes, *, epochs: int = 3): ...", r"net\.py:3: epochs is already a field of every trial"),
    ("def build(shape, classes, *, units: int = 'many'): ...", "units cannot be 'many'"),
    ("def build(shape, classes, *, units: tuple = (1, 2)): ...", "units has a type that is not known here"),
    ("def build(shape, classes, *, units: 'Nothing' = 3): ...", "the type of units cannot be read"),
    ("def other(shape, classes): ...", r"net\.py: there is no function build\. There are: other"),
    ("def build(shape, classes)\n    return None", r"net\.py:3: not Python"),
    ("import nothing_like_it", r"net\.py:3: No module named 'nothing_like_it'\. The file has to stand alone"),
    ("1 / 0", r"net\.py:3: ZeroDivisionError: division by zero"),
]
DENSE = "keras.layers.Flatten(), keras.layers.Dense"
BUILT_WRONG = [
    ("return None", r"build returns no keras\.Model; expected a keras\.Model, got NoneType"),
    ("return 1 / 0", r"net\.py:4: ZeroDivisionError"),
    (f"return keras.Sequential([{DENSE}(classes + 1, 'softmax')])", r"build has the wrong output; expected \(n, 10\)"),
    (f"return keras.Sequential([{DENSE}(classes)])", "build does not return probabilities; .*logits, it seems"),
    (f"return keras.Sequential([{DENSE}(classes, 'sigmoid')])", "build does not return probabilities"),
    ("a, b = keras.Input(shape), keras.Input(shape)\n    return keras.Model([a, b], keras.layers.Dense(classes)(a))",
     r"net\.py"),
    ("return keras.layers.Dense(classes)", r"build returns no keras\.Model"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_a_file_that_is_no_network_is_told_with_its_line(text, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as error:
        own_file.named(str(written(tmp_path, text)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("body", "message"), BUILT_WRONG, ids=[body[:40] for body, _ in BUILT_WRONG])
def test_a_function_that_returns_something_else_is_told_before_a_trial(body, message, tmp_path):
    name = own_file.named(str(written(tmp_path, f"def build(shape, classes):\n    {body}")))
    with pytest.raises(ConfigError, match=message) as error:
        network.check_outputs(TrialConfig.parse({"network": name}), network.Rows())
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    (folder := tmp_path / "folder.py").mkdir()
    (large := tmp_path / "large.py").write_text("#" * 1_100_000)
    (binary := tmp_path / "binary.py").write_bytes(b"\xff\xfe")
    for path, message in (
        (folder, "not a file"),
        (large, "too large"),
        (binary, "UTF-8"),
        (tmp_path / "no.py", "no such"),
    ):
        with pytest.raises(ConfigError, match=message):
            own_file.named(str(path))
    with pytest.raises(ConfigError, match="network cannot be 'resnet'; expected mlp, cnn, or a file"):
        own_file.named("resnet")


def test_a_cnn_needs_pictures_that_are_large_enough():
    for shape, message in (((13,), "a cnn needs pictures"), ((3, 8, 1), "filters=32-64 halves a side too often")):
        with pytest.raises(ConfigError, match=message):
            find("cnn").check(shape, **dict(TrialConfig.parse({"network": "cnn"}).network.settings))
    assert isinstance(network.build(TrialConfig.parse({"network": "cnn", "batch_norm": "after"})), keras.Sequential)


def test_a_parameter_may_be_a_bool_or_none_and_a_choice_may_be_false():
    flag = make_parameter("flag", bool | None, None, "net.py")
    assert [flag.checked("flag", value, None) for value in (True, "false", None, "none")] == [True, False, None, None]
    norm = make_parameter("norm", Literal[False, "before", "after"], "before", "net.py")
    assert [norm.checked("norm", value, None) for value in (False, "false", "after")] == [False, False, "after"]
    with pytest.raises(ConfigError, match="plain cannot be None"):
        make_parameter("plain", bool, True, "net.py").checked("plain", None, None)
    with pytest.raises(ConfigError, match="units cannot be True"):
        make_parameter("units", int, 4, "net.py").checked("units", True, None)


def test_a_network_with_an_operator_is_kept_with_its_code(tmp_path):
    path = written(
        tmp_path,
        """
def build(shape, classes):
    entry = keras.Input(shape)
    values = keras.layers.Dense(4)(keras.layers.Flatten()(entry))
    return keras.Model(entry, keras.layers.Dense(classes, "softmax")(values + keras.layers.Dense(4)(values)))
""",
    )
    config = TrialConfig.parse({"network": own_file.named(str(path))})
    (own,) = network.own_layers(network.build(config), network.Rows())
    assert isinstance(own, network.OwnModel)


@pytest.mark.parametrize(
    "last",
    ["model.compile('adam', 'mse')", "model = keras.Model(model.inputs, model.outputs)\n    model.compile('sgd')"],
)
def test_a_model_that_is_compiled_is_as_stock_as_one_that_is_not(tmp_path, last):
    path = written(
        tmp_path,
        f"""
def build(shape, classes):
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, "softmax")])
    {last}
    return model
""",
    )
    model = network.build(TrialConfig.parse({"network": own_file.named(str(path))}))
    assert not any(isinstance(layer, network.OwnModel) for layer in model.layers)
    model.save(tmp_path / "model.keras")
    keras_file.check((tmp_path / "model.keras").read_bytes())


def test_an_activation_that_keras_cannot_save_makes_a_network_ones_own(tmp_path):
    path = written(
        tmp_path,
        """
import functools
def build(shape, classes):
    act = functools.partial(keras.activations.leaky_relu, negative_slope=0.1)
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(4, activation=act),
                             keras.layers.Dense(classes, "softmax")])
""",
    )
    (own,) = network.own_layers(
        network.build(TrialConfig.parse({"network": own_file.named(str(path))})), network.Rows()
    )
    assert isinstance(own, network.OwnModel)


def test_a_dropout_layer_that_is_called_twice_drops_other_units(tmp_path, few_digits):
    path = written(
        tmp_path,
        """
def build(shape, classes):
    entry, drop = keras.Input(shape), keras.layers.Dropout(0.5)
    values = keras.layers.Flatten()(entry)
    once, again = drop(values), drop(values)
    mixed = keras.layers.Subtract()([once, again])  # nothing is left of it where both drop the same
    return keras.Model(entry, keras.layers.Dense(classes, "softmax", use_bias=False)(mixed))
""",
    )
    config = TrialConfig.parse({"network": own_file.named(str(path)), "epochs": 1})
    first = loop.train(config, few_digits)
    fresh = network.build(config.replace({}), network.Rows.of(few_digits)).get_weights()
    assert not np.array_equal(first.weights[0], fresh[0])  # it has learned from what was dropped once
