import pytest

from study.design.auto_space import space_of, usual_space
from study.training.config import TrialConfig
from study.training.networks import own_file

NETWORK = """
from typing import Annotated, Literal
from pydantic import Field

def build(
    shape, classes, *, filters: int = 32, kernel: Literal[3, 5] = 3, wide: bool = False, rate: float = 0.25,
    force: Annotated[float, Field(ge=0, lt=1)] = 0.9, few: Annotated[int, Field(ge=1, le=3)] = 1,
    scale: float = 2.0, l2: float = 0.0, kind: str = "a", most: int | None = None,
):
    ...
"""


def test_a_space_is_what_annotations_and_defaults_allow(tmp_path):
    (path := tmp_path / "net.py").write_text(NETWORK)
    space, left_out = space_of(own_file.named(str(path)))
    words = {dimension.field: dimension.words for dimension in space.dimensions}
    assert list(words)[:2] == ["learning_rate", "batch_size"]
    plain = {dimension.field: dimension.as_plain() for dimension in space.dimensions}
    assert plain["filters"] == {"kind": "int", "range": [8, 128], "log": "true"}
    assert plain["kernel"]["choices"] == [3, 5] and plain["wide"]["choices"] == [False, True]
    assert plain["rate"]["range"] == pytest.approx([0.025, 0.9]) and plain["scale"]["range"] == pytest.approx([0.2, 20])
    assert plain["force"]["range"] == pytest.approx([0, 1], abs=1e-5) and plain["few"]["range"] == [1, 3]
    assert left_out == ["l2", "kind", "most"]
    assert space.baseline == TrialConfig.parse({"network": space.baseline.network.name, "epochs": 10})
    assert space.become(space.first())["filters"] == 32


def test_only_another_network_than_the_default_one_is_searched_by_itself():
    assert [usual_space(name) for name in (None, "mlp", "cnn")] == ["default", "default", "auto"]
    assert {dimension.field for dimension in space_of("cnn")[0].dimensions} >= {"kernel", "dropout", "activation"}
