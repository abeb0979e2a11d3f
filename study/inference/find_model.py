"""Finds the model that a person asks about, its network's name, and the data that it was trained on."""

import re
from dataclasses import dataclass

from study.base.errors import ConfigError, DataError, StudyError, TrackingError, first_line
from study.data.dataset import Dataset, load_dataset
from study.inference.contract import Contract
from study.tracking import records, registry, store, tags
from study.tracking.records import RunRecord
from study.tracking.registry import Version
from study.training.config import MLP, NETWORK, TrialConfig

DATA_FIELDS = ("data", "target", "size", "validation")  # what a run's params say of its data
MOST_OTHERS = 3  # champions that an error names


@dataclass(frozen=True)
class Found:
    """A model's address, its registered version if it has one, and the record of the trial that trained it."""

    uri: str
    version: Version | None
    trial: RunRecord | None

    @property
    def network(self) -> str:
        """The name of its network as the record has it."""
        recorded = self.version.tags.get(f"{tags.VERSION_CONFIG}{NETWORK}") if self.version else None
        return recorded or (self.trial.params.get(NETWORK, MLP) if self.trial else MLP)

    @property
    def target(self) -> str | None:
        """The column of the labels in the table that it was trained on."""
        return self._recorded().data.target

    def check_network(self, named: str | None) -> None:
        """Raise ConfigError if the person has named another network than the model's."""
        if named and named != self.network:
            hint = "A network of a file is known by its content: name the file as it was." if "@" in named else None
            raise ConfigError("another network than the model's", where=self.uri, expected=f"network={self.network}",
                              got=f"network={named}", hint=hint)  # fmt: skip

    def load_data(self, spec: str | None = None, target: str | None = None, size: str | None = None) -> Dataset:
        """Return the dataset that `spec` names or, if that is None, the one that the model was trained on.

        A trial's run records its dataset, and a version's tags name its trial; without a record it is MNIST. Raises
        DataError, also if the data have changed since, and TrackingError.
        """
        if spec:
            return load_dataset(spec, target=target, size=size)
        recorded = self._recorded().data
        dataset = load_dataset(
            recorded.source, recorded.validation, target=target or recorded.target, size=size or recorded.size
        )
        wanted = self.version.tags.get(tags.VERSION_DATA_SHA256) if self.version else None
        wanted = wanted or (self.trial.tags.get(tags.DATASET_SHA256) if self.trial else None)
        if wanted and dataset.sha256 != wanted:
            raise DataError(
                "not the data that the model was trained on", where=dataset.spec, expected=f"SHA-256 {wanted[:12]}…",
                got=f"{dataset.sha256[:12]}…", hint="Name the data: -P data=mnist, digits or a path.",
            )  # fmt: skip
        return dataset

    def contract(self) -> Contract | None:
        """Return what a model takes and gives by the data that it was trained on; None if they cannot be loaded."""
        if self.trial is None:
            return None
        try:
            return Contract.of(self.load_data())
        except StudyError:
            return None

    def _recorded(self) -> TrialConfig:
        params = self.trial.params if self.trial else {}
        return TrialConfig.recorded({name: params[name] for name in DATA_FIELDS if name in params})


def find_model(client: store.MlflowClient, uri: str) -> Found:
    """Return what the record says of the model at an address, or of the trial with this run ID.

    Raises TrackingError for a registered model, or a run, that is not there.
    """
    version = find_version(client, uri)
    if version:
        run_id = version.tags.get(tags.VERSION_TRIAL, version.run_id)
        return Found(uri, version, records.find_run(client, run_id) if run_id else None)
    run_id = uri if ":/" not in uri else uri.partition("runs:/")[2].partition("/")[0]
    return Found(uri, None, records.read_run(client, run_id) if run_id else None)


def find_version(client: store.MlflowClient, uri: str) -> Version | None:
    """Return the registered version at ``models:/name@alias`` or ``models:/name/3``; None for other addresses.

    Raises TrackingError if there is none, and says how to make a champion.
    """
    found = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if not found:
        return None
    name, alias, number = found.groups()
    if alias == registry.CHAMPION:
        if version := registry.champion(client, name):
            return version
        others = [f"-P model=models:/{other}@{registry.CHAMPION}" for other in registry.champions(client)]
        others_too = f"Ask another one: {' or '.join(others[:MOST_OTHERS])}; or crown" if others else "Crown"
        hint = f"{others_too} one: mlflow run . -e promote; or name a trial: -P model=RUN_ID."
        raise TrackingError(f"{name} has no champion", where=uri, hint=hint)
    try:
        there = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except Exception as failure:  # which one depends on the store
        raise TrackingError(first_line(failure), where=uri) from failure
    return Version(name, str(there.version), there.run_id or "", dict(there.tags))
