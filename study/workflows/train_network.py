"""Trains one network by hand, recorded in the program's own run."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.base.errors import ConfigError
from study.base.interruption import ParentWatch
from study.data.dataset import Dataset
from study.tracking import records, tags
from study.training.config import DATA_AND_SEED, FIELDS, NETWORK, TrialConfig, check_name, fields_of, settings_text
from study.training.fingerprint import fingerprint
from study.workflows.common import open_run, origin_files, study_tags
from study.workflows.prepare import check_networks

if TYPE_CHECKING:  # imports TensorFlow
    from study.training.loop import Epoch, TrialResult


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of training one network, its run as MLflow has it, and its model's URI (None if it diverged)."""

    result: "TrialResult"
    record: records.RunRecord
    model_uri: str | None


def train_network(config: TrialConfig, dataset: Dataset, on_epoch: Callable[["Epoch"], None]) -> Trained:
    """Train the config's network in this process, and record it like a study's trial, in this program's own run.

    `on_epoch` is called after each epoch. A diverged training ends the run as FAILED, with its reason. Raises
    TrackingError, and Interrupted if Ctrl-C or the end of `mlflow run` stops it.
    """
    dataset = dataset.with_fold(config.data.fold)
    check_networks([config], dataset)
    config = config.replace({**dataset.settings, "validation": len(dataset.validation)})
    marks = {
        tags.TASK: tags.TRAIN,
        tags.SEED: config.seed,
        tags.CONFIG: json.dumps(config.as_text()),
        tags.FINGERPRINT: fingerprint(config, dataset.sha256, len(dataset.validation)),
    } | study_tags(dataset, [config.network.name])
    parent = ParentWatch()

    def watch_parent_and_pass_on(epoch: "Epoch") -> None:
        on_epoch(epoch)
        parent.check()

    with open_run(name_of(config), params=config.as_text(), marks=marks) as run:
        run.log_files(origin_files([config.network.name]))
        from study.execution import run_trial  # imports TensorFlow: ten seconds, so only after the checks above

        result = run_trial.run_trial(config, dataset, run, name_of(config), watch_parent_and_pass_on)
        run.finish(result.state, result.reason)
    model_uri = f"runs:/{run.run_id}/model" if result.state == "complete" else None
    return Trained(result, records.read_run(run.client, run.run_id), model_uri)


def config_of(values: Mapping[str, object], settings: Mapping[str, object]) -> TrialConfig:
    """Return the config of the options' `values`, which are those of the default network, and of other `settings`.

    Raises ConfigError for an option that the network has not, or that is given twice.
    """
    known = fields_of(str(values[NETWORK]))
    given = {name: value for name, value in values.items() if value != FIELDS[name].default}
    for name in given:
        check_name(name, known, str(values[NETWORK]))
        if name in settings:
            raise ConfigError(f"{name} is given twice", where="set", hint="Keep one of them.")
    return TrialConfig.parse(given).replace(settings, where="set")


def other_defaults(config: TrialConfig) -> str:
    """Return the fields at the network's own defaults which have other defaults in the command, and so seem given."""
    known = config.fields
    others = (name for name in known if name in FIELDS and FIELDS[name].default != known[name].default)
    return settings_text({name: config.get(name) for name in others if config.get(name) == known[name].default})


def name_of(config: TrialConfig) -> str:
    """Return the name of a training's run: ``train hidden=300 learning_rate=0.003 · seed 1``."""
    own = {name: text for name, text in config.changes().items() if name not in DATA_AND_SEED}
    changed = (f"{name}={text}" for name, text in own.items())
    return f"{' '.join(('train', *changed))} · seed {config.seed}"
