"""Limits on networks, and the search that remembers them."""

import pytest

from study.base.errors import ConfigError
from study.design.costs import NO_LIMITS, Limits, parse_limits
from study.design.search import Search, parse_search
from study.design.search_space import load_space


@pytest.mark.parametrize("text, limits", [
    ("parameters<50000", Limits(50_000)),
    ("latency_ms<1.0", Limits(latency_ms=1.0)),
    ("parameters < 50000, latency_ms < 0.5", Limits(50_000, 0.5)),
    ("latency_ms<0.12345678", Limits(latency_ms=0.12345678)),
])  # fmt: skip
def test_limits_are_read_and_written(text, limits):
    assert parse_limits(text) == limits == parse_limits(limits.text) and limits


def test_words_of_limits():
    assert Limits(50_000, 0.5).words == "fewer than 50,000 parameters, less than 0.5 ms a row"
    assert NO_LIMITS.text == "none" and not NO_LIMITS


@pytest.mark.parametrize("text", [
    "parameters>9", "parameters<0", "parameters<1.5", "latency_ms<0", "latency_ms<nan", "latency_ms<inf", "epochs<9",
    "latency_ms<1,latency_ms<2", "parameters<9,", "",
])  # fmt: skip
def test_limits_that_are_none_are_refused(text):
    with pytest.raises(
        ConfigError, match=r"limit cannot be .*; expected parameters<N, latency_ms<T, both with a comma"
    ):
        parse_limits(text)


def test_a_search_remembers_its_wishes():
    asked = Search(load_space("wide"), "val_accuracy", "gp", "none", Limits(9, 2.5), replicate=True, also="latency_ms")
    assert parse_search(asked.as_yaml(), "search.yaml") == asked
    assert asked.words.endswith("; fewer than 9 parameters, less than 2.5 ms a row)")
    old = asked.as_yaml().replace("limit: parameters<9,latency_ms<2.5", "limit: 9")  # as it was written before
    assert parse_search(old, "search.yaml").limit == Limits(9)
