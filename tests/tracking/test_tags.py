import itertools

import pytest
from mlflow.utils.validation import _validate_metric_name, _validate_tag_name

from study.design.ablation import catalogue, load_ablation
from study.tracking import tags

NAMES = (
    "baseline", "batch_size=8", "batch_size:8", "batch_size 8", "hidden=128,64", "hidden=128_64", "hidden=(128, 64)",
    "1e-3, dropout 0.2", "1e-3: dropout 0.2", "momentum 0.01/0.9", "momentum 0.01::0.9", "a vs b", "größer", "两层",
    "+", "++", "?", "..", ".", "/", "//", "a/../b", "/etc", "Adam – tuned", 'a "quoted" one', "it's", "`", "a\\b", "🙂",
    "a-", "-1", "a ", "x-0123abcd", "x" * 100, "x" * 101, "x" * 6_000, "μ=0.5", "a=b=c", "a:b", "50 %", "mlflow.note",
)  # fmt: skip
KEYS = {names: tags.key(*names) for names in [*((one,) for one in NAMES), *itertools.permutations(NAMES, 2)]}


def test_names_that_are_written_every_day_stay_readable():
    assert tags.key("batch_size=8") == "batch_size:8"
    assert tags.key("batch_size=32 l2=0.01") == "batch_size:32 l2:0.01"
    assert tags.key("hidden=128,64") == "hidden:128_64"
    assert tags.key("1e-3, dropout 0.2") == "1e-3: dropout 0.2"
    assert tags.key("momentum 0.01/0.9") == "momentum 0.01::0.9"
    assert tags.key("l2 = 0.1, or more") == "l2 : 0.1: or more"
    assert tags.key("no dropout", "dropout=0.5") == "no dropout vs dropout:0.5"


def test_no_arm_of_the_catalogue_needs_a_hash():
    arms = [arm.name for task in catalogue() for arm in load_ablation(task).arms]
    assert [name for name in arms if tags._HASHED.search(tags.key(name))] == []


def test_different_names_have_different_keys():
    assert len(set(KEYS.values())) == len(KEYS)


@pytest.mark.parametrize("prefix", [tags.VERDICT_PREFIX, f"{tags.DIFFERENCE}{tags.HIGH}/"])
def test_mlflow_takes_every_key(prefix):
    for name in KEYS.values():
        assert "/" not in name  # the UI makes a section of what stands before it
        _validate_metric_name(prefix + name)
        _validate_tag_name(prefix + name)
        assert len(prefix + name) <= 250
