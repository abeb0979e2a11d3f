import json
from dataclasses import replace

import numpy as np
import pytest

from study.base.errors import TrackingError
from study.data.features import Column, Features
from study.data.handwriting import is_handwriting
from study.inference.contract import Contract

NAMES = tuple("0123456789")


def test_a_contract_is_read_back_as_it_was_written(digits):
    features = Features((Column("age", None, True, 40.0), Column("colour", ("red", "blue"))), ("always",))
    table = Contract("features", (4,), ("no", "yes"), features, False, "network_0123abcd:build", "too few")
    for one in (Contract.of(digits), table, Contract("features", (3, 2), ("a", "b"))):
        assert Contract.from_json(one.to_json()) == one
    assert Contract.of(digits).handwriting and Contract.of(digits).dtype == "uint8"


@pytest.mark.parametrize("change", [{"kind": "code"}, {"row_shape": None}, {"features": {}}, {"class_names": 3}])
def test_other_texts_are_refused(digits, change):
    text = json.dumps(json.loads(Contract.of(digits).to_json()) | change)
    for broken in (text, "{", "[]", text[:40]):
        with pytest.raises(TrackingError, match="not what a network takes and gives"):
            Contract.from_json(broken)


def test_handwriting_is_told_by_names_and_by_the_ring(digits):
    images = digits.train.inputs
    assert is_handwriting(images, NAMES) and is_handwriting(images, ("3", "8"))
    to_the_border = np.repeat(np.repeat(images[:, 4:24, 4:24], 2, axis=1), 2, axis=2)[:, 6:34, 6:34]
    for inputs, names in (
        (images, ("T-shirt", "bag")), (images, ("10", "11")), (to_the_border, NAMES), (images[:, :27], NAMES),
        (np.zeros_like(images), NAMES), (images.astype(np.float32), NAMES), (images[..., None], NAMES),
    ):  # fmt: skip
        assert not is_handwriting(inputs, names)
    assert not Contract.of(replace(digits, class_names=tuple("abcdefghij"))).handwriting
