"""Logs the served model in MLflow: a Keras network, what it takes and gives, the reference for doubts, and the few
modules that it runs."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from study.base.packages import pinned
from study.inference import contract
from study.inference.contract import Contract
from study.tracking import runs

NAME = "served-model"
STUDY = Path(__file__).resolve().parents[2]
# All modules of this project that the served model imports; a server has nothing else of it.
MODULES = (
    "__init__.py", "base/__init__.py", "base/errors.py", "base/passwords.py", "base/text.py", "base/startup.py",
    "base/keras_file.py", "base/private.py", "base/xla_cache.py", "base/backend.py", "data/__init__.py",
    "data/features.py", "data/handwriting.py", "data/picture_headers.py", "data/pictures.py",
    "inference/__init__.py", "inference/contract.py", "inference/doubt.py", "inference/novelty.py",
    "inference/pictures.py", "inference/preprocessing.py", "inference/row_novelty.py", "inference/serving/__init__.py",
    "inference/serving/admission.py", "inference/serving/feature_items.py", "inference/serving/items.py",
    "inference/serving/own_code.py", "inference/serving/picture_items.py",
)  # fmt: skip
# What the served model imports; all that these need is pinned too, so that a server answers the same in a year.
REQUIREMENTS = ("mlflow", "tensorflow", "keras", "h5py", "numpy", "scipy", "pillow", "threadpoolctl")


@dataclass(frozen=True)
class Served:
    """What a served model consists of: its ``.keras`` file, its contract, its reference for doubts, and own code.

    `reference` is None if there is no novelty score. `source` is the text of the file of a network with layers of its
    own, whose module the contract names.
    """

    network: bytes
    contract: Contract
    reference: bytes | None = None
    source: str | None = None


def log_served_model(client: MlflowClient, run_id: str, served: Served) -> str:
    """Log the run's served model, and return the model's URI.

    It goes into the store of `client`; no run has to be active. Signature and requirements are given, not inferred,
    because inferring them would load the model and take half a minute.
    """
    model_id = runs.new_model(client, run_id, NAME).model_id  # raises MLflow's exception if there is no such run
    with _parts(served) as parts:
        logged = Model.log(artifact_path=None, model_id=model_id, flavor=mlflow.pyfunc, run_id=run_id, **parts)
    return logged.model_uri


def save_served_model(folder: Path, served: Served) -> Path:
    """Save the served model in a new folder, in no store, as `log_served_model` would log it; return the folder."""
    with _parts(served) as parts:
        mlflow.pyfunc.save_model(folder, **parts)
    return folder


def ask(folder: Path, items: list[dict]) -> list[dict]:
    """Return what a saved model answers to items, loaded as a server loads it."""
    answers: list[dict] = mlflow.pyfunc.load_model(str(folder)).predict(items)
    return answers


@contextmanager
def _parts(served: Served) -> Iterator[dict[str, Any]]:
    """Yield what MLflow needs to store the served model; its files are there until the block ends."""
    signature = ModelSignature(inputs=Schema([ColSpec(AnyType())]), outputs=Schema([ColSpec(AnyType())]))
    # With this, MLflow's server passes the request's list on unchanged. Otherwise it makes numpy arrays of it, and
    # answers with numpy's errors.
    signature._is_signature_from_type_hint = True
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        files: dict[str, bytes] = {"network.keras": served.network, contract.FILE: served.contract.to_json().encode()}
        if served.reference is not None:
            files["reference.npz"] = served.reference
        for name, content in files.items():
            (folder / name).write_bytes(content)
        code = [folder / "study"]
        for module in MODULES:
            (code[0] / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(STUDY / module, code[0] / module)
        if served.source is not None:
            code.append(folder / f"{served.contract.code.partition(':')[0]}.py")
            code[1].write_text(served.source, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's advice to give an example and type hints
            yield {
                "python_model": str(Path(__file__).with_name("served_network.py")),
                "artifacts": {name.partition(".")[0]: str(folder / name) for name in files},
                "code_paths": [str(path) for path in code],
                "model_config": {"seen": True},
                "signature": signature,
                "pip_requirements": list(pinned(*REQUIREMENTS)),
            }
