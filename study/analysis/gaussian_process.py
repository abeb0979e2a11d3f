"""A Gaussian process over points of a unit cube, and the expected improvement that a search maximizes.

The process has a Matérn 5/2 kernel with a length for each field, a variance and a noise, which maximize the marginal
likelihood times a prior: with the few points of a search the likelihood alone often chooses extremes. Rasmussen, C. E.
and Williams, C. K. I.: Gaussian Processes for Machine Learning (2006), algorithm 2.1 and equation 5.9. Numbers only:
nothing here knows of trials or of Optuna.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MOST_TO_FIT = 150  # points from which the lengths are found: that takes time with the cube of their number
MOST_POINTS = 1000  # from which predictions are made
JITTER = 1e-6
LEAST, MOST = -7.0, 4.0  # of the logarithms of lengths, variance and noise
# The normal priors of these logarithms as (mean, standard deviation); targets have a variance of about 1.
LENGTH, VARIANCE, NOISE = (-0.3, 1.0), (0.0, 1.0), (-2.5, 1.5)


def standardized(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return values with the bad ones clipped and with mean 0 and variance 1, and by what they were divided.

    What is as much worse than the median as the median is worse than the best counts as just so bad: how bad a point is
    does not help to find a better one. Values that are not finite are bad too.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values)), 1.0
    middle = float(np.median(finite))
    worst = 2 * middle - float(finite.min())
    clipped = np.where(np.isfinite(values), np.minimum(values, worst), worst)
    spread = float(clipped.std()) or 1.0
    return (clipped - clipped.mean()) / spread, spread


@dataclass(frozen=True)
class Kernel:
    """A Matérn 5/2 kernel: a length for each field, the variance, and the noise of one observation."""

    lengths: np.ndarray
    variance: float
    noise: float

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


def fit(points: np.ndarray, targets: np.ndarray, more_noise: np.ndarray, field_of: np.ndarray) -> Process:
    """Return the process of these observations, with the likeliest kernel; of very many, the best points count."""
    order = np.argsort(targets, kind="stable")[:MOST_POINTS]
    points, targets, more_noise = points[order], targets[order], more_noise[order]
    some = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_TO_FIT)).round().astype(int))
    kernel = likeliest_kernel(points[some], targets[some], more_noise[some], field_of)
    return Process(kernel, points, targets, more_noise, field_of)


def likeliest_kernel(points: np.ndarray, targets: np.ndarray, more_noise: np.ndarray, field_of: np.ndarray) -> Kernel:
    """Return the kernel at the mode of the posterior, sought from the priors' middle and from shorter lengths."""
    from scipy.optimize import minimize

    fields = int(field_of.max()) + 1
    squares = np.zeros((fields, len(points), len(points)))
    for coordinate, field in enumerate(field_of):
        squares[field] += np.subtract.outer(points[:, coordinate], points[:, coordinate]) ** 2
    means, deviations = np.array([LENGTH] * fields + [VARIANCE, NOISE]).T

    def unlikelihood(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = negative_log_likelihood(logs, squares, targets, more_noise)
        apart = (logs - means) / deviations
        return value + float(apart @ apart) / 2, slope + apart / deviations

    starts = [means, np.concatenate([means[:fields] - 1.2, means[fields:]])]
    bounds = [(LEAST, MOST)] * len(means)
    found = [
        minimize(unlikelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50})
        for start in starts
    ]
    logs = min(found, key=lambda one: one.fun).x
    return Kernel(np.exp(logs[:fields]), float(np.exp(logs[-2])), float(np.exp(logs[-1])))


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
