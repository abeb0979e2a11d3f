"""Opens a stored network to read digits with: the champion, or any trial's model."""

import tempfile
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from study.base import keras_file
from study.base.backend import from_bytes, keras
from study.base.errors import TrackingError
from study.tracking import records
from study.training import program

REFERENCE = "reference.npz"  # as study.inference.serving stores it


@dataclass(frozen=True, eq=False)
class Reader:
    """A network, its name, and the ``.npz`` bytes of its training data's distribution (None: not stored)."""

    name: str
    network: keras.Sequential
    reference: bytes | None

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n, classes) of pixels 0–255 (n, height, width)."""
        return softmax(program.logits(self.network, images.astype(np.uint8)), axis=1)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the images that the network reads."""
        return tuple(self.network.input_shape[1:])


def open_model(uri: str) -> Reader:
    """Return a reader of the model at `uri`, such as ``models:/mnist-mlp@champion``, or of the trial with that run ID.

    Raises TrackingError if there is no such model, or if it holds no network.
    """
    address = uri if ":/" in uri else f"runs:/{uri}/model"
    with tempfile.TemporaryDirectory() as folder:
        files = records.download_model(address, folder)
        found = sorted(files.rglob("*.keras"))
        if not found:
            raise TrackingError("not a Keras model", where=uri, expected="a .keras file in it")
        network = from_bytes(keras_file.read(found[0]), uri)
        reference = next((path.read_bytes() for path in files.rglob(REFERENCE)), None)
    return Reader(uri, network, reference)
