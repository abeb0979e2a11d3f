"""Opens a stored network to put it to use: the champion, or any trial's model."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from study.base import keras_file
from study.base.backend import from_bytes, keras
from study.base.errors import TrackingError
from study.inference import contract, doubt
from study.inference.contract import Contract
from study.tracking import stored
from study.training import program
from study.training.network import OwnModel
from study.training.networks import own_file

REFERENCE = "reference.npz"  # as study.inference.serving stores it


@dataclass(frozen=True, eq=False)
class Reader:
    """A network, its name, the ``.npz`` bytes of its reference for doubts (None: not stored), and its contract.

    Without a contract that fits it is taken for one that was stored before there were any, or for one of features.
    """

    name: str
    network: keras.Model
    reference: bytes | None
    contract: Contract | None = None

    def __post_init__(self) -> None:
        shape, classes = tuple(self.network.input_shape[1:]), int(self.network.output_shape[-1])
        known = self.contract
        if known is None or (known.row_shape, len(known.class_names)) != (shape, classes):
            guessed = Contract.of_pixels(shape, classes)
            if self.network.inputs[0].dtype != "uint8":
                guessed = replace(guessed, kind="features", handwriting=False)
            object.__setattr__(self, "contract", guessed)

    @property
    def takes(self) -> Contract:
        """What the network takes and gives."""
        assert self.contract is not None  # it was set, if it was not given
        return self.contract

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n, classes) of rows (n, …): pixels 0–255, or features."""
        return softmax(program.logits(self.network, rows.astype(self.takes.dtype)), axis=1)

    def doubts(self, rows: np.ndarray) -> tuple[list[float | None], list[str]]:
        """Return a doubt for each row and its reason; None without a reference."""
        return doubt.scorer(self.reference, self.takes.no_doubt)(rows)


def open_model(
    uri: str, network: str | None = None, named: bool = False, usual: Callable[[], Contract | None] = lambda: None
) -> Reader:
    """Return a reader of the model at `uri`, such as ``models:/mnist-mlp@champion``, or of the trial with that run ID.

    `network` is the name of its network as the record has it, `named` whether the user has named that network's file,
    so that its code may run. `usual` gives the contract of a model that brings none. Raises TrackingError if there is
    no such model, if it holds no network, or if that needs code which is not there.
    """
    address = uri if ":/" in uri else f"runs:/{uri}/model"
    with tempfile.TemporaryDirectory() as folder:
        files = stored.download_model(address, folder)
        found = sorted(files.rglob("*.keras"))
        if not found:
            raise TrackingError("not a Keras model", where=uri, expected="a .keras file in it")
        model = open_network(keras_file.read(found[0]), uri, network, named)
        reference = next((path.read_bytes() for path in files.rglob(REFERENCE)), None)
        text = next((path.read_text("utf-8") for path in files.rglob(contract.FILE)), None)
    return Reader(uri, model, reference, usual() if text is None else Contract.from_json(text, uri))


def open_network(content: bytes, where: object, network: str | None, known: bool) -> keras.Model:
    """Return the model of a ``.keras`` file; with `known` one's own `network` may build its own layers.

    Raises TrackingError, which says so if the file of the network is missing.
    """
    own = network is not None and "@" in network
    if known and own:
        return from_bytes(content, where, {OwnModel.__name__: OwnModel})
    try:
        return from_bytes(content, where)
    except TrackingError as failure:
        if not (own and network):
            raise
        file, function = own_file.parts(network)
        name = file if function == own_file.FUNCTION else f"{file}:{function}"
        hint = f"Name the file that it was trained with: -P network={name}."
        raise TrackingError(
            "the network has layers of its own, whose code is not in the model", where=where,
            expected=f"the file of {network}", hint=hint,
        ) from failure  # fmt: skip


def has_own_layers(model: keras.Model) -> bool:
    """Return whether a model needs the code of its network's file."""
    return any(isinstance(layer, OwnModel) for layer in model.layers)
