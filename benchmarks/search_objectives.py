"""Stand-ins for trainings, on which searches are replayed: predicted from a table of real ones, or made up.

    python -m benchmarks.search_objectives     trains the networks of the table (about 6 minutes)

All give curves of cross-entropy over 10 epochs.

| objective | what it is |
|---|---|
| `Digits` | a Gaussian process through 600 real trainings on the small digits, with two seeds each |
| `Trees` | random trees on the same table, which are constant in boxes: no Gaussian process looks like that |
| `Formula` | a curved valley on the default space |
| `WideFormula` | the same on the space `wide`: optimizer and momentum move the valley, size the best dropout |

The noise of the first two is the difference between the two seeds at a nearby point of the table.
"""

import copy
import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import optuna

from study.analysis.unit_cube import UnitCube
from study.design.search import Search
from study.design.search_space import load_space
from study.execution import sampling
from study.execution.queue import Queue

TABLE = Path(__file__).with_name("search_quality.npz")
ROWS = 600
EPOCHS = 10
ACTIVATIONS = ("relu", "tanh", "softsign", "gelu")


class Objective(Protocol):
    """Gives the result of a training at a point of the space that it is called after."""

    space: str
    words: str

    def mean(self, settings: list[dict]) -> np.ndarray:
        """Return the noise-free cross-entropy after each epoch: (n, epochs)."""

    def noise(self, settings: dict, draw: np.random.Generator) -> np.ndarray:
        """Return the noise of one seed as factors of the mean: (epochs,)."""


def coordinates(settings: list[dict]) -> np.ndarray:
    """Return points as (n, 8), each coordinate from 0 to 1: three ranges, batch size, and the activations."""
    rows = [
        [
            (np.log10(each["learning_rate"]) + 4) / 3,
            (np.log10(max(each["l2"], 1e-7)) + 7) / 5,
            each["dropout"] / 0.6,
            (np.log2(each["batch_size"]) - 4) / 4,
            *(float(each.get("activation") == activation) for activation in ACTIVATIONS),
        ]
        for each in settings
    ]
    return np.array(rows)


class Digits:
    """Predicts trainings with a Gaussian process through the table of real ones."""

    space = "default"

    def __init__(self):
        points, curves = _table()
        self._points = coordinates(points)
        self._differences = (curves[:, 0] - curves[:, 1]) / np.sqrt(2)  # has one seed's variance
        self._loudness = 1.0
        self._process = self._fitted(curves.mean(axis=1))
        self._lengths = self._process.kernel_.k1.k2.length_scale
        self.words = self._quality(curves.mean(axis=1))

    def _fitted(self, values: np.ndarray):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        kernel = ConstantKernel(1.0) * RBF([0.5, 1.0, 1.0, 1.0] + [1.0] * 4, (0.05, 50)) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of lengths at their limits, which hardly matter
            return GaussianProcessRegressor(kernel, normalize_y=True).fit(self._points, values)

    def _quality(self, values: np.ndarray) -> str:
        """Say how well each fifth of the rows is predicted from the others, and how much the two seeds differ."""
        from sklearn.gaussian_process import GaussianProcessRegressor

        predicted = np.empty_like(values)
        for fold in range(5):
            left_out = np.arange(len(values)) % 5 == fold
            process = GaussianProcessRegressor(self._process.kernel_, optimizer=None, normalize_y=True)
            predicted[left_out] = process.fit(self._points[~left_out], values[~left_out]).predict(
                self._points[left_out]
            )
        explained = 1 - np.var(values[:, -1] - predicted[:, -1]) / np.var(values[:, -1])
        error = np.sqrt(np.median((values[:, -1] - predicted[:, -1]) ** 2))
        noise = np.sqrt(np.median(self._differences[:, -1] ** 2))
        return (
            f"{len(values)} points; left out, {explained:.0%} of the last epoch's log variance is predicted; typical "
            f"error {error:.1%}, of one seed {noise:.1%}"
        )

    def at(self, loudness: float) -> "Digits":
        """Return the same objective with the noise multiplied by `loudness`."""
        other = copy.copy(self)
        other._loudness, other.words = loudness, f"the same with {loudness} of the noise"
        return other

    def mean(self, settings: list[dict]) -> np.ndarray:
        return np.exp(self._process.predict(coordinates(settings)))

    def noise(self, settings: dict, draw: np.random.Generator) -> np.ndarray:
        far = ((self._points - coordinates([settings])) / self._lengths) ** 2
        nearest = np.argsort(far.sum(axis=1))[:5]
        return np.exp(self._loudness * draw.choice([-1, 1]) * self._differences[draw.choice(nearest)])


class Trees(Digits):
    """Predicts trainings with random trees on the table of real ones; its noise is that of `Digits`."""

    def __init__(self):
        from sklearn.ensemble import ExtraTreesRegressor

        super().__init__()
        _, curves = _table()
        trees = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)
        self._trees = trees.fit(self._points, curves.mean(axis=1))
        self.words = "random trees on the same table, which are constant in boxes"

    def mean(self, settings: list[dict]) -> np.ndarray:
        return np.exp(self._trees.predict(coordinates(settings)))


def _table() -> tuple[list[dict], np.ndarray]:
    """Return the table's points, and the logarithms of their curves: (rows, seeds, epochs)."""
    with np.load(TABLE) as table:
        names = ("learning_rate", "batch_size", "l2", "dropout", "activation")
        rows = zip(*(table[name].tolist() for name in names), strict=True)
        points = [dict(zip(names, row, strict=True)) for row in rows]
        return points, np.log(np.clip(np.nan_to_num(table["curves"], nan=np.inf), 0, 10))


class Formula:
    """Has a valley in which the best learning rate follows the batch size; low rates have slow curves."""

    space = "default"
    words = "the best learning rate grows with the batch size; small ones learn slowly"

    def mean(self, settings: list[dict]) -> np.ndarray:
        rate, l2, dropout, batch, *activations = self._seen(settings).T
        last = 0.2 + 0.8 * (rate - 0.35 - 0.3 * batch) ** 2 + 0.05 * (l2 - 0.5) ** 2 + 0.1 * (dropout - 0.3) ** 2
        last += np.array([0.01, 0.0, 0.03, 0.02]) @ np.array(activations)
        speed = 0.2 + 1.2 * rate * (1.2 - batch)
        return last[:, None] + 1.5 * np.exp(-speed[:, None] * (np.arange(EPOCHS) + 1))

    def _seen(self, settings: list[dict]) -> np.ndarray:
        return coordinates(settings)

    def noise(self, settings: dict, draw: np.random.Generator) -> np.ndarray:
        return np.exp(0.02 * draw.standard_normal(EPOCHS))


class WideFormula(Formula):
    """Moves the valley: an optimizer wants its own rate, momentum the less the more it is, and size more dropout."""

    space = "wide"
    words = "the best learning rate depends on batch size, optimizer and momentum, the best dropout on the size"

    def _seen(self, settings: list[dict]) -> np.ndarray:
        seen = coordinates(settings)
        for row, each in zip(seen, settings, strict=True):
            more = -np.log10(1 - each["momentum"]) - 1.6 if each["optimizer"] == "momentum" else 0.0
            row[0] += {"adam": 0.0, "rmsprop": 0.12, "momentum": more / 3}[each["optimizer"]]
            row[2] -= {"128": 0.0, "256": 0.1, "512": 0.25, "256-128": 0.15}[each["hidden"]]
        return seen

    def mean(self, settings: list[dict]) -> np.ndarray:
        sizes = {"128": 0.03, "256": 0.015, "512": 0.0, "256-128": 0.02}
        ways = {"adam": 0.0, "rmsprop": 0.01, "momentum": 0.005}
        extra = [sizes[each["hidden"]] + ways[each["optimizer"]] for each in settings]
        return super().mean(settings) + np.array(extra)[:, None]


class Replayed:
    """Draws curves from an objective and knows its best value."""

    def __init__(self, objective: Objective):
        self._objective = objective
        self.space = load_space(objective.space)
        self._cube = UnitCube(self.space)

    def curve(self, settings: dict, draw: np.random.Generator) -> tuple[np.ndarray, float]:
        """Return a training's curve (epochs,) as one seed sees it, and the point's regret."""
        mean = self._objective.mean([settings])[0]
        return mean * self._objective.noise(settings, draw), float(mean[-1] - self.best) * 1000

    def regret(self, settings: dict) -> float:
        """Return by how much a point is worse than the best, without noise, in thousandths."""
        return float(self._objective.mean([settings])[0, -1] - self.best) * 1000

    @cached_property
    def best(self) -> float:
        """The lowest value, sought at many random points and then ever closer around the best of them."""
        draw = np.random.default_rng(0)
        found = draw.random((20_000, self._cube.fields))
        for width in (0.2, 0.1, 0.05, 0.02, 0.01):
            settings = [self.space.become(self._cube.point(shares)) for shares in found]
            parts = [settings[first : first + 2000] for first in range(0, len(settings), 2000)]
            values = np.concatenate([self._objective.mean(part)[:, -1] for part in parts])
            top = found[np.argsort(values)[:40]]
            near = np.repeat(top, 50, axis=0)
            near += np.where(draw.random(near.shape) < 0.5, draw.normal(0, width, near.shape), 0)
            found = np.concatenate([top, np.clip(near, 0, 1)])
        return float(values.min())


# --- the table of trainings -------------------------------------------------------------------------


def make_table() -> None:
    """Train networks at the first points of the Sobol sequence, with two seeds each, and save their curves."""
    from study.data.dataset import load_dataset
    from study.training import loop

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    dataset = load_dataset("digits")
    search = Search(load_space("default").with_baseline({"epochs": EPOCHS}), "val_cross_entropy", "qmc", "none")
    storage = optuna.storages.InMemoryStorage()
    queue = Queue(optuna.create_study(storage=storage).study_name, storage, sampling.sampler(search))
    queue.add_slots(ROWS, [search.space.first()])
    points = [search.space.suggest(queue.ask()) for _ in range(ROWS)]
    curves = np.full((ROWS, 2, EPOCHS), np.nan, np.float32)
    clock = time.perf_counter()

    def shape(row: int) -> tuple:
        point = points[row]
        return point["batch_size"], point["activation"], point["l2"] > 0, point["dropout"] > 0

    for count, row in enumerate(sorted(range(ROWS), key=shape)):  # so that each program is compiled once
        for seed in (1, 2):
            config = search.baseline.replace(points[row] | {"seed": seed})
            epochs = loop.train(config, dataset).epochs
            curves[row, seed - 1, : len(epochs)] = [epoch.val_cross_entropy for epoch in epochs]
        if count % 50 == 0:
            print(f"{count} of {ROWS}, {time.perf_counter() - clock:.0f} s", flush=True)
    columns = {name: np.array([point[name] for point in points]) for name in points[0]}
    np.savez_compressed(TABLE, curves=curves, **columns)


if __name__ == "__main__":
    make_table()
