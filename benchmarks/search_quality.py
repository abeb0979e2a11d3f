"""Measures how good the points are that samplers and pruners find: regret by trials, epochs and seconds, many seeds.

    python -m benchmarks.search_quality [SEEDS [OBJECTIVE …]]     prints the tables (30 seeds: 30 minutes of one core)
    python -m benchmarks.search_quality --pruners [SEEDS [OBJECTIVE …]]   those of the pruners alone
    python -m benchmarks.search_quality --database URL [SEEDS [OBJECTIVE]]    with four worker processes on a database

The tables show the median over the seeds and, in brackets, the quartiles; "against" counts the seeds that were better
and worse. What regret and seconds are is said in `search_replay`; objectives are in `search_objectives` and, if its
grid has been trained, in `mnist_grid`.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna

from benchmarks.mnist_grid import TABLE, MnistGrid
from benchmarks.search_objectives import EPOCHS, Digits, Formula, Objective, Replayed, Trees, WideFormula
from benchmarks.search_replay import PRUNERS, SECONDS, SPENT, TRIAL, USUAL, after, at_once, choice, searched
from study.design.search import BEST_SAMPLER

TRIALS = (10, 20, 25, 30, 50)
EPOCHS_SPENT = (125, 250, 500)  # 50 whole trials take the last number
SECONDS_SPENT = (60, 120, 240)
WORKERS = 4  # on a database
SAMPLERS = ("gp", "tpe", "cmaes", "qmc")
OBJECTIVES: dict[str, Callable[[], Objective]] = {
    **({"mnist": MnistGrid} if TABLE.exists() else {}),
    "digits": Digits,
    "quiet": lambda: Digits().at(0.25),
    "trees": Trees,
    "formula": Formula,
    "wide": WideFormula,
}


def quartiles(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"


def wins(values: Sequence[float], others: Sequence[float]) -> str:
    """Return in how many seeds the regret is less and greater than another's, as `less:greater`."""
    pairs = list(zip(values, others, strict=True))
    return f"{sum(one < other for one, other in pairs)}:{sum(one > other for one, other in pairs)}"


def line(name: str, cells: Sequence[str]) -> None:
    print(f"{name:<24}" + "".join(f"  {cell:>18}" for cell in cells), flush=True)


def compare_samplers(searches: Callable[[str, int], list[np.ndarray]], column: int, budgets: Sequence[int]) -> None:
    """Print regret by a column of the marks, and what the default sampler finds with half of TPE's budget.

    `searches` gives the marks of a sampler's replays, by seed, with a multiple of the budget.
    """
    what = {TRIAL: "trials", SECONDS: "seconds"}[column]
    line(f"after so many {what}", [*map(str, budgets), f"random at {budgets[-1]}"])
    random = searches("random", 2)
    last = [after(marks, column, budgets[-1]) for marks in random]
    for factor, name in ((1, "random"), (2, "random, twice as many")):
        columns = [[after(marks, column, factor * each) for marks in random] for each in budgets]
        line(name, [*map(quartiles, columns), wins(columns[-1], last)])
    found = {}
    for name in SAMPLERS:
        replays = searches(name, 1)
        found[name] = [[after(marks, column, each) for marks in replays] for each in budgets]
        line(name, [*map(quartiles, found[name]), wins(found[name][-1], last)])
    for index in (budgets.index(budgets[-1] // 2), -1):
        better = wins(found[BEST_SAMPLER][index], found["tpe"][-1])
        print(f"{BEST_SAMPLER} after {budgets[index]} against tpe after {budgets[-1]}: {better}")


def compare_pruners(objective: Replayed, seeds: range) -> None:
    """Print regret by the epochs spent, whatever the number of trials: of the top five, and of the search's choice."""
    words = [*map(str, EPOCHS_SPENT), "against none", "choice at the end", "its mean", "against none"]
    line("pruners, epochs spent", words)
    plain: list[list[float]] = []
    for name, pruner in PRUNERS.items():
        how = {"trials": 1000, "pruner": pruner, "epochs": EPOCHS_SPENT[-1] + EPOCHS}
        found = [searched(objective, BEST_SAMPLER, seed, **how) for seed in seeds]
        columns = [[after(marks, SPENT, number) for marks, _ in found] for number in EPOCHS_SPENT]
        chosen = [choice(objective, queue, EPOCHS_SPENT[-1]) for _, queue in found]
        plain = plain or [columns[-1], chosen]
        own = [quartiles(chosen), f"{np.mean(chosen):.1f}", wins(chosen, plain[1])]
        line(name, [*map(quartiles, columns), wins(columns[-1], plain[0]), *own])


def main(seeds: str = "30", *names: str, samplers: bool = True) -> None:
    """Print every table."""
    clock, over = time.perf_counter(), range(1, int(seeds) + 1)
    for name in names or OBJECTIVES:
        objective = OBJECTIVES[name]()
        replayed = Replayed(objective)
        print(f"\n{name}: {objective.words}; best {replayed.best:.4f}; n = {seeds} seeds")

        def by_trials(sampler: str, factor: int, on: Replayed = replayed) -> list[np.ndarray]:
            return [searched(on, sampler, seed, trials=factor * TRIALS[-1])[0] for seed in over]

        def by_seconds(sampler: str, factor: int, on: Replayed = replayed) -> list[np.ndarray]:
            how = {"trials": 1000, "pruner": PRUNERS[USUAL], "seconds": factor * SECONDS_SPENT[-1]}
            return [searched(on, sampler, seed, **how)[0] for seed in over]

        if samplers:
            print("\nsamplers, no pruner, one worker")
            compare_samplers(by_trials, TRIAL, TRIALS)
            print(f"\nsamplers, {USUAL}, one worker")
            compare_samplers(by_seconds, SECONDS, SECONDS_SPENT)
        print()
        compare_pruners(replayed, over)
    print(f"\n{time.perf_counter() - clock:.0f} s, {time.process_time():.0f} of them on the processor")


def on_database(url: str, seeds: str = "30", name: str = next(iter(OBJECTIVES))) -> None:
    """Print the table of samplers on the first objective, or another one, with processes as workers."""
    clock, replayed = time.perf_counter(), Replayed(OBJECTIVES[name]())

    def searches(sampler: str, factor: int) -> list[np.ndarray]:
        how = {"trials": factor * TRIALS[-1], "pruner": PRUNERS[USUAL], "url": url, "workers": WORKERS}
        return [at_once(replayed, sampler, seed, **how) for seed in range(1, int(seeds) + 1)]

    where = f"{WORKERS} processes on {url.partition(':')[0]}"
    print(f"{name}, {USUAL}, {where}; best {replayed.best:.4f}; n = {seeds} seeds")  # known before the forks
    compare_samplers(searches, TRIAL, TRIALS)
    print(f"{time.perf_counter() - clock:.0f} s")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Heartbeat of storage")  # our workers give it themselves
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sys.argv[1:2] == ["--database"]:
        on_database(*sys.argv[2:])
    elif sys.argv[1:2] == ["--pruners"]:
        main(*sys.argv[2:], samplers=False)
    else:
        main(*sys.argv[1:])
