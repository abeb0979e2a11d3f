"""Carries finished trials over into other studies instead of training them again: trials are addressed by content."""

from dataclasses import dataclass

from study.base.errors import TrackingError
from study.data.dataset import Dataset
from study.tracking import records, store, tags
from study.tracking.artifacts import BY_EPOCH, PREDICTIONS
from study.tracking.records import RunRecord
from study.tracking.runs import Run
from study.training.config import TrialConfig

OF_ALL_SPLITS = ("confusion", "confused_pairs", PREDICTIONS)  # files that a score on other splits replaces


@dataclass(frozen=True, eq=False)
class Equal:
    """A finished trial with the same fingerprint, and everything of it that is carried over."""

    record: RunRecord
    epochs: list[dict[str, float]]
    files: dict[str, bytes]
    model: bytes


def find(client: store.MlflowClient, fingerprint: str) -> Equal | None:
    """Return a finished trial with this fingerprint if the store has one with its model and files, else None."""
    record = records.find_equal(client, fingerprint)
    if not record:
        return None
    try:
        model = records.read_model(client, record.run_id)
        files = records.read_files(client, record.run_id)
        epochs = records.read_epochs(client, record.run_id)
    except TrackingError:  # somebody has deleted files
        return None
    return Equal(record, epochs, files, model) if model and epochs else None


def carry(equal: Equal, config: TrialConfig, dataset: Dataset, run: Run, name: str) -> None:
    """Write the equal trial's metrics, curves, files and model into `run`.

    The splits are those of `dataset`. If it has test images and the equal trial, from a search, was not scored on them,
    the saved model is scored now. If it has none, the equal trial's test results are left out.
    """
    from study.base.backend import from_bytes
    from study.execution import run_trial  # imports TensorFlow

    run.log_dataset(dataset)
    model = from_bytes(equal.model)
    files: dict[str, bytes | str] = dict(equal.files)
    metrics = equal.record.metrics
    metrics = {key: value for key, value in metrics.items() if key not in BY_EPOCH}
    if (PREDICTIONS in files) != (len(dataset.test) > 0):
        new_files, scores = run_trial.score(model, config, dataset, f"{name} · {dataset.title}")
        files = {path: content for path, content in files.items() if not path.startswith(OF_ALL_SPLITS)} | new_files
        metrics = {key: value for key, value in metrics.items() if not key.startswith("test_")} | scores
    for epoch, values in enumerate(equal.epochs, start=1):
        run.log_epoch(epoch, values)
    run.log_summary(metrics)
    run.log_files(files)
    run.log_model(model, dataset.image_shape, dataset.classes)
    first = equal.record.tags.get(tags.REUSED_FROM, equal.record.run_id)
    run.set_tags({tags.REUSED_FROM: first})
