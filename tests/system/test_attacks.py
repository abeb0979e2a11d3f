"""Attacks that once got through, and a sample of those that never did; SECURITY.md says what is trusted."""

import re
import zipfile
from types import SimpleNamespace

import h5py
import mlflow
import numpy as np
import pytest
from conftest import ROOT
from factories import model_files
from factories.model_files import KERNEL

from study.base import backend, keras_file
from study.base.errors import TrackingError
from study.tracking import places, records, runs
from study.tracking.artifacts import OPTIONAL_TRIAL_FILES, PREDICTIONS, TRIAL_FILES
from study.tracking.store import connect

# --- requests to the served model and the playground ------------------------------------------------


# --- the queue's database ---------------------------------------------------------------------------


# --- artifacts and the MLflow store -----------------------------------------------------------------

REFUSED = r"^model\.keras: a model file that is not opened: .* (link|file|twice|says|compressed|numbers)"
NOT_STOCK = r"not opened: (not a stock part of a network|a layer larger than its weights|not a chain of layers)"
SECRET = "only the owner of this machine may read this"


def external(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, (10, 4), "u1", external=[(str(secret), 0, 40)])


def virtual(file, secret):
    del file[KERNEL]
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = np.frombuffer(secret.read_bytes(), "u1")[:40].reshape(10, 4)
    layout = h5py.VirtualLayout((10, 4), "u1")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", (10, 4))
    file.create_virtual_dataset(KERNEL, layout)


def external_link(file, secret):
    virtual(file, secret)  # makes the other file
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/x")


def soft_link(file, secret):
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/dense_1/vars/0")


def circle(file, secret):
    file["layers/dense/again"] = file["/layers"]


def filled(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, (10**6, 10**6), "f4", fillvalue=1)


def bomb(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, data=np.zeros((10**3, 10**3), "f4"), compression="gzip")


def text(file, secret):
    del file[KERNEL]
    file[KERNEL] = np.array(["a", "b"], object)


@pytest.mark.parametrize("attack", [external, virtual, external_link, soft_link, circle, filled, bomb, text])
def test_weights_lead_nowhere_and_hold_what_they_declare(attack, tmp_path):
    (secret := tmp_path / "secret").write_text(SECRET)
    content = model_files.with_weights(lambda file: attack(file, secret))
    for opens in (keras_file.kernels, keras_file.check, backend.from_bytes):
        with pytest.raises(TrackingError, match=REFUSED):
            opens(content)


def code(layers):
    layers[2] |= {"class_name": "Lambda", "config": {"name": "flatten", "function": {"class_name": "__lambda__"}}}


def lookup(layers):
    layers[2] |= {"class_name": "StringLookup", "config": {"name": "flatten", "vocabulary": "/etc/passwd"}}


def custom(layers):
    layers[2] |= {"registered_name": "package>Flatten"}


def module(layers):
    layers[2] |= {"module": "os", "class_name": "system", "config": "true"}


def function(layers):
    layers[4]["config"]["activation"] = {"module": "builtins", "class_name": "function", "config": "load_model"}


def wide(layers):
    next(layer for layer in layers if layer["class_name"] == "Dense")["config"]["units"] = 10**9


def many_pixels(layers):
    layers[0]["config"]["batch_shape"] = [None, 10**6, 10**6]


def built(layers):
    next(layer for layer in layers if layer["class_name"] == "Dense")["build_config"]["input_shape"] = [None, 10**9]


def own_input(layers):
    layers[1]["config"]["input_shape"] = [10**9]


def nested(layers):
    layers[3:] = [{"module": "keras", "class_name": "Sequential", "config": {"name": "inner", "layers": layers[3:]}}]


def without_input(layers):
    del layers[0]
    layers[0]["config"]["batch_shape"] = [None, 10**9]


def repeated(layers):
    layers[3:3] = [layers[3]] * 1_000


@pytest.mark.parametrize(
    "attack",
    [code, lookup, custom, module, function, wide, many_pixels, built, own_input, nested, without_input, repeated],
)
def test_a_configuration_names_stock_layers_of_the_size_of_its_weights(attack):
    with pytest.raises(TrackingError, match=NOT_STOCK):
        backend.from_bytes(model_files.with_config(attack))


def test_a_zip_holds_what_it_declares_and_nothing_else():
    files = model_files.members(model_files.model_file())
    for content in (
        model_files.packed(files | {"config.json": files["config.json"] + b" " * 10**7}, zipfile.ZIP_DEFLATED),
        model_files.packed(files | {"../../escaped": b""}),
        model_files.packed({name: content for name, content in files.items() if name != "metadata.json"}),
    ):
        with pytest.raises(TrackingError, match=r"not opened: (a file in it unpacks|not a model's files)"):
            backend.from_bytes(content)


def test_no_other_place_lets_keras_or_hdf5_open_a_file():
    opening = re.compile(r"\bload_model\(|load_weights\(|h5py\.File|model_from_json")
    found = {path.name for path in (ROOT / "study").rglob("*.py") if opening.search(path.read_text())}
    assert found == {"backend.py", "keras_file.py"}


def named_by_a_server(monkeypatch, uri: str) -> SimpleNamespace:
    """Return a client of a tracking server that says that every artifact and model lies at `uri`."""
    output = SimpleNamespace(model_id="m-1")
    run = SimpleNamespace(info=SimpleNamespace(artifact_uri=uri), outputs=SimpleNamespace(model_outputs=[output]))
    model = SimpleNamespace(name="model", artifact_location=uri)
    client = SimpleNamespace(get_run=lambda run_id: run, get_logged_model=lambda model_id: model)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://hostile.example:5000")
    monkeypatch.setattr(places, "MlflowClient", lambda: client)
    monkeypatch.setattr(places.ModelsArtifactRepository, "get_underlying_uri", lambda root: uri)
    return client


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE:{}", "runs:/1/{}", "models:/m-1{}"])
def test_a_tracking_server_names_no_place_on_this_machine(monkeypatch, tmp_path, form):
    (tmp_path / "data").mkdir()
    for name in (PREDICTIONS, "data/model.keras"):
        (tmp_path / name).write_text(SECRET)
    client = named_by_a_server(monkeypatch, form.format(tmp_path))
    for read in (
        lambda: records.read_file(client, "1", PREDICTIONS),
        lambda: records.read_files(client, "1", [PREDICTIONS]),
        lambda: records.read_model(client, "1"),
        lambda: records.download_model("runs:/1/model", str(tmp_path / "copy")),
        lambda: records.download_model("models:/mnist-mlp@champion", str(tmp_path / "copy")),
    ):
        with pytest.raises(TrackingError, match="the tracking server names a place on this machine, which is not read"):
            read()
    assert not (tmp_path / "copy").exists()


def test_only_files_of_known_names_are_carried_over(new_store):
    client = connect()
    run = runs.open_study_run(client, "a trial")
    run.log_files({PREDICTIONS: b"1", "id_rsa": SECRET, "report/report.html": "<script>"})
    names = (*TRIAL_FILES, *OPTIONAL_TRIAL_FILES)
    assert records.read_files(client, run.run_id, names) == {PREDICTIONS: b"1"}


# --- files that a person names ----------------------------------------------------------------------


# --- text that reports, terminals and MLflow show ---------------------------------------------------


# --- passwords --------------------------------------------------------------------------------------
