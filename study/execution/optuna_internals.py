"""Collects all uses of Optuna's private API in one place.

The private names are those of Optuna 5.0. tests/execution/test_optuna_internals.py checks each of them, so an upgrade
that changes one fails there and not in a user's study.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Container, Sequence
from typing import cast

import optuna
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, select

from study.execution.attributes import HAND_OUT, HISTORY, REASON, doubles, slot_of, tries_that_count

# The methods of Optuna's RDBStorage that talk to the database, and so may find its server gone.
STORAGE_METHODS = (
    "create_new_study", "get_study_id_from_name", "get_study_name_from_id", "get_study_directions", "get_all_studies",
    "get_study_user_attrs", "get_study_system_attrs", "set_study_user_attr", "set_study_system_attr",
    "_create_new_trial", "get_trial", "_get_trials", "_set_trial_param", "set_trial_state_values",
    "get_trial_user_attrs", "get_trial_system_attrs", "get_trial_param",
    "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr", "_get_stale_trial_ids",
)  # fmt: skip


class QueueEmpty(Exception):
    """No trial is waiting."""


class OrderedStudy(optuna.Study):
    """An Optuna study that hands out waiting trials in the order of their slots, each once, and never makes one up.

    Optuna orders by trial number, so a requeued trial would come last, and an interrupted search would suggest
    different points from an uninterrupted one. And when no trial is waiting, Optuna makes one up.

    `choose` says which of the waiting trials this process takes; None: all.
    """

    choose: Callable[[FrozenTrial], bool] | None = None

    @property
    def hand_out_until(self) -> int | None:
        """The slot before which trials are handed out; None if all of them are."""
        return self.user_attrs.get(HAND_OUT)

    def _pop_waiting_trial_id(self) -> int:
        trials = self.get_trials(deepcopy=False)
        twice = doubles(trials)
        end = math.inf if self.hand_out_until is None else self.hand_out_until
        waiting = (trial for trial in trials if trial.state == TrialState.WAITING and slot_of(trial) < end)
        for trial in sorted(waiting, key=lambda trial: (slot_of(trial), trial.number)):
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                if trial.number in twice:
                    self._storage.set_trial_user_attr(trial._trial_id, REASON, "the queue has it twice")
                    mark_failed(self, trial)
                elif self.choose and not self.choose(trial):
                    continue
                elif self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return trial._trial_id
        raise QueueEmpty


def mark_failed(study: optuna.Study, trial: FrozenTrial) -> None:
    """Mark a trial that another process began as failed; raises UpdateFinishedTrialError if it has ended."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def expect_heartbeat(study: optuna.Study, trial: FrozenTrial) -> None:
    """Give a trial without a heartbeat its first one, by the database's clock; without another it becomes stale.

    Optuna itself never finds a trial stale whose worker died before the first heartbeat.
    """
    storage = getattr(study._storage, "_backend", study._storage)
    if isinstance(storage, RDBStorage):
        with _create_scoped_session(storage.scoped_session, True) as session:
            if models.TrialHeartbeatModel.where_trial_id(trial._trial_id, session) is None:
                session.add(models.TrialHeartbeatModel(trial_id=trial._trial_id))


def heartbeat_ages(study: optuna.Study) -> dict[int, float]:
    """Return how many seconds ago, by the database's clock, each running trial's worker last said that it lives.

    By the trial's number; one that has said nothing yet is missing.
    """
    storage = getattr(study._storage, "_backend", study._storage)
    if not isinstance(storage, RDBStorage):
        return {}
    with _create_scoped_session(storage.scoped_session, True) as session:
        now = session.execute(select(func.now())).scalar_one()
        beats = (
            session.query(models.TrialModel.number, models.TrialHeartbeatModel.heartbeat)
            .join(models.TrialHeartbeatModel, models.TrialHeartbeatModel.trial_id == models.TrialModel.trial_id)
            .filter(models.TrialModel.study_id == study._study_id, models.TrialModel.state == TrialState.RUNNING)
            .all()
        )
    # SQLite's time has no zone, PostgreSQL's has; Optuna compares them in this way.
    return {number: (now.replace(tzinfo=None) - beat.replace(tzinfo=None)).total_seconds() for number, beat in beats}


def retry_attributes(tries: Sequence[int]) -> dict[str, object]:
    """Return the system attributes that tell Optuna that a trial retries the trials with these numbers."""
    return {"failed_trial": tries[0], HISTORY: list(tries)}


def set_attribute(study: optuna.Study, trial: FrozenTrial, name: str, value: int) -> None:
    """Write an attribute of a trial that a sampler was given: it has no method for that."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def unit_cube(space: dict[str, BaseDistribution]) -> _SearchSpaceTransform:
    """Return what turns a trial's params into coordinates from 0 to 1, and back."""
    return _SearchSpaceTransform(space, transform_0_1=True)


class Shown:
    """A study as samplers and pruners see it: with the trials that `change` makes of its own."""

    def __init__(self, study: optuna.Study, change: Callable[[list[FrozenTrial]], list[FrozenTrial]]):
        self._study, self._change = study, change

    def __getattr__(self, name: str) -> object:
        return getattr(self._study, name)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = self._change(self._study._get_trials(deepcopy=deepcopy, use_cache=use_cache))
        return [trial for trial in trials if states is None or trial.state in states]


def shown(study: optuna.Study, change: Callable[[list[FrozenTrial]], list[FrozenTrial]]) -> optuna.Study:
    """Return the study with the trials that `change` makes of its own."""
    return cast(optuna.Study, Shown(study, change))


def by_slots(study: optuna.Study) -> optuna.Study:
    """Return the study as samplers and pruners see it: the try of each slot that counts, numbered by its slot."""
    return shown(study, lambda trials: [numbered_by_slot(trial) for trial in tries_that_count(trials)])


def fixed_params(trial: FrozenTrial) -> dict[str, object]:
    """Return the values with which a trial was enqueued, by parameter."""
    found: dict[str, object] = trial.system_attrs.get("fixed_params", {})
    return found


def numbered_by_slot(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial with its slot as its number."""
    if trial.number == slot_of(trial):
        return trial
    numbered = copy.copy(trial)  # because the original belongs to the storage
    numbered.number = slot_of(trial)
    return numbered


class SobolPoint(QMCSampler):
    """One point of a scrambled Sobol sequence, by its number.

    Optuna keeps its counter in the storage, where two workers can get the same number.
    """

    def __init__(self, known: dict[str, BaseDistribution], number: int, seed: int, independent_sampler: BaseSampler):
        super().__init__(
            scramble=True, seed=seed, independent_sampler=independent_sampler, warn_independent_sampling=False
        )
        self._known, self._number = known, number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._known

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number
