"""Logs the served model in MLflow: a Keras network, the reference for doubts, and the few modules that it runs."""

import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

STUDY = Path(__file__).resolve().parents[2]
# All modules of this project that the served model imports; a server has nothing else of it.
MODULES = (
    "base/passwords.py", "base/text.py",
    "__init__.py", "base/__init__.py", "base/errors.py", "base/startup.py", "base/backend.py", "inference/__init__.py",
    "inference/preprocessing.py", "inference/novelty.py",
)  # fmt: skip
REQUIREMENTS = ("mlflow", "tensorflow", "keras", "numpy", "scipy", "pillow", "threadpoolctl")


def log_digit_model(
    client: MlflowClient, run_id: str, keras_file: Path, reference: bytes, name: str = "digit-model"
) -> str:
    """Log a Keras file with the bytes of a `novelty.Reference` as the run's served model, and return the model's URI.

    It goes into the store of `client`; no run has to be active. The network takes (n, 28, 28) of uint8. Signature and
    requirements are given, not inferred, because inferring them would load the model and take half a minute.
    """
    client.get_run(run_id)  # raises MLflow's exception if there is no such run
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
            logged = Model.log(
                artifact_path=None,
                name=name,
                flavor=mlflow.pyfunc,
                run_id=run_id,
                python_model=str(Path(__file__).with_name("digit_model.py")),
                artifacts={"network": str(network), "reference": str(distribution)},
                code_paths=[str(code)],
                model_config={"seen": True},
                signature=signature,
                pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            )
    return logged.model_uri
