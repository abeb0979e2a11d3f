"""Suggests a search's points where a Gaussian process through its results expects the most improvement.

The process sees the logarithms of the losses: of complete trials, of pruned ones as they would have ended, and bad ones
for trials that diverged. A trial that still runs counts as if its value were known, and what is expected. What is to be
improved on is the best expected value: the best value that was measured owes some of its lead to luck. Where another
seed of a good point tells more about what is best than the point that was found, the search trains that.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.analysis import gaussian_process
from study.analysis.search_process import Ended, Expectation
from study.analysis.unit_cube import Point, UnitCube
from study.design.search_space import SearchSpace
from study.execution.attributes import REASON, REPLICATES, SEED_NUMBER, seed_number, stands_aside
from study.execution.network_costs import Allows
from study.execution.optuna_internals import fixed_params, set_attribute

CANDIDATES = 1000  # at random
NEAR_BEST, AROUND = 5, 100  # as many around each of the best points
REACH = 0.15  # how far around, of a range
CHANGED, ANYWHERE = 0.5, 0.2  # the chance of a field to differ there, and that of such a one to be anything
FIRST_ASKED, LATER_ASKED = 20, 80  # candidates, whether they may be trained
ROUNDS = (0.05, 0.02)  # how far around the best candidates it looks again
SAME = 1e-9  # two points that lie nearer to each other are one
AGAIN = 10  # of the points with the best expected values, which may get another seed


class GaussianProcess(BaseSampler):
    """Suggests whole points of a space; `distributions` are those of all its fields, `allows` is asked of a point.

    With `replicate` it may suggest a point again, and then says in the trial's attributes which, and with which seed.
    """

    def __init__(
        self,
        space: SearchSpace,
        distributions: dict[str, BaseDistribution],
        allows: Allows,
        seed: int,
        replicate: bool = False,
    ):
        self._cube = UnitCube(space)
        self._allows = lambda shares: allows(_searched(space, self._cube.point(shares)))
        self._distributions = distributions
        self._seed, self._replicate = seed, replicate
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        others = [
            each for each in study.get_trials(deepcopy=False)
            if each.number != trial.number and self._cube.is_whole(each.params)
        ]  # fmt: skip
        if (original := trial.user_attrs.get(REPLICATES)) is not None:  # a trial that is tried again keeps its point
            return dict(next(each for each in others if each.number == original).params)
        maximize = study.direction == StudyDirection.MAXIMIZE
        ended = [each for each in others if _has_ended(each)]
        expectation = Expectation(self._cube, [as_ended(each) for each in ended], maximize)
        running = [each for each in others if each.state == TrialState.RUNNING]
        under_way = [each.params for each in running]
        found = suggest(expectation, under_way, np.random.default_rng(self._seed), self._allows)
        if found is None:  # every field is drawn at random
            return {}
        if self._replicate and not _is_fixed(trial):
            again = worth_again(expectation, under_way, found)
            if again is not None:
                return self._another_seed(study, trial, ended[again], [*ended, *running])
        return self._cube.point(found)

    def _another_seed(
        self, study: optuna.Study, trial: FrozenTrial, again: FrozenTrial, others: Sequence[FrozenTrial]
    ) -> dict[str, object]:
        """Return the point of the trial that is worth another seed; the trial keeps that it is one, and which."""
        places = self._cube.coordinates(self._cube.shares([again.params, *(each.params for each in others)]))
        same = [
            each for each, place in zip(others, places[1:], strict=True) if np.allclose(place, places[0], atol=SAME)
        ]
        original = min(same, key=lambda each: each.number)
        number = 1 + max(map(seed_number, same))
        set_attribute(study, trial, SEED_NUMBER, number)
        set_attribute(study, trial, REPLICATES, original.number)  # last: only with it the trial is a replicate
        return dict(original.params)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _is_fixed(trial: FrozenTrial) -> bool:
    """Return whether a trial's point, or a part of it, was drawn before."""
    return bool(trial.params or fixed_params(trial))


def _has_ended(trial: FrozenTrial) -> bool:
    if trial.state == TrialState.FAIL:
        return REASON in trial.user_attrs and not stands_aside(trial)
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def as_ended(trial: FrozenTrial) -> Ended:
    """Return a trial that has ended as the process sees it: a pruned one has no value, though Optuna keeps its last."""
    values = {TrialState.COMPLETE: trial.value, TrialState.PRUNED: None}
    return Ended(trial.params, values.get(trial.state, math.nan), trial.intermediate_values)


def _searched(space: SearchSpace, drawn: Point) -> dict[str, object]:
    """Return the settings of a point for which more is drawn than is searched there."""
    settings: dict[str, object] = {}
    for dimension in space.dimensions:
        if dimension.applies(settings):
            settings |= space.become({dimension.field: drawn[dimension.field]})
    return settings


def suggest(
    expectation: Expectation,
    running: Sequence[Point],
    draw: np.random.Generator,
    allows: Callable[[np.ndarray], bool] = lambda shares: True,
) -> np.ndarray | None:
    """Return the shares of the point at which the most improvement over the best expected value is expected.

    It is the first that `allows` accepts, or else the very first, of those about which it is asked. None while too few
    trials have ended to expect anything.
    """
    process, expected, cube = expectation.process, expectation.ranks, expectation.cube
    if process is None or expected is None:
        return None
    under_way = cube.shares(running)
    process = process.believing(cube.coordinates(under_way))

    def gain(candidates: np.ndarray) -> np.ndarray:
        return gaussian_process.log_gain(process, cube.coordinates(candidates), float(expected.min()))

    best = expectation.shares[np.argsort(expected, kind="stable")[:NEAR_BEST]]
    candidates = np.concatenate([draw.random((CANDIDATES, cube.fields)), _around(best, REACH, draw)])
    gains = gain(candidates)
    for reach in ROUNDS:
        more = _around(candidates[np.argsort(-gains, kind="stable")[:NEAR_BEST]], reach, draw)
        candidates, gains = np.concatenate([candidates, more]), np.concatenate([gains, gain(more)])
    order = np.argsort(-gains, kind="stable")
    ahead = candidates[order]
    new = _new(cube, ahead, np.concatenate([expectation.shares, under_way]))
    ahead = ahead[new] if new.any() else ahead
    # Building a network takes a while: the first ones are asked about, and then ever more widely.
    rest = np.linspace(FIRST_ASKED, len(ahead) - 1, LATER_ASKED).astype(int)
    asked = ahead[np.unique([*range(min(FIRST_ASKED, len(ahead))), *rest[rest < len(ahead)]])]
    return next((shares for shares in asked if allows(shares)), asked[0])


def worth_again(expectation: Expectation, running: Sequence[Point], found: np.ndarray) -> int | None:
    """Return the number of the complete trial whose point is worth another seed more than what was `found` is worth.

    None if there is none. The worth is the knowledge gradient: by how much the best expected value will improve.
    """
    process, ranks, cube = expectation.process, expectation.ranks, expectation.cube
    assert process is not None and ranks is not None  # something was found
    complete = [index for index, trial in enumerate(expectation.trials) if trial.value is not None]
    complete = [index for index in complete if math.isfinite(expectation.losses[0][index])]
    if not complete:
        return None
    process = process.believing(cube.coordinates(cube.shares(running)))
    places = cube.coordinates(expectation.shares[complete])
    first = np.unique(places.round(9), axis=0, return_index=True)[1]  # of each point, in which trials do not count
    by_rank = sorted(first, key=lambda index: (ranks[complete[index]], complete[index]))[:AGAIN]
    candidates = np.concatenate([places[by_rank], cube.coordinates(found[None])])
    worth = gaussian_process.knowledge_gradient(process, places[first], candidates)
    best = int(np.argmax(worth))
    return complete[by_rank[best]] if best < len(by_rank) and worth[best] > worth[-1] else None


def _new(cube: UnitCube, candidates: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """Return which candidates lie at no place that was tried: (n,) of bool."""
    places = {tuple(place) for place in cube.coordinates(tried).round(9)}
    return np.array([tuple(place) not in places for place in cube.coordinates(candidates).round(9)])


def _around(points: np.ndarray, reach: float, draw: np.random.Generator) -> np.ndarray:
    """Return AROUND points around each: some fields differ by about `reach`, a few of these by anything."""
    moved = np.repeat(points, AROUND, axis=0)
    changed, anywhere = draw.random(moved.shape) < CHANGED, draw.random(moved.shape) < ANYWHERE
    steps = np.where(anywhere, draw.random(moved.shape) - moved, draw.normal(0, reach, moved.shape))
    return np.clip(moved + np.where(changed, steps, 0), 0, 1)
