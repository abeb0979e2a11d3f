"""Takes one trial from its config to a recorded MLflow run: train, score, record."""

from collections.abc import Callable, Mapping

import numpy as np

from study.base.backend import to_bytes
from study.data.dataset import Dataset
from study.reports.plots import trial
from study.tracking import runs, tags
from study.tracking.artifacts import CURVES, PREDICTIONS, STEP_LOSSES, STEP_VAL_LOSSES, WEIGHTS, csv_text, npy_bytes
from study.training import diagnostics, loop, program
from study.training.config import TrialConfig
from study.training.loop import Epoch, TrialResult
from study.training.metrics import Evaluation, evaluate


def run_trial(
    config: TrialConfig, dataset: Dataset, record: runs.Run, name: str, on_epoch: Callable[[Epoch], bool | None]
) -> TrialResult:
    """Train the config's network, and write its epochs and its results to `record`; who asked for it ends that run.

    A diverged trial keeps its curves and has no model. `on_epoch` is called after each epoch; it ends the training by
    returning True.
    """

    def log_and_pass_on(epoch: Epoch) -> bool | None:
        record.log_epoch(epoch.number, _epoch_metrics(epoch))
        return on_epoch(epoch)

    record.log_dataset(dataset)
    result = loop.train(config, dataset, log_and_pass_on)

    title = f"{name} · {dataset.title}"
    files, metrics = _curve_files(result, title), _time_metrics(result)
    if result.state != "diverged":
        metrics |= best_epoch_metrics(result.best_epoch, _epoch_metrics(result.epochs[result.best_epoch - 1]))
    if result.state == "complete":
        model = result.model
        scored_files, scores = score(result.logits, program.penalty(model), dataset, title)
        files |= scored_files | {WEIGHTS: _weights_table(model)}
        metrics |= _model_epoch(result) | scores | _inspection_metrics(model, dataset)
        record.log_model(to_bytes(model), dataset.row_shape, dataset.classes, dataset.dtype)
    if result.compiler != program.XLA:
        record.set_tags({tags.COMPILER: result.compiler})
    record.log_files(files)
    record.log_summary(metrics)
    return result


def score(
    logits: Mapping[str, np.ndarray], penalty: float, dataset: Dataset, title: str
) -> tuple[dict[str, bytes | str], dict[str, float]]:
    """Score what a trained network computes for splits, (n, classes) each; return their files and metrics.

    The files have confusions and predictions; `penalty` is what the network's weights add to its test_loss.
    """
    scores = {split: evaluate(values, getattr(dataset, split).labels) for split, values in logits.items()}
    judged = {split: scores[split] for split in scores if split != "train"}
    files = _confusion_files(judged, title, dataset.class_names)
    if "test" in logits:
        smallest = np.min_scalar_type(dataset.classes - 1)
        files |= {PREDICTIONS: npy_bytes(logits["test"].argmax(axis=1).astype(smallest))}
    return files, _score_metrics(scores, penalty)


def _epoch_metrics(epoch: Epoch) -> dict[str, float]:
    return {name: getattr(epoch, name) for name in CURVES} | {
        "val_cross_entropy": epoch.val_cross_entropy,
        "generalization_gap": epoch.accuracy - epoch.val_accuracy,
        "epoch_seconds": epoch.seconds,
    }


def _time_metrics(result: TrialResult) -> dict[str, float]:
    return {
        tags.EPOCHS_TRAINED: len(result.epochs),
        "train_seconds": result.train_seconds,
        "compile_seconds": result.compile_seconds,
    }


def best_epoch_metrics(number: int, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return what a run's summary says of its best epoch, from that epoch's number and metrics."""
    return {
        "best_epoch": number,
        "best_val_loss": metrics["val_loss"],
        "best_val_accuracy": metrics["val_accuracy"],
    }


def _model_epoch(result: TrialResult) -> dict[str, float]:
    kept = result.epochs[result.model_epoch - 1]
    return {
        "model_epoch": kept.number,
        "model_val_loss": kept.val_loss,
        "model_val_accuracy": kept.val_accuracy,
    }


def _score_metrics(scores: dict[str, Evaluation], penalty: float) -> dict[str, float]:
    train, validation = scores["train"], scores["validation"]
    metrics = {
        # The training rows again, without dropout and with the weights that were kept: comparable with the others.
        "model_train_accuracy": train.accuracy,
        "model_train_cross_entropy": train.loss,
        "model_val_cross_entropy": validation.loss,
        "model_val_cross_entropy_se": validation.loss_error,
        "model_generalization_gap": train.accuracy - validation.accuracy,
        "val_macro_f1": validation.macro_f1,
        "val_balanced_accuracy": validation.balanced_accuracy,
    }
    if test := scores.get("test"):
        metrics |= {
            "test_loss": test.loss + penalty,
            "test_cross_entropy": test.loss,
            "test_accuracy": test.accuracy,
            "test_macro_f1": test.macro_f1,
            "test_balanced_accuracy": test.balanced_accuracy,
        }
        recalls = enumerate(test.recall)
        metrics |= {f"test_recall_{label}": float(recall) for label, recall in recalls if np.isfinite(recall)}
    return metrics


def _inspection_metrics(model, dataset: Dataset) -> dict[str, float]:
    layers = diagnostics.activity(model, dataset.validation.inputs)
    shares = {
        f"{share}_{number}": getattr(layer, share)
        for number, layer in enumerate(layers, start=1)
        for share in ("dead", "saturated")
    }
    norms = [kernel.norm for kernel in diagnostics.weights(model)]
    return {"parameters": diagnostics.parameters(model), "weight_norm": float(np.linalg.norm(norms))} | shares


def _weights_table(model) -> str:
    header = ("layer", "shape", "mean", "sd", "least", "most", "norm")
    rows = (
        (kernel.layer, "×".join(map(str, kernel.shape)), *(f"{getattr(kernel, name):.6g}" for name in header[2:]))
        for kernel in diagnostics.weights(model)
    )
    return csv_text(header, rows)


def _curve_files(result: TrialResult, title: str) -> dict[str, bytes | str]:
    curves = {name: [getattr(epoch, name) for epoch in result.epochs] for name in CURVES}
    losses = np.concatenate([epoch.step_losses for epoch in result.epochs])
    steps = len(result.epochs[0].step_losses)
    numbered = ((index // steps + 1, index + 1, f"{loss:.6g}") for index, loss in enumerate(losses))
    looks = [(steps * (epoch.number - 1) + step, value) for epoch in result.epochs for step, value in epoch.val_losses]
    files: dict[str, bytes | str] = {
        "learning_curves.png": trial.learning_curves(curves, result.best_epoch, title).png(),
        "step_loss.png": trial.step_losses(losses, steps, title, looks).png(),
        STEP_LOSSES: csv_text(("epoch", "step", "loss"), numbered),
    }
    if looks:
        files[STEP_VAL_LOSSES] = csv_text(("step", "val_loss"), ((step, f"{value:.6g}") for step, value in looks))
    return files


def _confusion_files(evaluations: dict[str, Evaluation], title: str, names: tuple[str, ...]) -> dict[str, bytes | str]:
    picture = trial.confusion_matrices(evaluations, title, names)
    files: dict[str, bytes | str] = {"confusion_matrices.png": picture.png()}
    for split, evaluation in evaluations.items():
        rows = ((name, *counts) for name, counts in zip(names, evaluation.confusion.tolist(), strict=True))
        files[f"confusion_{split}.csv"] = csv_text(("true class", *(f"taken for {name}" for name in names)), rows)
        pairs = ((names[label], names[taken_for], count) for label, taken_for, count in evaluation.confused_pairs())
        files[f"confused_pairs_{split}.csv"] = csv_text(("true class", "taken for", "images"), pairs)
    return files
