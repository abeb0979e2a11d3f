"""Keeps a search's queue filled: with as many slots as are wanted, until its time is up or its space is exhausted."""

from itertools import takewhile

from study.analysis.formatting import count
from study.design.search import Budget, Search
from study.execution import attributes, sampling
from study.execution.queue import Progress, Queue
from study.execution.space_phases import SpacePhases
from study.workflows.common import stocked
from study.workflows.search_budget import Clock

MOST_IN_VAIN = 500  # suggestions in a row that were not trained, before a space counts as exhausted
NO_TIME = "The time was up before a trial could be trained: give the search more minutes."


class SlotSupply:
    """Has the queue hand out as many trials as are wanted, and one more for each that was not trained.

    Without a `clock` its time has no end. `note` says why fewer were trained: the space has no more points, or the time
    was up before the first trial.
    """

    def __init__(self, queue: Queue, search: Search, budget: Budget, clock: Clock | None = None):
        self._queue, self._budget, self._clock = queue, budget, clock
        self._space, self._every = search.space, sampling.in_order(search)
        self._points = (search.sampler == "grid" and self._every) or [search.space.first()]
        earlier = queue.user_attrs.get(attributes.ASSIGNMENT, {}).get("earlier", ())
        self._phases = SpacePhases(search, earlier)
        self._limited = bool(search.limit)
        self._in_vain = False  # whether the time was up before a trial was begun
        self.note: str | None = None
        queue.withdraw()  # what an earlier command left waiting may be more than this one wants
        queue.reopen()

    def __call__(self, trials: list[Progress]) -> None:
        """Enqueue the missing slots, or end the queue when another trial would not end in time."""
        if self._clock and not self._queue.ended and not self._clock.has_time_for_a_trial(self._queue):
            self._queue.end("the time is up")
            self._in_vain = all(trial.state == "WAITING" for trial in trials)
        wanted = min(end for end in (self._budget.trials, self._size(), stocked(trials)) if end is not None)
        self.note = NO_TIME if self._in_vain else self._exhausted()
        if not (self.note or self._queue.ended):
            self._queue.want(wanted, self._points)

    def _size(self) -> int | None:
        """Return how many trials a finite space has room for, with those of earlier phases; None if it is infinite."""
        if self._every is None:
            return None
        if self._phases.present == 1:
            return len(self._every)
        begun = self._queue.begun()
        left = sampling.untried(self._space, self._every, self._phases.seen(begun))
        return len(list(left)) + sum(not attributes.stands_aside(trial) for trial in begun)

    def _exhausted(self) -> str | None:
        """Say that the space has no more points to try; None while it may have."""
        begun = self._queue.begun()
        if self._every is not None:
            left = next(iter(sampling.untried(self._space, self._every, self._phases.seen(begun))), None)
            return None if left else f"All {count(len(self._every), 'point')} of the space have been tried."
        here = [trial for trial in begun if self._phases.phase_of(trial) == self._phases.present]
        ended = [trial for trial in reversed(here) if trial.state.is_finished()]
        in_vain = len(list(takewhile(attributes.stands_aside, ended)))
        if in_vain < MOST_IN_VAIN:
            return None
        beyond = " or broke the limit" if self._limited else ""
        return f"The space seems exhausted: the last {in_vain} suggestions repeated trials{beyond}."
