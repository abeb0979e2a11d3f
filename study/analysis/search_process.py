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
DRAWS = 4000  # of the process, from which intervals and probabilities are counted
DOUBT = 1.4  # so many times the deviations of the processes held what was true (docs/lab-log.md)
FAR = 3  # times the distance from the best to the median, at which values are clipped where conclusions are drawn
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
        curves, last, scale = self._curves, self._lasts, math.log if self._logarithmic else float
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

    @cached_property
    def _curves(self) -> list[dict[int, float]]:
        return [{epoch: self._loss(value) for epoch, value in trial.curve.items()} for trial in self.trials]

    @cached_property
    def _lasts(self) -> list[float]:
        return [self._last(trial, curve) for trial, curve in zip(self.trials, self._curves, strict=True)]

    @cached_property
    def _logarithmic(self) -> bool:
        # A diverged trial's curve may end with NaN, which says nothing about the others.
        return not any(value <= 0 for value in [*self._lasts, *(v for curve in self._curves for v in curve.values())])

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
        targets, _, spread = gaussian_process.standardized(self.losses[0])
        places = self.cube.coordinates(self.shares)
        return gaussian_process.fit(places, targets, self.losses[1] / spread**2, self.cube.field_of)

    @cached_property
    def ranks(self) -> np.ndarray | None:
        """What is expected at each trial's point, the less the better, in units of the process; None without one."""
        return None if self.process is None else self.process.predict(self.cube.coordinates(self.shares))[0]

    # --- what a search concludes --------------------------------------------------------------------

    @cached_property
    def _concluding(self) -> tuple[np.ndarray, float, float]:
        return gaussian_process.standardized(self.losses[0], far=FAR)

    @cached_property
    def processes(self) -> list[Process]:
        """Processes that are about equally likely; empty after too few trials.

        To suggest points the likeliest one does, in which bad trials count as just bad. Conclusions are drawn from all
        of these, which are surer of less.
        """
        if len(self.trials) < FEWEST_RESULTS:
            return []
        targets, _, spread = self._concluding
        places = self.cube.coordinates(self.shares)
        return gaussian_process.likely(places, targets, self.losses[1] / spread**2, self.cube.field_of)

    def metric(self, expected: np.ndarray) -> np.ndarray:
        """Return values of `processes` in the metric's own unit."""
        _, middle, spread = self._concluding
        values = middle + spread * expected
        losses = np.exp(values) if self._logarithmic else values
        return 1 - np.minimum(losses, 1) if self.maximize else losses

    def expected(self, points: np.ndarray) -> np.ndarray:
        """Return what is expected at points of these shares, the less the better, in units of the processes: (n,)."""
        places = self.cube.coordinates(points)
        return np.asarray(np.mean([process.predict(places)[0] for process in self.processes], axis=0))

    def draws(self, points: np.ndarray) -> np.ndarray:
        """Return what the metric may be, apart from the luck of a seed, at points of these shares: (DRAWS, n).

        They are drawn jointly, from each process as many, and DOUBT times as far from its mean as it tells: processes
        are too sure of real trainings. The same points give the same draws.
        """
        places, draw, drawn = self.cube.coordinates(points), np.random.default_rng(0), []
        for process in self.processes:
            mean, covariance = process.joint(places)
            values, vectors = np.linalg.eigh(covariance)
            factor = DOUBT * vectors * np.sqrt(np.maximum(values, 0))
            drawn.append(mean + draw.standard_normal((DRAWS // len(self.processes), len(mean))) @ factor.T)
        return self.metric(np.concatenate(drawn))
