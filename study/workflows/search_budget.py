"""Plans what a search's minutes are spent on: its trials, then its comparison and its report."""

import time
from dataclasses import dataclass

from study.analysis import seed_plan
from study.data.dataset import Dataset
from study.design.limits import MOST_FRESH_SEEDS
from study.design.search import Budget, Search
from study.execution import time_estimate
from study.execution.forecast import MeanTime, Range, SearchForecast, mean_time
from study.execution.queue import Queue
from study.execution.time_estimate import USUAL, Pace

SHARE = 0.25  # of the minutes, which the trials leave if the comparison needs that much
SECONDS_TO_REPORT = 4.0  # after its last trial an ablation takes 3 s on a quiet machine (docs/lab-log.md)
SECONDS_TO_CONFIRM = 4.0  # assumed: what a comparison takes beside its trials, its start and a report of its own
SLACK = 1.25  # a comparison is given so many times what its first look should take, and begins with that over SLACK
FEWEST_SEEDS = seed_plan.start(1)


@dataclass(frozen=True)
class Plan:
    """What is known of a search's time beforehand: the `mean` time of a trial, and that of `each` trained to its end.

    Both are seconds of a worker, by the `pace`. `workers` run the trials, and `comparing` workers the comparison of the
    best with the baseline; with 0 there is no comparison.
    """

    budget: Budget
    workers: int
    mean: MeanTime
    each: Range
    comparing: int
    pace: Pace = USUAL

    @property
    def comparison(self) -> tuple[float, float]:
        """The least and the most seconds that the comparison takes."""
        return comparison_seconds(self.each.middle, self.comparing)

    @property
    def forecast(self) -> SearchForecast:
        """What forecasts the trials while they run."""
        after = seconds_after_trials(self.budget, self.each.middle, self.comparing)
        return SearchForecast(self.mean, self.budget, self.workers, after)

    @property
    def seeds(self) -> tuple[int, int] | None:
        """The fewest and the most seeds that each side of the comparison will have; None if the time is too short.

        More than the fewest are trained only while nothing is settled.
        """
        if self.budget.minutes is None:
            return FEWEST_SEEDS, MOST_FRESH_SEEDS
        kept = seconds_after_trials(self.budget, self.each.middle, self.comparing)
        own = kept - SECONDS_TO_REPORT - SECONDS_TO_CONFIRM
        most = min(MOST_FRESH_SEEDS, int(own * self.comparing / (2 * self.each.low)))
        return None if most < FEWEST_SEEDS else (FEWEST_SEEDS, most)


def plan(search: Search, dataset: Dataset, budget: Budget, workers: int, comparing: int) -> Plan:
    """Return what is known of a search's time beforehand, by the store's own trials."""
    pace = time_estimate.stored_pace(search.baseline.network.name, dataset)
    whole = time_estimate.trial_seconds(search.baseline, dataset, pace)
    mean, each = mean_time(search, dataset, pace), Range.around(whole, pace.doubt)
    return Plan(budget, workers, mean, each, comparing, pace)


def comparison_seconds(each: float, workers: int) -> tuple[float, float]:
    """Return the least and the most seconds that a comparison takes, if its trials take `each`."""
    least, most = (2 * seeds * each / workers for seeds in (FEWEST_SEEDS, MOST_FRESH_SEEDS))
    return SECONDS_TO_CONFIRM + least, SECONDS_TO_CONFIRM + most


def seconds_after_trials(budget: Budget, each: float, comparing: int) -> float:
    """Return how many seconds a search keeps for what follows its trials.

    A comparison gets SHARE of the minutes, but no less than its first look takes, and no more than all its seeds do. If
    the first look alone would take more than half, there will be none, and the trials have that time.
    """
    if not comparing:
        return SECONDS_TO_REPORT
    least, most = comparison_seconds(each, comparing)
    if budget.minutes is None:
        return SECONDS_TO_REPORT + least
    least *= SLACK
    if least > 60 * budget.minutes / 2:
        return SECONDS_TO_REPORT
    return SECONDS_TO_REPORT + min(max(least, 60 * budget.minutes * SHARE), most)


class Clock:
    """Says whether there is time for something more in a search; its minutes begin with it."""

    def __init__(self, plan: Plan):
        self._plan = plan
        minutes = plan.budget.minutes
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def _each(self, queue: Queue) -> float:
        """Return what a trial takes that is trained whole: by the median of the queue's own, once there is one."""
        return queue.seconds_a_trial() or self._plan.each.middle

    @property
    def _left(self) -> float:
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def has_time_for_a_trial(self, queue: Queue) -> bool:
        """Return whether a trial that is begun now will end before the time that is kept for what follows."""
        each = self._each(queue)
        return self._left >= each + seconds_after_trials(self._plan.budget, each, self._plan.comparing)

    def has_time_to_confirm(self, queue: Queue) -> bool:
        """Return whether the comparison may get as far as its first look."""
        least, _ = comparison_seconds(self._each(queue), self._plan.comparing)
        return self._left >= least / SLACK + SECONDS_TO_REPORT

    @property
    def minutes_to_confirm(self) -> float | None:
        """How many minutes the comparison's trials have; None if there is no end."""
        left = self._left - SECONDS_TO_REPORT - SECONDS_TO_CONFIRM / 2
        return None if self._deadline is None else max(0.0, left / 60)
