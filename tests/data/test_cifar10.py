import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from study.base.errors import DataError
from study.data import cifar10
from study.data.cifar10 import CLASSES, FOLDER, read_archive

NAMES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]


def batch(number: int, **changed) -> dict:
    random = np.random.default_rng(number)
    return {b"data": random.integers(0, 256, (4, 3072), np.uint8), b"labels": [number, 1, 2, 9]} | {
        key.encode(): value for key, value in changed.items()
    }


def archive(path, batches) -> None:
    with tarfile.open(path, "w:gz") as file:
        for name, content in batches.items():
            data = content if isinstance(content, bytes) else pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))


@pytest.fixture
def whole(tmp_path):
    archive(tmp_path / "whole", {name: batch(number) for number, name in enumerate(NAMES)})
    return tmp_path / "whole"


def test_an_archive_is_images_with_their_channels_last(whole):
    content = read_archive(whole)
    assert content.class_names == CLASSES and content.arrays["x_train"].shape == (20, 32, 32, 3)
    assert content.arrays["y_train"].tolist() == [n for number in range(5) for n in (number, 1, 2, 9)]
    assert content.arrays["y_test"].tolist() == [5, 1, 2, 9]
    flat = batch(5)[b"data"][0].reshape(3, 32, 32)
    assert (content.arrays["x_test"][0] == np.moveaxis(flat, 0, -1)).all()


class AsPython2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings."""

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_bytes}


def test_a_pickle_of_python_2_is_read_too():
    """The file on the net was written by Python 2: its arrays are of numpy.core, their bytes are strings."""
    file = io.BytesIO()
    AsPython2(file, protocol=2).dump(batch(1))
    content = file.getvalue().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    assert b"numpy.core" in content and b"_codecs" not in content
    read = cifar10._Unpickler(io.BytesIO(content), encoding="bytes").load()
    assert (read[b"data"] == batch(1)[b"data"]).all()


class Runs:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("content, said", [
    (batch(0, data=Runs()), r"is not allowed\)"), (batch(0, labels=[0, 1, 2, 10]), r"\(labels out of range\)"),
    (batch(0, data=np.array([[None] * 3072] * 4)), r"is not allowed|not allowed\)"),
    (batch(0, data=np.zeros((4, 3072))), "not allowed"), (batch(0, data=np.zeros((3, 3072), np.uint8)), "other arrays"),
    (b"not a pickle", r"not a batch of CIFAR-10 \("), ({}, r"not a batch of CIFAR-10 \("), ([], "not a batch of"),
])  # fmt: skip
def test_a_batch_that_is_none_is_refused_and_runs_nothing(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "bad", {name: content for name in NAMES})
    with pytest.raises(DataError, match=said) as error:
        read_archive(tmp_path / "bad")
    assert str(error.value).startswith(f"{tmp_path}/bad: {FOLDER}/data_batch_1: not a batch of CIFAR-10 (")
    assert not (tmp_path / "harmed").exists()


def test_a_damaged_archive_is_refused(whole, monkeypatch):
    archive(whole.with_name("few"), {"data_batch_1": batch(1)})
    with pytest.raises(DataError, match=f"few: {FOLDER}/data_batch_2: no such batch, or too large a one"):
        read_archive(whole.with_name("few"))
    with monkeypatch.context() as patch, pytest.raises(DataError, match="no such batch, or too large a one"):
        patch.setattr(cifar10, "MOST_BYTES", 9_000)
        read_archive(whole)
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"damaged \("):
        read_archive(whole)
