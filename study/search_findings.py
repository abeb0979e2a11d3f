"""A search read back from MLflow, and what its trials allow to be said: the best, how sure, what mattered, edges."""

import math
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from study import search as searches
from study import tracking
from study.config import TrialConfig, value_text
from study.errors import ConfigError, TrackingError, shown
from study.search import Search
from study.space import Dimension
from study.tracking import RunRecord

TOP = 10
FEWEST = 10  # complete trials from which importances are told
TREES = 32  # of fANOVA: half of what is usual takes half of the time
BEST_SHARE, LEAST_BEST = 0.1, 10  # of the complete trials: those that PED-ANOVA tells apart from the others
EDGE = 0.05  # of a range: so close to an end the best may lie beyond it
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Objective:
    """What is optimized, as tables and axes show it: its name in words, its unit, and what it is multiplied by."""

    title: str
    unit: str
    scale: float = 1

    @property
    def label(self) -> str:
        """The name with the unit."""
        return f"{self.title} ({self.unit})"


OBJECTIVES = {
    "val_cross_entropy": Objective("val cross-entropy", "nats"),
    "val_loss": Objective("val loss", "nats"),
    "val_accuracy": Objective("val accuracy", "%", 100),
}


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


@dataclass(frozen=True)
class Importance:
    """What share of the differences a field explains, by two methods; fANOVA knows only fields that all trials have."""

    field: str
    ped_anova: float
    fanova: float | None


@dataclass(frozen=True, eq=False)
class SearchStudy:
    """A search as MLflow remembers it: of each slot its last try that has ended, in the slots' order.

    What is derived from the trials is worked out when it is asked for, once.
    """

    client: tracking.MlflowClient
    record: RunRecord
    search: Search
    trials: tuple[RunRecord, ...]

    @property
    def objective(self) -> Objective:
        """What is optimized."""
        return OBJECTIVES[self.search.metric]

    @cached_property
    def complete(self) -> list[RunRecord]:
        """The trials that were trained to their end."""
        return self._of("complete")

    @cached_property
    def pruned(self) -> list[RunRecord]:
        """The trials that were cut short."""
        return self._of("pruned")

    @cached_property
    def failed(self) -> list[RunRecord]:
        """The trials that diverged, or failed for another reason."""
        return self._of("failed")

    def _of(self, state: str) -> list[RunRecord]:
        return [trial for trial in self.trials if state_of(trial) == state]

    def value(self, trial: RunRecord) -> float | None:
        """Return what a trial has come to, in the metric's own unit; None where it was not trained to its end."""
        value = trial.metrics.get(f"model_{self.search.metric}")
        return value if state_of(trial) == "complete" and value is not None and is_finite(value) else None

    def error(self, trial: RunRecord) -> float | None:
        """Return the standard error of a trial's value over the validation rows; None where it is not known."""
        value, rows = self.value(trial), int(self.record.tags.get("validation_rows", 0))
        if value is None or self.search.metric != "val_accuracy":
            # The penalty in val_loss is the same for every row.
            return trial.metrics.get("model_val_cross_entropy_se")
        return math.sqrt(max(0.0, value * (1 - value)) / rows) if rows else None

    def curve(self, trial: RunRecord) -> list[float]:
        """Return the metric of each epoch that a trial was trained."""
        return trial.curves.get(self.search.metric, [])

    def settings(self, trial: RunRecord) -> dict[str, object]:
        """Return the values of the fields that were searched in a trial, in the space's order."""
        return self._settings[trial.run_id]

    @cached_property
    def _settings(self) -> dict[str, dict[str, object]]:
        return {trial.run_id: self._searched(trial) for trial in self.trials}

    def _searched(self, trial: RunRecord) -> dict[str, object]:
        names = {dimension.field: trial.params[dimension.field] for dimension in self.search.space.dimensions
                 if dimension.field in trial.params}  # fmt: skip
        config = TrialConfig.parse(names)
        settings: dict[str, object] = {}
        for dimension in self.search.space.dimensions:
            if dimension.field in names and dimension.applies(settings):
                settings[dimension.field] = getattr(config, dimension.field)
        return settings

    @cached_property
    def ranked(self) -> list[RunRecord]:
        """The trials that have a value, the best first; of equal ones the earlier."""
        sign = 1 if self.search.direction == "minimize" else -1
        return sorted(
            (trial for trial in self.complete if self.value(trial) is not None),
            key=lambda trial: (sign * self.value(trial), slot_of(trial)),
        )

    @property
    def top(self) -> list[RunRecord]:
        """The ten best trials."""
        return self.ranked[:TOP]

    @property
    def best(self) -> RunRecord | None:
        """The best trial; None where none has a value."""
        return self.ranked[0] if self.ranked else None

    def behind(self, trial: RunRecord) -> float:
        """Return by how much the best exceeds a trial that has a value, as a number that is not negative."""
        return abs(self.value(trial) - self.value(self.best))

    @cached_property
    def edges(self) -> list[Edge]:
        """The fields whose best value lies at an end of what was searched, unless nothing can lie beyond that."""
        settings = self.settings(self.best) if self.best else {}
        found = (
            _edge(dimension, settings[dimension.field])
            for dimension in self.search.space.dimensions
            if dimension.field in settings
        )
        return [edge for edge in found if edge]

    @cached_property
    def optuna_study(self) -> optuna.Study:
        """The search as an Optuna study in memory, its trials numbered from 0 in the slots' order."""
        return self._study([self._frozen(trial) for trial in self.trials])

    def _study(self, trials: list[FrozenTrial]) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # says of each study that there is one
        sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner, direction=self.search.direction)
        study.add_trials(trials)
        return study

    def _frozen(self, trial: RunRecord) -> FrozenTrial:
        settings = self.settings(trial)
        drawn = {
            dimension.field: dimension.drawn(settings[dimension.field])
            for dimension in self.search.space.dimensions
            if dimension.field in settings
        }
        fixed = FixedTrial(drawn)
        if drawn:  # not for what failed before it had a config
            self.search.space.suggest(fixed)
        value = self.value(trial)
        state = STATES[state_of(trial)]
        return optuna.trial.create_trial(
            state=TrialState.FAIL if state == TrialState.COMPLETE and value is None else state,
            value=value,
            params=fixed.params,
            distributions=fixed.distributions,
            intermediate_values=dict(enumerate(self.curve(trial), start=1)),
            user_attrs={"slot": slot_of(trial), "run_id": trial.run_id},
        )

    @property
    def no_importances(self) -> str | None:
        """Why there are no importances; None where there are."""
        if len(self.search.space.dimensions) < 2:
            return "only one field was searched"
        if (number := len(self.ranked)) < FEWEST:
            return f"{number} complete trial{'s are' if number != 1 else ' is'} too few to tell, it takes {FEWEST}"
        if self.value(self.ranked[0]) == self.value(self.ranked[-1]):
            return "all complete trials came to the same"
        return None

    @cached_property
    def importances(self) -> list[Importance]:
        """How much each field mattered among the complete trials, the most by PED-ANOVA first; empty without."""
        if self.no_importances:
            return []
        trials = self.optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = max(BEST_SHARE, min(0.5, LEAST_BEST / len(trials)))
            ped = get_param_importances(self._study(trials), evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
            fanova = self._fanova([_in_log_units(trial) for trial in trials])
        return [
            Importance(field, float(share), float(fanova[field]) if field in fanova else None)
            for field, share in ped.items()
        ]

    def _fanova(self, trials: list[FrozenTrial]) -> dict[str, float]:
        try:
            return get_param_importances(
                self._study(trials), evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=0)
            )
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


def _edge(dimension: Dimension, value: object) -> Edge | None:
    """Return the end of its dimension at which a value lies, if it lies at one beyond which there is something."""
    if dimension.zero_below is not None and value == 0:
        return None
    numbers = _ends(dimension)
    if numbers is None:
        return None
    low, high = numbers
    if dimension.choices:
        place = 0.0 if number_of(value) == low else 1.0 if number_of(value) == high else 0.5
    else:
        scale = math.log if dimension.log else float
        place = (scale(value) - scale(low)) / (scale(high) - scale(low))
    bounds = {number_of(choice): choice for choice in dimension.choices}
    if place <= EDGE and dimension.zero_below is None and _can_be(dimension, low, -1):
        return Edge(dimension.field, value, "lower", bounds.get(low, low))
    if place >= 1 - EDGE and _can_be(dimension, high, 1):
        return Edge(dimension.field, value, "upper", bounds.get(high, high))
    return None


def _ends(dimension: Dimension) -> tuple[float, float] | None:
    """Return the ends of a range, or of choices that are at least three numbers in order."""
    if not dimension.choices:
        return dimension.low, dimension.high
    numbers = [number_of(choice) for choice in dimension.choices]
    if len(numbers) < 3 or None in numbers or numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        return None
    return min(numbers), max(numbers)


def _can_be(dimension: Dimension, end: float, sign: int) -> bool:
    """Return whether there is a config with a value a little beyond an end."""
    whole = end and float(end).is_integer()
    beyond = int(end) + sign if whole else end + sign * 1e-3 * (abs(end) or 1)
    try:
        TrialConfig().replace({dimension.field: beyond})
    except ConfigError:
        return False
    return True


def number_of(value: object) -> float | None:
    """Return the number that a field's value is, also as text; None where it is none."""
    try:
        return float(value_text(value))
    except ValueError:
        return None


def brief(value: object) -> str:
    """Return a field's value with no more than three digits that count."""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def is_finite(value: float) -> bool:
    """Return whether a metric was finite; MLflow's databases keep infinity as the greatest number that there is."""
    return abs(value) < sys.float_info.max


def state_of(trial: RunRecord) -> str:
    """Return how a trial ended: one of STATES."""
    state = trial.tags.get("state")
    return state if state in ("complete", "pruned") and trial.status != "FAILED" else "failed"


def slot_of(trial: RunRecord) -> int:
    """Return which of the search's slots a trial fills."""
    return int(trial.tags["slot"])


# --- reading ----------------------------------------------------------------------------------------


def is_search(client: tracking.MlflowClient, run_id: str) -> bool:
    """Return whether this run is that of a search; raises TrackingError where there is no such run."""
    return tracking.read_run(client, run_id).tags.get("task") == searches.TASK


def read(client: tracking.MlflowClient, run_id: str) -> SearchStudy:
    """Return the search of this run; raises TrackingError where there is no such run, or it is not that of a search."""
    record = tracking.read_run(client, run_id)
    definition = tracking.read_file(client, run_id, tracking.SEARCH) if is_search(client, run_id) else None
    if definition is None:
        parent = tracking.parent_of(record)
        hint = f"It is a trial's; its study is run={parent}." if parent else "`mlflow ui` shows the searches' run IDs."
        raise TrackingError(f"the run {shown(record.name)} is not that of a search", where=run_id, hint=hint)
    search = searches.parse(definition.decode(), f"{run_id}/{tracking.SEARCH}")
    return SearchStudy(client, record, search, _last_tries(tracking.read_trials(client, run_id, (search.metric,))))


def _last_tries(trials: list[RunRecord]) -> tuple[RunRecord, ...]:
    """Return of each slot the last try that has ended by itself, by slot; `trials` come oldest first."""
    last = {
        slot_of(trial): trial for trial in trials if trial.status in ("FINISHED", "FAILED") and "slot" in trial.tags
    }
    return tuple(trial for _, trial in sorted(last.items()))
