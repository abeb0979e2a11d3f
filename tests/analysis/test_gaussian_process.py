"""The Gaussian process against scikit-learn's, and the cube in which it sees a space."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from study.analysis import gaussian_process
from study.analysis.gaussian_process import Kernel, Process
from study.analysis.unit_cube import NOWHERE, UnitCube
from study.design.search_space import parse_space

FIELDS = np.array([0, 1, 1, 2])  # four coordinates of three fields


def some(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    points = draw.random((count, len(FIELDS)))
    return points, np.sin(5 * points[:, 0]) + points[:, 3] + draw.normal(0, 0.1, count)


def test_process_is_that_of_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    points, values = some(30)
    kernel = Kernel(np.array([0.3, 1.0, 2.0]), 1.7, 0.05)
    more = np.linspace(0, 0.3, 30)
    ours = Process(kernel, points, values, more, FIELDS)
    theirs = GaussianProcessRegressor(
        ConstantKernel(1.7) * Matern([0.3, 1.0, 1.0, 2.0], nu=2.5) + WhiteKernel(0.05), optimizer=None,
        alpha=more + gaussian_process.JITTER,
    ).fit(points, values)  # fmt: skip
    others, _ = some(50, seed=2)
    mean, deviation = theirs.predict(others, return_std=True)
    found = ours.predict(others)
    assert found[0] == pytest.approx(mean, abs=1e-9)
    assert found[1] ** 2 == pytest.approx(deviation**2 - 0.05, abs=1e-9)  # theirs has the noise of a new value
    logs = np.log([0.3, 1.0, 2.0, 1.7, 0.05])
    value, _ = gaussian_process.negative_log_likelihood(logs, squares_of(points), values, more)
    assert value == pytest.approx(-theirs.log_marginal_likelihood_value_)


def squares_of(points: np.ndarray) -> np.ndarray:
    apart = (points[:, None] - points[None]) ** 2
    return np.stack([apart[:, :, field == FIELDS].sum(axis=2) for field in range(3)])


def test_slope_of_the_likelihood():
    points, values = some(20)
    logs = np.log([0.4, 0.8, 3.0, 1.2, 0.1])
    about = (squares_of(points), values, np.full(20, 0.02))
    _, slope = gaussian_process.negative_log_likelihood(logs, *about)
    for number, step in enumerate(np.eye(5) * 1e-5):
        up, down = (gaussian_process.negative_log_likelihood(logs + way, *about)[0] for way in (step, -step))
        assert slope[number] == pytest.approx((up - down) / 2e-5, rel=1e-4)


def test_lengths_tell_what_matters():
    points, values = some(60)
    targets, _, spread = gaussian_process.standardized(values)
    process = gaussian_process.fit(points, targets, np.zeros(60), FIELDS)
    first, unused, last = process.kernel.lengths
    assert first < last < unused
    assert process.kernel.noise * spread**2 == pytest.approx(0.01, rel=0.5)


def test_bad_values_are_clipped():
    values, middle, spread = gaussian_process.standardized(np.array([1.0, 2.0, 3.0, 50.0, np.inf, np.nan]))
    # The median of the finite ones, 2.5, is 1.5 above the best: all from 4 on count as 4.
    assert values * spread == pytest.approx(np.array([1, 2, 3, 4, 4, 4]) - 3) and middle == 3
    assert values.std() == pytest.approx(1)
    assert gaussian_process.standardized(np.full(3, np.inf))[0].tolist() == [0, 0, 0]
    assert gaussian_process.standardized(np.full(3, 7.0))[0].tolist() == [0, 0, 0]


def test_knowledge_gradient_is_what_another_observation_does():
    """It is held to processes that really saw the observation, at quantiles of what it may be."""
    points, values = some(12)
    process = Process(Kernel(np.array([0.3, 1.0, 2.0]), 1.7, 0.3), points, values, np.zeros(12), FIELDS)
    best = int(process.predict(points)[0].argmin())
    candidates = np.concatenate([points[[best]], some(2, seed=2)[0]])  # the first is seen again
    found = gaussian_process.knowledge_gradient(process, points, candidates)
    quantiles = norm.ppf((np.arange(gaussian_process.QUANTILES) + 0.5) / gaussian_process.QUANTILES)
    lowest = process.predict(points)[0].min()
    for candidate, gain in zip(candidates, found, strict=True):
        (mean,), (deviation,) = process.predict(candidate[None])
        after = []
        for seen in mean + quantiles * np.sqrt(deviation**2 + 0.3):
            more = Process(
                process.kernel, np.vstack([points, candidate]), np.append(values, seen), np.zeros(13), FIELDS
            )
            after.append(more.predict(np.vstack([points, candidate]))[0].min())
        assert gain == pytest.approx(lowest - np.mean(after), abs=1e-5)
    assert found[0] > 1e-4


def test_joint_prediction_has_the_deviations_and_links_neighbours():
    points, values = some(12)
    process = Process(Kernel(np.array([0.3, 1.0, 2.0]), 1.7, 0.3), points, values, np.zeros(12), FIELDS)
    places, _ = some(5, seed=2)
    mean, covariance = process.joint(np.vstack([places, places[0] + 1e-6]))
    assert mean[:5] == pytest.approx(process.predict(places)[0])
    assert np.sqrt(np.diag(covariance))[:5] == pytest.approx(process.predict(places)[1])
    assert covariance[0, 5] == pytest.approx(covariance[0, 0], rel=1e-3)


@pytest.mark.parametrize("z", [-200.0, -60.0, -30.0, -5.0, -1.0, -0.5, 0.0, 3.0])
def test_expected_improvement(z):
    deviation = 0.5
    (found,) = gaussian_process.log_expected_improvement(np.array([-z * deviation]), np.array([deviation]), 0.0)
    if z > -30:
        expected, _ = quad(lambda x: -x * norm.pdf(x, -z * deviation, deviation), -10, 0, epsabs=0, limit=200)
        assert found == pytest.approx(np.log(expected), rel=1e-4)
    else:  # the first terms of its series
        expected = -(z**2) / 2 - np.log(2 * np.pi) / 2 - 2 * np.log(-z) + np.log(deviation)
        assert found == pytest.approx(expected, rel=1e-5)


# --- the cube ---------------------------------------------------------------------------------------

SPACE = """
baseline: {patience: 2}
fields:
  learning_rate: {range: [0.001, 0.1], log: true}
  l2: {range: [1.0e-8, 1.0e-2], log: true, zero_below: 1.0e-7}
  batch_size: {choices: [16, 32, 64]}
  optimizer: {choices: [adam, rmsprop, momentum]}
  momentum: {range: [0.5, 0.9], step: 0.1, when: {optimizer: [momentum]}}
  patience: {range: [1, 4]}
"""


def test_cube_draws_what_it_places():
    cube = UnitCube(parse_space(SPACE, "cube", "cube"))
    point = {"learning_rate": 0.01, "l2": 5e-8, "batch_size": 32, "optimizer": "momentum", "momentum": 0.6,
             "patience": 4}  # fmt: skip
    (shares,) = cube.shares([point])
    assert cube.point(shares) == pytest.approx(point)
    (place,) = cube.coordinates(shares[None])
    assert place == pytest.approx([0.5, 0, 0.5, 0, 0, 0.5**0.5, 0.25, 1])
    assert cube.field_of.tolist() == [0, 1, 2, 3, 3, 3, 4, 5]
    (other,) = cube.coordinates(cube.shares([point | {"optimizer": "adam"}]))
    assert other[6] == NOWHERE  # momentum is not searched there
    assert np.sum((other - place)[3:6] ** 2) == pytest.approx(1)  # two choices are 1 apart
    assert cube.is_whole(point) and not cube.is_whole({**point, "momentum": None})
    assert cube.is_whole({name: value for name, value in (point | {"optimizer": "adam"}).items() if name != "momentum"})


def test_shares_are_drawn_evenly():
    fields = "{patience: {range: [1, 4]}, batch_size: {range: [8, 64], log: true}}"
    cube = UnitCube(parse_space(f"baseline: {{patience: 2}}\nfields: {fields}", "even", "even"))
    drawn = [cube.point(shares) for shares in np.random.default_rng(1).random((4000, 2))]
    counts = np.bincount([point["patience"] for point in drawn])
    assert counts[1:] == pytest.approx(1000, rel=0.12)
    sizes = [point["batch_size"] for point in drawn]
    assert (min(sizes), max(sizes)) == (8, 64)
    assert np.median(sizes) == pytest.approx((8 * 64) ** 0.5, rel=0.1)  # log
    for point in drawn[:50]:
        assert cube.point(cube.shares([point])[0]) == point
