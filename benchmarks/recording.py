"""Measures what recording a trial costs beside its training, part by part.

    python -m benchmarks.recording [TRIALS]

Trains a tiny network on the digits again and again in this process, each time as a trial of its own in a new SQLite
store, and prints the seconds of each part: medians of n = TRIALS (12), with the quartiles, and last the median of the
processor's seconds, which say more on a busy machine. *All but training* is from the start of the trial's run to its
end, without the training itself.
"""

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from study.base.startup import hush

TRIALS = 12
Taken = dict[str, list[np.ndarray]]  # by part, for each trial the seconds that passed, and the processor's


def now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def timed(owner: object, name: str, taken: Taken, label: str) -> None:
    """Let `owner.name` add its seconds to the last trial's figure in `taken`."""
    works: Callable = getattr(owner, name)

    def measured(*given, **named):
        start = now()
        try:
            return works(*given, **named)
        finally:
            taken[label][-1] = taken[label][-1] + now() - start

    setattr(owner, name, measured)


def main(trials: str = str(TRIALS)) -> None:
    """Print the table."""
    hush()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        for label, seconds in measure(int(trials)).items():
            (low, middle, high), (_, processor, _) = np.quantile(seconds, [0.25, 0.5, 0.75], axis=0).T
            print(f"{label:<22}{middle:7.3f} ({low:.3f}–{high:.3f}) {processor:7.3f}")


def measure(trials: int) -> Taken:
    """Return what each part takes, trial by trial."""
    from study.data.dataset import load_dataset
    from study.execution import run_trial
    from study.reports.plots import kept, trial
    from study.tracking import runs
    from study.tracking.store import connect
    from study.training import loop
    from study.training.config import TrialConfig

    taken: Taken = defaultdict(lambda: [np.zeros(2)])
    for owner, name, label in (
        (loop, "train", "training"),
        (run_trial, "evaluate", "network: scores"), (run_trial, "_inspection_metrics", "network: inspection"),
        (trial, "learning_curves", "pictures"), (trial, "step_losses", "pictures"),
        (trial, "confusion_matrices", "pictures"), (kept.Kept, "png", "pictures"),
        (runs, "start_trial_run", "run: start"), (runs.Run, "log_dataset", "run: dataset"),
        (runs.Run, "log_files", "run: files"), (runs.Run, "log_summary", "run: metrics"),
        (runs.Run, "log_model", "run: model"), (runs.Run, "finish", "run: end"),
    ):  # fmt: skip
        timed(owner, name, taken, label)
    dataset, client = load_dataset("digits"), connect()
    study = runs.open_study_run(client, "recording")
    config = TrialConfig.parse({"hidden": 32, "epochs": 3})
    for number in range(trials + 2):
        for label in {"all but training", *taken}:
            taken[label].append(np.zeros(2))
        start = now()
        own = config.replace({"seed": number + 1})
        run = runs.start_trial_run(client, study.run_id, f"trial {number}", own.as_text(), {})
        result = run_trial.run_trial(own, dataset, run, f"trial {number}", lambda epoch: None)
        run.finish(result.state)
        taken["all but training"][-1] = now() - start - taken["training"][-1]
    assert Path("mlflow.db").exists()
    return {label: seconds[-trials:] for label, seconds in taken.items()}  # without the first two, which warm up


if __name__ == "__main__":
    main(*sys.argv[1:])
