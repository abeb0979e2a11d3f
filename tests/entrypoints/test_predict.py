import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.artifacts import load_text

from entrypoints import predict, program
from study.analysis.explanations import Reading
from study.analysis.formatting import probability
from study.base.backend import to_bytes
from study.base.errors import DataError, TrackingError
from study.data.dataset import Dataset, load_dataset
from study.inference import novelty
from study.inference.contract import Contract
from study.inference.explain import explain
from study.inference.find_model import find_model, find_version
from study.inference.model import Reader
from study.inference.predict import draw, read
from study.inference.questions import questions
from study.inference.serving import log_model
from study.inference.serving.log_model import Served
from study.reports import explanation_report, prediction_report
from study.reports.plots import readings as plots
from study.tracking import records, registry, runs
from study.tracking.store import connect
from study.training import loop, network
from study.training.config import TrialConfig
from study.training.fields import width_list
from study.training.program import logits

PICTURES = Path(__file__).parents[1] / "pictures"
NETWORKS = [
    {}, {"hidden": "none"}, {"hidden": "20-7-5", "activation": "tanh"}, {"batch_norm": "before", "dropout": 0.2},
    {"hidden": "9-8", "batch_norm": "after"},
]  # fmt: skip


@pytest.fixture(scope="module")
def model(digits):
    """A small network that reads the digits well."""
    config = TrialConfig.parse({"hidden": "32", "epochs": 15, "learning_rate": 0.005})
    model = network.build(config)
    model.set_weights(loop.train(config, digits).weights)
    return model


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(scope="module")
def trial(store, model, digits) -> str:
    """The ID of a trial's run that has the network as its model."""
    run = runs.open_study_run(connect(), "trial")
    run.log_params({"data": "digits", "validation": str(len(digits.validation))})
    run.set_tags(runs.data_tags(digits))
    run.log_model(to_bytes(model), (28, 28), 10)
    run.end("FINISHED")
    return run.run_id


@pytest.fixture(scope="module")
def champion(store, trial, model, digits):
    """A version of mnist-mlp that is its champion, with what is usual among its training images."""
    client = connect()
    model.save(store / "model.keras")
    reference = novelty.fit(digits.train.inputs, digits.train.labels)
    run_id = runs.open_study_run(client, "promote").run_id
    source = log_model.log_served_model(
        client, run_id, Served((store / "model.keras").read_bytes(), Contract.of(digits), reference.to_bytes())
    )
    tags = {"data_sha256": digits.sha256, "dataset": "digits", "trial": trial}
    return registry.crown(client, "mnist-mlp", source, run_id, "test", tags)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the entry point as a program would; return its exit status, its output and its errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
        status = 0
        try:
            program.run(predict.main)
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call


def kept(output: str) -> tuple[str, str, str]:
    """Return the run's ID that is printed last, its page and its predictions."""
    run_id = re.search(r"^Run (\w+):", output, re.M)[1]
    page = Path(re.search(r"^Page: (.*)$", output, re.M)[1]).read_text()
    assert page == load_text(f"runs:/{run_id}/predict/predict.html")
    return run_id, page, load_text(f"runs:/{run_id}/predictions.csv")


# --- what is wrong is said --------------------------------------------------------------------------


def test_without_a_champion_promote_is_named(call):
    status, _, errors = call("--index", "1", "--data", "digits", "--model", "models:/other@champion")
    assert status == 1
    assert "models:/other@champion: other has no champion. " in errors and "rown one: mlflow run . -e promote" in errors


@pytest.mark.parametrize("arguments, message", [
    ([], "image, row and index are all missing. Give one: -P image=FILE"),
    (["--image", "a.png", "--index", "1"], "image and index are both given. Give one"),
    (["--index", "-1"], "index cannot be '-1'; expected up to 20 numbers of test rows, such as 1234 or 3,17,200."),
    (["--index", "one"], "index cannot be 'one'"),
    (["--index", "359"], "index cannot be 359; expected test images 0 to 358 of digits."),
    (["--image", "nowhere.png"], "nowhere.png: no such file; looked for /"),
    (["--image", "synthetic", "--count", "0"], "count cannot be '0'"),
])  # fmt: skip
def test_bad_input_is_one_line(call, trial, arguments, message):
    status, _, errors = call(*arguments, "--model", trial)
    assert status == 1 and message in errors and len(errors.strip().splitlines()) == 1


def test_a_folder_without_pictures_is_an_error(call, trial, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    errors = call("--image", tmp_path, "--model", trial)[2]
    assert f"{tmp_path}: no pictures in this folder; expected files of png, jpg" in errors
    (tmp_path / "a.png").write_bytes(b"nothing")
    assert (
        "none of the 1 pictures can be read; got a.png: not a picture" in call("--image", tmp_path, "--model", trial)[2]
    )


def test_a_model_that_is_not_there_is_one_line(call):
    for model in ("abc", "models:/nobody/3", "models:/nobody@previous"):
        status, _, errors = call("--image", PICTURES / "3_clear_05.gif", "--model", model)
        assert status == 1 and "Traceback" not in errors and len(errors.strip().splitlines()) == 1


def test_changed_data_are_refused(trial, digits):
    client = connect()
    run = runs.open_study_run(client, "other")
    run.log_params({"data": "digits"})
    run.set_tags({"dataset_sha256": "5ee"})
    with pytest.raises(DataError, match="digits: not the data that the model was trained on; expected SHA-256 5ee…"):
        find_model(client, run.run_id).load_data()
    assert find_model(client, run.run_id).load_data("digits").sha256 == digits.sha256


# --- lines ------------------------------------------------------------------------------------------


def test_bars_have_a_line_for_each_class():
    lines = prediction_report.bars(np.array([0.5, 0.0, 0.00001, 0.49999]))
    assert lines[0] == f" 0  {'█' * 15}{' ' * 15}    50.0 %"
    assert lines[1].split() == ["1", "0.0", "%"] and lines[2].split() == ["2", "<", "0.1", "%"]
    assert lines[3].split()[1] == "█" * 15 and {len(line) for line in lines} == {44}
    assert len(prediction_report.bars(np.full(100, 0.01))) == 10
    assert probability(0.99999) == "> 99.9 %" and probability(1.0) == "100.0 %"


def test_remarks_name_what_is_wrong_and_what_is_odd():
    blank = np.zeros((28, 28), np.uint8)
    one = Reading("7.png", blank, blank, np.array([0.1, 0.9]), doubt=1.0, reason="blank", truth=0)
    assert prediction_report.readings_table([one]).cells() == [("7.png", "1", "90.0 %", "1.000", "wrong: a 0; blank")]
    assert prediction_report.sentence(one) == "7.png: 1 with 90.0 %, next 0 with 10.0 %; wrong: it is a 0"
    assert prediction_report.doubt_line(one).startswith("doubt 1.000: blank")


# --- what each unit added ---------------------------------------------------------------------------


@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_contributions_and_bias_are_the_logits_of_any_network(settings, digits):
    config = TrialConfig.parse(settings)
    model, widths = network.build(config), width_list(str(config.get("hidden")))
    # As if trained: biases and the averages of a batch normalization are no longer zeros and ones.
    numbers = np.random.default_rng(1)
    model.set_weights([np.abs(numbers.normal(0, 0.3, values.shape)) if values.ndim == 1 else values
                       for values in model.get_weights()])  # fmt: skip
    for one in explain(Reader("made-up", model, None), digits, [7]):
        expected = logits(model, digits.test.inputs[[one.index]])[0]
        assert one.contributions.logits == pytest.approx(expected, abs=1e-4)
        assert one.logits == pytest.approx(expected, abs=1e-4)
        assert one.reading.label == expected.argmax() and one.hidden == len(widths)
        assert len(one.contributions.answers) == (widths[-1] if widths else 784)
        assert (one.kernel is not None) == (len(widths) == 1)
        page = explanation_report.explanation_page([one], digits, []).markdown()
        assert ("what each unit looks for" in page) == (one.kernel is not None)
        assert ("What each pixel added" in page) == (not widths)


def test_the_nearest_training_image_of_a_training_image_is_itself(model, digits):
    dataset = replace(digits, test=digits.train)
    (one,) = explain(Reader("made-up", model, None), dataset, [40])
    assert one.neighbours.rows[0] == 40 and one.neighbours.distances[0] == 0
    assert one.labels[0] == digits.train.labels[40] == one.reading.truth and len(one.rows) == 8


def test_a_test_image_is_explained_on_the_data_of_its_trial(call, trial, digits):
    status, output, errors = call("--index", "3,17,3", "--model", f"runs:/{trial}/model")
    assert (status, errors) == (0, "")
    assert output.count("nearest training images: ") == 2 and "doubt" not in output
    run_id, page, table = kept(output)
    assert f"digits, SHA-256 {digits.sha256}" in page and page.count("<figure>") == 8
    assert "Of the 8 nearest of 1,222 training images" in page
    for figure in ("reading_3", "nearest_3", "chosen_17", "lead_17"):
        assert load_text(f"runs:/{run_id}/predict/figures/{figure}.svg").startswith("<svg")
    first, second = csv.DictReader(io.StringIO(table))
    assert (first["file"], second["truth"]) == ("test image 3", str(digits.test.labels[17]))
    assert sum(float(first[f"p{label}"]) for label in range(10)) == pytest.approx(1, abs=1e-5)
    record = records.read_run(connect(), run_id)
    assert (record.name, record.status, record.params["index"]) == ("predict test image 3,17", "FINISHED", "3,17,3")


# --- pictures ---------------------------------------------------------------------------------------


def test_a_picture_is_read_by_the_champion_with_its_doubt(call, champion, monkeypatch):
    made_by_mlflow_run = connect().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", made_by_mlflow_run)
    status, output, errors = call("--image", PICTURES / "3_clear_05.gif")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    label = re.match(r"3_clear_05\.gif: (\d) with ", lines[0])[1]
    assert max(lines[1:11], key=lambda line: line.count("█")).split()[0] == label
    assert [line.split()[0] for line in lines[1:11]] == [str(label) for label in range(10)]
    assert re.match(r"doubt [01]\.\d{3}: ", lines[11])
    run_id, page, _ = kept(output)
    assert run_id == made_by_mlflow_run
    record = records.read_run(connect(), run_id)
    assert record.tags["model_version"] == champion.number and record.status == "FINISHED"
    assert record.params["model"] == "models:/mnist-mlp@champion" and 0 < record.metrics["probability"] <= 1
    files = {file.path for file in connect().list_artifacts(run_id, "predict")}
    assert files == {f"predict/{name}" for name in ("figures", "predict.html", "predict.md", "reading.png")}
    assert "what the network saw" in page and "<img" not in page and "mnist-mlp@champion" in page
    assert load_text(f"runs:/{run_id}/predict/predict.md").startswith(f"# 3_clear_05.gif: {label}")


def test_a_folder_is_read_and_what_cannot_be_is_told(call, trial, tmp_path):
    for name in ("0_clear_05.png", "3_clear_05.gif", "5_clear_05.png"):
        (tmp_path / name).write_bytes((PICTURES / name).read_bytes())
    (tmp_path / "mine.PNG").write_bytes((PICTURES / "1_clear_05.png").read_bytes())
    (tmp_path / "9_broken.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.txt").write_text("no picture")
    status, output, errors = call("--image", tmp_path, "--model", trial)
    assert status == 0
    assert "WARNING: not read: 9_broken.jpg: " in errors and str(tmp_path) not in errors
    run_id, page, table = kept(output)
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["file"] for row in rows] == ["0_clear_05.png", "3_clear_05.gif", "5_clear_05.png", "mine.PNG"]
    assert [row["truth"] for row in rows] == ["0", "3", "5", ""]
    hits = sum(row["truth"] == row["label"] for row in rows)
    assert f"{hits} of 3 right: {100 * hits / 3:.1f} % (" in output and f"{hits} of 3 right" in page
    assert "Pictures that could not be read" in page and "9_broken.jpg" in page and "Which classes are confused" in page
    assert records.read_run(connect(), run_id).metrics["accuracy"] == pytest.approx(hits / 3)


def test_drawings_depend_on_their_seed_alone(call, trial):
    ten = [str(digit) for digit in range(10)]
    first, same, other = (draw(12, seed, ten) for seed in (1, 1, 2))
    assert [(name[0], truth) for name, _, _, truth in draw(3, 1, ["3", "7"])] == [("3", 0), ("7", 1), ("3", 0)]
    assert all(np.array_equal(one[2], again[2]) for one, again in zip(first, same, strict=True))
    assert not all(np.array_equal(one[2], again[2]) for one, again in zip(first, other, strict=True))
    assert [truth for *_, truth in first] == [*range(10), 0, 1] and first[11][0] == "1_drawing_12"
    assert not np.array_equal(first[0][2], first[10][2])
    status, output, _ = call("--image", "synthetic", "--count", "12", "--model", trial)
    assert status == 0 and re.search(r"^\d+ of 12 right", output, re.M) and "12 drawings, seed 1" in kept(output)[1]


def test_of_many_pictures_each_sheet_has_sixty(monkeypatch):
    blank = np.zeros((5, 9), np.uint8)
    readings = [Reading(f"{n}.png", blank, np.zeros((28, 28), np.uint8), np.array([0.4, 0.6])) for n in range(3)]
    monkeypatch.setattr(plots, "SHEET", 2)
    monkeypatch.setattr(plots, "MOST_SHEETS", 1)
    page = prediction_report.folder_page("three", readings, [], None, []).markdown()
    assert "Pictures 1 to 2" in page and "has all pictures, 1 more than" in page and "sheet_2" not in page


def test_images_of_another_size_are_refused(model):
    with pytest.raises(DataError, match="expected 28 × 28, got 8 × 8"):
        read(Reader("made-up", model, None), [("x", np.zeros((8, 8)), np.zeros((8, 8), np.uint8), None)])


def test_an_unknown_model_address_has_no_version():
    client = connect()
    assert find_version(client, "runs:/abc/model") is None
    with pytest.raises(TrackingError):
        find_version(client, "models:/nobody/3")


# --- features ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_wine(store) -> tuple[str, Dataset]:
    """A trial of a small network on the wines, and these."""
    wine = load_dataset("wine")
    config = TrialConfig.parse({"data": "wine", "hidden": "16", "epochs": 10, "learning_rate": 0.02})
    model = network.build(config, network.Rows.of(wine))
    model.set_weights(loop.train(config, wine).weights)
    run = runs.open_study_run(connect(), "trial")
    run.log_params(config.as_text())
    run.set_tags(runs.data_tags(wine))
    run.log_model(to_bytes(model), wine.row_shape, wine.classes, wine.dtype)
    run.end("FINISHED")
    return run.run_id, wine


def test_rows_of_a_table_are_read_and_scored(call, of_wine, tmp_path):
    trial, wine = of_wine
    items = questions(wine.test.inputs[:9], wine)
    (tmp_path / "rows.json").write_text(json.dumps(items))
    status, output, errors = call("--row", json.dumps(items[0]), "--model", trial)
    assert (status, errors) == (0, "") and output.startswith("row: class_0 with ")
    status, output, errors = call("--row", tmp_path / "rows.json", "--model", trial)
    _, page, table = kept(output)
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["class"] for row in rows] == [f"class_{row['label']}" for row in rows] and len(rows) == 9
    assert "rows.json, row 9" in page
    status, _, errors = call("--image", PICTURES / "3_clear_05.gif", "--model", trial)
    assert (
        status == 1 and "the network reads no pictures; got rows of 13 features. Ask it with row= or index=" in errors
    )
    status, _, errors = call("--row", '{"alcohol": 1, "secret": 2}', "--model", trial)
    assert status == 1 and errors.startswith("Error: row: unknown features; expected alcohol, ")


def test_a_test_row_is_explained_by_its_values(call, of_wine):
    trial, _wine = of_wine
    status, output, errors = call("--index", "3", "--model", trial)
    assert (status, errors) == (0, "") and "nearest training rows: class_0 " in output
    _, page, _ = kept(output)
    assert "Its values" in page and "malic_acid" in page and "What each unit added" in page


def test_a_network_that_is_not_the_models_is_refused(call, of_wine):
    status, _, errors = call("--index", "3", "--model", of_wine[0], "--network", "cnn")
    assert status == 1 and "another network than the model's; expected network=mlp, got network=cnn." in errors
