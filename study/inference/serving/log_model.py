"""Logs the served model in MLflow: a Keras network, the reference for doubts, and the few modules that it runs."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from study.base.packages import pinned
from study.tracking import runs

STUDY = Path(__file__).resolve().parents[2]
# All modules of this project that the served model imports; a server has nothing else of it.
MODULES = (
    "__init__.py", "base/__init__.py", "base/errors.py", "base/passwords.py", "base/text.py", "base/startup.py",
    "base/keras_file.py", "base/backend.py", "data/__init__.py", "data/picture_headers.py", "data/pictures.py",
    "inference/__init__.py", "inference/preprocessing.py", "inference/novelty.py", "inference/serving/__init__.py",
    "inference/serving/admission.py",
)  # fmt: skip
# What the served model imports; all that these need is pinned too, so that a server answers the same in a year.
REQUIREMENTS = ("mlflow", "tensorflow", "keras", "h5py", "numpy", "scipy", "pillow", "threadpoolctl")


def log_digit_model(
    client: MlflowClient, run_id: str, keras_file: Path, reference: bytes, name: str = "digit-model"
) -> str:
    """Log a Keras file with the bytes of a `novelty.Reference` as the run's served model, and return the model's URI.

    It goes into the store of `client`; no run has to be active. The network takes (n, 28, 28) of uint8. Signature and
    requirements are given, not inferred, because inferring them would load the model and take half a minute.
    """
    model_id = runs.new_model(client, run_id, name).model_id  # raises MLflow's exception if there is no such run
    with _parts(keras_file, reference) as parts:
        logged = Model.log(artifact_path=None, model_id=model_id, flavor=mlflow.pyfunc, run_id=run_id, **parts)
    return logged.model_uri


def save_digit_model(folder: Path, keras_file: Path, reference: bytes) -> Path:
    """Save the served model in a new folder, in no store, as `log_digit_model` would log it; return the folder."""
    with _parts(keras_file, reference) as parts:
        mlflow.pyfunc.save_model(folder, **parts)
    return folder


def ask(folder: Path, images: np.ndarray) -> list[int]:
    """Return the labels that a saved model answers for images (n, 28, 28) of uint8, loaded as a server loads it."""
    model = mlflow.pyfunc.load_model(str(folder))
    return [answer["label"] for answer in model.predict([{"pixels": image.tolist()} for image in images])]


@contextmanager
def _parts(keras_file: Path, reference: bytes) -> Iterator[dict[str, Any]]:
    """Yield what MLflow needs to store the served model; its files are there until the block ends."""
    signature = ModelSignature(inputs=Schema([ColSpec(AnyType())]), outputs=Schema([ColSpec(AnyType())]))
    # With this, MLflow's server passes the request's list on unchanged. Otherwise it makes numpy arrays of it, and
    # answers with numpy's errors.
    signature._is_signature_from_type_hint = True
    with tempfile.TemporaryDirectory() as folder:
        network, distribution, code = (Path(folder, name) for name in ("network.keras", "reference.npz", "study"))
        shutil.copyfile(keras_file, network)
        distribution.write_bytes(reference)
        code.mkdir()
        for module in MODULES:
            (code / module).parent.mkdir(exist_ok=True)
            shutil.copyfile(STUDY / module, code / module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's advice to give an example and type hints
            yield {
                "python_model": str(Path(__file__).with_name("digit_model.py")),
                "artifacts": {"network": str(network), "reference": str(distribution)},
                "code_paths": [str(code)],
                "model_config": {"seen": True},
                "signature": signature,
                "pip_requirements": list(pinned(*REQUIREMENTS)),
            }
