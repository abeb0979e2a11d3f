"""Writes a Keras network in MLflow's `tensorflow` flavor, from the bytes of its ``.keras`` file.

`mlflow.tensorflow.save_model` writes the same, as a test holds, but imports TensorFlow, maps every module of the
process to its package, and adds a pickle of the layers that this process has registered, so that only a machine with
this project could open the model.
"""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

NEEDS = ("mlflow", "tensorflow", "keras", "numpy")
TOOLS = ("pip", "setuptools", "wheel")
CONDA, VIRTUALENV = "conda.yaml", "python_env.yaml"


def write(
    folder: Path, content: bytes, model: Model, row_shape: tuple[int, ...], classes: int, dtype: str = "uint8"
) -> None:
    """Write the files of a model into a new folder: rows (n, …) of this dtype in, probabilities (n, classes) out.

    `content` is the ``.keras`` file; `model` is what MLflow knows of it, and is filled. Signature and requirements are
    given, not inferred: inferring them takes up to half a minute.
    """
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "model.keras").write_bytes(content)
    small = _environment() | {"data/keras_module.txt": "tensorflow.keras", "data/save_format.txt": "tf"}
    for name, text in small.items():
        (folder / name).write_text(text, encoding="utf-8")
    model.signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(dtype), (-1, *row_shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))]),
    )
    model.add_flavor(
        "tensorflow", code=None, data="data", model_type="keras", keras_version=version("tensorflow"), save_format="tf"
    )
    model.add_flavor(
        "python_function", loader_module="mlflow.tensorflow", python_version=platform.python_version(), data="data",
        env={"conda": CONDA, "virtualenv": VIRTUALENV},
    )  # fmt: skip
    model.model_size_bytes = sum(file.stat().st_size for file in (folder / "data").iterdir())
    model.save(str(folder / "MLmodel"))


@cache
def _environment() -> dict[str, str]:
    """Return the files that say what opens the model, by name."""
    python, needs, tools = platform.python_version(), [f"{name}=={version(name)}" for name in NEEDS], _tools()
    pip = f"pip<={tools['pip']}" if "pip" in tools else "pip"
    conda = ["name: mlflow-env", "channels:", "- conda-forge", "dependencies:", f"- python={python}", f"- {pip}"]
    conda += ["- pip:", *(f"  - {need}" for need in needs)]
    virtualenv = [f"python: {python}", "build_dependencies:", *(f"- {name}=={own}" for name, own in tools.items())]
    virtualenv += ["dependencies:", "- -r requirements.txt"]
    files = {CONDA: conda, VIRTUALENV: virtualenv, "requirements.txt": needs}
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _tools() -> dict[str, str]:
    """Return the versions of what installs packages here, as far as it is there: uv makes environments without pip."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
