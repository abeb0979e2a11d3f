"""A grid of real trainings on MNIST, on which searches are replayed.

    python -m benchmarks.mnist_grid FOLDER [DATA]   trains it (648 trainings; ten minutes of one core)
    python -m benchmarks.mnist_grid FOLDER table    writes mnist_grid.npz from what was trained so far

784-64-10 with Adam, 10 epochs on the first 15,000 training rows, at each combination of six learning rates, three batch
sizes, four strengths of L2 and three dropout rates, with three seeds each: 216 points. In FOLDER each training leaves a
file, so that several processes can share it, and that it can be interrupted: an empty file is a training that was
begun, and is deleted before the command is given again.
"""

import os
import sys
import time
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.search_objectives import EPOCHS, coordinates

TABLE = Path(__file__).with_suffix(".npz")
AXES = {
    "learning_rate": [1e-4, 4e-4, 1.6e-3, 6.3e-3, 2.5e-2, 1e-1],
    "l2": [0.0, 1e-5, 3e-4, 1e-2],
    "dropout": [0.0, 0.3, 0.6],
    "batch_size": [16, 64, 256],
}  # in the order of `coordinates`
SEEDS = 3
ROWS = 15_000
WORST = 10.0  # nats; what diverged, too


class MnistGrid:
    """Interpolates the logarithms of the grid's curves, each the mean of its seeds, linearly from node to node.

    No Gaussian process looks like that: it has kinks at every node, and the luck of three seeds. A seed's noise is how
    far one of the nearest node's trainings was from their mean.
    """

    space = str(Path(__file__).with_suffix(".yaml"))

    def __init__(self) -> None:
        with np.load(TABLE) as table:
            curves = np.log(np.clip(np.nan_to_num(table["curves"], nan=WORST, posinf=WORST), 1e-3, WORST))
        self._curves = curves.astype(float)  # (*AXES, seeds, epochs)
        last = np.exp(self._curves[..., -1])
        noise = np.std(self._curves[..., -1], axis=-1, ddof=1)
        self.words = (
            f"{noise.size} points × {curves.shape[-2]} seeds of 784-64-10 on {ROWS:,} rows of MNIST; "
            f"a seed's last epoch varies by {np.median(noise):.1%}; trainings from {last.min():.3f} to {last.max():.3f}"
        )

    @cached_property
    def _axes(self) -> list[np.ndarray]:
        """The coordinates of the nodes along each axis."""
        first = {name: values[0] for name, values in AXES.items()}
        return [
            coordinates([first | {name: value} for value in values])[:, column]
            for column, (name, values) in enumerate(AXES.items())
        ]

    @cached_property
    def _interpolated(self):
        from scipy.interpolate import RegularGridInterpolator

        return RegularGridInterpolator(tuple(self._axes), self._curves.mean(axis=-2), bounds_error=False)

    def mean(self, settings: list[dict]) -> np.ndarray:
        places = np.clip(coordinates(settings)[:, : len(AXES)], 0, 1)
        return np.asarray(np.exp(self._interpolated(places)))

    def noise(self, settings: dict, draw: np.random.Generator) -> np.ndarray:
        place = coordinates([settings])[0]
        near = tuple(int(np.argmin(abs(axis - share))) for axis, share in zip(self._axes, place, strict=False))
        seeds = self._curves[near]
        apart = seeds[draw.integers(len(seeds))] - seeds.mean(axis=0)
        return np.asarray(np.exp(apart * np.sqrt(len(seeds) / (len(seeds) - 1))))


# --- the trainings ----------------------------------------------------------------------------------


def _file(folder: Path, node: tuple[int, ...], seed: int) -> Path:
    return folder / f"{'-'.join(map(str, node))}-{seed}.npy"


def train(folder: Path, spec: str) -> None:
    """Train what nobody has begun, until nothing is left."""
    from study.data.dataset import load_dataset
    from study.design.search_space import load_space
    from study.training import loop

    dataset = load_dataset(spec).without_test()
    dataset = replace(dataset, train=dataset.train.take(slice(ROWS)))
    baseline = load_space(MnistGrid.space).baseline
    folder.mkdir(parents=True, exist_ok=True)
    clock, own = time.perf_counter(), 0
    nodes = list(product(*(range(len(values)) for values in AXES.values())))

    def shape(node: tuple[int, ...]) -> tuple:
        _, l2, dropout, batch = node
        return batch, l2 > 0, dropout > 0

    for seed in range(1, SEEDS + 1):
        for node in sorted(nodes, key=shape):  # so that each process compiles few programs
            try:
                (file := _file(folder, node, seed)).touch(exist_ok=False)
            except FileExistsError:
                continue
            point = {name: values[index] for index, (name, values) in zip(node, AXES.items(), strict=True)}
            epochs = loop.train(baseline.replace(point | {"seed": seed}), dataset).epochs
            curve = np.full(EPOCHS, np.nan, np.float32)
            curve[: len(epochs)] = [epoch.val_cross_entropy for epoch in epochs]
            np.save(file, curve)
            own += 1
            if own % 20 == 0:
                print(f"{os.getpid()}: {own} trained, {time.perf_counter() - clock:.0f} s", flush=True)


def write(folder: Path) -> None:
    """Write the table from the folder's trainings; raises FileNotFoundError or EOFError if one is missing."""
    shape = tuple(map(len, AXES.values()))
    curves = np.full((*shape, SEEDS, EPOCHS), np.nan, np.float32)
    for *node, seed in np.ndindex(*shape, SEEDS):
        curves[(*node, seed)] = np.load(_file(folder, tuple(node), seed + 1))
    np.savez_compressed(TABLE, curves=curves)


if __name__ == "__main__":
    if sys.argv[2:] == ["table"]:
        write(Path(sys.argv[1]))
    else:
        train(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "mnist")
