"""``.keras`` files, as Keras writes them and as an attacker would."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py

KERNEL = "layers/dense/vars/0"


@cache
def model_file() -> bytes:
    """Return the file of a small network; it is never trained."""
    from study.training import network
    from study.training.config import TrialConfig

    config = {"hidden": "5-4", "dropout": 0.1, "batch_norm": "before", "l2": 1e-3, "initializer": "small_normal"}
    with tempfile.TemporaryDirectory() as folder:
        network.build(TrialConfig.parse(config), network.Rows((4, 4), 3)).save(path := Path(folder, "model.keras"))
        return path.read_bytes()


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def with_weights(change: Callable[[h5py.File], object]) -> bytes:
    """Return the file with its HDF5 changed."""
    files = members(model_file())
    buffer = io.BytesIO(files["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return packed(files | {"model.weights.h5": buffer.getvalue()})


def with_config(change: Callable[[dict], object]) -> bytes:
    """Return the file with its configuration changed."""
    files = members(model_file())
    content = json.loads(files["config.json"])
    change(content["config"]["layers"])
    return packed(files | {"config.json": json.dumps(content).encode()})
