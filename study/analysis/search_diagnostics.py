"""Where the best value of a field lies at an end of what a search has tried, and a better one may lie beyond."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.base.errors import ConfigError
from study.design.search_space import Dimension
from study.training.config import TrialConfig, brief, value_text

NEAR = 0.05  # of a range: so close to an end a value lies at it


@dataclass(frozen=True)
class Edge:
    """A field whose best value lies at an end of what was searched: the better ones may lie beyond it."""

    field: str
    value: object
    end: str
    bound: object

    @property
    def words(self) -> str:
        """The warning, in a clause."""
        return f"{self.field}={brief(self.value)} lies at the {self.end} end of what was searched ({brief(self.bound)})"


def edge(dimension: Dimension, value: object) -> Edge | None:
    """Return the end of its dimension at which a value lies, if it lies at one beyond which there is something."""
    if dimension.zero_below is not None and value == 0:
        return None
    numbers = _ends(dimension)
    if numbers is None:
        return None
    low, high = numbers
    if dimension.choices:
        place = 0.0 if _number(value) == low else 1.0 if _number(value) == high else 0.5
    else:
        scale = math.log if dimension.log else float
        place = (scale(value) - scale(low)) / (scale(high) - scale(low))
    bounds = {_number(choice): choice for choice in dimension.choices}
    if place <= NEAR and dimension.zero_below is None and _can_be(dimension, low, -1):
        return Edge(dimension.field, value, "lower", bounds.get(low, low))
    if place >= 1 - NEAR and _can_be(dimension, high, 1):
        return Edge(dimension.field, value, "upper", bounds.get(high, high))
    return None


def _ends(dimension: Dimension) -> tuple[float, float] | None:
    """Return the ends of a range, or of choices that are at least three numbers in order."""
    if not dimension.choices:
        return dimension.low, dimension.high
    numbers = [_number(choice) for choice in dimension.choices]
    if len(numbers) < 3 or None in numbers or numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        return None
    return min(numbers), max(numbers)


def _can_be(dimension: Dimension, end: float, sign: int) -> bool:
    """Return whether there is a config with a value a little beyond an end."""
    whole = end and float(end).is_integer()
    beyond = int(end) + sign if whole else end + sign * 1e-3 * (abs(end) or 1)
    try:
        TrialConfig.parse({dimension.field: beyond})
    except ConfigError:
        return False
    return True


def _number(value: object) -> float | None:
    """Return the number that a field's value is, also as text; None where it is none."""
    try:
        return float(value_text(value))
    except ValueError:
        return None


# --- importances ------------------------------------------------------------------------------------

TREES = 32  # of fANOVA: half of what is usual takes half of the time
BEST_SHARE, LEAST_BEST = 0.1, 10  # of the complete trials: those that PED-ANOVA tells apart from the others


@dataclass(frozen=True)
class Importance:
    """What share of the differences a field explains, by two methods; fANOVA knows only fields that all trials have."""

    field: str
    ped_anova: float
    fanova: float | None


def in_memory(trials: Sequence[FrozenTrial], direction: str | StudyDirection) -> optuna.Study:
    """Return an Optuna study of these trials that no database keeps."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # says of each study that there is one
    sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner, direction=direction)
    study.add_trials(trials)
    return study


def importances_of(study: optuna.Study) -> list[Importance]:
    """Return how much each field mattered among a study's complete trials, the most by PED-ANOVA first."""
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
    try:
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=0))
    except RuntimeError:  # the fields that all trials have are the same in all of them: no tree has a branch
        return {}


def _in_log_units(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial whose logarithmic fields are their logarithms: Optuna's fANOVA weighs ranges as if linear."""
    distributions: dict[str, BaseDistribution] = {}
    params = {}
    for name, distribution in trial.distributions.items():
        log = getattr(distribution, "log", False)
        ends = (distribution.low, distribution.high) if log else ()
        distributions[name] = FloatDistribution(*map(math.log, ends)) if log else distribution
        params[name] = min(max(math.log(trial.params[name]), math.log(ends[0])), math.log(ends[1])) if log else (
            trial.params[name])  # fmt: skip
    return optuna.trial.create_trial(value=trial.value, params=params, distributions=distributions)
