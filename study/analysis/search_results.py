"""Reads a search back from MLflow, with what follows from it: the best, how sure it is, what mattered, edges."""

import math
import sys
from dataclasses import dataclass
from functools import cached_property

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from study.analysis import ablation_results
from study.analysis.ablation_results import AblationResults
from study.analysis.partial_dependence import Dependence, dependence
from study.analysis.search_diagnostics import Edge, Importance, edge, importances_of, in_memory
from study.analysis.search_process import Ended, Expectation
from study.analysis.standings import Standing, standings
from study.analysis.tries import runs_that_count
from study.analysis.unit_cube import UnitCube
from study.base.errors import TrackingError, shown
from study.design.search import TASK, Search, parse_search
from study.tracking import records, store, stored, tags
from study.tracking.artifacts import ABLATION, SEARCH, earlier_file
from study.tracking.records import RunRecord
from study.training.config import TrialConfig, Value
from study.training.networks.described import know_described

TOP = 10
FEWEST = 10  # complete trials that importances need
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Objective:
    """What is optimized, as tables and axes show it: its name in words, its unit, and its scale."""

    title: str
    unit: str
    scale: float = 1

    @property
    def label(self) -> str:
        """The name with the unit."""
        return f"{self.title} ({self.unit})"

    @property
    def unit_of_differences(self) -> str:
        """The unit of a difference of two values."""
        return "points" if self.unit == "%" else self.unit


OBJECTIVES = {
    "val_cross_entropy": Objective("val cross-entropy", "nats"),
    "val_loss": Objective("val loss", "nats"),
    "val_accuracy": Objective("val accuracy", "%", 100),
}


@dataclass(frozen=True, eq=False)
class SearchResults:
    """A search as MLflow remembers it: the last finished try of each slot, in the order of the slots.

    Trials of earlier phases that are no points of the present space are `outside`, and nothing is concluded from them.
    Results are derived from the trials on first use, and kept.
    """

    client: store.MlflowClient
    record: RunRecord
    search: Search
    trials: tuple[RunRecord, ...]
    outside: tuple[RunRecord, ...] = ()

    @property
    def all_trials(self) -> tuple[RunRecord, ...]:
        """The trials of all phases, in the order of the slots."""
        return tuple(sorted((*self.trials, *self.outside), key=slot_of))

    @property
    def phases(self) -> int:
        """How many spaces the search has had."""
        return int(self.record.tags.get(tags.PHASES, 1))

    @cached_property
    def earlier(self) -> list[Search]:
        """What the search was in its earlier phases."""
        files = (stored.read_file(self.record, earlier_file(phase)) for phase in range(1, self.phases))
        return [parse_search(text.decode(), f"phase {number}") for number, text in enumerate(files, start=1) if text]

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
        """Return a trial's value, in the metric's own unit; None if it was not trained to its end."""
        value = trial.metrics.get(f"model_{self.search.metric}")
        return value if state_of(trial) == "complete" and value is not None and is_finite(value) else None

    def error(self, trial: RunRecord) -> float | None:
        """Return the standard error of a trial's value over the validation rows; None if it is not known."""
        value, rows = self.value(trial), int(self.record.tags.get(tags.VALIDATION_ROWS, 0))
        if value is None or self.search.metric != "val_accuracy":
            # The penalty in val_loss is the same for every row.
            return trial.metrics.get(tags.MODEL_VAL_CROSS_ENTROPY_SE)
        return math.sqrt(max(0.0, value * (1 - value)) / rows) if rows else None

    def curve(self, trial: RunRecord) -> list[float]:
        """Return the metric of each epoch that a trial was trained."""
        return trial.curves.get(self.search.metric, [])

    def settings(self, trial: RunRecord) -> dict[str, Value]:
        """Return the values of the fields that were searched in a trial, in the space's order."""
        return self._settings[trial.run_id]

    @cached_property
    def _settings(self) -> dict[str, dict[str, Value]]:
        return {trial.run_id: self._searched(trial) for trial in self.all_trials}

    def _searched(self, trial: RunRecord) -> dict[str, Value]:
        names = {dimension.field: trial.params[dimension.field] for dimension in self.search.space.dimensions
                 if dimension.field in trial.params}  # fmt: skip
        config = self.search.baseline.replace(names)
        settings: dict[str, Value] = {}
        for dimension in self.search.space.dimensions:
            if dimension.field in names and dimension.applies(settings):
                settings[dimension.field] = config.get(dimension.field)
        return settings

    @cached_property
    def ranked(self) -> list[RunRecord]:
        """The trials that have a value, the best first; among equals, the earlier."""
        sign = 1 if self.search.direction == "minimize" else -1
        values = [(value, trial) for trial in self.complete if (value := self.value(trial)) is not None]
        return [trial for _, trial in sorted(values, key=lambda pair: (sign * pair[0], slot_of(pair[1])))]

    @cached_property
    def standings(self) -> list[Standing]:
        """The configurations of the trials that have a value, by what is expected of them, the best first.

        The numbers of a standing are places in `telling`.
        """
        valued = {trial.run_id for trial in self.ranked}
        complete = [number for number, trial in enumerate(self.telling) if trial.run_id in valued]
        return standings(self.expectation, complete)

    def seeds_of(self, standing: Standing) -> list[RunRecord]:
        """Return the trials of a configuration, one for each seed, the earliest first."""
        return [self.telling[number] for number in standing.trials]

    @property
    def top(self) -> list[Standing]:
        """The ten best configurations."""
        return self.standings[:TOP]

    @property
    def best(self) -> RunRecord | None:
        """The first trial of the configuration that is expected to be the best; None if no trial has a value.

        After too few trials to expect anything it is the one with the best value.
        """
        return self.seeds_of(self.standings[0])[0] if self.standings else None

    def is_baseline(self, trial: RunRecord) -> bool:
        """Return whether a trial is the search's baseline, which is the first."""
        return slot_of(trial) == 0

    @cached_property
    def expectation(self) -> Expectation:
        """What is expected after the search's trials."""
        return Expectation(
            UnitCube(self.search.space), [self._ended(trial) for trial in self.telling],
            maximize=self.search.direction == "maximize",
        )  # fmt: skip

    @cached_property
    def telling(self) -> list[RunRecord]:
        """The trials that tell something about their points: those that failed by a fault of the machine do not."""
        return [
            trial for trial in self.trials if state_of(trial) != "failed" or trial.tags.get(tags.STATE) == tags.DIVERGED
        ]

    def _ended(self, trial: RunRecord) -> Ended:
        value = {"pruned": None, "complete": self.value(trial)}.get(state_of(trial), math.nan)
        curve = dict(enumerate(self.curve(trial), start=1))
        return Ended(self._drawn(trial), math.nan if state_of(trial) == "complete" and value is None else value, curve)

    @cached_property
    def confirmation(self) -> AblationResults | None:
        """The comparison of the best with the baseline, with fresh seeds; None if there was none.

        That of an earlier best, which more trials have left behind, says nothing of this one.
        """
        run_id = self.record.tags.get(tags.CONFIRMED_BY)
        if run_id in (None, tags.NOTHING):
            return None
        run = records.find_run(self.client, run_id)
        if run is None or not stored.read_file(run, ABLATION):
            return None
        found = ablation_results.read(self.client, run_id)
        compared = found.ablation.configs[-1].canonical().of_network
        best = self.best and TrialConfig.recorded(self.best.params).canonical().of_network
        return found if compared == best else None

    @property
    def nothing_to_confirm(self) -> bool:
        """Whether the search was to be confirmed, and its best is the baseline itself."""
        is_baseline = self.best is not None and self.is_baseline(self.best)
        return is_baseline and self.record.tags.get(tags.CONFIRMED_BY) == tags.NOTHING

    @cached_property
    def edges(self) -> list[Edge]:
        """The fields whose best value lies at an end of the searched values, if there is anything beyond that end."""
        settings = self.settings(self.best) if self.best else {}
        found = (
            edge(dimension, settings[dimension.field], self.search.baseline)
            for dimension in self.search.space.dimensions
            if dimension.field in settings
        )
        return [each for each in found if each]

    @cached_property
    def optuna_study(self) -> optuna.Study:
        """The search as an Optuna study in memory, its trials numbered from 0 in the slots' order."""
        return in_memory([self._frozen(trial) for trial in self.trials], self.search.direction)

    def _drawn(self, trial: RunRecord) -> dict[str, Value]:
        """Return what was drawn, or could have been, for a trial's settings."""
        settings = self.settings(trial)
        return {
            dimension.field: dimension.drawn(settings[dimension.field])
            for dimension in self.search.space.dimensions
            if dimension.field in settings
        }

    def _frozen(self, trial: RunRecord) -> FrozenTrial:
        drawn = self._drawn(trial)
        fixed = FixedTrial(drawn)
        if drawn:  # a trial that failed before it had a config draws nothing
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

    @cached_property
    def dependences(self) -> dict[str, Dependence]:
        """How the metric depends on each field, the others being as they were tried, by the field's name."""
        found = {
            dimension.field: dependence(self.expectation, column, dimension)
            for column, dimension in enumerate(self.search.space.dimensions)
        }
        return {field: each for field, each in found.items() if each}

    @property
    def no_importances(self) -> str | None:
        """Why there are no importances; None if there are."""
        if len(self.search.space.dimensions) < 2:
            return "only one field was searched"
        if (number := len(self.ranked)) < FEWEST:
            return f"{number} complete trial{'s are' if number != 1 else ' is'} too few; importances need {FEWEST}"
        if self.value(self.ranked[0]) == self.value(self.ranked[-1]):
            return "all complete trials have the same value"
        return None

    @cached_property
    def importances(self) -> list[Importance]:
        """How much each field mattered among the complete trials, by PED-ANOVA the most first; may be empty."""
        if self.no_importances:
            return []
        return importances_of(self.optuna_study)


def is_finite(value: float) -> bool:
    """Return whether a metric was finite; MLflow's databases store infinity as the largest float."""
    return abs(value) < sys.float_info.max


def state_of(trial: RunRecord) -> str:
    """Return how a trial ended: one of STATES."""
    state = trial.tags.get(tags.STATE)
    return state if state in ("complete", "pruned") and trial.status != "FAILED" else "failed"


def slot_of(trial: RunRecord) -> int:
    """Return which of the search's slots a trial fills."""
    return int(trial.tags[tags.SLOT])


# --- reading ----------------------------------------------------------------------------------------


def is_search(client: store.MlflowClient, run_id: str) -> bool:
    """Return whether this run is a search; raises TrackingError if there is no such run."""
    return records.read_run(client, run_id).tags.get(tags.TASK) == TASK


def phase_of(trial: RunRecord) -> int:
    """Return the phase of the search in which a trial's point was suggested."""
    return int(trial.tags.get(tags.PHASE, 1))


def read(client: store.MlflowClient, run_id: str) -> SearchResults:
    """Return the search of this run; raises TrackingError if there is no such run, or if it is not a search."""
    record = records.read_run(client, run_id)
    search = definition(record)
    trials = _last_tries(records.read_trials(client, run_id, (search.metric,)))
    outside = {trial.run_id for trial in trials if tags.PHASES in record.tags and not _is_inside(search, trial)}
    inside = tuple(trial for trial in trials if trial.run_id not in outside)
    return SearchResults(client, record, search, inside, tuple(trial for trial in trials if trial.run_id in outside))


def _is_inside(search: Search, trial: RunRecord) -> bool:
    """Return whether a trial is a point of the search's space; one that failed before it had a config is no other."""
    return not trial.params or search.space.place(TrialConfig.recorded(trial.params)) is not None


def definition(record: RunRecord) -> Search:
    """Return what a search's run asks for; raises TrackingError if it is not a search's."""
    run_id = record.run_id
    text = stored.read_file(record, SEARCH) if record.tags.get(tags.TASK) == TASK else None
    if text is None:
        parent = records.study_of(record)
        other = "`mlflow ui` shows the searches' run IDs."
        hint = f"It is a trial or an arm; its study is run={parent}." if parent else other
        raise TrackingError(f"the run {shown(record.name)} is not a search", where=run_id, hint=hint)
    know_described(record.tags.get(tags.NETWORKS), run_id)
    return parse_search(text.decode(), f"{run_id}/{SEARCH}")


def _last_tries(trials: list[RunRecord]) -> tuple[RunRecord, ...]:
    """Return the try of each slot that counts and has ended by itself, by slot; `trials` are oldest first."""
    ended = [trial for trial in trials if trial.status in ("FINISHED", "FAILED") and tags.SLOT in trial.tags]
    return tuple(sorted(runs_that_count(ended, slot_of), key=slot_of))
