"""Diagnostics of a search: best values at an end of the searched range, and the importance of each field."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.base.errors import ConfigError
from study.design.dimensions import Choices, Dimension, Range
from study.design.search import Direction
from study.training.config import TrialConfig, Value, brief, value_text

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

TREES = 32  # of fANOVA: half of the default, for half of the time
BEST_SHARE, LEAST_BEST = 0.1, 10  # of the complete trials, which PED-ANOVA compares with the others


@dataclass(frozen=True)
class Importance:
    """The share of the differences that a field explains, by two methods; fANOVA needs a field that all trials have."""

    field: str
    ped_anova: float
    fanova: float | None


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
        complete = in_memory(trials, study.direction)
        ped = get_param_importances(complete, evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
        fanova = _fanova(in_memory([_in_log_units(trial) for trial in trials], study.direction))
    return [
        Importance(field, float(share), float(fanova[field]) if field in fanova else None)
        for field, share in ped.items()
    ]


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
