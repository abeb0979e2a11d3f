import pytest

from study.analysis.grid_edges import grid_edges
from study.training.config import TrialConfig

RATES = {"learning_rate": [0.001, 0.01, 0.1]}


def edges(factors, means):
    rows = zip(*factors.values(), strict=True)
    arms = {str(index): dict(zip(factors, values, strict=True)) for index, values in enumerate(rows)}
    best, found = grid_edges(TrialConfig(), factors, arms, means)
    return best, [(each.field, each.end) for each in found]


@pytest.mark.parametrize("factors, best, expected", [
    (RATES, "0", [("learning_rate", "lower")]),
    (RATES, "1", []),
    (RATES, "2", [("learning_rate", "upper")]),
    ({"learning_rate": [0.1, 0.01, 0.001]}, "0", [("learning_rate", "upper")]),  # written from the top
    ({"dropout": [0.0, 0.1, 0.3]}, "0", []),  # nothing lies below 0
    ({"l2": [0.0, 0.1]}, "1", []),  # two values are a yes or a no
    ({"activation": ["relu", "tanh", "gelu"]}, "2", []),
    ({"hidden": ["16", "32", "128", "512", "512-512"]}, "4", []),  # not a row of numbers
    ({"hidden": ["16", "32", "128"]}, "2", [("hidden", "upper")]),
    ({"batch_size": [1, 16, 128], **RATES}, "0", [("learning_rate", "lower")]),  # no batch is smaller than 1
])  # fmt: skip
def test_the_best_arm_at_an_end_is_found_where_values_go_on(factors, best, expected):
    number = len(next(iter(factors.values())))
    means = {str(index): 90.0 + (str(index) == best) for index in range(number)}
    assert edges(factors, means) == (best, expected)


def test_without_finished_trials_there_is_no_best_arm():
    assert edges(RATES, {}) == ("", [])
