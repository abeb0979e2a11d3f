"""Searches MNIST with several seeds, and compares the default sampler with random search on the same budget.

    python -m benchmarks.search_mnist [DATA] [SEEDS] [TRIALS]

Both use the default space and pruner, and their searches alternate. Each search reports its best validation value, its
wall time, and the test accuracy of its best trial's saved model, which is scored here once, after the search.
"""

import os
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from statistics import median

from study.base.startup import hush
from study.data.dataset import Dataset, load_dataset
from study.design.search import Budget, Search
from study.design.search_space import load_space
from study.tracking import stored
from study.training.metrics import evaluate
from study.workflows import run_search
from study.workflows.search_budget import plan

WORKERS = 2


def main(spec: str = "mnist", seeds: str = "5", trials: str = "50") -> None:
    """Print one line for each search, and the medians."""
    hush()
    dataset = load_dataset(spec if spec == "mnist" else str(Path(spec).resolve()))
    found: dict[str, list[tuple[float, float, float]]] = {"tpe": [], "random": []}
    for seed in range(1, int(seeds) + 1):
        for sampler, results in found.items():
            results.append(_search(dataset, sampler, seed, int(trials)))
            value, accuracy, seconds = results[-1]
            told = f"best {value:.4f}  its test accuracy {100 * accuracy:.2f} %  {seconds:.0f} s"
            print(f"seed {seed} {sampler:<6}  {told}", flush=True)
    for sampler, results in found.items():
        value, accuracy, seconds = map(median, zip(*results, strict=True))
        print(f"median of n = {seeds} {sampler:<6}  {value:.4f}  {100 * accuracy:.2f} %  {seconds:.0f} s")
    wins = sum(one[0] < other[0] for one, other in zip(*found.values(), strict=True))
    print(f"tpe has the better value in {wins} of {seeds}")


def _search(dataset: Dataset, sampler: str, seed: int, trials: int) -> tuple[float, float, float]:
    from study.base.backend import from_bytes
    from study.training import program

    settings = {"data": dataset.spec, "validation": len(dataset.validation), "seed": seed}
    around = load_space("default").with_baseline(settings)
    search = Search(around, "val_cross_entropy", sampler, "hyperband")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        clock = time.perf_counter()
        outcome = run_search.run_search(
            search, dataset, name="mnist", plan=plan(search, dataset, Budget(trials, None), WORKERS, 0), params={},
            worker_count=WORKERS, observe=lambda _: None,
        )  # fmt: skip
        seconds = time.perf_counter() - clock
        best = outcome.study.best
        model = from_bytes(stored.read_model(outcome.study.client, best.run_id))
    test = evaluate(program.logits(model, dataset.test.inputs), dataset.test.labels)
    return best.metrics[f"model_{search.metric}"], test.accuracy, seconds


if __name__ == "__main__":
    main(*sys.argv[1:])
