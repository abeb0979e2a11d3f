"""How sure a mean over seeds is; pure functions on numpy arrays."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values and the half-width of its interval; `half_width` is NaN for fewer than two values."""

    mean: float
    half_width: float
    n: int


def estimate(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return the mean of independent values with Student's interval: mean ± t(n-1) · s / √n.

    Source: Student (1908), The probable error of a mean. Raises ValueError for no values at all.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("no values to estimate a mean from")
    if n == 1:
        return Estimate(float(values[0]), float("nan"), 1)
    t = stdtrit(n - 1, (1 + confidence) / 2)
    return Estimate(float(values.mean()), float(t * values.std(ddof=1) / np.sqrt(n)), n)
