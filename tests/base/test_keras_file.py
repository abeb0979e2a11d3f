"""What a ``.keras`` file may hold; the ways in which one attacks are in tests/system/test_attacks.py."""

import numpy as np
import pytest
from factories.model_files import members, model_file, packed

from study.base import keras_file
from study.base.errors import TrackingError


def test_a_network_of_this_project_passes_and_its_kernels_are_read():
    from study.base.backend import from_bytes

    keras_file.check(model_file())
    kernels = keras_file.kernels(model_file())
    assert [kernel.shape for kernel in kernels] == [(16, 5), (5, 4), (4, 3)]
    opened = from_bytes(model_file())
    for kernel, layer in zip(kernels, [each for each in opened.layers if hasattr(each, "kernel")], strict=True):
        np.testing.assert_array_equal(kernel, layer.kernel.numpy())


@pytest.mark.parametrize("optimizer", [None, "adam"])
@pytest.mark.parametrize("settings", [{"hidden": "none"}, {"batch_norm": "after", "initializer": "zeros"}])
def test_every_kind_of_our_networks_passes(tmp_path, settings, optimizer):
    from study.training import network
    from study.training.config import TrialConfig

    model = network.build(TrialConfig.parse(settings))
    if optimizer:  # somebody has trained it with Keras itself
        model.compile(optimizer, "mse")
    model.save(path := tmp_path / "model.keras")
    keras_file.check(path.read_bytes())


@pytest.mark.parametrize("kept", [0, 1, 100, -100, -1])
def test_a_truncated_file_is_damaged(kept):
    with pytest.raises(TrackingError, match="damaged model file"):
        keras_file.check(model_file()[:kept])


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_truncated_member_is_damaged(name):
    files = members(model_file())
    for size in (0, 10, len(files[name]) // 2, len(files[name]) - 1):
        with pytest.raises(TrackingError, match="model file"):
            keras_file.check(packed(files | {name: files[name][:size]}))


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_file, "MOST_BYTES", 10)
    (path := tmp_path / "model.keras").write_bytes(bytes(11))
    with pytest.raises(TrackingError, match=r"^model\.keras: too large; expected at most 10 bytes, got 11\.$"):
        keras_file.read(path)
