"""Attacks that once got through, and a sample of those that never did; SECURITY.md says what is trusted."""

import re
import zipfile

import h5py
import numpy as np
import pytest
from conftest import ROOT
from factories import model_files
from factories.model_files import KERNEL

from study.base import backend, keras_file
from study.base.errors import TrackingError

# --- requests to the served model and the playground ------------------------------------------------


# --- the queue's database ---------------------------------------------------------------------------


# --- artifacts and the MLflow store -----------------------------------------------------------------

REFUSED = r"^model\.keras: a model file that is not opened: .* (link|file|twice|says|compressed|numbers)"
NOT_STOCK = r"not opened: (not a stock part of a network|a layer larger than its weights)"
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


@pytest.mark.parametrize("attack", [code, lookup, custom, module, function, wide, many_pixels])
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


# --- files that a person names ----------------------------------------------------------------------


# --- text that reports, terminals and MLflow show ---------------------------------------------------


# --- passwords --------------------------------------------------------------------------------------
