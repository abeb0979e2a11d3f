"""Measures whether a search can tell that nothing is left to be found, and what it costs to believe it.

    python -m benchmarks.search_stop [SEEDS [FIRST]]   (10 seeds, three objectives: 10 minutes of one core)

A replay is a whole search of 50 trials with Hyperband (`search_replay`). After every fifth result it is asked how
likely any further trial is to beat the configuration that is expected to be the best by the margin: its points are
those that the sampler would suggest one after the other, if each came out as expected, and the chance is counted over
draws of the process. Where that is less than 5 % for the first time the search could stop. Regret is that of the
configuration that the search would choose, in thousandths of cross-entropy; lost is how much less it is after all 50.
"""

import sys
import time

import numpy as np
import optuna

from benchmarks.search_objectives import Digits, Formula, Replayed, Trees
from benchmarks.search_replay import PRUNERS, USUAL, searched
from study.analysis import gaussian_process
from study.analysis.search_process import Expectation
from study.analysis.unit_cube import UnitCube
from study.execution.gp_sampler import as_ended, suggest

TRIALS, FIRST_LOOK, EVERY = 50, 20, 5
MARGIN, SURE = 0.01, 0.05
MOST_AHEAD = 10  # points that are suggested ahead; for more trials the chance is raised as if they were independent


def chance_of_better(expectation: Expectation, best: int, margin: float, further: int, own: bool) -> float:
    """Return how likely any of so many further trials truly is better than trial `best` by the margin.

    With `own` every likely process has its say, else only the likeliest.
    """
    ahead: list[dict[str, object]] = []
    for number in range(min(further, MOST_AHEAD)):
        found = suggest(expectation, ahead, np.random.default_rng(number))
        assert found is not None
        ahead.append(expectation.cube.point(found))
    points = np.concatenate([expectation.shares[[best]], expectation.cube.shares(ahead)])
    if own:
        drawn = expectation.draws(points)
    else:
        process = expectation.process
        assert process is not None
        mean, covariance = process.joint(expectation.cube.coordinates(points))
        values, vectors = np.linalg.eigh(covariance)
        factor = vectors * np.sqrt(np.maximum(values, 0))
        _, middle, spread = gaussian_process.standardized(expectation.losses[0])
        values = mean + np.random.default_rng(0).standard_normal((4000, len(mean))) @ factor.T
        drawn = np.exp(middle + spread * values)  # of all objectives the losses are positive
    better = float(np.mean(drawn[:, 1:].min(axis=1) < drawn[:, 0] - margin))
    return float(1 - (1 - better) ** max(1.0, further / MOST_AHEAD))


def looks(replayed: Replayed, seed: int) -> list[tuple[float, ...]]:
    """Return trials, epochs, regret of the choice, both chances, and the least regret to come, at each look."""
    cube = UnitCube(replayed.space)
    how = {"pruner": PRUNERS[USUAL]}
    _, queue = searched(replayed, "gp", seed, trials=TRIALS, **how)
    every = [each for each in queue.get_trials(deepcopy=False) if each.state.is_finished()]
    regrets = [replayed.regret(replayed.space.become(each.params)) for each in every]
    found = []
    for number in range(FIRST_LOOK, TRIALS + 1, EVERY):
        trials = every[:number]
        ended = [as_ended(each) for each in trials]
        expectation = Expectation(cube, ended, maximize=False)
        complete = [index for index, each in enumerate(ended) if each.value is not None]
        best = complete[int(np.argmin(expectation.expected(expectation.shares[complete])))]
        chances = [1.0, 1.0]
        if number < TRIALS:
            chances = [chance_of_better(expectation, best, MARGIN, TRIALS - number, own) for own in (True, False)]
        spent = sum(len(each.intermediate_values) for each in trials)
        found.append((number, spent, regrets[best], *chances, min(regrets[number:], default=np.inf)))
    return found


def main(seeds: str = "10", first: str = "1") -> None:
    """Print what stopping saves and loses, and how the chances compare with what came to be."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clock = time.perf_counter()
    objectives = {"digits": Digits(), "digits, trees": Trees(), "formula": Formula()}
    for name, objective in objectives.items():
        replayed = Replayed(objective)
        every = [np.array(looks(replayed, seed)) for seed in range(int(first), int(first) + int(seeds))]
        for column, who in ((3, "likely kernels"), (4, "likeliest kernel")):
            told = np.concatenate([each[:-1, column] for each in every])
            came = np.concatenate([each[:-1, 2] - each[-1, 2] > 1000 * MARGIN for each in every])
            there = np.concatenate([each[:-1, 2] - each[:-1, 5] > 1000 * MARGIN for each in every])
            low = told < SURE
            stops = [each[np.argmax(each[:-1, column] < SURE)] for each in every if (each[:-1, column] < SURE).any()]
            ends = [each[-1] for each in every if (each[:-1, column] < SURE).any()]
            lost = [stop[2] - end[2] for stop, end in zip(stops, ends, strict=True)]
            saved = [1 - stop[1] / end[1] for stop, end in zip(stops, ends, strict=True)]
            print(
                f"{name}, {who}: {len(stops)} of {len(every)} stop; saved {_list(saved, 100)} % of the epochs, lost "
                f"{_list(lost, 1)} thousandths; more than the margin lost in {sum(each > 10 for each in lost)}\n"
                f"    told {told.mean():.0%} in the mean over {len(told)} looks; one was better in {there.mean():.0%}, "
                f"the choice became better in {came.mean():.0%}; of "
                f"{low.sum()} looks below 5 % {came[low].sum()} came to be",
                flush=True,
            )
            if column == 3:
                np.savetxt(sys.stdout, np.median(np.stack(every), axis=0), fmt="    %.4g")
    print(f"{time.perf_counter() - clock:.0f} s")


def _list(values: list[float], scale: float) -> str:
    return f"{scale * np.mean(values):.1f} (to {scale * np.max(values):.1f})" if values else "–"


if __name__ == "__main__":
    main(*sys.argv[1:])
