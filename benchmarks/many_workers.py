"""Measures what a trial costs when many workers share one queue: 200 null trials by 32 workers.

    python -m benchmarks.many_workers [STORAGE [WORKERS [TRIALS]]]     (a new SQLite file, 32 and 200)

A null trial trains nothing, but it has its run in MLflow (a SQLite store of its own) and goes through the queue as any
other. Every worker is a process of its own. It prints whether a trial was lost or run twice, the seconds of a core that
a trial cost (of its worker, between its first trial and its last), the seconds from the first trial to the last, and
what it took to watch them twice a second, as the program does that began the study.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from optuna.trial import TrialState

from study.base import startup
from study.base.paths import STORE_VARIABLE
from study.data.dataset import load_dataset
from study.design.search import Budget, Search
from study.design.search_space import parse_space
from study.execution import recovery, worker
from study.execution.attributes import slot_of
from study.execution.queue import create_queue, progress
from study.execution.worker_pool import POLL_SECONDS
from study.tracking import store
from study.training.config import TrialConfig
from study.workflows import run_search
from study.workflows.slot_supply import SlotSupply

SPACE = "baseline: {hidden: 8, epochs: 1}\nfields: {learning_rate: {range: [1.0e-3, 1.0e-1], log: true}}\n"
NAME = "many workers"


def main(storage: str = "", workers: str = "32", trials: str = "200") -> None:
    """Run the trials, and print what they cost."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[STORE_VARIABLE] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        measure(storage or f"sqlite:///{folder}/optuna.db", int(workers), int(trials))


def measure(storage: str, workers: int, trials: int) -> None:
    dataset = load_dataset("digits").without_test()
    space = parse_space(SPACE, "mine", "mine.yaml").with_baseline({"validation": len(dataset.validation)})
    search = Search(space.with_baseline({"data": "digits"}), "val_cross_entropy", "random", "none")
    queue, _ = create_queue(storage, NAME, search.direction)
    run = run_search.open_search(store.connect(), NAME)
    run_search.begin(search, dataset, queue, run, {}, reuse=False)
    supply = SlotSupply(queue, search, Budget(trials, None))
    supply([])
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "benchmarks.many_workers", "--work", storage]
    team = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
        for _ in range(workers)
    ]
    clock, spent = time.monotonic(), time.process_time()
    while any(process.poll() is None for process in team):
        with queue.one_look():
            recovery.requeue_forgotten(queue)
            now = progress(queue)
            supply(now)
            if len(now) == trials and all(trial.finished for trial in now):
                queue.end("all done")
        time.sleep(POLL_SECONDS)
    watching = (time.process_time() - spent) / (time.monotonic() - clock)
    costs = np.array([float(process.communicate()[0]) for process in team])
    done = [trial for trial in queue.get_trials() if trial.state == TrialState.COMPLETE]
    slots = Counter(map(slot_of, done))
    begun = min(trial.datetime_start for trial in done)
    took = (max(trial.datetime_complete for trial in done) - begun).total_seconds()
    print(
        f"{storage.partition(':')[0]}: {workers} workers, {trials} trials: {trials - len(slots)} lost, "
        f"{sum(number > 1 for number in slots.values())} twice; {costs.sum() / trials:.3f} s of a core a trial; "
        f"{took:.1f} s from the first to the last; the busiest worker ran "
        f"{max(Counter(trial.user_attrs['worker']['pid'] for trial in done).values())}; "
        f"watching them took {100 * watching:.1f} % of a core"
    )


def work(storage: str) -> None:
    """Be a worker; print the seconds of a core that its trials cost."""
    times: list[float] = []

    def train(config: TrialConfig, dataset, record, name, on_epoch) -> SimpleNamespace:
        times.append(time.process_time())
        epoch = SimpleNamespace(number=1, val_cross_entropy=abs(np.log10(config.training.learning_rate) + 2))
        record.log_epoch(1, {"val_cross_entropy": epoch.val_cross_entropy})
        on_epoch(epoch)
        record.log_summary({"model_val_cross_entropy": epoch.val_cross_entropy})
        return SimpleNamespace(state="complete", reason=None, epochs=(epoch,), model_epoch=1)

    worker.work(storage, NAME, train=train)
    # From the first trial to the last, and as much again for the last as for the others.
    print((times[-1] - times[0]) * len(times) / (len(times) - 1) if len(times) > 1 else 0.0)


if __name__ == "__main__":
    startup.hush()
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main(*sys.argv[1:])
