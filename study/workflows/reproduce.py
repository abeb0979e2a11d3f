"""Trains a trial again, or a sample of a study's, and certifies whether it comes to the same bits."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from study.analysis import reproduction
from study.analysis.reproduction import Comparison, Kept
from study.base import processes
from study.base.errors import ConfigError, DataError, TrackingError
from study.base.interruption import ParentWatch
from study.data.dataset import Dataset, load_dataset
from study.design.limits import RECORDED
from study.reports import certificate as pages
from study.reports.certificate import Certificate
from study.tracking import provenance, records, runs, store, stored, tags
from study.tracking.records import RunRecord
from study.tracking.runs import Run
from study.training.config import MLP, NETWORK, TrialConfig
from study.training.networks import described, own_file
from study.training.networks.network import find
from study.workflows.common import ended, network_file, open_run, study_tags

if TYPE_CHECKING:  # imports TensorFlow
    from study.training.loop import Epoch

TASK = "reproduce"
ENDED = (tags.COMPLETE, tags.PRUNED, tags.DIVERGED)  # what a trial that can be repeated ended as
DEFAULT_SAMPLE = 3


@dataclass(frozen=True)
class Request:
    """What is to be repeated: the run that a person names, and those of its trials that were chosen, of how many."""

    client: store.MlflowClient
    run: RunRecord
    trials: tuple[RunRecord, ...]
    of: int


def prepare(run_id: str, sample: int | None, network: str | None) -> Request:
    """Return what is to be trained again: a trial, or a sample of the trials of a study or of an arm.

    The choice depends on nothing but the IDs of the runs, so that nobody chooses, and a larger sample holds a smaller
    one. A network of one's own is made known: that of the file that `network` names, or with RECORDED the one that the
    study's run has kept. Raises TrackingError, and ConfigError if the code of a network was not named.
    """
    client = store.connect()
    run = records.read_run(client, run_id)
    if run.tags.get(tags.KIND) in (tags.STUDY_KIND, tags.ARM_KIND):
        there = [record for record in records.read_trials(client, run_id) if record.tags.get(tags.STATE) in ENDED]
        chosen = sorted(there, key=lambda record: hashlib.sha256(f"{run_id} {record.run_id}".encode()).hexdigest())
        trials = chosen[: sample or DEFAULT_SAMPLE]
    else:
        there = trials = [run] if run.tags.get(tags.STATE) in ENDED else []
        if sample:
            raise ConfigError("sample has no effect with a single trial", where="sample", hint="Name a study's run.")
    if not trials:
        raise TrackingError(
            "no trial that ended by itself", where=run_id, expected="the run of a trial, of an arm or of a study",
            got=f"{run.name}, {run.status}",
        )  # fmt: skip
    for record in trials:
        _know_network(client, record, network)
    return Request(client, run, tuple(trials), len(there))


def _know_network(client: store.MlflowClient, record: RunRecord, named: str | None) -> None:
    """Make the network of a trial known; the code of a file runs only if the person has said so."""
    name = record.params.get(NETWORK, MLP)
    described.know_described(record.tags.get(tags.NETWORKS), record.run_id)
    if "@" not in name or find(name).function:
        return
    file, function = own_file.parts(name)
    if named != RECORDED:
        raise ConfigError(
            f"the network is in a file, {name}, whose code would run", where=record.run_id,
            got=f"network={named}" if named else None,
            hint=f"Name the file as it was, -P network={file}, or run the copy in the study's run: "
            f"-P network={RECORDED}.",
        )  # fmt: skip
    source, mark = _kept_source(client, record, name), name.rpartition("@")[2]
    if hashlib.sha256(source).hexdigest()[: len(mark)] != mark:
        raise TrackingError("the study's run has kept another version of the file", where=name)
    own_file.admit(file, function, source.decode(), f"{file} of run {records.study_of(record) or record.run_id}")


def _kept_source(client: store.MlflowClient, record: RunRecord, name: str) -> bytes:
    owner = records.read_run(client, study) if (study := records.study_of(record)) else record
    if source := stored.read_file(owner, network_file(name)):
        return source
    raise TrackingError("the study's run has not kept the network's file", where=name, hint="Name it: -P network=FILE.")


# --- the data ---------------------------------------------------------------------------------------


class Data:
    """Loads the data of trials, each once; `spec` is where they are now, if not where they were."""

    def __init__(self, spec: str | None):
        self.spec = spec
        self._loaded: dict[tuple[object, ...], Dataset] = {}

    def of(self, record: RunRecord) -> Dataset:
        """Return the dataset of a trial, without test rows if it saw none; raises DataError if it cannot be loaded."""
        data = TrialConfig.recorded(record.params).data
        key = (data.source, data.validation, data.fold, data.target, data.size)
        if key not in self._loaded:
            sha256 = record.tags.get(tags.DATASET_SHA256, reproduction.UNKNOWN)
            try:
                self._loaded[key] = load_dataset(
                    self.spec or data.source, data.validation, data.fold, data.target, data.size
                )
            except DataError as failure:
                raise DataError(
                    f"the data of {record.name} cannot be loaded: {str(failure).rstrip('.')}", where="data",
                    expected=f"SHA-256 {sha256}", hint="Say where they are now: -P data=PATH.",
                ) from None  # fmt: skip
        dataset = self._loaded[key]
        return dataset if tags.TEST_ACCURACY in record.metrics else dataset.without_test()


# --- the training -----------------------------------------------------------------------------------


def reproduce(
    request: Request,
    *,
    data: str | None,
    params: Mapping[str, str],
    observe: Callable[[Comparison], None] = lambda comparison: None,
) -> Certificate:
    """Train the chosen trials again in this process, each as a run below this program's own, and certify the outcome.

    The certificate is written into this program's run, and into the run that was named. This program's run ends FAILED
    if any bit differs. None of its trainings counts as a trial of any study. Raises DataError, TrackingError,
    Interrupted.
    """
    loaded = Data(data)
    for record in request.trials:
        loaded.of(record)  # whatever is missing is missed before anything is trained
    kept = [reproduction.read(request.client, record) for record in request.trials]
    networks = [record.params.get(NETWORK, MLP) for record in request.trials]
    marks = {tags.TASK: TASK} | study_tags(loaded.of(request.trials[0]), networks)
    with open_run(f"{TASK} {request.run.name}", params=params, marks=marks, client=request.client) as run:
        run.log_files(provenance.files())
        compared = []
        for record, then in zip(request.trials, kept, strict=True):
            compared.append(_repeat(run, record, then, loaded.of(record)))
            observe(compared[-1])
        certificate = _certificate(run, request, compared)
        _write(run, request, certificate)
        if not certificate.same:
            run.end("FAILED", certificate.sentence)
    return certificate


def _repeat(run: Run, record: RunRecord, then: Kept, dataset: Dataset) -> Comparison:
    """Train one trial again and return how it compares to what it kept; a pruned one is stopped where it was."""
    from study.execution import run_trial  # imports TensorFlow

    config = TrialConfig.recorded(record.params)
    last = record.metrics.get(tags.EPOCHS_TRAINED) if record.tags[tags.STATE] == tags.PRUNED else None
    parent = ParentWatch()

    def stop(epoch: "Epoch") -> bool:
        parent.check()
        return epoch.number == last

    marks = runs.data_tags(dataset) | processes.this_process() | {tags.SEED: config.seed}
    again = runs.start_trial_run(run.client, run.run_id, record.name, config.as_text(), marks)
    with ended(again):
        result = run_trial.run_trial(config, dataset, again, record.name, stop)
        if result.state != record.tags[tags.STATE]:
            again.set_tags({tags.REASON: f"{result.state} now, {record.tags[tags.STATE]} then"})
    now = records.read_run(run.client, again.run_id)
    parts = reproduction.compare(then, reproduction.read(run.client, now))
    return Comparison(record, again.run_id, parts, reproduction.causes(_origin(run, record), now.tags))


def _origin(run: Run, record: RunRecord) -> dict[str, str]:
    """Return the tags of the run that trained a trial: another one, if its result was carried over.

    If that was deleted, they are the trial's own without those of its origin, which are of what carried it over.
    """
    if not (source := record.tags.get(tags.REUSED_FROM)):
        return record.tags
    if found := records.find_run(run.client, source):
        return found.tags
    return {tag: text for tag, text in record.tags.items() if tag not in provenance.ORIGIN}


# --- the certificate --------------------------------------------------------------------------------


def _certificate(run: Run, request: Request, compared: Sequence[Comparison]) -> Certificate:
    first = compared[0]
    then = _origin(run, first.trial)
    study = then.get(tags.STUDY_RUN) or records.study_of(first.trial) or first.trial.run_id
    owner = records.find_run(run.client, study)
    kept = stored.read_file(owner, provenance.PACKAGES) if owner else None
    others = reproduction.other_packages(kept.decode(), provenance.packages()) if kept else []
    now = records.read_run(run.client, first.again).tags
    return Certificate(
        request.run, request.of, tuple(compared), dict(then), dict(now), tuple(others), run.run_id, datetime.now(UTC)
    )


def _write(run: Run, request: Request, certificate: Certificate) -> None:
    page = pages.markdown(certificate)
    files: dict[str, bytes | str] = {pages.JSON: pages.as_json(certificate), pages.PAGE: page}
    runs.describe(run, page)
    for each in (run, Run(run.client, request.run.run_id)):
        each.log_files(files)
    marked = {one.trial.run_id: one.same for one in certificate.trials} | {request.run.run_id: certificate.same}
    for run_id, same in marked.items():
        outcome = pages.SAME if same else pages.DIFFERS
        Run(run.client, run_id).set_tags({tags.REPRODUCED: f"{outcome}, by run {run.run_id}"})
