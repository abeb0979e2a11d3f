"""A model with layers of one's own, opened by the code that MLflow has put beside it and on Python's path."""

import importlib
import re
from typing import Any

import numpy as np

from study.base.errors import StudyError
from study.base.keras_file import OWN_MODEL

REGISTERED = f"study>{OWN_MODEL}"
ADDRESS = re.compile(r"(?P<module>network_[0-9a-f]{8}):(?P<function>[A-Za-z_]\w*)")


def custom_objects(code: str) -> dict[str, type]:
    """Return the class that opens a model by its own code, ``module:function``, which is run; none without code."""
    if not code:
        return {}
    found = ADDRESS.fullmatch(code)
    if not found:
        raise StudyError("no address of a network's code", where="contract", expected="network_…:function")
    function = getattr(importlib.import_module(found["module"]), found["function"])
    own = _class(function)
    return {OWN_MODEL: own, REGISTERED: own}


def _class(function: Any) -> type:
    from study.base.backend import keras

    class OwnModel(keras.layers.Layer):
        """What the network's function makes, as the one layer that was saved."""

        def __init__(self, model: Any, shape: tuple[int, ...], **keywords: Any):
            super().__init__(name="own_model", **keywords)
            self.model = model
            model(np.zeros((1, *shape), np.float32), training=False)  # so that all its weights are there

        def build(self, shape: object) -> None:
            """Do nothing: the model has its weights."""

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            """Return what the model gives for a batch."""
            return self.model(inputs, training=training)

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> "OwnModel":
            """Return the model that the network's function makes."""
            shape = tuple(config["shape"])
            return cls(function(shape, config["classes"], **config["settings"]), shape)

    return OwnModel
