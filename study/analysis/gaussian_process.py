"""A Gaussian process over points of a unit cube, and the expected improvement that a search maximizes.

The process has a Matérn 5/2 kernel with a length for each field, a variance and a noise, which maximize the marginal
likelihood times a prior: with the few points of a search the likelihood alone often chooses extremes. Rasmussen, C. E.
and Williams, C. K. I.: Gaussian Processes for Machine Learning (2006), algorithm 2.1 and equation 5.9. Numbers only:
nothing here knows of trials or of Optuna.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

MOST_TO_FIT = 150  # points from which the lengths are found: that takes time with the cube of their number
MOST_POINTS = 1000  # from which predictions are made
KERNELS, STEPS, STRIDE = 20, 30, 1.2  # drawn; steps of the walk for each; how far a step goes
JITTER = 1e-6
QUANTILES = 100  # over which a knowledge gradient is averaged
LEAST, MOST = -7.0, 4.0  # of the logarithms of lengths, variance and noise
# The normal priors of these logarithms as (mean, standard deviation); targets have a variance of about 1.
LENGTH, VARIANCE, NOISE = (-0.3, 1.0), (0.0, 1.0), (-2.5, 1.5)


def standardized(values: np.ndarray, far: float = 1) -> tuple[np.ndarray, float, float]:
    """Return values with the bad ones clipped and with mean 0 and variance 1, and what was their mean and deviation.

    Beyond the median a value counts for at most `far` times the distance from the best to the median: how bad a bad
    point is does not help to find a better one. Values that are not finite are bad too.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values)), 0.0, 1.0
    middle = float(np.median(finite))
    worst = middle + far * (middle - float(finite.min()))
    clipped = np.where(np.isfinite(values), np.minimum(values, worst), worst)
    middle, spread = float(clipped.mean()), float(clipped.std()) or 1.0
    return (clipped - middle) / spread, middle, spread


@dataclass(frozen=True)
class Kernel:
    """A Matérn 5/2 kernel: a length for each field, the variance, and the noise of one observation."""

    lengths: np.ndarray
    variance: float
    noise: float

    @classmethod
    def of(cls, logs: np.ndarray) -> "Kernel":
        """Return the kernel of these logarithms of lengths, variance and noise."""
        return cls(np.exp(logs[:-2]), float(np.exp(logs[-2])), float(np.exp(logs[-1])))

    @property
    def logs(self) -> np.ndarray:
        """The logarithms of lengths, variance and noise."""
        return np.log([*self.lengths, self.variance, self.noise])

    def between(self, points: np.ndarray, others: np.ndarray, field_of: np.ndarray) -> np.ndarray:
        """Return the covariances, without noise, of points (n, coordinates) and others (m, coordinates): (n, m)."""
        lengths = self.lengths[field_of]
        scaled, others = points / lengths, others / lengths
        squares = (scaled**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * scaled @ others.T
        return self.variance * _matern(np.maximum(squares, 0))[0]


def _matern(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Matérn 5/2 correlations at squared distances, and -2 times their derivatives by these."""
    distance = np.sqrt(5 * squares)
    decay = np.exp(-distance)
    return (1 + distance + distance**2 / 3) * decay, 5 / 3 * (1 + distance) * decay


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process with mean 0, conditioned on targets (n,) at points (n, coordinates).

    `more_noise` (n,) is the variance that an observation has beside the noise of all. `field_of` is the field of each
    coordinate.
    """

    kernel: Kernel
    points: np.ndarray
    targets: np.ndarray
    more_noise: np.ndarray
    field_of: np.ndarray

    @cached_property
    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        from scipy.linalg import cho_solve, cholesky

        covariance = self.kernel.between(self.points, self.points, self.field_of)
        covariance[np.diag_indices_from(covariance)] += self.kernel.noise + self.more_noise + JITTER
        factor = cholesky(covariance, lower=True)
        return factor, cho_solve((factor, True), self.targets)

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation, without noise, of the process at points: (n,) each."""
        from scipy.linalg import solve_triangular

        factor, weights = self._solved
        across = self.kernel.between(points, self.points, self.field_of)
        explained = (solve_triangular(factor, across.T, lower=True) ** 2).sum(axis=0)
        return across @ weights, np.sqrt(np.maximum(self.kernel.variance - explained, 1e-12))

    def joint(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean (n,) and the covariance (n, n), without noise, of the process at points."""
        mean, _ = self.predict(points)
        return mean, self.between(points, points)

    def between(self, points: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the covariances, without noise, of the process at points (n,) and at others (m,): (n, m)."""
        from scipy.linalg import solve_triangular

        factor, _ = self._solved
        known = [
            solve_triangular(factor, self.kernel.between(self.points, each, self.field_of), lower=True)
            for each in (points, others)
        ]
        return np.asarray(self.kernel.between(points, others, self.field_of) - known[0].T @ known[1])

    def believing(self, points: np.ndarray) -> "Process":
        """Return the process as if what it expects at these points were known: it looks for more elsewhere."""
        if not len(points):
            return self
        expected, _ = self.predict(points)
        noiseless = np.full(len(points), -self.kernel.noise)
        return Process(
            self.kernel, np.concatenate([self.points, points]), np.concatenate([self.targets, expected]),
            np.concatenate([self.more_noise, noiseless]), self.field_of,
        )  # fmt: skip


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function kept to one thread: its matrices are small, and more threads make it ten times as slow."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@on_one_thread
def fit(points: np.ndarray, targets: np.ndarray, more_noise: np.ndarray, field_of: np.ndarray) -> Process:
    """Return the process of these observations, with the likeliest kernel; of very many, the best points count."""
    order = np.argsort(targets, kind="stable")[:MOST_POINTS]
    points, targets, more_noise = points[order], targets[order], more_noise[order]
    some = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_TO_FIT)).round().astype(int))
    kernel = likeliest_kernel(points[some], targets[some], more_noise[some], field_of)
    return Process(kernel, points, targets, more_noise, field_of)


@on_one_thread
def likely(points: np.ndarray, targets: np.ndarray, more_noise: np.ndarray, field_of: np.ndarray) -> list[Process]:
    """Return KERNELS processes of these observations, whose kernels are drawn from their posterior.

    What they say together owns up to what few observations leave open about lengths and noise. The kernels come from a
    random walk (Metropolis et al. 1953), which begins at the likeliest one and is the same each time.
    """
    order = np.argsort(targets, kind="stable")[:MOST_POINTS]
    points, targets, more_noise = points[order], targets[order], more_noise[order]
    some = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_TO_FIT)).round().astype(int))
    about = points[some], targets[some], more_noise[some], field_of
    unlikelihood, draw = _unlikelihood(*about), np.random.default_rng(0)
    logs = likeliest_kernel(*about).logs
    value, found = unlikelihood(logs)[0], list[Process]()
    for step in range(KERNELS * STEPS):
        other = logs + STRIDE / np.sqrt(len(logs)) * draw.standard_normal(len(logs))
        luck = draw.random()
        if np.all((other >= LEAST) & (other <= MOST)) and np.log(luck) < value - (there := unlikelihood(other)[0]):
            logs, value = other, there
        if step % STEPS == STEPS - 1:
            found.append(Process(Kernel.of(logs), points, targets, more_noise, field_of))
    return found


def likeliest_kernel(points: np.ndarray, targets: np.ndarray, more_noise: np.ndarray, field_of: np.ndarray) -> Kernel:
    """Return the kernel at the mode of the posterior, sought from the priors' middle and from shorter lengths."""
    from scipy.optimize import minimize

    fields = int(field_of.max()) + 1
    unlikelihood = _unlikelihood(points, targets, more_noise, field_of)
    means = np.array([LENGTH[0]] * fields + [VARIANCE[0], NOISE[0]])
    starts = [means, np.concatenate([means[:fields] - 1.2, means[fields:]])]
    bounds = [(LEAST, MOST)] * len(means)
    found = [
        minimize(unlikelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50})
        for start in starts
    ]
    return Kernel.of(min(found, key=lambda one: one.fun).x)


def _unlikelihood(
    points: np.ndarray, targets: np.ndarray, more_noise: np.ndarray, field_of: np.ndarray
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return what gives minus the log posterior of a kernel, up to a constant, and its derivatives."""
    fields = int(field_of.max()) + 1
    squares = np.zeros((fields, len(points), len(points)))
    for coordinate, field in enumerate(field_of):
        squares[field] += np.subtract.outer(points[:, coordinate], points[:, coordinate]) ** 2
    means, deviations = np.array([LENGTH] * fields + [VARIANCE, NOISE]).T

    def unlikelihood(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = negative_log_likelihood(logs, squares, targets, more_noise)
        apart = (logs - means) / deviations
        return value + float(apart @ apart) / 2, slope + apart / deviations

    return unlikelihood


def negative_log_likelihood(
    logs: np.ndarray, squares: np.ndarray, targets: np.ndarray, more_noise: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return minus the log marginal likelihood, and its derivatives by the logarithms of lengths, variance, noise.

    `squares` are the squared distances of the points along each field: (fields, n, n).
    """
    from scipy.linalg import cho_solve, cholesky

    lengths, variance, noise = np.exp(logs[:-2]), np.exp(logs[-2]), np.exp(logs[-1])
    correlations, slopes = _matern(np.tensordot(lengths**-2.0, squares, axes=1))
    covariance = variance * correlations
    covariance[np.diag_indices_from(covariance)] += noise + more_noise + JITTER
    factor = cholesky(covariance, lower=True)
    weights = cho_solve((factor, True), targets)
    value = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * len(targets) * np.log(2 * np.pi)
    inner = cho_solve((factor, True), np.eye(len(targets))) - np.outer(weights, weights)  # equation 5.9, negated
    by_length = variance * (squares.reshape(len(squares), -1) @ (inner * slopes).ravel()) / lengths**2
    by_variance, by_noise = variance * np.sum(inner * correlations), noise * np.trace(inner)
    return float(value), 0.5 * np.array([*by_length, by_variance, by_noise])


def log_gain(process: Process, points: np.ndarray, best: float) -> np.ndarray:
    """Return the logarithm of the augmented expected improvement over `best` at each point.

    The improvement that is expected counts by the share of a new observation's deviation that is not noise: where a
    point is known as well as one observation can tell, another one there tells little. Huang et al.: Global
    optimization of stochastic black-box systems via sequential kriging meta-models (2006), equation 12.
    """
    mean, deviation = process.predict(points)
    noise = process.kernel.noise
    return log_expected_improvement(mean, deviation, best) + np.log1p(-np.sqrt(noise / (deviation**2 + noise)))


def knowledge_gradient(process: Process, tried: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return how much the lowest expected value will fall if each candidate (m, coordinates) is observed once: (m,).

    The lowest is that among the points `tried` (n, coordinates) and the candidate. Frazier, P., Powell, W. and
    Dayanik, S.: The knowledge-gradient policy for correlated normal beliefs (2009); the mean of the lowest is taken
    over quantiles of what is observed.
    """
    from scipy.special import ndtri

    before, _ = process.predict(tried)
    own, deviation = process.predict(candidates)
    seen = np.sqrt(deviation**2 + process.kernel.noise)  # the deviation of what will be observed
    by_candidate = process.between(tried, candidates) / seen
    means = np.concatenate([np.broadcast_to(before[:, None], by_candidate.shape), own[None]])
    slopes = np.concatenate([by_candidate, (deviation**2 / seen)[None]])
    quantiles = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)
    lowest = np.mean([(means + slopes * quantile).min(axis=0) for quantile in quantiles], axis=0)
    return np.asarray(before.min() - lowest)


def log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the logarithm of how much less than `best` is expected at each point; exact also where it is tiny.

    Ament et al.: Unexpected improvements to expected improvement (arXiv 2310.20708), equation 9.
    """
    from scipy.special import erfcx, ndtr

    z = (best - mean) / deviation
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.log(density + z * ndtr(z))
        below = np.maximum(-z, 1)
        tail = np.log1p(-np.sqrt(np.pi / 2) * below * erfcx(below / np.sqrt(2)))  # of density × (1 - …)
        far = -(z**2) / 2 - np.log(2 * np.pi) / 2 + np.where(z < -50, -2 * np.log(below), tail)
    return np.asarray(np.log(deviation) + np.where(z > -1, near, far))
