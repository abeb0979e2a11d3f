"""The served model takes pictures, pixels or named features, and returns labels with probabilities and doubts.

MLflow stores this file beside the network and runs it when the model is loaded; nothing is pickled. `log_model.py`
logs it, and docs/serving.md describes its input and output.
"""

import logging
from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc.model import PythonModel
from threadpoolctl import threadpool_limits

from study.base import keras_file
from study.base.errors import StudyError
from study.inference import doubt
from study.inference.contract import Contract
from study.inference.serving import feature_items, items
from study.inference.serving.admission import Admission, Busy
from study.inference.serving.own_code import custom_objects
from study.inference.serving.picture_items import PictureItems


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


class ServedNetwork(PythonModel):
    """A Keras network behind checks that explain what is wrong with an input; its `contract` says what items it takes.

    Of pixels they are ``{"image": base64 of a picture file}`` or ``{"pixels": [[…]]}``, of a table an object with the
    features' names, of features without names ``{"values": […]}``.
    """

    # MLflow's own check of type hints repeats the input in its error.
    _skip_type_hint_validation = True

    def load_context(self, context) -> None:
        """Load the network and the reference for doubts, and answer once, so that the first request does not wait."""
        from study.base.backend import from_bytes, tf

        artifacts = {name: Path(path) for name, path in context.artifacts.items()}
        contract = Contract.from_json(artifacts["contract"].read_text("utf-8"))
        own = custom_objects(contract.code)
        network = from_bytes(keras_file.read(artifacts["network"]), "network", own)
        if tuple(network.input_shape[1:]) != contract.row_shape:
            got = tuple(network.input_shape[1:])
            raise StudyError("rows of another shape", where="network", expected=contract.row_shape, got=got)
        if (classes := network.output_shape[-1]) != len(contract.class_names):
            raise StudyError(
                "another number of classes", where="network", expected=len(contract.class_names), got=classes
            )
        # One program for batches of every size; calling the Keras model directly takes ten times as long.
        self._network = tf.function(
            lambda rows: network(rows, training=False), [tf.TensorSpec((None, *contract.row_shape), contract.dtype)]
        )
        reference = artifacts["reference"].read_bytes() if "reference" in artifacts else None
        # For numpy too: small products on several threads were slower and took three times the processor time.
        threadpool_limits(1, user_api="blas")
        self.prepare(contract, reference, shows=bool((context.model_config or {}).get("seen", True)))
        self._answers(np.zeros((1, *contract.row_shape), contract.dtype))

    def prepare(self, contract: Contract, reference: bytes | None, shows: bool = True) -> None:
        """Get ready for items of this contract; with `shows` an answer has the pixels that the network saw."""
        self._contract, self._admission = contract, Admission()
        self._items: items.Items = PictureItems(contract) if contract.kind == "pixels" else feature_items.of(contract)
        self._score = doubt.scorer(reference, contract.no_doubt)
        self._shows = shows and contract.kind == "pixels"

    def predict(self, context, model_input, params=None) -> list[dict]:
        """Return an answer for each of 1 to 256 items; raises Refused, which names the first item that is wrong.

        All items are checked, and the work that they make is counted, before any picture is decoded.
        """
        try:
            items.check_list(model_input)
            checked = [self._items.checked(item, f"inputs[{i}]") for i, item in enumerate(model_input)]
            work = self._items.work(checked)
            with self._admission.request(work):
                return self._answers(self._items.rows(checked, work, self._admission))
        except Busy as failure:
            raise Refused(str(failure), TEMPORARILY_UNAVAILABLE) from None
        except StudyError as failure:
            raise Refused(str(failure)) from None
        except Exception:
            # MLflow would send the stack trace to the client. The log has it.
            logging.getLogger(__name__).exception("a request failed")
            raise Refused("internal error; the server's log has the reason.", INTERNAL_ERROR) from None

    def _answers(self, seen: np.ndarray) -> list[dict]:
        probabilities = self._network(seen).numpy().astype(float)
        if not (finite := np.isfinite(probabilities).all(axis=1)).all():
            what = "the network's answer is not a number: the values are too large for it"
            raise StudyError(what, where=f"inputs[{int(np.argmin(finite))}]")
        doubts, reasons = self._score(seen)
        labels = probabilities.argmax(axis=1).tolist()
        columns = {
            "label": labels,
            "class": [self._contract.class_names[label] for label in labels],
            "probability": probabilities.max(axis=1).tolist(),
            "probabilities": probabilities.tolist(),
            "doubt": doubts,
            "reason": reasons,
        }
        if self._shows:
            columns["seen"] = seen.tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


mlflow.models.set_model(ServedNetwork())
