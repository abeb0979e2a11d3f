import numpy as np
import pytest

from study.base.errors import DataError
from study.data.labels import classified


@pytest.mark.parametrize("labels, names, classes, found", [
    ([0, 1, 2, 1], None, [0, 1, 2, 1], ()),
    ([0, 1, 2, 1], ["a", "b", "c"], [0, 1, 2, 1], ("a", "b", "c")),
    ([3, 7, 7, 3], None, [0, 1, 1, 0], ("3", "7")), ([10, 1, 9], None, [2, 0, 1], ("1", "9", "10")),
    ([-1, 1, 1], ["no", "yes"], [0, 1, 1], ("no", "yes")),
    (["cat", "ant", "cat"], None, [1, 0, 1], ("ant", "cat")), (["10", "9", "x"], None, [1, 0, 2], ("9", "10", "x")),
    (["cat", "ant", "cat"], ["cat", "ant"], [0, 1, 0], ("cat", "ant")),
])  # fmt: skip
def test_labels_become_classes_in_order(labels, names, classes, found):
    there, named = classified({"train": np.array(labels)}, names, "x")
    assert (there["train"].tolist(), named) == (classes, found) and there["train"].dtype == np.int32


def test_a_class_between_others_may_lack_training_rows_and_no_other_may():
    train = np.array([0, 1, 3])
    there, names = classified({"train": train, "test": np.array([2, 3])}, None, "x")
    assert (there["test"].tolist(), names) == ([2, 3], ())
    for other in (4, -1, 7):
        with pytest.raises(DataError, match=r"^x: y_test: a label that the training rows never show; expected 0, 1, 3"):
            classified({"train": train, "test": np.array([1, other])}, None, "x")
    with pytest.raises(DataError, match="expected a, b, got 'c'"):
        classified({"train": np.array(["a", "b"]), "test": np.array(["a", "c"])}, None, "x")
