"""The weights after training, by layer and by unit, and the units that no longer answer."""

import io
import math

import numpy as np
import pandas as pd

from study.analysis.ablation_results import ACCURACY, AblationResults, Measure
from study.reports.document import Document
from study.reports.plots import images, panels
from study.reports.sections import by_arm
from study.reports.table import Table
from study.tracking import stored, tags
from study.tracking.artifacts import WEIGHTS

NORM = Measure("weight_norm", "norm of the weights", "")
UNITS_SHOWN = 16
NO_DENSE = "No trial has kept a model with Dense layers of its own, so there are no units to show."
NO_ACTIVATION = "No network here has an Activation layer of its own, so nothing is known of its units' answers."


def norms(document: Document, study: AblationResults) -> None:
    document.heading("The size of the weights")
    norms = by_arm.values(study, NORM)
    places = {arm: (float(np.mean(values)), by_arm.over_seeds(study, ACCURACY, arm)) for arm, values in norms.items()}
    document.figures(
        {
            "weight_norm": panels.dots(norms, "Norm of all kernels", "√Σw²"),
            "accuracy_by_norm": panels.scatter(
                places,
                "Accuracy and the norm of the weights",
                "√Σw², mean over the seeds",
                "val accuracy (%)",
                log=True,
            ),
        }
    )
    _layer_table(document, study)


def _layer_table(document: Document, study: AblationResults) -> None:
    """Add the mean, sd and norm of each layer's weights, averaged over the seeds."""
    rows = []
    for arm, trials in by_arm.trials(study).items():
        files = [stored.read_file(trial, WEIGHTS) for trial in trials]
        tables = [pd.read_csv(io.BytesIO(content)) for content in files if content]
        for layer, part in pd.concat(tables).groupby("layer", sort=False) if tables else ():
            numbers = part[["mean", "sd", "norm"]].mean()
            rows.append((arm, layer, part["shape"].iloc[0], *(f"{number:.3g}" for number in numbers)))
    document.table(Table(("arm", "layer", "shape", "mean", "sd", "norm"), rows, words=("layer",)))


def units(document: Document, study: AblationResults) -> None:
    document.heading("Dead and saturated units")
    layers = sorted({int(key.rpartition("_")[2]) for trial in study.trials for key in trial.metrics if _is_share(key)})
    if not layers:
        document.text(NO_ACTIVATION)
        return
    shares = {
        (kind, layer): Measure(f"{kind}_{layer}", f"{kind}, layer {layer}", "%", 100)
        for layer in layers
        for kind in ("dead", "saturated")
    }
    rows = [
        (arm.name, *(by_arm.over_seeds(study, measure, arm.name) for measure in shares.values())) for arm in study.arms
    ]
    document.table(Table(("arm", *(f"{measure.title} (%)" for measure in shares.values())), rows))
    document.text(
        "A unit's answer to an image is saturated if the activation's slope there is below 5 % of its steepest: a "
        "ReLU that is off, a tanh near ±1. A unit is dead if its answers to all of 2,000 validation rows are "
        "saturated."
    )
    document.figures(
        {
            f"{kind}_{layer}": panels.dots(
                by_arm.values(study, measure),
                f"{'Units that are dead' if kind == 'dead' else 'Answers that are saturated'}, layer {layer}",
                "share (%)",
            )
            for (kind, layer), measure in shares.items()
        }
    )


def _is_share(key: str) -> bool:
    return key.startswith(("dead_", "saturated_"))


def first_layer(document: Document, study: AblationResults) -> None:
    document.heading("The first layer's units")
    pictures, rows, units = {}, [], []
    shape = study.test_set[1].shape[1:] if study.test_set else ()
    for number, (arm, trials) in enumerate(by_arm.trials(study).items(), start=1):
        statistics = []
        for trial in trials:
            if not (kernels := stored.read_kernels(study.client, trial.run_id)):
                continue
            kernel = kernels[0]
            statistics.append([kernel.mean(axis=0), kernel.std(axis=0), kernel.min(axis=0), kernel.max(axis=0)])
            rows_of_units = enumerate(np.transpose(statistics[-1]), start=1)
            units += [((arm, trial.tags[tags.SEED], unit), row) for unit, row in rows_of_units]
            if len(statistics) == 1 and len(shape) == 2 and math.prod(shape) == len(kernel) and min(shape) >= 8:
                tiles = kernel.T[:UNITS_SHOWN].reshape(-1, *shape)
                title = f"{arm}: the first {len(tiles)} units, seed {trial.tags['seed']}"
                captions = [f"{np.abs(tile).max():.2f}" for tile in tiles]
                pictures[f"units_{number}"] = images.pictures([*tiles], captions, title, signed=True)
        if statistics:
            rows.append((arm, *(f"{values:.4f}" for values in np.mean(statistics, axis=(0, 2)))))
    if not rows:
        document.text(NO_DENSE)
        return
    header = ("mean", "sd", "least", "most")
    document.table(Table(("arm", *(f"{name} of a unit" for name in header)), rows))
    document.text(
        f"Means over all units and seeds; `first_layer_units.csv` has each unit's. The pictures are the weights of "
        f"{UNITS_SHOWN} units, blue below zero and red above, each scaled to its largest weight, which is below it:"
    )
    document.figures(pictures)
    numbers = ((*words, *(f"{number:.6g}" for number in row)) for words, row in units)
    document.files["first_layer_units.csv"] = Table(("arm", "seed", "unit", *header), numbers).csv()


def distributions(document: Document, study: AblationResults) -> None:
    document.heading("The distribution of the weights, layer by layer")
    by_layer: dict[int, dict[str, list[np.ndarray]]] = {}
    for arm, trials in by_arm.trials(study).items():
        for trial in trials:
            for number, kernel in enumerate(stored.read_kernels(study.client, trial.run_id), start=1):
                by_layer.setdefault(number, {}).setdefault(arm, []).append(kernel.ravel())
    if not by_layer:
        document.text(NO_DENSE)
    document.figures(
        {
            f"weights_{number}": panels.histograms(
                {arm: np.concatenate(kernels) for arm, kernels in arms.items()},
                f"Weights of {f'hidden layer {number}' if number < len(by_layer) else 'the last layer'}",
                "weight",
            )
            for number, arms in by_layer.items()
        }
    )
    _layer_table(document, study)
