import importlib
import os

import pytest

from study.base import backend


def test_whatever_a_persons_other_programs_use_it_is_tensorflow_in_single_precision(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    backend.keras.config.set_floatx("float64")
    backend.keras.config.set_image_data_format("channels_first")
    importlib.reload(backend)
    config = backend.keras.config
    assert os.environ["KERAS_BACKEND"] == config.backend() == "tensorflow"
    assert (config.floatx(), config.image_data_format()) == ("float32", "channels_last")


def test_a_process_whose_keras_runs_on_something_else_is_told(monkeypatch):
    monkeypatch.setattr(backend.keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="Keras runs on jax in this process; set KERAS_BACKEND=tensorflow first"):
        importlib.reload(backend)
