"""Networks of every kind of data, trained, served and asked: named features, values, colour, layers of one's own."""

import base64
import io
import json
import math
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from factories.serving import Client, served
from mlflow.exceptions import MlflowException
from PIL import Image

from study.base.errors import StudyError, TrackingError
from study.data.dataset import Dataset, load_dataset
from study.data.features import Column, Features
from study.inference import doubt, row_files
from study.inference.contract import Contract
from study.inference.model import has_own_layers, open_network
from study.inference.questions import named_values, questions
from study.inference.serving import log_model
from study.inference.serving.feature_items import NamedItems
from study.inference.serving.served_network import ServedNetwork
from study.training import loop, network
from study.training.config import TrialConfig
from study.training.networks import own_file
from study.workflows import crowning

OWN = """
    import keras

    class Twice(keras.layers.Layer):
        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.dense = keras.layers.Dense(units, activation="relu")

        def call(self, inputs):
            return 2 * self.dense(inputs)

    def build(shape, classes, *, units: int = 16):
        layers = [keras.Input(shape), Twice(units), keras.layers.Dense(classes, activation="softmax")]
        return keras.Sequential(layers)
"""


@pytest.fixture(scope="module")
def wine() -> Dataset:
    return load_dataset("wine")


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Dataset:
    """Pictures of 8×8 pixels that are mostly red, green or blue."""
    draw, names = np.random.default_rng(0), np.array(["red", "green", "blue"])
    which = np.arange(240) % 3
    noise = draw.integers(0, 60, (240, 8, 8, 3)) + draw.integers(0, 60, (240, 2, 2, 3)).repeat(4, 1).repeat(4, 2)
    pixels = np.clip(noise + 130 * np.eye(3)[which][:, None, None], 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("colours") / "colours.npz"
    np.savez(path, x_train=pixels, y_train=names[which])
    return load_dataset(str(path))


def trained(dataset: Dataset, folder: Path, **settings) -> tuple[bytes, TrialConfig]:
    """Return the file of a network that is trained on a dataset, and its config."""
    config = TrialConfig.parse({"epochs": 8, "learning_rate": 0.01, **settings})
    model = network.build(config, network.Rows.of(dataset))
    model.set_weights(loop.train(config, dataset).weights)
    model.save(folder / "model.keras")
    return (folder / "model.keras").read_bytes(), config


def saved(dataset: Dataset, folder: Path, **settings) -> Path:
    """Return the folder of a served model of such a network."""
    content, config = trained(dataset, folder, **settings)
    name = config.network.name
    parts = crowning._served(content, crowning._opened(content, "test", name), name, dataset, doubt.fit(dataset))
    return log_model.save_served_model(folder / "served", parts)


def ask(folder: Path, items: list) -> list[dict]:
    with crowning._own_path():
        return log_model.ask(folder, json.loads(json.dumps(items)))


@pytest.fixture(scope="module")
def of_wine(wine, tmp_path_factory) -> Path:
    return saved(wine, tmp_path_factory.mktemp("wine"), hidden="32")


@pytest.fixture(scope="module")
def of_colours(colours, tmp_path_factory) -> Path:
    return saved(colours, tmp_path_factory.mktemp("net"), network="cnn", filters="8", dense="none")


def test_named_features_get_a_label_with_the_name_of_its_class(of_wine, wine):
    answers = ask(of_wine, questions(wine.test.inputs, wine))
    assert np.mean([one["label"] for one in answers] == wine.test.labels) > 0.85
    assert {one["class"] for one in answers} == set(wine.class_names)
    assert all(wine.class_names[one["label"]] == one["class"] and "seen" not in one for one in answers)
    assert 0.3 < np.mean([one["doubt"] for one in answers]) < 0.7
    odd = questions(wine.test.inputs[:1], wine)[0] | {"ash": 1e6}
    assert [(one["doubt"], one["reason"]) for one in ask(of_wine, [odd])] == [
        (1.0, "ash is far from the training rows")
    ]


@pytest.mark.parametrize("given, sentence", [
    ({"ash": None}, "inputs[1].ash: null; expected a number."),
    ({"ash": "2.4"}, "inputs[1].ash: not a number; expected a number, got text."),
    ({"ash": [2.4]}, "inputs[1].ash: not a number; expected a number, got a list."),
    ({"ash": math.nan}, "inputs[1].ash: not a number; expected a number, got NaN."),
    ({"ash": math.inf}, "inputs[1].ash: a number out of range; expected at most 3.4e38."),
    ({"ash": 10**400}, "inputs[1].ash: a number out of range; expected at most 3.4e38."),
    ({"secret": 1}, "inputs[1]: unknown features; expected alcohol, malic_acid, ash, alcalinity_of_ash, magnesium, "
                    "total_phenols, flavanoids, nonflavanoid_phenols, proanthocyanins, color_intensity and 3 more, got "
                    "another name."),
])  # fmt: skip
def test_bad_features_are_refused_in_one_sentence(of_wine, wine, given, sentence):
    good = questions(wine.test.inputs[:1], wine)[0]
    model = mlflow.pyfunc.load_model(str(of_wine))
    for inputs, said in (([good, good | given], sentence),
                         ([good, {k: v for k, v in good.items() if k != "hue"}],
                          "inputs[1].hue: a missing feature; expected a number.")):  # fmt: skip
        with pytest.raises(MlflowException) as refused:
            model.predict(inputs)
        assert str(refused.value.args[0]) == said and refused.value.get_http_status_code() == 400


def test_an_answer_that_is_not_a_number_is_refused(wine):
    model = ServedNetwork()
    model.prepare(Contract.of(wine), None)
    answers = np.full((2, 3), 1 / 3)
    answers[1] = np.nan
    model._network = lambda rows: SimpleNamespace(numpy=lambda: answers)
    with pytest.raises(MlflowException, match=r"inputs\[1\]: the network's answer is not a number"):
        model.predict(None, questions(wine.test.inputs[:2], wine))


def test_categories_and_missing_values_are_encoded_as_in_training():
    features = Features((Column("age", None, True, 40.0), Column("colour", ("1", "red"))), ("always",))
    items = NamedItems(features)
    good = [{"age": 3, "colour": "red"}, {"colour": 1, "always": "x"}, {"age": None, "colour": "red"}]
    rows = items.rows([items.checked(item, "inputs[0]") for item in good], 0, None)
    assert rows.tolist() == [[3, 0, 0, 1], [40, 1, 1, 0], [40, 1, 0, 1]]
    assert named_values(rows[0], features) == {"age": 3.0, "colour": "red"}
    assert named_values(rows[1], features) == {"age": None, "colour": "1"}
    for bad, sentence in (
        ({"colour": "blue"}, "x.colour: an unknown category; expected 1 or red."),
        ({"colour": True}, "x.colour: not a category; expected 1 or red, got a truth value."),
        ({"age": 1}, "x.colour: a missing feature; expected 1 or red."),
        ([1], "x: not an item; expected an object with age, colour, got a list."),
        ({"color": "red"}, "x: unknown features; expected age, colour, got another name. Did you mean colour?"),
    ):
        with pytest.raises(StudyError) as refused:
            items.checked(bad, "x")
        assert str(refused.value) == sentence


def test_pictures_are_scaled_to_the_networks_size_and_colours(of_colours, colours):
    buffer = io.BytesIO()
    Image.new("RGB", (50, 30), (200, 20, 20)).save(buffer, "PNG")
    picture = {"image": base64.b64encode(buffer.getvalue()).decode()}
    first, second = ask(of_colours, [picture, *questions(colours.test.inputs[:1], colours)])
    assert first["class"] == "red" and first["seen"] == [[[200, 20, 20]] * 8] * 8
    assert (first["doubt"], first["reason"]) == (1.0, "unlike any training picture")
    assert second["seen"] == colours.test.inputs[0].tolist() and second["doubt"] < 1
    with pytest.raises(MlflowException, match="wrong shape; expected 8 rows of 8 pixels of 3 numbers from 0 to 255"):
        ask(of_colours, [{"pixels": [[[0, 0]] * 8] * 8}])


def test_features_without_names_come_as_values(wine, tmp_path):
    bare = replace(wine, features=None)
    folder = saved(bare, tmp_path, hidden="8")
    (answer,) = ask(folder, questions(bare.test.inputs[:1], bare))
    assert answer["class"] in wine.class_names
    with pytest.raises(MlflowException, match=r"inputs\[0\]\.values: wrong shape; expected 13 numbers, got 2 numbers"):
        ask(folder, [{"values": [1, 2]}])
    with pytest.raises(MlflowException, match=r"inputs\[0\]: wrong keys; expected an object with only \"values\""):
        ask(folder, [{"alcohol": 1}])


def test_a_network_with_layers_of_its_own_is_served_with_its_code_and_opened_by_name_only(wine, tmp_path):
    (tmp_path / "my_net.py").write_text(textwrap.dedent(OWN))
    name = own_file.named(str(tmp_path / "my_net.py"))
    folder = saved(wine, tmp_path, network=name)
    assert [path.name for path in sorted((folder / "code").glob("*.py"))] == [f"network_{name[-8:]}.py"]
    content = (tmp_path / "model.keras").read_bytes()
    model = open_network(content, "model", name, known=True)
    assert has_own_layers(model)
    expected = model(wine.test.inputs).numpy().argmax(axis=1).tolist()
    assert [one["label"] for one in ask(folder, questions(wine.test.inputs, wine))] == expected
    for stranger in (None, "mlp"):  # whoever wrote the file may not choose whose code builds it
        with pytest.raises(TrackingError, match="not a stock part of a network"):
            open_network(content, "model", stranger, known=True)
    with pytest.raises(TrackingError, match=rf"layers of its own.*expected the file of {name}.*-P network=my_net\.py"):
        open_network(content, "model", name, known=False)


def test_rows_are_read_from_json_and_csv(wine, tmp_path):
    good = questions(wine.test.inputs[:2], wine)
    takes = Contract.of(wine)
    lines = [",".join([*good[0], "kind"]), *(",".join(map(repr, [*one.values()])) + ",class_1" for one in good)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    (tmp_path / "semicolons.csv").write_text("\n".join(lines).replace(",", ";"))
    (tmp_path / "rows.json").write_text(json.dumps({"inputs": good}))
    (tmp_path / "long.csv").write_text(f"{200_000 * 'a'},b")
    files = [str(tmp_path / name) for name in ("rows.csv", "semicolons.csv", "rows.json")]
    for text in (*files, json.dumps(good), json.dumps(good[0])):
        rows = row_files.encoded(row_files.read_rows(text), takes, "kind")
        assert np.array_equal([row for _, _, row, _ in rows], wine.test.inputs[: len(rows)])
        assert {truth for *_, truth in rows} == {1 if text.endswith(".csv") else None}
    for text, message in (
        ("{", "row: not JSON"), ("[]", "row: no rows; expected 1 to 10,000 rows, got 0"),
        ("no.json", "no.json: no such file"), ('{"inputs": null}', "row: no rows; expected .*, got None"),
        (str(tmp_path / "long.csv"), r"long\.csv: not a \.csv file \(field larger"),
        ('{"alcohol": 1}', r"row\.malic_acid: a missing feature"), (str(tmp_path), "not rows of features"),
    ):  # fmt: skip
        with pytest.raises(StudyError, match=message):
            row_files.encoded(row_files.read_rows(text), takes, None)


def test_a_csv_file_is_read_as_the_data_are():
    pets = Contract.of(load_dataset("wine"))
    features = Features((Column("age", None, True, 40.0), Column("tame", None)), ())
    takes = replace(pets, features=features, class_names=("False", "True"))
    typed = row_files._typed({"age": "NA", "tame": "True"}, takes, "row 1")
    assert typed == {"age": None, "tame": 1.0}
    places = [row_files._place(text, takes.class_names) for text in ("TRUE", "false", "True", "cat")]
    assert places == [1, 0, 1, None]
    assert [row_files._place(text, ("0", "7")) for text in ("7.0", "07", 7, "8")] == [1, 1, 1, None]


# --- behind a real server ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_answers_named_features(of_wine, wine, tmp_path):
    items = questions(wine.test.inputs[:3], wine)
    with served(str(of_wine), tmp_path) as (port, _, _):
        client = Client(port)
        status, text = client.post(json.dumps({"inputs": items}).encode())
        assert status == 200 and json.loads(text)["predictions"] == ask(of_wine, items)
        status, text = client.post(json.dumps({"inputs": [{"alcohol": 1}]}).encode())
        assert status == 400
        assert json.loads(text)["message"] == "inputs[0].malic_acid: a missing feature; expected a number."
        client.close()


@pytest.mark.slow
def test_a_server_answers_pictures_in_colour(of_colours, colours, tmp_path):
    items = questions(colours.test.inputs[:3], colours)
    with served(str(of_colours), tmp_path) as (port, _, _):
        client = Client(port)
        status, text = client.post(json.dumps({"inputs": items}).encode())
        client.close()
    assert status == 200
    assert [one["class"] for one in json.loads(text)["predictions"]] == [one["class"] for one in ask(of_colours, items)]
