"""The served model takes pictures of digits, and returns labels with their probabilities and doubts.

MLflow stores this file beside the network and runs it when the model is loaded; nothing is pickled. `log_model.py`
logs it, and docs/serving.md describes its input and output.
"""

import base64
import binascii
from itertools import chain
from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel
from threadpoolctl import threadpool_limits

from study.base import keras_file
from study.base.errors import StudyError
from study.inference import novelty, preprocessing

SIDE = preprocessing.SIDE
MOST_ITEMS = 256
PIXELS = f"{SIDE} rows of {SIDE} numbers from 0 to 255"
JSON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number"}


class Refused(MlflowException):
    """The model does not accept an input; the server answers with status 400 and one sentence.

    `message` cannot be set, because MLflow's server would put the whole input before the sentence.
    """

    def __init__(self, sentence: str):
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        return self.args[0]

    @message.setter
    def message(self, text: str) -> None:
        pass


class DigitModel(PythonModel):
    """A Keras network that reads handwritten digits, behind checks that explain what is wrong with an input.

    Items are ``{"image": base64 of a picture file}``, which is first put into MNIST's form, or
    ``{"pixels": [[28×28]]}``, which the network sees unchanged.
    """

    # MLflow's own check of type hints repeats the input in its error.
    _skip_type_hint_validation = True

    def load_context(self, context) -> None:
        """Load the network and the reference for doubts, and answer once, so that the first request does not wait."""
        from study.base.backend import from_bytes, tf

        network = from_bytes(keras_file.read(Path(context.artifacts["network"])), "network")
        if network.input_shape != (None, SIDE, SIDE):
            expected = f"({SIDE}, {SIDE})"
            raise StudyError("images of another size", where="network", expected=expected, got=network.input_shape[1:])
        # One program for batches of every size; calling the Keras model directly takes ten times as long.
        self._network = tf.function(
            lambda pixels: network(pixels, training=False), [tf.TensorSpec((None, SIDE, SIDE), tf.uint8)]
        )
        self._reference = novelty.Reference.from_bytes(Path(context.artifacts["reference"]).read_bytes())
        # For numpy too: small products on several threads were slower and took three times the processor time.
        threadpool_limits(1, user_api="blas")
        self._shows = bool((context.model_config or {}).get("seen", True))
        self._answers(np.zeros((1, SIDE, SIDE), np.uint8))

    def predict(self, context, model_input, params=None) -> list[dict]:
        """Return an answer for each of 1 to 256 items; raises Refused, which names the first item that is wrong."""
        try:
            _check_list(model_input)
            return self._answers(np.stack([_seen(item, f"inputs[{i}]") for i, item in enumerate(model_input)]))
        except StudyError as failure:
            raise Refused(str(failure)) from None

    def _answers(self, seen: np.ndarray) -> list[dict]:
        probabilities = self._network(seen).numpy().astype(float)
        doubts, reasons = novelty.score(self._reference, seen)
        columns = {
            "label": probabilities.argmax(axis=1).tolist(),
            "probability": probabilities.max(axis=1).tolist(),
            "probabilities": probabilities.tolist(),
            "doubt": doubts.tolist(),
            "reason": reasons,
        }
        if self._shows:
            columns["seen"] = seen.tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _check_list(items: object) -> None:
    expected = f"a list of 1 to {MOST_ITEMS} items"
    if not isinstance(items, list):
        raise StudyError("not a list", where="inputs", expected=expected, got=_kind(items))
    if not 1 <= len(items) <= MOST_ITEMS:
        what = "too many items" if items else "no items"
        raise StudyError(what, where="inputs", expected=expected, got=len(items))


def _seen(item: object, where: str) -> np.ndarray:
    """Return an item as the network sees it: (28, 28) of uint8."""
    expected = 'an object with either "image" or "pixels"'
    if not isinstance(item, dict):
        raise StudyError("not an item", where=where, expected=expected, got=_kind(item))
    if len(item) != 1 or not item.keys() <= {"image", "pixels"}:
        named = [key for key in ("image", "pixels") if key in item]
        others = len(item) - len(named)
        got = " and ".join([f'"{key}"' for key in named] + ([f"{others} other keys"] if others else [])) or "no keys"
        raise StudyError("wrong keys", where=where, expected=expected, got=got.replace("1 other keys", "another key"))
    ((key, value),) = item.items()
    return _of_image(value, f"{where}.image") if key == "image" else _of_pixels(value, f"{where}.pixels")


def _of_image(value: object, where: str) -> np.ndarray:
    expected = f"base64 of {preprocessing.WANTED}"
    if not isinstance(value, str):
        raise StudyError("not text", where=where, expected=expected, got=_kind(value))
    try:
        content = base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise StudyError("not base64", where=where, expected=expected) from None
    try:
        return preprocessing.read(content)
    except preprocessing.ImageError as failure:
        raise StudyError(str(failure), where=where) from None


def _of_pixels(value: object, where: str) -> np.ndarray:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        got = "a list of things other than rows" if isinstance(value, list) else _kind(value)
        raise StudyError("not rows of numbers", where=where, expected=PIXELS, got=got)
    lengths = sorted(set(map(len, value)))
    if len(value) != SIDE or lengths != [SIDE]:
        got = f"{len(value)} rows of {lengths[0]}" if len(lengths) == 1 else f"{len(value)} rows of different lengths"
        raise StudyError("wrong shape", where=where, expected=PIXELS, got=got if value else "no rows")
    # Check this here, because numpy accepts texts and truth values as numbers.
    if strange := set(map(type, chain.from_iterable(value))) - {int, float}:
        got = " and ".join(sorted(JSON_NAMES.get(kind, "null") for kind in strange))
        raise StudyError("not only numbers", where=where, expected=PIXELS, got=got)
    try:
        pixels = np.array(value, np.float64)
    except OverflowError:  # a whole number of more than 308 digits
        pixels = np.full((SIDE, SIDE), np.inf)
    if not ((pixels >= 0) & (pixels <= 255)).all():  # NaN is neither
        got = "NaN" if np.isnan(pixels).any() else "a smaller one" if pixels.min() < 0 else "a larger one"
        raise StudyError("a number out of range", where=where, expected=PIXELS, got=got)
    return np.rint(pixels).astype(np.uint8)


def _kind(value: object) -> str:
    return JSON_NAMES.get(type(value), "null" if value is None else f"a {type(value).__name__}")


mlflow.models.set_model(DigitModel())
