"""The cheapest configuration that is hardly worse than the best."""

import math

import numpy as np
import pytest

from study.analysis import selection
from study.analysis.selection import Candidate
from study.analysis.statistics import estimate
from study.analysis.thrift import Thrift
from study.training.config import TrialConfig
from tests.factories import written
from tests.factories.written import Trial

pytestmark = pytest.mark.usefixtures("store")
ARMS = "question: Why?\narms:\n  list:\n    - {name: a}\n    - {name: b, hidden: 512}\n    - {name: c, l2: 0.1}\n"


def candidate(name: str, accuracy: float, cost: float | None) -> Candidate:
    return Candidate(TrialConfig(), estimate(np.array([accuracy])), name=name, cost=cost)


def raced(**accuracies: list[float]):
    trials = [Trial(arm, seed, (value,)) for arm, values in accuracies.items() for seed, value in enumerate(values, 7)]
    return written.read(written.write(ARMS, trials))


def test_entrants_are_the_best_and_the_cheapest_within_reach():
    ranked = [candidate("best", 98.0, 900), candidate("b", 97.95, 500), candidate("c", 97.9, 100),
              candidate("unknown", 97.9, None), candidate("d", 97.85, 300), candidate("far", 97.0, 1)]  # fmt: skip
    assert [one.name for one in Thrift(0.2).entrants(ranked, 3)] == ["best", "c", "d"]
    assert [one.name for one in Thrift(0.2).entrants(ranked, 9)] == ["best", "b", "c", "d"]
    assert [one.name for one in Thrift(0.01).entrants(ranked, 3)] == ["best"]
    assert Thrift(0.2).entrants([], 3) == []


def test_the_cheapest_within_reach_wins_and_says_for_what():
    study = raced(a=[0.979, 0.980, 0.978], b=[0.980, 0.981, 0.979], c=[0.97, 0.971, 0.969])
    entrants = [candidate("a", 98, 100), candidate("b", 98, 9000), candidate("c", 97, 1)]
    decision = Thrift(0.2).decide(study, None, entrants)
    assert (decision.winner, decision.second) == ("a", "b") and decision.accuracy.mean == pytest.approx(97.9)
    assert decision.run_id == study.finished("a")[8].run_id
    assert decision.lead.mean == pytest.approx(-0.1) and not decision.separated
    assert decision.chosen_for == "parameters 100, against 9,000: the least within 0.2 points"
    strict = Thrift(0.05).decide(study, None, entrants)
    assert strict == selection.decide(study, None) and strict.winner == "b" and strict.chosen_for is None


def test_the_best_wins_where_it_is_the_cheapest_or_costs_are_not_known():
    study = raced(a=[0.979, 0.980], b=[0.980, 0.981])
    assert Thrift(0.2).decide(study, None, [candidate("a", 98, 100), candidate("b", 98, 100)]).winner == "b"
    assert Thrift(0.2).decide(study, "b", [candidate("a", 98, None), candidate("b", 98, None)]).winner == "b"
    cheaper = Thrift(0.2).decide(study, "b", [candidate("a", 98, 10), candidate("b", 98, None)])
    assert cheaper.winner == "a" and cheaper.over_champion.mean == pytest.approx(-0.1)
    assert math.isinf(cheaper.over_champion.half_width) and ", against" not in cheaper.chosen_for
