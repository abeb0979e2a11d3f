"""Diagnostics of a search: best values at an end of the searched range, and the importance of each field."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.base.errors import ConfigError
from study.design.dimensions import Choices, Dimension, Range
from study.design.search import Direction
from study.training.config import TrialConfig, Value, brief, value_text

if TYPE_CHECKING:  # takes a second to import
    from optuna.importance import BaseImportanceEvaluator

NEAR = 0.05  # of a range: a value this close to an end counts as lying at it


@dataclass(frozen=True)
class Edge:
    """A field whose best value lies at an end of the searched values: better ones may lie beyond."""

    field: str
    value: Value
    end: str
    bound: Value

    @property
    def words(self) -> str:
        """The warning, in a clause."""
        return f"{self.field}={brief(self.value)} is at the {self.end} end of the searched values ({brief(self.bound)})"


def edge(dimension: Dimension, value: Value, config: TrialConfig) -> Edge | None:
    """Return the end of its dimension at which a config's value lies; None at neither, or if nothing lies beyond."""
    ends = _ends(dimension)
    if ends is None:
        return None
    low, high = ends
    if isinstance(dimension, Choices):
        at_low, at_high = value == low, value == high
    else:
        position = dimension.position(value)
        at_low, at_high = position <= NEAR and dimension.zero_below is None, position >= 1 - NEAR
    if at_low and _can_be(config, dimension.field, low, -1):
        return Edge(dimension.field, value, "lower", low)
    if at_high and _can_be(config, dimension.field, high, 1):
        return Edge(dimension.field, value, "upper", high)
    return None


def _ends(dimension: Dimension) -> tuple[Value, Value] | None:
    """Return the ends of a range, or of three or more choices that are numbers in order."""
    if isinstance(dimension, Range):
        return dimension.low, dimension.high
    numbers = [number for choice in dimension.choices if (number := _number(choice)) is not None]
    if len(dimension.choices) < 3 or len(numbers) < len(dimension.choices):
        return None
    if numbers == sorted(numbers):
        return dimension.choices[0], dimension.choices[-1]
    return (dimension.choices[-1], dimension.choices[0]) if numbers == sorted(numbers, reverse=True) else None


def _can_be(config: TrialConfig, field: str, end: Value, sign: int) -> bool:
    """Return whether the field could have a value a little beyond an end."""
    number = _number(end) or 0.0
    beyond = int(number) + sign if number and number.is_integer() else number + sign * 1e-3 * (abs(number) or 1)
    try:
        config.replace({field: beyond})
    except ConfigError:
        return False
    return True


def _number(value: Value) -> float | None:
    """Return a field's value as a number, also if it is text; None if it is no number."""
    try:
        return float(value_text(value))
    except ValueError:
        return None


# --- importances ------------------------------------------------------------------------------------

RESAMPLES = 60  # of the trials
TREES = 32  # of fANOVA: half of the default, for half of the time
BEST_SHARE, LEAST_BEST = 0.1, 10  # of the complete trials, which PED-ANOVA compares with the others


@dataclass(frozen=True)
class Importance:
    """The share of the differences that a field explains, by two methods; fANOVA needs a field that all trials have.

    `low` and `high` are the ends of PED-ANOVA's share with 95 %, and `first` is how often the field was the most
    important: both over searches whose trials are drawn from these.
    """

    field: str
    ped_anova: float
    fanova: float | None
    low: float = 0.0
    high: float = 1.0
    first: float = 0.0


def in_memory(trials: Sequence[FrozenTrial], direction: Direction | StudyDirection) -> optuna.Study:
    """Return an Optuna study of these trials, in memory only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs every study that is created
    sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner, direction=direction)
    study.add_trials(trials)
    return study


def importances_of(study: optuna.Study) -> list[Importance]:
    """Return how much each field mattered among a study's complete trials, the most important by PED-ANOVA first."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # takes a second to import

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    top = max(BEST_SHARE, min(0.5, LEAST_BEST / len(trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=top)
        ped = get_param_importances(in_memory(trials, study.direction), evaluator=evaluator)
        drawn = _drawn_again(trials, study.direction, evaluator, list(ped))
        fanova = _fanova(in_memory([_in_log_units(trial) for trial in trials], study.direction))
    first = np.bincount(drawn.argmax(axis=1), minlength=len(ped)) / len(drawn)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [
        Importance(
            field, float(share), float(fanova[field]) if field in fanova else None,
            float(low[number]), float(high[number]), float(first[number]),
        )
        for number, (field, share) in enumerate(ped.items())
    ]  # fmt: skip


class _Drawn:
    """A study that has other trials: to copy each of them into one of its own takes longer than to evaluate it."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]):
        self._study, self.trials = study, trials

    def __getattr__(self, name: str) -> object:
        return getattr(self._study, name)

    def get_trials(self, deepcopy: bool = True, states: object = None) -> list[FrozenTrial]:
        return self.trials  # which are all complete


def _drawn_again(
    trials: Sequence[FrozenTrial], direction: StudyDirection, evaluator: "BaseImportanceEvaluator", fields: list[str]
) -> np.ndarray:
    """Return the shares of searches with as many trials, drawn from these with replacement: (RESAMPLES, fields)."""
    draw, found, whole = np.random.default_rng(0), [], in_memory(trials, direction)
    for _ in range(RESAMPLES):
        some = [trials[number] for number in draw.integers(len(trials), size=len(trials))]
        there = [field for field in fields if any(field in trial.params for trial in some)]
        shares = evaluator.evaluate(cast(optuna.Study, _Drawn(whole, some)), params=there)
        total = sum(shares.values())
        found.append([shares.get(field, 0.0) / total if total else 1 / len(fields) for field in fields])
    return np.array(found)


def _fanova(study: optuna.Study) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=0))
    except RuntimeError:  # the fields that all trials have are the same in all of them: no tree has a branch
        return {}


def _in_log_units(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial with logarithms for logarithmic fields: Optuna's fANOVA treats every range as linear."""
    distributions, params = dict(trial.distributions), dict(trial.params)
    for name, distribution in trial.distributions.items():
        if isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log:
            low, high = math.log(distribution.low), math.log(distribution.high)
            distributions[name] = FloatDistribution(low, high)
            params[name] = min(max(math.log(params[name]), low), high)
    return optuna.trial.create_trial(value=trial.value, params=params, distributions=distributions)
