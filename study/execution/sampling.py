"""How a search chooses its points and gives up poor trials: Optuna's samplers and pruners, reading slots.

Optuna's samplers carry a random state from trial to trial, which a worker that starts anew does not have and which
workers of one seed share; and they go by the trials' numbers, of which a trial that is put back gets a new one. Here
everything depends on the search's seed, the slot, and what the other slots have come to: one worker makes the same
search twice, interrupted or not, and several workers never repeat one another's points.

The settings were chosen by ``python -m benchmarks.search_quality`` (docs/lab-log.md).
"""

import copy
import warnings
import zlib
from collections.abc import Callable, Container

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from study.design.search import Search
from study.design.search_space import Dimension, SearchSpace
from study.execution.queue import slot_of

TPE = {"multivariate": True, "n_startup_trials": 10, "constant_liar": True}


def sampler(search: Search, **settings: object) -> BaseSampler:
    """Return what suggests the search's points; `settings` change those of the Optuna sampler behind it."""
    known = _distributions(search.space)
    if search.sampler == "tpe":
        conditional = any(dimension.when for dimension in search.space.dimensions)
        settings = TPE | settings
        settings["group"] = conditional and settings["multivariate"]
        return BySlot(search.baseline.seed, lambda slot, seed: _silently(TPESampler, seed=seed, **settings))
    if search.sampler == "qmc":
        return BySlot(search.baseline.seed, lambda slot, seed: _Sobol(known, slot, search.baseline.seed, seed))
    if search.sampler == "cmaes":
        ranges = {name: each for name, each in known.items() if not isinstance(each, CategoricalDistribution)}
        return BySlot(search.baseline.seed, lambda slot, seed: _CmaEs(ranges, seed=seed, **settings))
    return BySlot(search.baseline.seed, lambda slot, seed: RandomSampler(seed=seed))  # a grid's points are enqueued


# --- slots ------------------------------------------------------------------------------------------


class _Slots:
    """A study as samplers and pruners are to see it: trials are numbered by their slots, and of each the last try."""

    def __init__(self, study: optuna.Study):
        self._study = study

    def __getattr__(self, name: str) -> object:
        return getattr(self._study, name)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy=deepcopy, use_cache=use_cache)
        last = {slot_of(trial): trial for trial in trials}
        return [_numbered(last[slot]) for slot in sorted(last) if states is None or last[slot].state in states]


def _numbered(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial with its slot for a number."""
    if trial.number == slot_of(trial):
        return trial
    numbered = copy.copy(trial)  # the storage's own object is not to be changed
    numbered.number = slot_of(trial)
    return numbered


# --- samplers ---------------------------------------------------------------------------------------


class BySlot(BaseSampler):
    """A sampler that asks one that is made anew, from the search's seed and the slot, for each of its answers.

    Fields that are suggested one by one have a seed each: a trial that was interrupted between two of them goes on
    with the same values.
    """

    def __init__(self, seed: int, make: Callable[[int, int], BaseSampler]):
        self._seed = seed
        self._make = make

    def _made(self, trial: FrozenTrial, name: str = "") -> BaseSampler:
        words = [self._seed, slot_of(trial), zlib.crc32(name.encode())]
        return self._make(slot_of(trial), int(np.random.SeedSequence(words).generate_state(1)[0]))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._made(trial).infer_relative_search_space(_Slots(study), _numbered(trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        sampler, slots = self._made(trial), _Slots(study)
        sampler.infer_relative_search_space(slots, _numbered(trial))  # TPE keeps its groups from here
        return sampler.sample_relative(slots, _numbered(trial), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        sampler = self._made(trial, param_name)
        return sampler.sample_independent(_Slots(study), _numbered(trial), param_name, param_distribution)


class _Sobol(QMCSampler):
    """The slot's point of a scrambled Sobol sequence; Optuna keeps count in the storage, where two workers can meet."""

    def __init__(self, known: dict[str, BaseDistribution], slot: int, seed: int, own_seed: int):
        conditional = RandomSampler(seed=own_seed)
        _silently(
            super().__init__, scramble=True, seed=seed, independent_sampler=conditional, warn_independent_sampling=False
        )
        self._known, self._slot = known, slot

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._known

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._slot


class _CmaEs(CmaEsSampler):
    """CMA-ES over the ranges that are always searched; choices and conditional fields are random.

    Optuna would take the fields that all trials so far have in common, which a conditional one can be for a while; when
    it no longer is, the state in the storage has another dimension and is of no use ever after.
    """

    def __init__(self, ranges: dict[str, BaseDistribution], **settings: object):
        _silently(super().__init__, warn_independent_sampling=False, **settings)
        self._ranges = ranges

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._ranges


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return how Optuna describes the fields that every point has and that can vary, by field."""
    known = {dimension.field: _distribution(dimension) for dimension in space.dimensions if not dimension.when}
    return {name: distribution for name, distribution in known.items() if not distribution.single()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "categorical":
        return CategoricalDistribution(dimension.choices)
    if dimension.kind == "int":
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step or 1)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _silently(make: Callable, **settings: object) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make(**settings)


# --- pruners ----------------------------------------------------------------------------------------
