from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from factories import written
from factories.written import Trial

from study.analysis import confidence_sequence as sequence
from study.analysis.ablation_results import AblationResults
from study.analysis.seed_plan import next_seeds, start

YAML = """
question: Which?
margin: 0.2
arms:
  list:
    - {name: plain}
    - {name: near, l2: 0.1}
    - {name: far, l2: 1.0}
"""
GRID = "question: Which?\narms:\n  grid:\n    l2: [0.0, 0.1]\n    dropout: [0.0, 0.1]\n"
ALL = {"plain": 7, "near": 7, "far": 7}

pytestmark = pytest.mark.usefixtures("store")


def study(accuracies: Mapping[str, Sequence[float]], yaml: str = YAML, **params: str) -> AblationResults:
    """A study whose arms have these validation accuracies in percent, from seed 1 on."""
    trials = [
        Trial(arm, seed, (value / 100,)) for arm, values in accuracies.items() for seed, value in enumerate(values, 1)
    ]
    return written.read(written.write(yaml, trials, params=params))


def around(mean: float, sd: float, n: int = 7) -> np.ndarray:
    """Values with exactly this mean and standard deviation."""
    values = np.random.default_rng(n).normal(0, 1, n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def test_what_is_settled_gets_no_more_and_what_is_open_goes_on_with_the_baseline():
    found = study({"plain": [97.0] * 7, "near": 97 + around(0.1, 0.3), "far": 97 - around(5, 0.3)})
    assert [verdict.kind for verdict in found.verdicts] == ["undecided", "hurts"]
    wanted = next_seeds(found, ALL, 40)
    assert wanted["far"] == 7 and 7 < wanted["near"] == wanted["plain"] <= 40


def test_where_all_is_settled_nothing_more_is_wanted():
    found = study({"plain": [97.0] * 9, "near": 97 + around(0, 0.02, 9), "far": 97 - around(5, 0.3, 9)})
    assert [verdict.kind for verdict in found.verdicts] == ["no effect", "hurts"]
    assert next_seeds(found, dict.fromkeys(ALL, 9), 40) == dict.fromkeys(ALL, 9)


def test_half_of_what_would_settle_it_is_asked_for_and_one_at_least():
    for n, sd in ((7, 0.3), (12, 0.2), (13, 0.25)):
        found = study({"plain": [97.0] * n, "near": 97 + around(0, sd, n), "far": 97 - around(9, 0.1, n)})
        have = {"plain": n, "near": n, "far": n}
        wanted = next_seeds(found, have, 60)["near"]
        enough = next(
            k for k in range(n + 1, 61)
            if sequence.half_width(sd, k, sequence.equivalence_constant(k, 2)) <= 0.2 or k == 60
        )  # fmt: skip
        assert wanted == n + (enough - n + 1) // 2


def test_no_arm_gets_more_than_the_most():
    found = study({"plain": [97.0] * 7, "near": 97 + around(0, 5), "far": 97 - around(0, 5)})
    assert next_seeds(found, ALL, 10) == {"plain": 9, "near": 9, "far": 9}
    assert next_seeds(found, ALL, 7) == ALL


def test_seeds_that_an_arm_lost_or_that_are_no_numbers_are_not_followed_up():
    trials = [Trial(arm, seed, (0.97,)) for arm in ("plain", "near") for seed in range(1, 8)]
    trials += [Trial("far", seed, (float("nan"),)) for seed in range(1, 8)]
    trials[7] = Trial("near", 1, (0.1,), state="diverged")
    found = written.read(written.write(YAML, trials))
    assert [verdict.kind for verdict in found.verdicts] == ["unstable", "undecided"]
    assert next_seeds(found, ALL, 40) == ALL


def test_pairs_go_on_two_by_two():
    arms = {"plain": 97 + around(0, 0.1, 9), "near": 97 - around(0.1, 0.3, 9), "far": 90 + around(0, 0.1, 9)}
    found = study(arms, compare="pairs")
    wanted = next_seeds(found, dict.fromkeys(arms, 9), 40)
    assert wanted["plain"] == wanted["near"] > wanted["far"] == 9


@pytest.mark.parametrize("comparisons, seeds", [(1, 7), (2, 7), (3, 8), (11, 9)])
def test_the_first_look_is_the_first_that_can_settle_anything(comparisons, seeds):
    assert start(comparisons) == seeds
    constants = [sequence.effect_constant(n, comparisons) for n in (seeds, seeds - 1)]
    assert np.isfinite(sequence.half_width(1, seeds, constants[0]))
    assert np.isinf(sequence.half_width(1, seeds - 1, constants[1]))


def test_an_open_effect_of_a_grid_needs_every_arm():
    draw = np.random.default_rng(3)
    arms = [f"l2={l2} dropout={dropout}" for l2 in (0.0, 0.1) for dropout in (0.0, 0.1)]
    found = study({arm: 97 + draw.normal(0, 0.4, 9) for arm in arms}, GRID)
    wanted = next_seeds(found, dict.fromkeys(arms, 9), 40)
    assert any(effect.verdict.kind == "undecided" for effect in found.effects)
    assert len(set(wanted.values())) == 1 and min(wanted.values()) > 9


def test_an_arm_and_the_baseline_that_lost_the_same_seed_get_another():
    trials = [Trial(arm, seed, (0.97,)) for arm in ("plain", "near", "far") for seed in range(1, 8)]
    for arm in (0, 7, 14):
        trials[arm] = Trial(trials[arm].arm, 1, (0.1,), state="diverged")
    found = written.read(written.write(YAML, trials))
    assert [verdict.kind for verdict in found.verdicts] == ["not tested", "not tested"]
    assert next_seeds(found, ALL, 40) == dict.fromkeys(ALL, 8)
