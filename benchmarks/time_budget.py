"""Measures how well a search's trials are forecast, and how near to its minutes it ends.

    python -m benchmarks.time_budget replay [SEEDS]          forecasts over replayed searches (20 seeds: 3 minutes)
    python -m benchmarks.time_budget real FOLDER [SEARCHES [MINUTES]]   searches of the digits, one after the other

A replay takes the points and the pruning of a whole search from `search_objectives`, and the seconds of each trial from
the time estimate for MNIST: with other machines' pace and with noise. *Known* is a machine whose store has trials,
*unknown* one without. It prints how often the range that was told held the number of trials that there came to be, and
how far its middle was off. A real search is the command itself, with its comparison; the second runs in the store that
the first has left.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna

from benchmarks.search_objectives import EPOCHS, Digits, Formula, Replayed
from benchmarks.search_replay import MNIST, PRUNERS, searched
from study.design.search import Budget, Search
from study.execution import time_estimate
from study.execution.forecast import MeanTime, mean_time, outlook
from study.execution.time_estimate import KNOWN, UNKNOWN, USUAL

TRIALS, WORKERS, MADE_IN = 60, 2, 40  # of a replay; of the trials that its time is enough for
NOISE, COMPILED = 0.15, 0.7  # of a trial's seconds, as a logarithm; the share of trials that compile a program
MOMENTS = (0, 0.25, 0.5, 0.75)  # of the time


def replayed(objective: Replayed, seed: int, doubt: float) -> list[tuple[float, float, float, float]]:
    """Return low, middle, high and what came to be of the forecast at each of MOMENTS."""
    how = {"pruner": PRUNERS["hyperband 1 in 2"], "workers": WORKERS}
    _, queue = searched(objective, "gp", seed, trials=TRIALS, **how)
    draw = np.random.default_rng([seed, round(100 * doubt)])
    search = Search(objective.space.with_baseline({"epochs": EPOCHS}), "val_cross_entropy", "gp", "hyperband")
    pace = np.exp(doubt * draw.standard_normal())
    ends, free = [], [0.0] * WORKERS
    for trial in queue.get_trials(deepcopy=False):
        if not trial.state.is_finished():
            continue
        config = search.baseline.replace(objective.space.become(trial.params))
        seconds = USUAL.record + USUAL.compiling * (draw.random() < COMPILED)
        seconds += len(trial.intermediate_values) * time_estimate.epoch_seconds(config, MNIST)
        at = int(np.argmin(free))
        free[at] += pace * seconds * np.exp(NOISE * draw.standard_normal())
        ends.append(free[at])
    whole = float(np.sort(ends)[MADE_IN])
    made, guess = sum(end <= whole for end in ends), mean_time(search, MNIST, USUAL)
    found = []
    for moment in MOMENTS:
        now = moment * whole
        done = sum(end <= now for end in ends) + (WORKERS / 2 if moment else 0)  # those that run are half done
        mean = MeanTime(guess.seconds, doubt).after(done, now * WORKERS)
        told = outlook(mean, Budget(None, 1), WORKERS, done=done, most_seconds=whole - now).trials
        found.append((np.floor(told.low), told.middle, np.ceil(told.high), made))
    return found


def replay(seeds: str = "20") -> None:
    """Print how well forecasts of replayed searches hold."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name, objective in {"digits": Replayed(Digits()), "formula": Replayed(Formula())}.items():
        for machine, doubt in (("known", KNOWN), ("unknown", UNKNOWN)):
            told = np.array([replayed(objective, seed, doubt) for seed in range(1, int(seeds) + 1)])
            print(f"\n{name}, {machine} machine, n = {seeds}: after a share of the time")
            for number, moment in enumerate(MOMENTS):
                low, middle, high, made = told[:, number].T
                off = np.abs(np.log(middle / made))
                print(
                    f"{moment:>5.0%}  held {np.mean((low <= made) & (made <= high)):.0%}  "
                    f"median range {np.median(low):.0f}–{np.median(high):.0f} of {np.median(made):.0f}  "
                    f"middle off by {np.median(off):.0%} (90 % within {np.quantile(off, 0.9):.0%})",
                    flush=True,
                )


def real(folder: str, searches: str = "5", minutes: str = "1") -> None:
    """Print what each search of the digits told before, how many trials it had, and when it ended."""
    place = Path(folder).resolve()
    place.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db", "PYTHONPATH": str(Path(__file__).resolve().parents[1])
    }  # fmt: skip
    first = len(list(place.glob("*.txt")))
    for seed in range(first + 1, first + int(searches) + 1):
        given = ["--data", "digits", "--minutes", minutes, "--study", f"search {seed}", "--seed", str(seed)]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "entrypoints.search", *given], cwd=place, env=environment, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        took = time.monotonic() - began
        (place / f"{seed}.txt").write_text(done.stdout + done.stderr)
        told = re.search(r"about (\d+ to \d+|\d+) trials(?:, then (.*) each)?", done.stdout)
        ends = re.findall(r"^ *(\d+)/(\S+) +(\S+ ?s?)  trial", done.stdout, re.M)
        half = ends[len(ends) // 2][1] if ends else ""
        seeds = re.search(r"with (\d+) fresh seeds", done.stdout)
        print(
            f"search {seed}: told {told[1] if told else '?'} trials, {told[2] if told else '?'}; half-way {half}; "
            f"{len(ends)} trials, {seeds[1] if seeds else 'no'} seeds, ended after {took:.1f} s = "
            f"{took / (60 * float(minutes)):.0%} of {minutes} minutes",
            flush=True,
        )


if __name__ == "__main__":
    {"replay": replay, "real": real}[sys.argv[1]](*sys.argv[2:])
