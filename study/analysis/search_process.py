"""What a search expects at each point of its space: a Gaussian process through the results of its trials."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from study.analysis import gaussian_process
from study.analysis.gaussian_process import Process
from study.analysis.unit_cube import Point, UnitCube

FEWEST_RESULTS = 6  # before the process says anything
FEWEST_ERRORS = 1e-4  # an accuracy of 1 counts as this share of errors, because its logarithm is needed


@dataclass(frozen=True)
class Ended:
    """A trial that has ended: what was drawn for it, its value, and the metric by epoch.

    The value is None for a trial that was pruned, and NaN for one that diverged.
    """

    point: Point
    value: float | None
    curve: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is expected after these trials: of a metric that is to be as high as possible with `maximize`."""

    cube: UnitCube
    trials: Sequence[Ended]
    maximize: bool

    def _loss(self, value: float) -> float:
        return max(1 - value, FEWEST_ERRORS) if self.maximize else value

    @cached_property
    def losses(self) -> tuple[np.ndarray, np.ndarray]:
        """The logarithm of each trial's loss, infinite for a diverged one, and the variance of a guess of it: (n,).

        From the epoch at which it was pruned, a trial is taken to improve as the complete ones did from there to their
        end. Losses that are not all positive stay as they are.
        """
        curves = [{epoch: self._loss(value) for epoch, value in trial.curve.items()} for trial in self.trials]
        last = [self._last(trial, curve) for trial, curve in zip(self.trials, curves, strict=True)]
        scale = (
            math.log if all(value > 0 for value in [*last, *(v for curve in curves for v in curve.values())]) else float
        )
        values, guessed = np.array([scale(value) for value in last]), np.zeros(len(last))
        complete = [number for number, trial in enumerate(self.trials) if trial.value is not None]
        for number, trial in enumerate(self.trials):
            if trial.value is None and (epoch := max(curves[number], default=None)) is not None:
                ways = [values[other] - scale(curves[other][epoch]) for other in complete if epoch in curves[other]]
                improved = [way for way in ways if math.isfinite(way)]
                if improved:
                    values[number] += float(np.median(improved))
                    guessed[number] = float(np.var(improved))
        return values, guessed

    def _last(self, trial: Ended, curve: Mapping[int, float]) -> float:
        value = curve[max(curve)] if trial.value is None and curve else trial.value
        if value is None or math.isnan(value):
            return math.inf
        return value if trial.value is None else self._loss(value)

    @cached_property
    def shares(self) -> np.ndarray:
        """The trials' points by their shares: (n, fields)."""
        return self.cube.shares([trial.point for trial in self.trials])

    @cached_property
    def process(self) -> Process | None:
        """The process through the losses; None after too few trials."""
        if len(self.trials) < FEWEST_RESULTS:
            return None
        values, guessed = self.losses
        targets, spread = gaussian_process.standardized(values)
        places = self.cube.coordinates(self.shares)
        return gaussian_process.fit(places, targets, guessed / spread**2, self.cube.field_of)

    @cached_property
    def ranks(self) -> np.ndarray | None:
        """What is expected at each trial's point, the less the better, in units of the process; None without one."""
        return None if self.process is None else self.process.predict(self.cube.coordinates(self.shares))[0]
