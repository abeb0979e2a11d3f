"""Measures what the queue costs a worker for each trial, by the number of trials in it.

    python -m benchmarks.queue_cost [NUMBER ...]

A null trial trains nothing and has no run in MLflow; it does to the queue what a trial of five epochs does. For each
number (100, 1,000 and 3,000 without one) it prints the seconds that a null trial takes when so many wait, as if all
were enqueued at once; when the stock waits that a study keeps; and with the stock, when so many are done. The queue is
a SQLite file; each figure is the median of 15 trials and, in brackets, the quartiles.
"""

import sys
import tempfile
import time

import numpy as np
import optuna

from study.base import processes
from study.design.ablation import TrialSpec
from study.execution import attributes
from study.execution.queue import Queue, create_queue, load_queue
from study.training.config import TrialConfig
from study.workflows.common import STOCK

TRIALS = 15


def null(trial: optuna.Trial) -> float:
    """Do to the queue what a trial of five epochs does."""
    trial.set_user_attr(attributes.WORKER, processes.this_process())
    trial.set_user_attr(attributes.RUN_ID, "0" * 32)
    for epoch in range(1, 6):
        trial.report(1 / epoch, epoch)
        trial.should_prune()
    return 0.0


def queue_of(folder: str, name: str, waiting: int, done: int = 0) -> Queue:
    queue, _ = create_queue(f"sqlite:///{folder}/optuna.db", name)
    for slot in range(done):
        values = {epoch: 1 / epoch for epoch in range(1, 6)}
        own = {attributes.SLOT: slot, attributes.NAME: f"trial {slot}"}
        queue.add_trial(optuna.trial.create_trial(value=0.0, user_attrs=own, intermediate_values=values))
    specs = [TrialSpec("arm", TrialConfig.parse({"seed": seed})) for seed in range(1, done + waiting + 1)]
    queue.add_specs(specs) if not done else queue.add_slots(len(specs), [])
    return load_queue(f"sqlite:///{folder}/optuna.db", name)


def seconds(queue: Queue) -> str:
    taken = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        queue.optimize(null, n_trials=1)
        taken.append(time.perf_counter() - start)
    low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75])
    return f"{middle:.3f} ({low:.3f}–{high:.3f})"


def main(*numbers: str) -> None:
    """Print the table."""
    print(f"{'trials':>6}  {'all waiting':>20}  {f'{STOCK} waiting':>20}  {f'so many done, {STOCK} waiting':>20}")
    with tempfile.TemporaryDirectory() as folder:
        for number in map(int, numbers or ("100", "1000", "3000")):
            cells = [
                seconds(queue_of(folder, f"all {number}", number)),
                seconds(queue_of(folder, f"stock {number}", STOCK)),
                seconds(queue_of(folder, f"done {number}", STOCK, number)),
            ]
            print(f"{number:>6}" + "".join(f"  {cell:>20}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
