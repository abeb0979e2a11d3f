"""How much each field of a search mattered among its complete trials, by two methods of Optuna's."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

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
