"""Searches MNIST with several seeds: the default sampler, and others in the same time; each choice is trained again.

    python -m benchmarks.search_mnist FOLDER [DATA [SEEDS [TRIALS [SAMPLER/PRUNER …]]]]
    python -m benchmarks.search_mnist FOLDER shown       prints what FOLDER has

The first of the samplers gets so many trials (40), the others so many minutes as it has taken; the default is gp, tpe
and random with hyperband. All begin with the same seed and the baseline. What a search chooses is the configuration
that it expects to be the best. It is trained with FRESH seeds that no search has used, the same ones for every choice:
their validation cross-entropy is what is compared, and their test accuracy is shown once, in the summary. Each search
leaves a file in FOLDER, so that the command can be interrupted and given again.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import numpy as np

from study.analysis.statistics import estimate
from study.base import xla_cache
from study.base.startup import hush
from study.data.dataset import Dataset, load_dataset
from study.design.search import REPLICATING, Budget, Search
from study.design.search_space import load_space
from study.training.config import TrialConfig

WORKERS = 2
FRESH = range(1001, 1006)
SEARCHES = ("gp/hyperband", "tpe/hyperband", "random/hyperband")


def main(folder: str, spec: str = "mnist", seeds: str = "5", trials: str = "40", *searches: str) -> None:
    """Run the searches that FOLDER does not have, and print a line for each, and the summary."""
    os.environ[xla_cache.SWITCH] = "off"  # the first search would compile for the others
    hush()
    place, names = Path(folder).resolve(), searches or SEARCHES
    place.mkdir(parents=True, exist_ok=True)
    spec = str(Path(spec).resolve()) if Path(spec).exists() else spec
    dataset = load_dataset(spec)
    for seed in range(1, int(seeds) + 1):
        minutes: float | None = None
        for name in names:
            file = place / f"{seed}-{name.replace('/', '-')}.json"
            if not file.exists():
                budget = Budget(int(trials), None) if minutes is None else Budget(None, minutes)
                file.write_text(json.dumps(_search(dataset, name, seed, budget)))
            found = json.loads(file.read_text())
            minutes = found["seconds"] / 60 if minutes is None else minutes
            print(
                f"seed {seed} {name:<18} {found['seconds']:4.0f} s  {found['trials']:3d} trials, {found['epochs']} "
                f"epochs  {np.mean(found['val']):.4f} after {found['value']:.4f}  {found['settings']}",
                flush=True,
            )
    summary(place)


def summary(folder: Path) -> None:
    """Print the means over the searches in the folder, and the differences from the first sampler by seed."""
    found: dict[str, dict[int, dict]] = {}
    for file in sorted(folder.glob("*.json")):
        seed, _, name = file.stem.partition("-")
        found.setdefault(name, {})[int(seed)] = json.loads(file.read_text())
    first = next(name for name in found if name.startswith("gp"))
    for name, by_seed in found.items():
        val, test = (np.array([np.mean(each[what]) for each in by_seed.values()]) for what in ("val", "test"))
        shared = [seed for seed in by_seed if seed in found[first]]
        ahead = np.array([np.mean(by_seed[seed]["val"]) - np.mean(found[first][seed]["val"]) for seed in shared])
        told = [f"{each.mean:.4f} ± {each.half_width:.4f}" for each in (estimate(val), estimate(ahead), estimate(test))]
        print(
            f"{name:<18} n = {len(val)}: cross-entropy {told[0]}, minus that of {first} {told[1]} (worse in "
            f"{sum(ahead > 0)}), test accuracy {told[2]}"
        )


def _search(dataset: Dataset, name: str, seed: int, budget: Budget) -> dict:
    from study.workflows import run_search
    from study.workflows.search_budget import plan

    sampler, pruner = name.split("/")
    settings = {"data": dataset.spec, "validation": len(dataset.validation), "seed": seed}
    around = load_space("default").with_baseline(settings)
    search = Search(around, "val_cross_entropy", sampler, pruner, replicate=sampler == REPLICATING)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        clock = time.perf_counter()
        outcome = run_search.run_search(
            search, dataset, name="mnist", plan=plan(search, dataset, budget, WORKERS, 0), params={},
            worker_count=WORKERS, observe=lambda _: None,
        )  # fmt: skip
        seconds, study = time.perf_counter() - clock, outcome.study
        best = study.best
        assert best is not None
        settings = study.settings(best)
        told = {"seconds": seconds, "trials": len(study.all_trials), "settings": settings}
        told["epochs"] = round(sum(each.metrics.get("epochs_trained", 0) for each in study.all_trials))
        told["value"] = best.metrics[f"model_{search.metric}"]
    config = search.baseline.replace(settings)
    with multiprocessing.get_context("spawn").Pool(WORKERS, hush) as pool:
        again = pool.starmap(_train, [(config.replace({"seed": fresh}), dataset.spec) for fresh in FRESH])
    told["val"], told["test"] = map(list, zip(*again, strict=True))
    return told


def _train(config: TrialConfig, spec: str) -> tuple[float, float]:
    """Return the validation cross-entropy and the test accuracy of a training."""
    from study.training import loop
    from study.training.metrics import evaluate

    dataset = load_dataset(spec)
    logits = loop.train(config, dataset).logits
    told = {name: evaluate(logits[name], split.labels) for name, split in dataset.splits.items()}
    return told["validation"].loss, told["test"].accuracy


if __name__ == "__main__":
    if sys.argv[2:] == ["shown"]:
        summary(Path(sys.argv[1]))
    else:
        main(*sys.argv[1:])
