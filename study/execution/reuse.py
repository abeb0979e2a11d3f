"""Trials are addressed by content: one that is finished is not trained again, but carried over into another study."""

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
    """A finished trial that decided the same things, with all that it left: what there is to carry over."""

    record: RunRecord
    epochs: list[dict[str, float]]
    files: dict[str, bytes]
    model: bytes


def find(client: store.MlflowClient, fingerprint: str) -> Equal | None:
    """Return a finished trial with this fingerprint, if the store has one, and still has its model and files."""
    record = records.find_equal(client, fingerprint)
    if not record:
        return None
    try:
        model = records.read_model(client, record.run_id)
        files = records.read_files(client, record.run_id)
        epochs = records.read_epochs(client, record.run_id)
    except TrackingError:  # somebody has tidied up
        return None
    return Equal(record, epochs, files, model) if model and epochs else None


def carry(equal: Equal, config: TrialConfig, dataset: Dataset, run: Run, name: str) -> None:
    """Make `run` a finished trial like its equal: the same metrics, curves, files and model; and end it.

    The splits are those of `dataset`. A trial of a search has never seen the test images, and its saved model is scored
    on them where the dataset has any; what another knows of them is left behind where it has none.
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
    run.set_tags({tags.STATE: tags.COMPLETE, tags.REUSED_FROM: first})
    run.end("FINISHED")
