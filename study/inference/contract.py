"""What a network takes and gives, in a small JSON beside it: the kind of data, a row's shape, names, and its code."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.base.errors import TrackingError
from study.data.features import Features
from study.data.handwriting import DIGITS, SIDE, is_handwriting

if TYPE_CHECKING:
    from study.data.dataset import Dataset, Kind

FILE = "contract.json"


@dataclass(frozen=True)
class Contract:
    """What a network takes and gives: rows of `row_shape` in, a probability for each of `class_names` out.

    `features` has the columns of a table; None for pixels, and for features without names. `handwriting` says that the
    pixels are handwritten digits in MNIST's form, into which pictures are brought. `code` is the ``module:function`` of
    a network with layers of its own; empty if all are Keras's. `no_doubt` says why there is no novelty score, if there
    is none.
    """

    kind: "Kind"
    row_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    features: Features | None = None
    handwriting: bool = False
    code: str = ""
    no_doubt: str = ""

    @classmethod
    def of(cls, dataset: "Dataset", code: str = "", no_doubt: str = "") -> "Contract":
        """Return what a network of this dataset takes and gives."""
        handwriting = is_handwriting(dataset.train.inputs, dataset.class_names)
        shape = tuple(dataset.row_shape)
        return cls(dataset.kind, shape, dataset.class_names, dataset.features, handwriting, code, no_doubt)

    @classmethod
    def of_pixels(cls, row_shape: tuple[int, ...], classes: int) -> "Contract":
        """Return what is known of a network that was stored without a contract: older ones read MNIST's form."""
        handwriting = row_shape == (SIDE, SIDE) and classes == len(DIGITS)
        return cls("pixels", row_shape, tuple(map(str, range(classes))), handwriting=handwriting)

    @property
    def dtype(self) -> str:
        """The type of a row's numbers."""
        return "uint8" if self.kind == "pixels" else "float32"

    def to_json(self) -> str:
        """Return the contract as text that `from_json` reads back."""
        features = None if self.features is None else self.features.as_plain()
        return json.dumps(vars(self) | {"features": features}, indent=1)

    @classmethod
    def from_json(cls, text: str, where: object = FILE) -> "Contract":
        """Return the contract that `to_json` wrote; raises TrackingError for other text."""
        try:
            plain = json.loads(text)
            features = None if plain["features"] is None else Features.from_plain(plain["features"])
            shape, names = tuple(map(int, plain["row_shape"])), tuple(map(str, plain["class_names"]))
            handwriting, code = bool(plain["handwriting"]), str(plain["code"])
            if plain["kind"] not in ("pixels", "features"):
                raise ValueError
            return cls(plain["kind"], shape, names, features, handwriting, code, str(plain["no_doubt"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise TrackingError("not what a network takes and gives", where=where) from None
