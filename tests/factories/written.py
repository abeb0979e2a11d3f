"""A study written into a real MLflow store without training anything: its numbers are made up, so that what is derived
from them can be worked out by hand."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from study.analysis import ablation_results
from study.analysis.ablation_results import AblationResults
from study.design.ablation import parse_ablation
from study.tracking import runs, store
from study.tracking.artifacts import ABLATION, PREDICTIONS, TEST_SET, npy_bytes

LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
IMAGES = np.arange(6 * 28 * 28, dtype=np.uint32).reshape(6, 28, 28).astype(np.uint8)


@dataclass(frozen=True)
class Trial:
    """What a trial came to: val accuracies by epoch, other metrics, files, and how it ended.

    A state is complete, pruned or diverged; or, of a trial that has none in its run, running or failed.
    """

    arm: str
    seed: int
    val_accuracy: Sequence[float] = (0.5,)
    metrics: Mapping[str, float] = field(default_factory=dict)
    predicted: Sequence[int] | None = None
    state: str = "complete"
    params: Mapping[str, str] = field(default_factory=dict)
    reused: bool = False


def write(yaml: str, trials: Sequence[Trial], *, params: Mapping[str, str] | None = None, **tags: str) -> str:
    """Write a study of this ablation with these trials into the store of the environment; return its run's ID."""
    client = store.connect()
    run = runs.open_study_run(client, "ablation mine")
    run.log_params({"task": "mine", "seeds": "auto", "workers": "2"} | dict(params or {}))
    rows = {"train_rows": 1000, "validation_rows": 10_000, "test_rows": 6}
    data = {"dataset": "made-up", "dataset_title": "made-up", "dataset_sha256": "5ee" + 61 * "0"}
    run.set_tags({"task": "mine", "git_commit": 40 * "c"} | rows | data | tags)
    content = io.BytesIO()
    np.savez_compressed(content, labels=LABELS, images=IMAGES)
    study = parse_ablation(yaml, "mine", "mine.yaml")
    run.log_files({ABLATION: study.as_yaml(), TEST_SET: content.getvalue()})
    for trial in trials:
        _write_trial(client, run.run_id, trial)
    run.end("FINISHED")
    return run.run_id


def _write_trial(client, run_id: str, trial: Trial) -> None:
    tags = {"arm": trial.arm, "seed": trial.seed, "host": "here"}
    run = runs.start_trial_run(client, run_id, f"{trial.arm} · seed {trial.seed}", trial.params, tags)
    for epoch, accuracy in enumerate(trial.val_accuracy, start=1):
        curves = {"val_accuracy": accuracy, "val_loss": 1 - accuracy, "accuracy": accuracy, "loss": 2 - accuracy}
        run.log_epoch(epoch, curves | {"val_cross_entropy": 1 - accuracy})
    last = trial.val_accuracy[-1]
    usual = {
        "model_val_accuracy": last, "model_val_cross_entropy": 1 - last, "test_accuracy": last - 0.01,
        "model_generalization_gap": 0.02, "train_seconds": 3.0,
    }  # fmt: skip
    if trial.reused:
        run.set_tags({"reused_from": "another run"})
    if trial.state not in ("running", "failed"):
        run.set_tags({"state": trial.state})
    if trial.state == "complete":
        run.log_summary(usual | dict(trial.metrics))
        if trial.predicted is not None:
            run.log_files({PREDICTIONS: npy_bytes(np.array(trial.predicted, np.uint8))})
    if trial.state != "running":
        run.end("FAILED" if trial.state in ("diverged", "failed") else "FINISHED")


def read(run_id: str, compare: str = "auto") -> AblationResults:
    """Return the study as it is read back."""
    return ablation_results.read(store.connect(), run_id, compare)
