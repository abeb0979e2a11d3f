"""Chooses a search's points with Optuna's samplers, which see slots instead of trial numbers.

Optuna's samplers carry a random state from trial to trial: a restarted worker does not have it, and workers with the
same seed share it. They also depend on trial numbers, and a requeued trial gets a new one. Here everything depends
only on the search's seed, the slot, and the results of the other slots: one worker makes the same search twice,
interrupted or not, and several workers hardly ever repeat one another's points.

The settings were chosen by ``python -m benchmarks.search_quality`` (docs/lab-log.md).
"""

import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from study.design.dimensions import Choices, Dimension
from study.design.search import Search
from study.design.search_space import SearchSpace
from study.execution.attributes import slot_of, stands_aside, tries_that_count
from study.execution.gp_sampler import GaussianProcess
from study.execution.network_costs import Allows
from study.execution.optuna_internals import SobolPoint, by_slots, numbered_by_slot

S = TypeVar("S")  # a sampler
TPE = {"multivariate": True, "n_startup_trials": 10, "constant_liar": True}


def sampler(search: Search, allows: Allows = lambda settings: True) -> BaseSampler:
    """Return the sampler that the search asks for; `allows` says of a point's settings whether they may be trained."""
    points = in_order(search)
    return _sampler(search, allows) if points is None else Finite(_sampler(search, allows), search.space, points)


def _sampler(search: Search, allows: Allows) -> BaseSampler:
    known = distributions(search.space)
    if search.sampler == "tpe":
        conditional = any(dimension.when for dimension in search.space.dimensions)
        settings = TPE | {"group": conditional}
        return BySlot(search.baseline.seed, lambda slot, seed: _silently(TPESampler, seed=seed, **settings))
    if search.sampler == "qmc":
        return BySlot(search.baseline.seed, lambda slot, seed: _sobol_point(known, slot, search.baseline.seed, seed))
    if search.sampler == "gp":
        every = {dimension.field: distribution(dimension) for dimension in search.space.dimensions}
        # A finite space is tried whole: no point of it gets another seed while there are others.
        again = search.replicate and search.space.points() is None
        return BySlot(
            search.baseline.seed, lambda slot, seed: GaussianProcess(search.space, every, allows, seed, again)
        )
    if search.sampler == "cmaes":
        from study.execution.cma_es import CmaEs  # imports scipy.stats, for most of a second

        ranges = {name: each for name, each in known.items() if not isinstance(each, CategoricalDistribution)}
        return BySlot(search.baseline.seed, lambda slot, seed: CmaEs(ranges, seed))
    return BySlot(search.baseline.seed, lambda slot, seed: RandomSampler(seed=seed))  # a grid's points are enqueued


def in_order(search: Search) -> list[dict[str, object]] | None:
    """Return a finite space's points, the baseline first, the others in an order that depends on the search's seed."""
    if (points := search.space.points()) is None:
        return None
    first = search.space.first()
    others = [point for point in points if point != first]
    order = np.random.default_rng(search.baseline.seed).permutation(len(others))
    return [first, *(others[index] for index in order)]


class Finite(BaseSampler):
    """Wraps the sampler of a space with finitely many points: the slot after a repeat gets a point that is untried.

    Otherwise a sampler that likes a few points, or draws at random, would hardly ever find the last ones.
    """

    def __init__(self, sampler: BaseSampler, space: SearchSpace, points: Sequence[Mapping[str, object]]):
        self._sampler, self._space, self._points = sampler, space, points
        self._distributions = {dimension.field: distribution(dimension) for dimension in space.dimensions}
        self._point: Mapping[str, object] | None = None  # of the trial whose space was inferred last

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        tries = {slot_of(each): each for each in tries_that_count(study.get_trials(deepcopy=False))}
        before = tries.get(slot_of(trial) - 1)
        after_repeat = before is not None and stands_aside(before)
        left = list(untried(self._space, self._points, tries.values())) if after_repeat else []
        self._point = left[slot_of(trial) % len(left)] if left else None  # other workers take others
        if self._point is None:
            return self._sampler.infer_relative_search_space(study, trial)
        return {name: self._distributions[name] for name in self._point}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        return dict(self._point) if self._point else self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def untried(
    space: SearchSpace, points: Iterable[Mapping[str, object]], trials: Iterable[FrozenTrial]
) -> Iterator[Mapping[str, object]]:
    """Yield those of a space's points at which there is no trial yet."""
    tried = {_identity(space, trial.params) for trial in trials}
    return (point for point in points if _identity(space, point) not in tried)


def _identity(space: SearchSpace, point: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(space.become(point).items())


class BySlot(BaseSampler):
    """A sampler that makes a new Optuna sampler, seeded by the search's seed and the slot, for each of its answers.

    Fields that are suggested one by one each have their own seed: a trial that was interrupted between two of them
    gets the same values when it is retried.
    """

    def __init__(self, seed: int, make: Callable[[int, int], BaseSampler]):
        self._seed = seed
        self._make = make

    def _made(self, trial: FrozenTrial, name: str = "") -> BaseSampler:
        words = [self._seed, slot_of(trial), zlib.crc32(name.encode())]
        return self._make(slot_of(trial), int(np.random.SeedSequence(words).generate_state(1)[0]))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._made(trial).infer_relative_search_space(by_slots(study), numbered_by_slot(trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        sampler, slots = self._made(trial), by_slots(study)
        sampler.infer_relative_search_space(slots, numbered_by_slot(trial))  # TPE keeps its groups from here
        return sampler.sample_relative(slots, numbered_by_slot(trial), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        sampler = self._made(trial, param_name)
        return sampler.sample_independent(by_slots(study), numbered_by_slot(trial), param_name, param_distribution)


def _sobol_point(known: dict[str, BaseDistribution], slot: int, seed: int, own_seed: int) -> BaseSampler:
    # The sequence does not cover conditional fields, so they are drawn at random.
    return _silently(SobolPoint, known=known, number=slot, seed=seed, independent_sampler=RandomSampler(seed=own_seed))


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions, by field, of the fields that every point has and that can vary."""
    known = {dimension.field: distribution(dimension) for dimension in space.dimensions if not dimension.when}
    return {name: each for name, each in known.items() if not each.single()}


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return Optuna's distribution of what is drawn for a field."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.choices)
    if dimension.whole:
        ends = int(dimension.low), int(dimension.high)
        return IntDistribution(*ends, log=dimension.log, step=int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _silently(make: Callable[..., S], **settings: object) -> S:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make(**settings)
