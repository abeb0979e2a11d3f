"""Forecasts how many trials of a search fit into its time, and how long they take: before it starts and while it runs.

What a trial takes in the mean is known at first from the search space and the machine's pace, later from the trials
that have ended. Both are estimates of its logarithm, weighted by how sure they are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.unit_cube import UnitCube
from study.data.dataset import Dataset
from study.design.search import Budget, Search
from study.execution.pruning import share_trained
from study.execution.queue import Progress
from study.execution.time_estimate import SECONDS_TO_START, Pace, Total, epoch_seconds

POINTS = 64  # of the space, of which the mean is taken
# Measured (docs/lab-log.md): by which share of their mean the times of a search's trials vary, as some are pruned and
# some have small batches; and how far the mean of later trials may be from that of earlier ones, as a logarithm.
VARIES, DRIFT = 0.7, 0.15
NINETY = 1.645  # standard deviations to either side, between which a normal variable is in 90 %


@dataclass(frozen=True)
class Range:
    """A number that is to come: the likeliest, and the ends between which it is in 90 %."""

    low: float
    middle: float
    high: float

    @classmethod
    def around(cls, middle: float, doubt: float) -> "Range":
        """Return the range of a number whose logarithm has this standard deviation."""
        factor = math.exp(NINETY * doubt)
        return cls(middle / factor, middle, middle * factor)

    def each(self, change: Callable[[float], float]) -> "Range":
        """Return the range of what a growing function makes of the number."""
        return Range(change(self.low), change(self.middle), change(self.high))


@dataclass(frozen=True)
class MeanTime:
    """What a search's trial takes of its worker in the mean: the seconds, and the deviation of their logarithm."""

    seconds: float
    doubt: float

    def after(self, trials: float, spent: float) -> "MeanTime":
        """Return what it is believed to be once so many trials have taken so many seconds of their workers."""
        if trials <= 0 or spent <= 0:
            return self
        before, seen = self.doubt**-2, 1 / (VARIES**2 / trials + DRIFT**2)
        middle = (before * math.log(self.seconds) + seen * math.log(spent / trials)) / (before + seen)
        return MeanTime(math.exp(middle), (before + seen) ** -0.5)

    def trials_in(self, seconds: float) -> Range:
        """Return how many trials fit into so many seconds of workers."""
        number = max(0.0, seconds) / self.seconds
        return Range.around(number, self._doubt_of(number))

    def seconds_of(self, trials: float) -> Range:
        """Return how many seconds of workers so many trials take."""
        return Range.around(trials * self.seconds, self._doubt_of(trials))

    def _doubt_of(self, trials: float) -> float:
        return math.hypot(self.doubt, VARIES / math.sqrt(max(1.0, trials)))


def mean_time(search: Search, dataset: Dataset, pace: Pace) -> MeanTime:
    """Return what a trial takes in the mean over the search space, if the pruner leaves as many epochs as it should."""
    cube, draw, epochs = UnitCube(search.space), np.random.default_rng(0), []
    for shares in draw.random((POINTS, cube.fields)):
        drawn = cube.point(shares)
        settings: dict[str, object] = {}
        for dimension in search.space.dimensions:
            if dimension.applies(settings):
                settings |= search.space.become({dimension.field: drawn[dimension.field]})
        epochs.append(epoch_seconds(search.baseline.replace(settings), dataset, pace))
    trained = share_trained(search) * search.baseline.training.epochs
    return MeanTime(pace.record + pace.compiling + trained * float(np.mean(epochs)), pace.doubt)


@dataclass(frozen=True)
class Outlook:
    """What is to come of a search: how many trials it will have, and in how many seconds the last one ends."""

    trials: Range
    seconds: Range


def outlook(mean: MeanTime, budget: Budget, workers: int, *, done: float, most_seconds: float | None) -> Outlook:
    """Return what is to come after `done` trials, with `most_seconds` for the others; None: as long as they take."""
    end = math.inf if budget.trials is None else max(done, budget.trials)
    trials, seconds = Range(end, end, end), Range(math.inf, math.inf, math.inf)
    if math.isfinite(end):
        seconds = mean.seconds_of(end - done).each(lambda taken: taken / workers)
    if most_seconds is not None:
        trials = mean.trials_in(most_seconds * workers).each(lambda more: min(end, done + more))
        seconds = seconds.each(lambda taken: min(most_seconds, taken))
    return Outlook(trials, seconds)


class SearchForecast:
    """Forecasts a search's trials while it runs; `end` are the seconds that follow them, its comparison and report.

    Like a `TimeLeft` it is told how far the trials are, again and again.
    """

    def __init__(self, mean: MeanTime, budget: Budget, workers: int, end: float):
        self._mean, self._budget, self._workers, self._end = mean, budget, workers, end
        self._before: float | None = None  # how much was done when it was told for the first time
        self._began: float | None = None  # when the first trial was seen running
        self.now = self._outlook(mean, 0, SECONDS_TO_START, 0)

    def after(self, elapsed: float, trials: Sequence[Progress]) -> float:
        """Return the seconds until the search ends, `elapsed` seconds after the start."""
        done = sum(1 if trial.finished else trial.epoch / max(1, trial.epochs) for trial in trials)
        if self._before is None:
            self._before = done
        if self._began is None and (done > self._before or any(trial.state == "RUNNING" for trial in trials)):
            self._began = elapsed
        to_start = max(0.0, SECONDS_TO_START - elapsed) if self._began is None else 0.0
        spent = 0.0 if self._began is None else (elapsed - self._began) * self._workers
        self.now = self._outlook(self._mean.after(done - self._before, spent), elapsed, to_start, done)
        return to_start + self.now.seconds.middle + self._end

    def _outlook(self, mean: MeanTime, elapsed: float, to_start: float, done: float) -> Outlook:
        minutes = self._budget.minutes
        most = None if minutes is None else max(0.0, 60 * minutes - self._end - elapsed - to_start)
        return outlook(mean, self._budget, self._workers, done=done, most_seconds=most)

    def total(self, trials: Sequence[Progress]) -> Total:
        """Return how many trials there will be: a number, or a range where the time decides."""
        ended = sum(trial.finished for trial in trials)
        return Total(max(ended, math.floor(self.now.trials.low)), max(ended, math.ceil(self.now.trials.high)))
