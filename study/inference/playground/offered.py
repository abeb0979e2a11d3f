"""Finds the models on offer: a champion, and the trials of each study that read handwritten digits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from study.analysis.ablation_results import ACCURACY
from study.inference import contract
from study.inference.contract import Contract
from study.inference.playground.shelf import PlaygroundError
from study.tracking import records, registry, store, stored, tags
from study.tracking.records import RunRecord
from study.tracking.registry import Version


@dataclass(frozen=True)
class Model:
    """A model on offer: its id for the page, its names for people, and its validation accuracy."""

    id: str
    name: str
    arm: str
    accuracy: float | None


@dataclass(frozen=True)
class Group:
    """Models that belong together, such as a study's trials, and a note on those that are left out."""

    name: str
    models: tuple[Model, ...]
    note: str = ""


def check(address: str) -> None:
    """Check that the model at `address`, or of the trial with this run ID, is there, and reads what can be drawn.

    Raises TrackingError, PlaygroundError.
    """
    with TemporaryDirectory() as folder:
        files = stored.download_model(address if ":/" in address else f"runs:/{address}/model", folder)
        text = next((path.read_text("utf-8") for path in files.rglob(contract.FILE)), None)
    if text and not Contract.from_json(text, address).handwriting:
        what = "the model does not read handwritten digits, and nothing else can be drawn"
        raise PlaygroundError(what, where=address, hint="`mlflow run . -e predict` asks it.")


def usual_model(client: store.MlflowClient, wanted: str) -> str | None:
    """Return the address of the champion to show first: the `wanted` one, or another that reads handwritten digits."""
    names = [name for name in registry.champions(client) if reads_digits(registry.champion(client, name))]
    addresses = [f"models:/{name}@{registry.CHAMPION}" for name in names]
    return wanted if wanted in addresses else next(iter(addresses), None)


def reads_digits(version: Version | None) -> bool:
    """Return whether a version reads handwritten digits; one of an older version of this project does."""
    return version is not None and version.tags.get(tags.DATASET_FORM, tags.HANDWRITING) == tags.HANDWRITING


def by_study(trials: Iterable[RunRecord], first: str | None) -> list[Group]:
    """Return trials grouped by study: the study `first`, then the newest first."""
    groups: dict[str | None, list[RunRecord]] = {}
    for trial in sorted(trials, key=lambda trial: trial.started):
        groups.setdefault(records.study_of(trial), []).append(trial)
    newest_first = sorted(groups, key=lambda study: (study != first, -groups[study][0].started))
    return [_group(study, groups[study]) for study in newest_first]


def _group(study: str | None, trials: Sequence[RunRecord]) -> Group:
    name = trials[0].tags.get(tags.STUDY, f"study {study[:8]}") if study else "trained by hand"
    pictures = [trial for trial in trials if _trained_on_digits(trial)]
    arms = list(dict.fromkeys(trial.tags.get(tags.ARM, trial.name) for trial in pictures))
    models = [
        Model(trial.run_id, trial.name, trial.tags.get(tags.ARM, trial.name), trial.metrics.get(ACCURACY.metric))
        for trial in sorted(pictures, key=lambda trial: _place(trial, arms))
    ]
    note = "" if pictures else "Its networks do not read handwritten digits, and nothing else can be drawn."
    return Group(name, tuple(models), note)


def _trained_on_digits(trial: RunRecord) -> bool:
    usual = tags.PICTURES if trial.tags.get(tags.DATASET) == "synthetic" else tags.HANDWRITING
    return trial.tags.get(tags.DATASET_FORM, usual) == tags.HANDWRITING


def _place(trial: RunRecord, arms: Sequence[str]) -> tuple[int, int]:
    return arms.index(trial.tags.get(tags.ARM, trial.name)), int(trial.tags.get(tags.SEED, 0))
