"""A model is stored as MLflow itself would store it, and MLflow opens it."""

import mlflow
import numpy as np
import yaml
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from study.base.backend import to_bytes
from study.tracking import keras_flavor
from study.training import network
from study.training.config import TrialConfig

VARIES = {"model_id", "model_uuid", "run_id", "utc_time_created", "model_size_bytes"}


def test_the_folder_is_the_one_that_mlflow_writes_but_for_a_pickle(tmp_path):
    model = network.build(TrialConfig.parse({"hidden": "4"}))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    keras_flavor.write(ours, to_bytes(model), Model(), (28, 28), 10)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, 28, 28))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 10))]),
    )
    needs = (ours / "requirements.txt").read_text().splitlines()
    mlflow.tensorflow.save_model(model, theirs, signature=signature, pip_requirements=needs)

    own, others = (
        {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()} for root in (ours, theirs)
    )
    assert others - own == {"data/global_custom_objects.cloudpickle"} and own <= others
    for name in own - {"MLmodel", "data/model.keras"}:
        read = yaml.safe_load if name.endswith(".yaml") else str.split
        assert read((ours / name).read_text()) == read((theirs / name).read_text()), name
    one, other = (yaml.safe_load((root / "MLmodel").read_text()) for root in (ours, theirs))
    assert {key: one.get(key) for key in other.keys() - VARIES} == {key: other[key] for key in other.keys() - VARIES}

    rows = np.random.default_rng(1).integers(0, 256, (3, 28, 28), np.uint8)
    opened = mlflow.pyfunc.load_model(str(ours))
    np.testing.assert_array_equal(opened.predict(rows), mlflow.pyfunc.load_model(str(theirs)).predict(rows))
