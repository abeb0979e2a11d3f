"""Train the settings of the reports that the catalogue follows, and set their figures beside ours.

    python -m docs.make_replication DATA SEEDS [TASK …]

trains every arm of the tasks whose reports give figures, with seeds 1 to SEEDS, and adds what it measures to
docs/replication.csv; a trial that is there already is not trained again. `python -m docs.make_reference` writes
docs/replication.md from that file.
"""

import csv
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from study.analysis.formatting import show
from study.analysis.statistics import Estimate, estimate
from study.design.ablation import Ablation, catalogue, load_ablation
from study.design.origin import KINDS, Figure, number_text
from study.training.config import TrainingConfig
from study.training.early_stopping import Plateau

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "replication.csv"
COLUMNS = ("task", "arm", "seed", "epochs", "train_accuracy", "val_accuracy", "test_accuracy", "train_cost", "val_cost",
           "seconds", "kernel_means", "kernel_sds", "data_sha256", "commit")  # fmt: skip
# One run each, by hand. What each of them trains and concludes is in the tasks that follow it.
REPORTS = {
    "S0": "a notebook of ten tasks: a Keras network of 784-128-10 on MNIST, trained by Adam for five epochs. It "
    "concludes in words and gives next to no figures.",
    "S1": "a second notebook with the same ten tasks and settings.",
    "S2": "a network of 784-20-7-5-10 written from scratch: mini-batch gradient descent, L2, batch normalization.",
    "S3": "a Keras network with two hidden layers on Kaggle's MNIST file: Adam, dropout, normalization.",
    "S4": "a sigmoid network with one hidden layer written from scratch, on generated data and on MNIST.",
}
Row = dict[str, str]


def main(data: str, seeds: str, *only: str) -> None:
    """Train what is missing, and write each trial into docs/replication.csv as soon as it is there."""
    done = {(row["task"], row["arm"], row["seed"]) for row in measured()}
    for task in only or [task for task in catalogue() if load_ablation(task).origin.reported]:
        for row in _trained(load_ablation(task), data, int(seeds), done):
            with MEASURED.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
            print(*(row[name] for name in COLUMNS[:10]), flush=True)


def _trained(ablation: Ablation, data: str, seeds: int, done: set[tuple[str, str, str]]) -> Iterator[Row]:
    from study.data.dataset import load_dataset
    from study.training import loop, network  # imports TensorFlow, which the page does not need
    from study.training.metrics import evaluate

    dataset = load_dataset(data, ablation.baseline.data.validation)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    for spec in ablation.trial_specs(seeds, dataset):
        if (ablation.task, spec.arm, str(spec.config.seed)) in done:
            continue
        # A validation loss every hundred steps takes four times as long as the steps. It changes nothing unless it ends
        # the training.
        config = spec.config.replace({"validate_every": None, "patience_steps": None})
        result = loop.train(config, dataset)
        model = network.build(config, dataset.image_shape, dataset.classes)
        model.set_weights(result.weights)
        if _would_stop(spec.config.training, [epoch.val_loss for epoch in result.epochs], len(dataset.train)):
            print(f"{spec.name}: the rule may have ended this one early", flush=True)
        scores = {
            f"{kind}_accuracy": 100 * evaluate(loop.logits(model, rows.images), rows.labels).accuracy
            for kind, rows in (("train", dataset.train), ("val", dataset.validation), ("test", dataset.test))
        }
        kernels = [weights for weights in result.weights if weights.ndim == 2]
        values = {
            **scores, "train_cost": result.epochs[-1].loss, "val_cost": result.epochs[-1].val_loss,
            "seconds": result.train_seconds,
        }  # fmt: skip
        yield {
            "task": ablation.task, "arm": spec.arm, "seed": str(config.seed), "epochs": str(len(result.epochs)),
            **{name: f"{value:.6g}" for name, value in values.items()},
            "kernel_means": " ".join(f"{kernel.mean():.4g}" for kernel in kernels),
            "kernel_sds": " ".join(f"{kernel.std():.4g}" for kernel in kernels),
            "data_sha256": dataset.sha256[:12], "commit": commit.strip(),
        }  # fmt: skip


def _would_stop(limits: TrainingConfig, val_losses: list[float], rows: int) -> bool:
    """Return whether `patience_steps` would have ended a training, as far as its epochs' last losses can tell."""
    plateau = Plateau(limits.patience_steps, limits.min_delta)
    for loss in val_losses:
        plateau.update(-(-rows // limits.batch_size), loss)
        if plateau.stop:
            return True
    return False


def measured() -> list[Row]:
    """Return the trials that have been trained, as docs/replication.csv has them."""
    if not MEASURED.is_file():
        return []
    with MEASURED.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
