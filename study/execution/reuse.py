"""Carries finished trials over into other studies instead of training them again: trials are addressed by content."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.base import keras_file
from study.base.errors import TrackingError
from study.data.dataset import Dataset
from study.tracking import records, store, stored, tags
from study.tracking.artifacts import BY_EPOCH, OPTIONAL_TRIAL_FILES, PREDICTIONS, TRIAL_FILES, is_whole
from study.tracking.records import RunRecord
from study.tracking.runs import Run
from study.training.config import TrialConfig, network_of_config
from study.training.early_stopping import lowest

if TYPE_CHECKING:  # imports TensorFlow
    from study.base.backend import keras

METRICS = ("model_val_loss", "model_val_accuracy", "model_val_cross_entropy")  # that a study may ask for
OF_ALL_SPLITS = ("confusion", "confused_pairs", PREDICTIONS)  # files that a score on other splits replaces


@dataclass(frozen=True, eq=False)
class Equal:
    """A finished trial with the same fingerprint, and everything of it that is carried over: `model` is its file."""

    record: RunRecord
    epochs: list[dict[str, float]]
    files: dict[str, bytes]
    model: bytes

    def scored_on(self, dataset: Dataset) -> bool:
        """Return whether it was scored on the splits that this dataset has."""
        return (PREDICTIONS in self.files) == (len(dataset.test) > 0)


def find(
    client: store.MlflowClient, fingerprint: str, config: TrialConfig, dataset: Dataset, as_it_is: bool = False
) -> Equal | None:
    """Return the first finished trial with this fingerprint of which the store still has all, whole; None without one.

    Only files of known names are taken. A model that the trial wrote is checked and taken as it is; of any other only
    the numbers are. With `as_it_is` a trial counts only if its model is taken so and it has to be scored on no other
    split, which needs no TensorFlow.
    """
    for record in records.find_equals(client, fingerprint):
        try:
            equal = _read(client, record, config, dataset, as_it_is)
            if not as_it_is or equal.scored_on(dataset):
                return equal
        except TrackingError:  # somebody has deleted or damaged its files
            continue
    return None


def _read(
    client: store.MlflowClient, record: RunRecord, config: TrialConfig, dataset: Dataset, as_it_is: bool
) -> Equal:
    epochs = records.read_epochs(client, record.run_id)
    files = stored.read_files(record, (*TRIAL_FILES, *OPTIONAL_TRIAL_FILES))
    damaged = [name for name in TRIAL_FILES if name not in files]
    damaged += [name for name, content in files.items() if not is_whole(name, content)]
    damaged += [name for name in METRICS if name not in record.metrics]
    damaged += [name for epoch in epochs for name in BY_EPOCH if name not in epoch]
    content = stored.read_model(client, record.run_id)
    if damaged or content is None or len(epochs) != record.metrics.get(tags.EPOCHS_TRAINED):
        raise TrackingError("not whole", where=record.run_id, got=", ".join(damaged) or "no model, or no curves")
    if hashlib.sha256(content).hexdigest() != record.tags.get(tags.MODEL_SHA256):  # or it is of an older version
        if as_it_is:
            raise TrackingError("not the model that the trial wrote", where=record.run_id)
        from study.base.backend import to_bytes  # imports TensorFlow

        content = to_bytes(_network(content, record.run_id, config, dataset))
    else:
        keras_file.check(content, record.run_id, [keras_file.OWN_MODEL] if network_of_config(config).source else [])
    return Equal(record, epochs, files, content)


def _network(content: bytes, run_id: str, config: TrialConfig, dataset: Dataset) -> "keras.Sequential":
    """Return the config's network with the weights of a ``.keras`` file."""
    from study.base.backend import from_bytes
    from study.training import network  # imports TensorFlow

    own = network.build(config, network.Rows.of(dataset))
    try:
        named = {keras_file.OWN_MODEL: network.OwnModel} if network_of_config(config).source else {}
        own.set_weights(from_bytes(content, run_id, named).get_weights())
    except ValueError as failure:
        raise TrackingError("the model of another network", where=run_id) from failure
    return own


def carry(equal: Equal, config: TrialConfig, dataset: Dataset, run: Run, name: str) -> None:
    """Write the equal trial's metrics, curves, files and model into `run`.

    The splits are those of `dataset`. If it has test images and the equal trial, from a search, was not scored on them,
    the saved model is scored now. If it has none, the equal trial's test results are left out.
    """
    _begin(equal, equal.epochs, dataset, run)
    files: dict[str, bytes | str] = dict(equal.files)
    metrics = equal.record.metrics
    metrics = {key: value for key, value in metrics.items() if key not in BY_EPOCH}
    if not equal.scored_on(dataset):
        from study.execution import run_trial  # imports TensorFlow
        from study.training import program

        model = _network(equal.model, equal.record.run_id, config, dataset)
        logits = {name: program.logits(model, split.inputs) for name, split in dataset.splits.items()}
        new_files, scores = run_trial.score(logits, program.penalty(model), dataset, f"{name} · {dataset.title}")
        files = {path: content for path, content in files.items() if not path.startswith(OF_ALL_SPLITS)} | new_files
        metrics = {key: value for key, value in metrics.items() if not key.startswith(tags.OF_TEST)} | scores
    run.log_summary(metrics)
    run.log_files(files)
    run.log_model(equal.model, dataset.row_shape, dataset.classes, dataset.dtype)


def carry_pruned(equal: Equal, epoch: int, dataset: Dataset, run: Run) -> None:
    """Write the equal trial's first epochs, up to `epoch`, into `run`, as those of a trial that was pruned there."""
    from study.execution import run_trial  # imports TensorFlow

    epochs = equal.epochs[:epoch]
    _begin(equal, epochs, dataset, run)
    best = lowest([values["val_loss"] for values in epochs])
    run.log_summary({tags.EPOCHS_TRAINED: epoch} | run_trial.best_epoch_metrics(best + 1, epochs[best]))


def _begin(equal: Equal, epochs: list[dict[str, float]], dataset: Dataset, run: Run) -> None:
    """Write the data, where the trial comes from, and these of its epochs."""
    run.log_dataset(dataset)
    own = {name: text for name, text in equal.record.tags.items() if name == tags.COMPILER}
    run.set_tags(own | {tags.REUSED_FROM: equal.record.tags.get(tags.REUSED_FROM, equal.record.run_id)})
    for number, values in enumerate(epochs, start=1):
        run.log_epoch(number, values)
