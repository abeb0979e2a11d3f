"""The served model takes pictures of digits, and returns labels with their probabilities and doubts.

MLflow stores this file beside the network and runs it when the model is loaded; nothing is pickled. `log_model.py`
logs it, and docs/serving.md describes its input and output.
"""

import base64
import binascii
import logging
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc.model import PythonModel
from threadpoolctl import threadpool_limits

from study.base import keras_file
from study.base.errors import StudyError
from study.data.picture_headers import MOST_BYTES, MOST_WORK, WANTED, ImageError, read_header
from study.inference import novelty, preprocessing
from study.inference.serving.admission import Admission, Busy

SIDE = preprocessing.SIDE
MOST_ITEMS = 256
PIXELS = f"{SIDE} rows of {SIDE} numbers from 0 to 255"
MOST_BASE64 = 2 * MOST_BYTES  # characters of a picture, line ends and all
JSON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number"}


class Refused(MlflowException):
    """The model does not answer; the server says why in one sentence, with status 400 unless `error_code` is another.

    `message` cannot be set, because MLflow's server would put the whole input before the sentence.
    """

    def __init__(self, sentence: str, error_code: int = INVALID_PARAMETER_VALUE):
        super().__init__(sentence, error_code=error_code)

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
        self._admission = Admission()
        self._shows = bool((context.model_config or {}).get("seen", True))
        self._answers(np.zeros((1, SIDE, SIDE), np.uint8))

    def predict(self, context, model_input, params=None) -> list[dict]:
        """Return an answer for each of 1 to 256 items; raises Refused, which names the first item that is wrong.

        All items are checked, and the work that they make is counted, before any picture is decoded.
        """
        try:
            _check_list(model_input)
            items = [_checked(item, f"inputs[{i}]") for i, item in enumerate(model_input)]
            work = _total_work(items)
            with self._admission.request(work):
                return self._answers(np.stack([self._seen(item, work) for item in items]))
        except Busy as failure:
            raise Refused(str(failure), TEMPORARILY_UNAVAILABLE) from None
        except StudyError as failure:
            raise Refused(str(failure)) from None
        except Exception:
            # MLflow would send the stack trace to the client. The log has it.
            logging.getLogger(__name__).exception("a request failed")
            raise Refused("internal error; the server's log has the reason.", INTERNAL_ERROR) from None

    def _seen(self, item: "np.ndarray | Picture", of_request: int) -> np.ndarray:
        """Return a checked item of a request with so much work as the network sees it: (28, 28) of uint8."""
        if isinstance(item, np.ndarray):
            return item
        with self._admission.picture(item.work, of_request):
            try:
                return preprocessing.read(item.content)
            except ImageError as failure:
                raise StudyError(str(failure), where=item.where) from None

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


@dataclass(frozen=True)
class Picture:
    """A picture file of a request that has not been decoded yet: where it stands, its bytes and its work."""

    where: str
    content: bytes
    work: int


def _total_work(items: list["np.ndarray | Picture"]) -> int:
    """Return the work that all pictures make; raises StudyError if that is too much for one request."""
    pictures = [item for item in items if isinstance(item, Picture)]
    work, size = sum(picture.work for picture in pictures), sum(len(picture.content) for picture in pictures)
    if size > MOST_BYTES:
        expected, got = f"at most {MOST_BYTES / 1e6:.0f} MB in all", f"{size / 1e6:.1f} MB"
        raise StudyError("too many bytes for one request", where="inputs", expected=expected, got=got)
    if work > MOST_WORK:
        expected = f"pictures, scans and transparency worth at most {MOST_WORK:,} pixels"
        raise StudyError("too much work for one request", where="inputs", expected=expected, got=f"{work:,}")
    return work


def _check_list(items: object) -> None:
    expected = f"a list of 1 to {MOST_ITEMS} items"
    if not isinstance(items, list):
        raise StudyError("not a list", where="inputs", expected=expected, got=_kind(items))
    if not 1 <= len(items) <= MOST_ITEMS:
        what = "too many items" if items else "no items"
        raise StudyError(what, where="inputs", expected=expected, got=len(items))


def _checked(item: object, where: str) -> np.ndarray | Picture:
    """Return an item's pixels as the network sees them, (28, 28) of uint8, or its picture, not yet decoded."""
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


def _of_image(value: object, where: str) -> Picture:
    expected = f"base64 of {WANTED}"
    if not isinstance(value, str):
        raise StudyError("not text", where=where, expected=expected, got=_kind(value))
    if len(value) > MOST_BASE64:
        expected = f"at most {MOST_BYTES / 1e6:.0f} MB"
        raise StudyError("too many bytes for one digit", where=where, expected=expected)
    try:
        content = base64.b64decode(re.sub(r"\s+", "", value), validate=True)
    except (binascii.Error, ValueError):
        raise StudyError("not base64", where=where, expected=expected) from None
    return Picture(where, content, read_header(content, where).work)


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
