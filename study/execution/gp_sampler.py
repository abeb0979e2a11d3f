"""Suggests a search's points where a Gaussian process through its results expects the most improvement.

The process sees the logarithms of the losses: of complete trials, of pruned ones as they would have ended, and bad ones
for trials that diverged. Trials that still run count as if they had the result that it expects. Better than *what* is
judged by the process's own mean: the best value seen owes some of it to luck.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.design.search_space import SearchSpace
from study.execution import gaussian_process
from study.execution.attributes import REASON, REPEATS
from study.execution.gaussian_process import Process
from study.execution.unit_cube import UnitCube

RANDOM_TRIALS = 6  # before the first that is suggested, the baseline among them
CANDIDATES = 1000  # at random
NEAR_BEST, AROUND = 5, 100  # as many around each of the best points
REACH = 0.15  # how far around, of a range
CHANGED = 0.5  # the chance of a field to differ there
ROUNDS = (0.05, 0.02)  # how far around the best candidates it looks again
FEWEST_ERRORS = 1e-4  # an accuracy of 1 counts as this share of errors, because its logarithm is needed


class GaussianProcess(BaseSampler):
    """Suggests whole points of a space; `distributions` are those of all its fields."""

    def __init__(self, space: SearchSpace, distributions: dict[str, BaseDistribution], seed: int):
        self._cube = UnitCube(space)
        self._distributions = distributions
        self._seed = seed
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
        results = results_of(others, maximize=study.direction == StudyDirection.MAXIMIZE)
        if len(results.trials) < RANDOM_TRIALS:
            return {}
        draw = np.random.default_rng(self._seed)
        running = [each.params for each in others if each.state == TrialState.RUNNING]
        return self._cube.point(suggest(self._cube, results, running, draw))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        return self._random.sample_independent(study, trial, param_name, param_distribution)


@dataclass(frozen=True)
class Results:
    """The trials that have ended, the logarithm of each one's loss, and the variance of a guess of it."""

    trials: Sequence[FrozenTrial]
    values: np.ndarray
    guessed: np.ndarray


def results_of(trials: Sequence[FrozenTrial], maximize: bool) -> Results:
    """Return the results of those trials that have ended and are no repeats, with a guess how pruned ones would end.

    From the epoch at which it was pruned on, a trial is taken to improve as the complete ones have done since theirs.
    """

    def loss(value: float) -> float:
        return max(1 - value, FEWEST_ERRORS) if maximize else value

    ended = [trial for trial in trials if _has_ended(trial)]
    curves = [{epoch: loss(value) for epoch, value in trial.intermediate_values.items()} for trial in ended]
    last = [_last(trial, curve, loss) for trial, curve in zip(ended, curves, strict=True)]
    scale = math.log if all(value > 0 for value in [*last, *(v for c in curves for v in c.values())]) else float
    values, guessed = np.array([scale(value) for value in last]), np.zeros(len(ended))
    complete = [number for number, trial in enumerate(ended) if trial.state == TrialState.COMPLETE]
    for number, trial in enumerate(ended):
        if trial.state == TrialState.PRUNED and (epoch := max(curves[number], default=None)) is not None:
            improved = [
                values[other] - scale(curves[other][epoch]) for other in complete
                if epoch in curves[other] and math.isfinite(values[other]) and math.isfinite(curves[other][epoch])
            ]  # fmt: skip
            if improved:
                values[number] += float(np.median(improved))
                guessed[number] = float(np.var(improved))
    return Results(ended, values, guessed)


def _has_ended(trial: FrozenTrial) -> bool:
    if trial.state == TrialState.FAIL:
        return REASON in trial.user_attrs and REPEATS not in trial.user_attrs
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _last(trial: FrozenTrial, curve: dict[int, float], loss) -> float:
    if trial.state == TrialState.FAIL or (trial.value is None and not curve):
        return math.inf
    value = loss(trial.value) if trial.state == TrialState.COMPLETE else curve[max(curve)]
    return math.inf if math.isnan(value) else value


def process_of(cube: UnitCube, results: Results) -> tuple[Process, np.ndarray]:
    """Return the process through these results, and their points by shares."""
    shares = cube.shares([trial.params for trial in results.trials])
    targets, spread = gaussian_process.standardized(results.values)
    return gaussian_process.fit(cube.coordinates(shares), targets, results.guessed / spread**2, cube.field_of), shares


def suggest(cube: UnitCube, results: Results, running: Sequence[dict], draw: np.random.Generator) -> np.ndarray:
    """Return the shares of the point at which the most improvement over the best expected value is expected."""
    process, shares = process_of(cube, results)
    expected, _ = process.predict(cube.coordinates(shares))
    under_way = cube.shares(running)
    process = process.believing(cube.coordinates(under_way))
    tried = np.concatenate([shares, under_way])

    def gain(candidates: np.ndarray) -> np.ndarray:
        return gaussian_process.log_gain(process, cube.coordinates(candidates), float(expected.min()))

    best = shares[np.argsort(expected, kind="stable")[:NEAR_BEST]]
    candidates = np.concatenate([draw.random((CANDIDATES, cube.fields)), _around(best, AROUND, REACH, draw)])
    gains = gain(candidates)
    for reach in ROUNDS:
        best = candidates[np.argsort(-gains, kind="stable")[:NEAR_BEST]]
        more = _around(best, AROUND, reach, draw)
        candidates, gains = np.concatenate([candidates, more]), np.concatenate([gains, gain(more)])
    places = {tuple(row) for row in cube.coordinates(tried).round(9)}
    order = np.argsort(-gains, kind="stable")
    ahead = cube.coordinates(candidates[order]).round(9)
    return candidates[
        next((row for row, place in zip(order, ahead, strict=True) if tuple(place) not in places), order[0])
    ]


def _around(points: np.ndarray, count: int, reach: float, draw: np.random.Generator) -> np.ndarray:
    """Return `count` points around each: some fields differ by about `reach`, one in five of these by anything."""
    moved = np.repeat(points, count, axis=0)
    changed = draw.random(moved.shape) < CHANGED
    steps = np.where(
        draw.random(moved.shape) < 0.2, draw.random(moved.shape) - moved, draw.normal(0, reach, moved.shape)
    )
    return np.clip(moved + np.where(changed, steps, 0), 0, 1)
