"""One trial, from its config to a finished MLflow run: train, score, record."""

from collections.abc import Callable

import numpy as np

from study import figures, network, tracking, training
from study.config import TrialConfig
from study.data import Dataset
from study.evaluation import Evaluation, evaluate
from study.tracking import CURVES, csv_text
from study.training import Epoch, TrialResult


def run(
    config: TrialConfig, dataset: Dataset, record: tracking.Run, name: str, on_epoch: Callable[[Epoch], bool | None]
) -> TrialResult:
    """Train the config's network, writing each epoch and in the end everything about it to `record`, and end that.

    The run is FINISHED for a complete or pruned trial and FAILED for a diverged one, which keeps its curves and has
    no model. `on_epoch` is called after each epoch and ends the training by returning True.
    """

    def log_and_pass_on(epoch: Epoch) -> bool | None:
        record.log_epoch(epoch.number, _epoch_metrics(epoch))
        return on_epoch(epoch)

    record.log_dataset(dataset)
    result = training.train(config, dataset, log_and_pass_on)

    title = f"{name} · {dataset.title}"
    files, metrics = _curve_files(result, title), _time_metrics(result)
    if result.state != "diverged":
        metrics |= _epoch_summary(result)
    if result.state == "complete":
        model = network.build(config, dataset.image_shape, dataset.classes)
        model.set_weights(result.weights)
        validation, test = (
            evaluate(training.logits(model, split.images), split.labels) for split in (dataset.validation, dataset.test)
        )
        files |= _confusion_files({"validation": validation, "test": test}, title)
        metrics |= _score_metrics(validation, test, training.l2_penalty(model, config.l2))
        record.log_model(model, dataset.image_shape, dataset.classes)
    record.log_files(files)
    record.log_summary(metrics)
    record.set_tags({"state": result.state})
    record.end("FAILED" if result.state == "diverged" else "FINISHED", result.reason)
    return result


def _epoch_metrics(epoch: Epoch) -> dict[str, float]:
    return {name: getattr(epoch, name) for name in CURVES} | {
        "generalization_gap": epoch.accuracy - epoch.val_accuracy,
        "epoch_seconds": epoch.seconds,
    }


def _time_metrics(result: TrialResult) -> dict[str, float]:
    return {
        "epochs_trained": len(result.epochs),
        "train_seconds": result.train_seconds,
        "compile_seconds": result.compile_seconds,
    }


def _epoch_summary(result: TrialResult) -> dict[str, float]:
    best, kept = result.epochs[result.best_epoch - 1], result.epochs[result.model_epoch - 1]
    return {
        "best_epoch": best.number,
        "best_val_loss": best.val_loss,
        "best_val_accuracy": best.val_accuracy,
        "model_epoch": kept.number,
        "model_val_loss": kept.val_loss,
        "model_val_accuracy": kept.val_accuracy,
    }


def _score_metrics(validation: Evaluation, test: Evaluation, penalty: float) -> dict[str, float]:
    recalls = {f"test_recall_{label}": float(recall) for label, recall in enumerate(test.recall) if np.isfinite(recall)}
    return {
        "val_macro_f1": validation.macro_f1,
        "test_loss": test.loss + penalty,
        "test_accuracy": test.accuracy,
        "test_macro_f1": test.macro_f1,
    } | recalls


def _curve_files(result: TrialResult, title: str) -> dict[str, bytes | str]:
    curves = {name: [getattr(epoch, name) for epoch in result.epochs] for name in CURVES}
    losses = np.concatenate([epoch.step_losses for epoch in result.epochs])
    steps = len(result.epochs[0].step_losses)
    numbered = ((index // steps + 1, index + 1, f"{loss:.6g}") for index, loss in enumerate(losses))
    return {
        "learning_curves.png": figures.png(figures.learning_curves(curves, result.best_epoch, title)),
        "step_loss.png": figures.png(figures.step_losses(losses, steps, title)),
        "step_loss.csv": csv_text(("epoch", "step", "loss"), numbered),
    }


def _confusion_files(evaluations: dict[str, Evaluation], title: str) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {
        "confusion_matrices.png": figures.png(figures.confusion_matrices(evaluations, title))
    }
    for split, evaluation in evaluations.items():
        classes = range(len(evaluation.confusion))
        rows = ((label, *counts) for label, counts in zip(classes, evaluation.confusion.tolist(), strict=True))
        files[f"confusion_{split}.csv"] = csv_text(("true class", *(f"taken for {label}" for label in classes)), rows)
        files[f"confused_pairs_{split}.csv"] = csv_text(
            ("true class", "taken for", "images"), evaluation.confused_pairs()
        )
    return files
