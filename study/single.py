"""The run of a program that makes one run, and what goes into it: one network, trained by hand."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study import processes, repair, tracking
from study.config import TrialConfig
from study.data import Dataset
from study.errors import Interrupted, in_one_line
from study.fingerprint import fingerprint, training_code_version, training_libraries

if TYPE_CHECKING:  # imports TensorFlow
    from study.training import Epoch, TrialResult


@dataclass(frozen=True, eq=False)
class Trained:
    """What training one network came to, its run as MLflow keeps it, and its model's URI; None where it diverged."""

    result: "TrialResult"
    record: tracking.RunRecord
    model_uri: str | None


def train(config: TrialConfig, dataset: Dataset, on_epoch: Callable[["Epoch"], None]) -> Trained:
    """Train the config's network in this process, recorded in this program's own run as a study's trial is in its own.

    `on_epoch` is called after each epoch. A diverged training ends the run as FAILED, with its reason. Raises
    TrackingError, and Interrupted when the person, or the end of `mlflow run`, stops it.
    """
    config = config.replace({"data": dataset.spec, "validation": len(dataset.validation)})
    tags = {
        "task": "train",
        "seed": config.seed,
        "fingerprint": fingerprint(config, dataset.sha256, len(dataset.validation)),
        "training_code": training_code_version()[:16],
        "libraries": training_libraries(),
    }
    parent = os.getppid()

    def watch_parent_and_pass_on(epoch: "Epoch") -> None:
        on_epoch(epoch)
        if os.getppid() != parent:  # `mlflow run` does not pass its own end on
            raise KeyboardInterrupt

    with own_run(name_of(config), config.as_text(), dataset, tags) as run:
        from study import trial  # imports TensorFlow: ten seconds, spent only when the rest is in order

        result = trial.run(config, dataset, run, name_of(config), watch_parent_and_pass_on)
    model_uri = f"runs:/{run.run_id}/model" if result.state == "complete" else None
    return Trained(result, tracking.read_run(run.client, run.run_id), model_uri)


def name_of(config: TrialConfig) -> str:
    """Return what a training's run is called: ``train hidden=300 learning_rate=0.003 · seed 1``."""
    own = {name: text for name, text in config.changes().items() if name not in ("data", "validation", "seed")}
    changed = (f"{name}={text}" for name, text in own.items())
    return f"{' '.join(('train', *changed))} · seed {config.seed}"


@contextmanager
def own_run(
    name: str, params: Mapping[str, str], dataset: Dataset, tags: Mapping[str, object]
) -> Iterator[tracking.Run]:
    """Open this program's own run, marked with its data and its code, and end it where what is done in it does not.

    It is the run that `mlflow run` has made, or a new one: KILLED after a Ctrl-C, which becomes Interrupted, FAILED
    after anything else that is raised. Ending it well is left to what is done in it. Raises TrackingError.
    """
    client = tracking.connect()
    repair.end_lost_runs(client)
    run = tracking.open_study_run(client, name)
    try:
        run.log_params(params)
        run.set_tags(tracking.data_tags(dataset) | tracking.code_tags() | processes.this_process() | dict(tags))
        yield run
    except KeyboardInterrupt:
        _end(run, "KILLED", "interrupted")
        raise Interrupted(f"stopped; run {run.run_id} keeps what was done before") from None
    except BaseException as failure:
        _end(run, "FAILED", in_one_line(failure))
        raise


def _end(run: tracking.Run, status: str, reason: str) -> None:
    with contextlib.suppress(Exception):  # the store may be the very thing that failed
        run.end(status, reason)
