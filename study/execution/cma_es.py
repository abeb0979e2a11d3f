"""CMA-ES as an Optuna sampler that keeps numbers only: it replays the search instead of storing its state.

Optuna's own sampler keeps its optimizer as a pickle in the database, and loads it in every worker: whoever can write
there would run code as the worker. Here a trial carries the number of its generation, and each suggestion tells a new
optimizer the complete trials again, generation by generation. A thousand trials take a few hundredths of a second.

Hansen, N.: The CMA evolution strategy: a tutorial (arXiv 1604.00772); the algorithm is that of the library `cmaes`,
with the settings of Optuna's sampler.
"""

import cmaes
import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.execution.attributes import GENERATION
from study.execution.optuna_internals import set_attribute, unit_cube

SIGMA = 1 / 6  # of the first generation around the middle, as a share of each range


class CmaEs(BaseSampler):
    """CMA-ES over `ranges`, which every trial has; choices and conditional fields are random.

    Trials are random until one is complete. Two workers can both be in a generation: it ends when as many of its
    trials are complete as it has members, and the slots decide which of them are told.
    """

    def __init__(self, ranges: dict[str, BaseDistribution], seed: int):
        self._ranges = ranges
        self._seed = seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._ranges

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not search_space or not complete:
            return {}
        cube, dimensions = unit_cube(search_space), len(search_space)
        optimizer = cmaes.CMA(
            np.full(dimensions, 0.5), SIGMA, bounds=np.array([[0.0, 1.0]] * dimensions),
            n_max_resampling=10 * dimensions, seed=self._seed,
        )  # fmt: skip
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        members: dict[int, list[tuple[np.ndarray, float]]] = {}
        for other in complete:
            generation = other.user_attrs.get(GENERATION)
            if isinstance(generation, int) and other.value is not None:
                members.setdefault(generation, []).append((cube.transform(other.params), sign * other.value))
        while len(told := members.get(optimizer.generation, [])) >= optimizer.population_size:
            optimizer.tell(told[: optimizer.population_size])
        if GENERATION not in trial.user_attrs:  # a trial that is tried again keeps its point, and so its generation
            set_attribute(study, trial, GENERATION, optimizer.generation)
        return cube.untransform(optimizer.ask())

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        return self._random.sample_independent(study, trial, param_name, param_distribution)
