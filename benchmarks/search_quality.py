"""Measures how good the points are that samplers and pruners find: regret by trials and by epochs, over many seeds.

    python -m benchmarks.search_quality [SEEDS] [WORKERS]  prints the tables (30 seeds: 15 minutes of one core)
    python -m benchmarks.search_quality --choice [SEEDS]   compares two ways to choose the best trial (10 minutes)
    python -m benchmarks.search_quality --cmaes [SEEDS]    compares our CMA-ES with Optuna's on the formula (1 minute)

A replay is a whole search, with its queue, slots and baseline, but its trainings are looked up in an objective
(`search_objectives`). Regret is in thousandths of cross-entropy: the lowest noise-free value among the search's top
five, which `promote` would find with more seeds, minus the lowest possible value. The baseline is not among the five,
because it is already good. The tables show the median over the seeds and, in brackets, the quartiles; "against" counts
the seeds that were better and worse.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import optuna

from benchmarks.search_objectives import EPOCHS, Digits, Formula, Replayed, Trees, WideFormula
from study.analysis.search_process import Ended, Expectation
from study.analysis.unit_cube import UnitCube
from study.design.search import Search
from study.execution import pruning, sampling
from study.execution.queue import Queue

FIRST = 5
TRIALS = (10, 20, 25, 30, 50)
SPENT = (125, 250, 500)  # epochs; 50 whole trials take the last number
SAMPLERS = ("gp", "tpe", "cmaes", "qmc")
PRUNERS = {
    "none": ("none", {}),
    "median": ("median", {}),
    "hyperband 1 in 2": ("hyperband", {}),
    "hyperband 1 in 3": ("hyperband", {"reduction": 3}),
}


class OptunasCmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's CMA-ES, which keeps a pickle of its optimizer in the storage, over the same ranges as ours."""

    def __init__(self, ranges: dict[str, optuna.distributions.BaseDistribution], seed: int):
        super().__init__(warn_independent_sampling=False, seed=seed)
        self._ranges = ranges

    def infer_relative_search_space(self, study, trial) -> dict[str, optuna.distributions.BaseDistribution]:
        return self._ranges


# --- replays ----------------------------------------------------------------------------------------


def replay(
    objective: Replayed,
    sampler: str,
    seed: int,
    *,
    trials: int,
    pruner: tuple[str, dict] = PRUNERS["none"],
    epochs: int = sys.maxsize,
    workers: int = 1,
) -> np.ndarray:
    """Search until `trials` or `epochs` are spent; return (trials, epochs, regret) after each trial: (n, 3)."""
    how = {"trials": trials, "pruner": pruner, "epochs": epochs, "workers": workers}
    return searched(objective, sampler, seed, **how)[0]


def searched(
    objective: Replayed, sampler: str, seed: int, *, trials: int, pruner: tuple[str, dict], epochs: int, workers: int
) -> tuple[np.ndarray, Queue]:
    """Search until `trials` or `epochs` are spent; return what `replay` does, and the queue."""
    space = objective.space.with_baseline({"epochs": EPOCHS, "seed": seed})
    search = Search(space, "val_cross_entropy", "random" if sampler == "optuna" else sampler, pruner[0])
    storage = optuna.storages.InMemoryStorage()
    name = optuna.create_study(storage=storage, study_name=f"replay {seed}").study_name
    if sampler == "optuna":
        known = sampling.distributions(space)
        ranges = {field: each for field, each in known.items() if hasattr(each, "low")}
        suggests = sampling.BySlot(seed, lambda slot, seed: OptunasCmaEs(ranges, seed))
    else:
        suggests = sampling.sampler(search)
    queue = Queue(name, storage, suggests, pruning.pruner(search, **pruner[1]))

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
    return np.array(marks), queue


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


def compare_samplers(objective: Replayed, seeds: range, workers: int) -> None:
    """Print regret by the number of whole trials, and whether the first sampler needs half of the second's trials."""
    print(f"\nsamplers, no pruner, {workers} worker(s): regret by number of trials\n")
    line("", [*map(str, TRIALS), "against random at 50"])
    random = [replay(objective, "random", seed, trials=2 * TRIALS[-1], workers=workers) for seed in seeds]
    last = [after(marks, 0, TRIALS[-1]) for marks in random]
    for factor, name in ((1, "random"), (2, "random, twice the trials")):
        columns = [[after(marks, 0, factor * number) for marks in random] for number in TRIALS]
        line(name, [*map(quartiles, columns), wins(columns[-1], last)])
    found = {}
    for name in SAMPLERS:
        replays = [replay(objective, name, seed, trials=TRIALS[-1], workers=workers) for seed in seeds]
        found[name] = {number: [after(marks, 0, number) for marks in replays] for number in TRIALS}
        line(name, [*map(quartiles, found[name].values()), wins(found[name][TRIALS[-1]], last)])
    for number in (25, 50):
        print(f"gp after {number} trials against tpe after 50: {wins(found['gp'][number], found['tpe'][50])}")


def compare_pruners(objective: Replayed, seeds: range, workers: int, sampler: str) -> None:
    """Print regret by the epochs spent, whatever the number of trials, and after 50 trials."""
    print(f"\npruners, {sampler}, {workers} worker(s): regret by epochs spent, and after {TRIALS[-1]} trials\n")
    line("", [*map(str, SPENT), f"none at {SPENT[-1]}", f"{TRIALS[-1]} trials", "epochs they take"])
    plain: list[float] = []
    for name, pruner in PRUNERS.items():
        how = {"trials": 1000, "epochs": SPENT[-1] + EPOCHS, "workers": workers}
        found = [replay(objective, sampler, seed, pruner=pruner, **how) for seed in seeds]
        columns = [[after(marks, 1, number) for marks in found] for number in SPENT]
        plain = plain or columns[-1]
        whole = [after(marks, 0, TRIALS[-1]) for marks in found]
        cost = [marks[TRIALS[-1] - 1, 1] for marks in found if len(marks) >= TRIALS[-1]]
        line(name, [*map(quartiles, columns), wins(columns[-1], plain), quartiles(whole), f"{np.median(cost):.0f}"])


def main(seeds: str = "30", workers: str = "1") -> None:
    """Print every table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clock = time.perf_counter()
    digits = Digits()
    objectives = {"digits": digits, "digits, quiet": digits.at(0.25), "digits, trees": Trees(), "formula": Formula(),
                  "wide formula": WideFormula()}  # fmt: skip
    for name, objective in objectives.items():
        replayed = Replayed(objective)
        print(f"\n{name}: {objective.words}; best {replayed.best:.4f}; n = {seeds} seeds")
        over = range(1, int(seeds) + 1)
        compare_samplers(replayed, over, int(workers))
        if name in ("digits", "formula"):
            for sampler in ("gp", "tpe"):
                compare_pruners(replayed, over, int(workers), sampler)
    print(f"\n{time.perf_counter() - clock:.0f} s, {time.process_time():.0f} of them on the processor")


def compare_choices(seeds: str = "30") -> None:
    """Print the regret of one trial: of the best value, and of the value that is expected to be the best."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    line(
        "", [f"{way} {number}" for way in ("measured", "expected") for number in (25, 50)] + ["expected against, at 50"]
    )
    for name, objective in {"digits": Digits(), "digits, trees": Trees(), "formula": Formula()}.items():
        replayed = Replayed(objective)
        cube = UnitCube(replayed.space)
        for sampler in ("gp", "random"):
            found: dict[tuple[str, int], list[float]] = {}
            for seed in range(1, int(seeds) + 1):
                how = {"pruner": PRUNERS["hyperband 1 in 2"], "epochs": sys.maxsize, "workers": 1}
                _, queue = searched(replayed, sampler, seed, trials=50, **how)
                for number in (25, 50):
                    trials = [each for each in queue.get_trials(deepcopy=False)[:number] if each.state.is_finished()]
                    ended = [Ended(each.params, each.value, each.intermediate_values) for each in trials]
                    expected = Expectation(cube, ended, maximize=False).ranks
                    complete = [index for index, each in enumerate(trials) if each.value is not None]
                    best = {
                        "measured": min(complete, key=lambda index: trials[index].value),
                        "expected": min(complete, key=lambda index: expected[index]),
                    }
                    for way, index in best.items():
                        regret = replayed.regret(replayed.space.become(trials[index].params))
                        found.setdefault((way, number), []).append(regret)
            cells = [quartiles(found[way, number]) for way in ("measured", "expected") for number in (25, 50)]
            line(f"{name}, {sampler}", [*cells, wins(found["expected", 50], found["measured", 50])])


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
                replay(replayed, sampler, seed, trials=TRIALS[-1], workers=workers) for seed in range(1, int(seeds) + 1)
            ]
            for name, sampler in {"ours": "cmaes", "Optuna's": "optuna", "random": "random"}.items()
        }
        ours = [after(marks, 0, TRIALS[-1]) for marks in found["ours"]]
        for name, replays in found.items():
            columns = [[after(marks, 0, number) for marks in replays] for number in TRIALS]
            line(name, [*map(quartiles, columns), wins(ours, columns[-1])])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cmaes"]:
        compare_cmaes(*sys.argv[2:])
    elif sys.argv[1:2] == ["--choice"]:
        compare_choices(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
