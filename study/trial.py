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
        record.log_epoch(epoch.number, epoch_metrics(epoch))
        return on_epoch(epoch)

    record.log_dataset(dataset)
    result = training.train(config, dataset, log_and_pass_on)

    title = f"{name} · {dataset.name}" + (" (a substitute for MNIST)" if dataset.substitute_for else "")
    files = _curve_files(result, title)
    metrics = _summary_metrics(result)
    if result.state == "complete":
        model = network.build(config, dataset.image_shape, dataset.classes)
        model.set_weights(result.weights)
        evaluations = {
            "validation": evaluate(training.logits(model, dataset.validation.images), dataset.validation.labels),
            "test": evaluate(training.logits(model, dataset.test.images), dataset.test.labels),
        }
        metrics |= {
            "test_loss": evaluations["test"].loss + training.l2_penalty(model, config.l2),
            "test_accuracy": evaluations["test"].accuracy,
        }
        metrics |= {
            "val_macro_f1": evaluations["validation"].macro_f1,
            "test_macro_f1": evaluations["test"].macro_f1,
        }
        recalls = enumerate(evaluations["test"].recall)
        metrics |= {f"test_recall_{label}": float(recall) for label, recall in recalls if np.isfinite(recall)}
        files |= _confusion_files(evaluations, title)
        record.log_model(model, dataset.image_shape, dataset.classes)
    record.log_files(files)
    record.log_summary(metrics)
    record.set_tags({"state": result.state})
    record.end("FAILED" if result.state == "diverged" else "FINISHED", result.reason)
    return result


def epoch_metrics(epoch: Epoch) -> dict[str, float]:
    """Return what an epoch logs: Keras's four metrics, the gap between the accuracies, and its time in seconds."""
    return {name: getattr(epoch, name) for name in CURVES} | {
        "generalization_gap": epoch.accuracy - epoch.val_accuracy,
        "epoch_seconds": epoch.seconds,
    }


def _summary_metrics(result: TrialResult) -> dict[str, float]:
    best, kept = result.epochs[result.best_epoch - 1], result.epochs[result.model_epoch - 1]
    return {
        "best_epoch": best.number,
        "best_val_loss": best.val_loss,
        "best_val_accuracy": best.val_accuracy,
        "model_epoch": kept.number,
        "model_val_loss": kept.val_loss,
        "model_val_accuracy": kept.val_accuracy,
        "epochs_trained": len(result.epochs),
        "train_seconds": result.train_seconds,
        "compile_seconds": result.compile_seconds,
    }


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
