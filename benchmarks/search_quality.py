"""Measures how good the points are that samplers and pruners find: regret by trials and by epochs, over many seeds.

    python -m benchmarks.search_quality [SEEDS]         prints the tables (30 seeds: about 8 minutes on one core)
    python -m benchmarks.search_quality --cmaes [SEEDS] compares our CMA-ES with Optuna's on the formula (1 minute)
    python -m benchmarks.search_quality --make-table    trains the networks that they are replayed on (about 6 minutes)

A replay is a whole search, with its queue, slots and baseline, but its trainings are looked up. The objectives on the
default space stand for trainings of 10 epochs. `digits` is a Gaussian process through real trainings on the small
digits, 600 points with two seeds each; its noise is the difference between the seeds at a nearby point. `digits, quiet`
has a quarter of that noise, like a larger validation split; `formula` is a formula with a curved valley. Regret is in
thousandths of cross-entropy: the lowest noise-free value among the search's top five, which `promote` would find with
more seeds, minus the lowest possible value. The baseline is not among the five, because it is already good. The tables
show the median over the seeds and, in brackets, the quartiles; "against" counts the seeds that were better and worse.
"""

import copy
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import optuna

from study.design.search import Search
from study.design.search_space import load_space
from study.execution import pruning, sampling
from study.execution.queue import Queue

TABLE = Path(__file__).with_suffix(".npz")
ROWS = 600
FIRST = 5
EPOCHS = 10
TRIALS = (10, 20, 30, 50)
SPENT = (125, 250, 500)  # epochs; 50 whole trials take the last number
ACTIVATIONS = ("relu", "tanh", "softsign", "gelu")

RANDOM = ("random", {})
SAMPLERS = {
    "qmc": ("qmc", {}),
    "cmaes": ("cmaes", {}),
} | {
    f"tpe {'multivariate' if multivariate else 'by fields'}, {startup} random": (
        "tpe",
        {"multivariate": multivariate, "n_startup_trials": startup},
    )
    for multivariate in (True, False)
    for startup in (5, 10, 20)
}
PRUNERS = (
    {"none": ("none", {})}
    | {f"median from epoch {first}": ("median", {"n_warmup_steps": first}) for first in (1, 2, 3)}
    | {
        f"hyperband 1 in {reduction}, from {least}": ("hyperband", {"reduction": reduction, "least": least})
        for reduction in (2, 3, 4)
        for least in (1, 2)
        if (reduction, least) not in ((2, 2), (4, 2))  # the latter has the rungs of (4, 1)
    }
    | {"hyperband of Optuna, 1 in 3": ("optuna", {})}
)

# These are also run with two workers:
FEW_SAMPLERS = ("tpe multivariate, 10 random", "tpe by fields, 10 random")
FEW_PRUNERS = ("none", "median from epoch 3", "hyperband 1 in 2, from 1")


class OptunasCmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's CMA-ES, which keeps a pickle of its optimizer in the storage, over the same ranges as ours."""

    def __init__(self, ranges: dict[str, optuna.distributions.BaseDistribution], seed: int):
        super().__init__(warn_independent_sampling=False, seed=seed)
        self._ranges = ranges

    def infer_relative_search_space(self, study, trial) -> dict[str, optuna.distributions.BaseDistribution]:
        return self._ranges


# --- objectives -------------------------------------------------------------------------------------


class Objective(Protocol):
    """Gives the result of a training."""

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
            *(float(each["activation"] == activation) for activation in ACTIVATIONS),
        ]
        for each in settings
    ]
    return np.array(rows)


class Digits:
    """Predicts trainings with a Gaussian process through the table of real ones."""

    def __init__(self):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        with np.load(TABLE) as table:
            settings = [
                {
                    name: table[name][row].item()
                    for name in ("learning_rate", "batch_size", "l2", "dropout", "activation")
                }
                for row in range(len(table["curves"]))
            ]
            curves = np.log(np.clip(np.nan_to_num(table["curves"], nan=np.inf), 0, 10))  # (rows, seeds, epochs)
        self._points = coordinates(settings)
        self._differences = (curves[:, 0] - curves[:, 1]) / np.sqrt(2)  # has one seed's variance
        kernel = ConstantKernel(1.0) * RBF([0.5, 1.0, 1.0, 1.0] + [1.0] * 4, (0.05, 50)) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of lengths at their limits, which hardly matter
            self._process = GaussianProcessRegressor(kernel, normalize_y=True).fit(self._points, curves.mean(axis=1))
        self._loudness = 1.0
        self._lengths = self._process.kernel_.k1.k2.length_scale
        self.words = self._quality(curves.mean(axis=1))

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


class Formula:
    """Has a valley in which the best learning rate follows the batch size; low rates have slow curves."""

    words = "the best learning rate grows with the batch size; small ones learn slowly"

    def mean(self, settings: list[dict]) -> np.ndarray:
        rate, l2, dropout, batch, *activations = coordinates(settings).T
        last = 0.2 + 0.8 * (rate - 0.35 - 0.3 * batch) ** 2 + 0.05 * (l2 - 0.5) ** 2 + 0.1 * (dropout - 0.3) ** 2
        last += np.array([0.01, 0.0, 0.03, 0.02]) @ np.array(activations)
        speed = 0.2 + 1.2 * rate * (1.2 - batch)
        return last[:, None] + 1.5 * np.exp(-speed[:, None] * (np.arange(EPOCHS) + 1))

    def noise(self, settings: dict, draw: np.random.Generator) -> np.ndarray:
        return np.exp(0.02 * draw.standard_normal(EPOCHS))


class Replayed:
    """Draws curves from an objective and knows its best value."""

    def __init__(self, objective: Objective):
        self._objective = objective
        self._draw = np.random.default_rng(0)

    def curve(self, settings: dict, draw: np.random.Generator) -> tuple[np.ndarray, float]:
        """Return a training's curve (epochs,) as one seed sees it, and the point's regret."""
        mean = self._objective.mean([settings])[0]
        return mean * self._objective.noise(settings, draw), float(mean[-1] - self.best) * 1000

    @cached_property
    def best(self) -> float:
        """The lowest value, sought at many random points and then ever closer around the best of them."""
        found = [self._random() for _ in range(20_000)]
        for width in (0.2, 0.1, 0.05, 0.02, 0.01):
            values = np.concatenate(
                [self._objective.mean(found[first : first + 2000])[:, -1] for first in range(0, len(found), 2000)]
            )
            top = [found[index] for index in np.argsort(values)[:40]]
            found = top + [self._near(each, width) for each in top for _ in range(50)]
        return float(values.min())

    def _random(self) -> dict:
        draw = self._draw
        return {
            "learning_rate": 10 ** draw.uniform(-4, -1),
            "l2": 10 ** draw.uniform(-8, -2),
            "dropout": draw.uniform(0, 0.6),
            "batch_size": int(2 ** draw.integers(4, 9)),
            "activation": str(draw.choice(ACTIVATIONS)),
        }

    def _near(self, point: dict, width: float) -> dict:
        step = self._draw.normal(0, width, 3)
        return point | {
            "learning_rate": float(np.clip(point["learning_rate"] * 10 ** (3 * step[0]), 1e-4, 1e-1)),
            "l2": float(np.clip(point["l2"] * 10 ** (6 * step[1]), 1e-8, 1e-2)),
            "dropout": float(np.clip(point["dropout"] + 0.6 * step[2], 0, 0.6)),
        }


# --- replays ----------------------------------------------------------------------------------------


def replay(
    objective: Replayed, sampler: tuple, pruner: tuple, seed: int, *, trials: int, epochs: int = sys.maxsize, workers=1
) -> np.ndarray:
    """Search until `trials` or `epochs` are spent; return (trials, epochs, regret) after each trial: (n, 3)."""
    space = load_space("default").with_baseline({"epochs": EPOCHS, "seed": seed})
    search = Search(space, "val_cross_entropy", "random" if sampler[0] == "optuna" else sampler[0], pruner[0])
    if pruner[0] == "optuna":
        gives_up = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3)
    else:
        gives_up = pruning.pruner(search, **pruner[1])
    storage = optuna.storages.InMemoryStorage()
    name = optuna.create_study(storage=storage, study_name=f"replay {seed}").study_name
    if sampler[0] == "optuna":
        known = sampling.distributions(space)
        ranges = {field: each for field, each in known.items() if hasattr(each, "low")}
        suggests = sampling.BySlot(seed, lambda slot, seed: OptunasCmaEs(ranges, seed))
    else:
        suggests = sampling.sampler(search, **sampler[1])
    queue = Queue(name, storage, suggests, gives_up)

    marks: list[tuple] = []
    through: list[tuple] = []  # value and regret of trials that ended
    spent, slots = 0, iter(range(trials))
    at_work = [_training(queue, search, slots, objective, seed) for _ in range(workers)]
    while at_work and spent < epochs:
        for worker in list(at_work):  # the workers take turns, one epoch each
            ended = next(worker, None)
            if ended is None:
                at_work.remove(worker)
                continue
            spent += 1
            if ended:
                through.append(ended)
                marks.append((len(marks) + 1, spent, min(regret for _, regret in sorted(through)[:FIRST])))
    return np.array(marks)


def _training(
    queue: Queue, search: Search, slots: Iterator[int], objective: Replayed, seed: int
) -> Iterator[tuple[float, ...]]:
    """Run a trial for each slot; yield () after an epoch, and at a trial's end its value and its regret.

    Both are infinite where a trial is pruned, and for the baseline.
    """
    for slot in slots:
        # Enqueue them one by one, because a long queue makes each look at the storage slow.
        queue.enqueue_trial({} if slot else search.space.first(), user_attrs={"slot": slot})
        trial = queue.ask()
        settings = search.space.suggest(trial)
        curve, regret = objective.curve(settings, np.random.default_rng([seed, slot]))
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            if trial.should_prune() and epoch < EPOCHS:
                queue.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
                yield np.inf, np.inf
                break
            if epoch < EPOCHS:
                yield ()
        else:
            queue.tell(trial.number, float(curve[-1]))
            yield (float(curve[-1]), regret) if slot else (np.inf, np.inf)


def after(marks: np.ndarray, column: int, budget: float) -> float:
    """Return the regret after `budget` trials (column 0) or epochs (column 1)."""
    done = marks[marks[:, column] <= budget]
    return done[-1, 2] if len(done) else np.inf


# --- tables -----------------------------------------------------------------------------------------


def quartiles(values: list[float]) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"


def wins(values: list[float], others: list[float]) -> str:
    """Return in how many seeds the regret is less and greater than another's, as `less:greater`."""
    pairs = list(zip(values, others, strict=True))
    return f"{sum(one < other for one, other in pairs)}:{sum(one > other for one, other in pairs)}"


def line(name: str, cells: list[str]) -> None:
    print(f"{name:<30}" + "".join(f"  {cell:>20}" for cell in cells), flush=True)


def compare_samplers(objective: Replayed, names: Iterable[str], seeds: range, workers: int) -> None:
    """Print regret by the number of whole trials."""
    print(f"\nsamplers, no pruner, {workers} worker(s): regret by number of trials\n")
    line("", [*map(str, TRIALS), "against random at 50"])
    random = [replay(objective, RANDOM, ("none", {}), seed, trials=2 * TRIALS[-1], workers=workers) for seed in seeds]
    last = [after(marks, 0, TRIALS[-1]) for marks in random]
    for factor, name in ((1, "random"), (2, "random, twice the trials")):
        columns = [[after(marks, 0, factor * number) for marks in random] for number in TRIALS]
        line(name, [*map(quartiles, columns), wins(columns[-1], last)])
    for name in names:
        found = [
            replay(objective, SAMPLERS[name], ("none", {}), seed, trials=TRIALS[-1], workers=workers) for seed in seeds
        ]
        columns = [[after(marks, 0, number) for marks in found] for number in TRIALS]
        line(name, [*map(quartiles, columns), wins(columns[-1], last)])


def compare_pruners(
    objective: Replayed, names: Iterable[str], seeds: range, workers: int, sampler: str = "tpe"
) -> None:
    """Print regret by the epochs spent, whatever the number of trials, and after 50 trials."""
    print(f"\npruners, {sampler}, {workers} worker(s): regret by epochs spent, and after {TRIALS[-1]} trials\n")
    line("", [*map(str, SPENT), f"none at {SPENT[-1]}", f"{TRIALS[-1]} trials", "epochs they take"])
    plain: list[float] = []
    for name in names:
        how = {"trials": 1000, "epochs": SPENT[-1] + EPOCHS, "workers": workers}
        found = [replay(objective, (sampler, {}), PRUNERS[name], seed, **how) for seed in seeds]
        columns = [[after(marks, 1, number) for marks in found] for number in SPENT]
        plain = plain or columns[-1]
        whole = [after(marks, 0, TRIALS[-1]) for marks in found]
        cost = [marks[TRIALS[-1] - 1, 1] for marks in found]
        line(name, [*map(quartiles, columns), wins(columns[-1], plain), quartiles(whole), f"{np.median(cost):.0f}"])


def main(seeds: str = "30") -> None:
    """Print every table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clock = time.perf_counter()
    digits = Digits()
    objectives = {"digits": digits, "digits, quiet": digits.at(0.25), "formula": Formula()}
    for name, objective in objectives.items():
        replayed = Replayed(objective)
        print(f"\n{name}: {objective.words}; best {replayed.best:.4f}; n = {seeds} seeds")
        over = range(1, int(seeds) + 1)
        compare_samplers(replayed, SAMPLERS, over, workers=1)
        compare_pruners(replayed, PRUNERS, over, workers=1)
        if name == "digits, quiet":
            compare_samplers(replayed, FEW_SAMPLERS, over, workers=2)
            compare_pruners(replayed, FEW_PRUNERS, over, workers=2)
    print(f"\n{time.perf_counter() - clock:.0f} s, {time.process_time():.0f} of them on the processor")


def compare_cmaes(seeds: str = "100") -> None:
    """Print how good our CMA-ES and Optuna's are on the formula, with one worker and with three."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    replayed = Replayed(Formula())
    print(f"formula: {Formula.words}; best {replayed.best:.4f}; n = {seeds} seeds")
    for workers in (1, 3):
        print(f"\nno pruner, {workers} worker(s): regret by number of trials\n")
        line("", [*map(str, TRIALS), f"ours against, at {TRIALS[-1]}"])
        found = {
            name: [
                replay(replayed, sampler, ("none", {}), seed, trials=TRIALS[-1], workers=workers)
                for seed in range(1, int(seeds) + 1)
            ]
            for name, sampler in {"ours": ("cmaes", {}), "Optuna's": ("optuna", {}), "random": RANDOM}.items()
        }
        ours = [after(marks, 0, TRIALS[-1]) for marks in found["ours"]]
        for name, replays in found.items():
            columns = [[after(marks, 0, number) for marks in replays] for number in TRIALS]
            line(name, [*map(quartiles, columns), wins(ours, columns[-1])])


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
    if sys.argv[1:] == ["--make-table"]:
        make_table()
    elif sys.argv[1:2] == ["--cmaes"]:
        compare_cmaes(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
