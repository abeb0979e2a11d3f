"""Measures what a study costs beside its training as it grows: null trials, which only record.

    python -m benchmarks.flatness [TRIALS] [STORAGE]

One worker in this process runs TRIALS (1,000) null trials of an ablation of four arms, each recorded in a new SQLite
store with five epochs, metrics and files. STORAGE is the queue: a new SQLite file, or the address of a PostgreSQL
database. It prints the processor's seconds for each trial in every tenth of the study (median, quartiles), what the
program that watches the queue takes a look, a look-up for reuse, reading the study again to resume it, the report with
its size, the store's size and the memory.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from study.base.startup import hush

TRIALS = 1_000
ARMS = 4
EPOCHS = 5


def main(trials: str = str(TRIALS), storage: str = "auto") -> None:
    """Print the figures."""
    hush()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        measure(int(trials) // ARMS, storage)


def measure(seeds: int, storage: str) -> None:
    """Run the study, and print what it takes."""
    from study.analysis import ablation_results
    from study.data.dataset import load_dataset
    from study.design.ablation import parse_ablation
    from study.execution import recovery, reuse, worker
    from study.execution.queue import create_queue, progress
    from study.reports import ablation_report
    from study.tracking import arm_runs
    from study.training.fingerprint import fingerprint
    from study.workflows import common, run_ablation

    dataset = load_dataset("digits")
    ablation = parse_ablation(DEFINITION, "null", "null.yaml")
    specs = ablation.trial_specs(seeds, dataset)
    with common.open_run("null", params={}) as run:
        name = f"null-{run.run_id[:8]}"
        run_ablation.describe(ablation, specs, dataset, run, name, True)
        arm_runs.open_arm_runs(run, run_ablation.arm_params(specs))
        queue, _ = create_queue(storage, name)
        queue.assign(common.assignment(dataset, run.run_id, open_test=True, reuse=False))
        taken = _worked(queue, specs, lambda rest: worker.work(storage, name, train=null_trial, rest=rest))
        tenth = max(1, len(taken) // 10)
        for first in range(0, len(taken), tenth):
            low, middle, high = np.quantile(taken[first : first + tenth], [0.25, 0.5, 0.75])
            print(f"trials {first:>6,} to {first + tenth:>6,}: {middle:.3f} ({low:.3f}–{high:.3f}) s a trial")
        client = run.client
        print(f"a look at the queue: {_seconds(lambda: (recovery.requeue_forgotten(queue), progress(queue))):.3f} s")
        mark = fingerprint(specs[0].config.replace({"seed": 99_999}), dataset.sha256, len(dataset.validation))
        print(f"a look-up for reuse: {_seconds(lambda: reuse.find(client, mark, specs[0].config, dataset)):.3f} s")
        read = _seconds(lambda: ablation_results.read(client, run.run_id), 1)
        bare = _seconds(lambda: ablation_results.read(client, run.run_id, curves=False), 1)
        print(f"reading the study: {read:.1f} s with curves, {bare:.1f} s without")
        study = ablation_results.read(client, run.run_id)
        seconds = _seconds(lambda: ablation_report.log(study), 1)
        page = Path(f"mlruns/0/{run.run_id}/artifacts/report/report.html")
        print(f"the report: {seconds:.1f} s and {page.stat().st_size / 1e6:.1f} MB")
        print(f"mlflow.db: {Path('mlflow.db').stat().st_size / 1e6:.0f} MB; "
              f"memory: {psutil.Process().memory_info().rss / 1e6:.0f} MB")  # fmt: skip


DEFINITION = """
question: What does a trial cost that trains nothing?
baseline: {data: digits, epochs: 5}
arms: {grid: {batch_size: [8, 16, 32, 64]}}
"""


def null_trial(config, dataset, record, name, on_epoch):
    """Record a trial as `run_trial` does, with made-up results."""
    from types import SimpleNamespace

    from study.tracking.artifacts import BY_EPOCH, PREDICTIONS, TRIAL_FILES, npy_bytes

    rng = np.random.default_rng([config.seed, config.training.batch_size])
    accuracy = 0.9 + 0.01 * rng.standard_normal()
    record.log_dataset(dataset)
    for number in range(1, EPOCHS + 1):
        record.log_epoch(number, dict.fromkeys(BY_EPOCH, accuracy))
        on_epoch(SimpleNamespace(number=number, **dict.fromkeys(BY_EPOCH, accuracy)))
    text = "value\n" + "0.123456\n" * 150
    files = {file: PICTURE if file.endswith(".png") else text for file in TRIAL_FILES}
    guesses = np.where(rng.random(len(dataset.test)) < accuracy, dataset.test.labels, 0).astype(np.uint8)
    record.log_files(files | {PREDICTIONS: npy_bytes(guesses)})
    named = ("val_loss", "val_accuracy", "val_cross_entropy", "generalization_gap")
    record.log_summary(dict.fromkeys(
        ("test_accuracy", "train_seconds", "compile_seconds", "epochs_trained", *(f"model_{one}" for one in named)),
        accuracy,
    ))  # fmt: skip
    epochs = [SimpleNamespace(val_loss=accuracy, val_accuracy=accuracy, val_cross_entropy=accuracy)]
    return SimpleNamespace(state="complete", reason=None, epochs=epochs, model_epoch=1)


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(30_000) + b"IEND\xaeB`\x82"


def _worked(queue, specs, work) -> list[float]:
    """Return the processor's seconds for each trial of a worker that lives as long as the study does.

    Each is the mean of a stock of trials: the worker rests when it has done one, and gets the next.
    """
    from study.workflows.common import STOCK

    taken, start = [], time.process_time()

    def refill(seconds: float, done: int) -> None:
        nonlocal start
        number = done - len(taken)
        if number:
            taken.extend([(time.process_time() - start) / number] * number)
        if done == len(specs):
            queue.end("nothing is left")
        queue.add_specs(specs, done + STOCK)
        start = time.process_time()

    queue.add_specs(specs, STOCK)
    work(refill)
    return taken


def _seconds(function, times: int = 5) -> float:
    taken = []
    for _ in range(times):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
