"""Estimates how sure a mean over seeds is, and how sure a difference; pure functions on numpy arrays."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, ndtri, stdtrit

LEVEL = 0.05


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values and the half-width of its interval; `half_width` is NaN for fewer than two values."""

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        """The lower end of the interval; NaN if there is none."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end of the interval; NaN if there is none."""
        return self.mean + self.half_width

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.low > 0 or self.high < 0


def estimate(values: np.ndarray, confidence: float = 1 - LEVEL) -> Estimate:
    """Return the mean of independent values with Student's interval: mean ± t(n-1) · s / √n.

    Source: Student (1908), The probable error of a mean. Raises ValueError for no values at all.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("no values to estimate a mean from")
    if n == 1:
        return Estimate(float(values[0]), float("nan"), 1)
    return Estimate(float(values.mean()), half_width(float(values.std(ddof=1)), n, confidence), n)


def half_width(sd: float, n: int, confidence: float = 1 - LEVEL) -> float:
    """Return t(n-1) · sd / √n: the half-width of Student's interval for the mean of n values of this sd."""
    return float(stdtrit(n - 1, (1 + confidence) / 2) * sd / math.sqrt(n))


def mcnemar(fixed: int, broken: int) -> float:
    """Return the exact two-sided p that an image is as likely to be fixed as to be broken.

    Source: McNemar (1947), Note on the sampling error of the difference between correlated proportions.
    """
    # Not by scipy.stats, which takes a second to import.
    return min(1.0, 2 * float(bdtr(min(fixed, broken), fixed + broken, 0.5)))


def binomial_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of which `hits` of `n` were seen. Source: Wilson (1927)."""
    z, share = float(ndtri(1 - LEVEL / 2)), hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def main_effect(values: np.ndarray, factor: int, level: int, reference: int) -> np.ndarray:
    """Return for each seed (n,) what a factor's level changes against another, averaged over the other factors.

    `values` is (n, levels of factor 0, levels of factor 1, …): a balanced design, as in Box, Hunter & Hunter (2005),
    Statistics for Experimenters, chapter 5.
    """
    by_level = np.moveaxis(values, factor + 1, 1).reshape(len(values), values.shape[factor + 1], -1).mean(axis=2)
    effect: np.ndarray = by_level[:, level] - by_level[:, reference]
    return effect


def interaction(values: np.ndarray, first: tuple[int, int, int], second: tuple[int, int, int]) -> np.ndarray:
    """Return for each seed (n,) by how much the first factor's effect differs between two levels of the second.

    Each factor is (number, level, reference level). The difference of differences, in the unit of the values: some
    books halve it.
    """
    factor, level, reference = second
    with_level, without = (np.take(values, [index], axis=factor + 1) for index in (level, reference))
    difference: np.ndarray = main_effect(with_level, *first) - main_effect(without, *first)
    return difference
