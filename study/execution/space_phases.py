"""Lets a search go on in another space: each phase has parameters of its own, and a sampler sees what lies inside.

Optuna gives a parameter the same choices throughout a study. So from the second phase on the names of the parameters
have the phase's number: ``batch_size (2)``. The trials of earlier phases are shown to the samplers as points of the
present space, if they are such points.
"""

import copy
import re
from collections.abc import Iterable, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from study.design.dimensions import Suggests
from study.design.search import Search, parse_search
from study.design.search_space import SearchSpace
from study.execution.optuna_internals import fixed_params, shown
from study.execution.sampling import distribution

CHANGING = ("gp", "tpe", "random", "qmc")  # samplers whose search may go on in another space
_NAME = re.compile(r"(.*) \((\d+)\)")


def named(field: str, phase: int) -> str:
    """Return the name of a field's parameter in a phase."""
    return field if phase == 1 else f"{field} ({phase})"


def split(name: str) -> tuple[str, int]:
    """Return the field and the phase of a parameter."""
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 1)


class InPhase:
    """Suggests values as an Optuna trial does, of the parameters of one phase."""

    def __init__(self, trial: Suggests, phase: int):
        self._trial, self._phase = trial, phase

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        return self._trial.suggest_float(named(name, self._phase), low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        return self._trial.suggest_int(named(name, self._phase), low, high, step=step, log=log)

    def suggest_categorical(self, name, choices):
        return self._trial.suggest_categorical(named(name, self._phase), choices)


class SpacePhases:
    """The spaces that a search has had, one for each phase; the last is the present one."""

    def __init__(self, search: Search, earlier: Sequence[str] = ()):
        self._spaces = [*(parse_search(text, "an earlier phase").space for text in earlier), search.space]
        self._places: dict[int, dict[str, object] | None] = {}  # of finished trials of earlier phases, by number

    @property
    def present(self) -> int:
        """The number of the present phase; the first is 1."""
        return len(self._spaces)

    def phase_of(self, trial: FrozenTrial) -> int:
        """Return the phase to which a trial's point belongs: the present one while nothing was drawn for it.

        So a trial that is tried again keeps its point.
        """
        return max((split(name)[1] for name in (*trial.params, *fixed_params(trial))), default=self.present)

    def suggest(self, trial: optuna.Trial, phase: int) -> dict[str, object]:
        """Return the settings that a trial suggests for its point in this phase's space."""
        return self._spaces[phase - 1].suggest(InPhase(trial, phase))

    def sampler(self, sampler: BaseSampler) -> BaseSampler:
        """Return a sampler of the present space for the whole study."""
        return sampler if self.present == 1 else _Phased(sampler, self)

    def seen(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that lie in the present space, with what is to be drawn there for their points."""
        if self.present == 1:
            return list(trials)
        return [moved for trial in trials if (moved := self.moved(trial)) is not None]

    def moved(self, trial: FrozenTrial) -> FrozenTrial | None:
        """Return a trial as one of the present phase; None if its point does not lie in the present space."""
        phase = self.phase_of(trial)
        drawn: dict[str, object] | None = {split(name)[0]: value for name, value in trial.params.items()}
        if phase != self.present:
            drawn = self._place(trial, self._spaces[phase - 1])
            if drawn is None:
                return None
        known = {each.field: distribution(each) for each in self._spaces[-1].dimensions}
        own = copy.copy(trial)  # because the original belongs to the storage
        own.params = {field: value for field, value in (drawn or {}).items() if field in known}
        own.distributions = {field: known[field] for field in own.params}
        return own

    def _place(self, trial: FrozenTrial, space: SearchSpace) -> dict[str, object] | None:
        """Return what to draw in the present space for a point of another one; None if it is not there."""
        if trial.number in self._places:
            return self._places[trial.number]
        drawn = {field: value for name, value in trial.params.items() for field, _ in [split(name)]}
        place = self._spaces[-1].place(space.baseline.replace(space.become(drawn))) if drawn else None
        if trial.state.is_finished():
            self._places[trial.number] = place
        return place


class _Phased(BaseSampler):
    """Shows a sampler the whole study in the present space, and gives its parameters the names of the present phase."""

    def __init__(self, sampler: BaseSampler, phases: SpacePhases):
        self._sampler, self._phases = sampler, phases

    def _in_present(self, study: optuna.Study) -> optuna.Study:
        return shown(study, self._phases.seen)

    def _own(self, trial: FrozenTrial) -> FrozenTrial:
        return self._phases.moved(trial) or trial

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self._phases.phase_of(trial) != self._phases.present:  # it has its point
            return {}
        found = self._sampler.infer_relative_search_space(self._in_present(study), self._own(trial))
        return {named(field, self._phases.present): each for field, each in found.items()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        if not search_space:
            return {}
        by_field = {split(name)[0]: each for name, each in search_space.items()}
        found = self._sampler.sample_relative(self._in_present(study), self._own(trial), by_field)
        return {named(field, self._phases.present): value for field, value in found.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        field, _ = split(param_name)
        return self._sampler.sample_independent(self._in_present(study), self._own(trial), field, param_distribution)
