"""Makes a race's winner the champion: what is served, its test, its card, and its version.

Whatever can fail is tried twice before the test set is opened: in a rehearsal before the race, with a candidate in the
winner's place and validation images in that of the test, and when the winner's served model is logged.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from study.analysis import selection
from study.analysis.ablation_results import AblationResults
from study.analysis.selection import Candidate, Decision
from study.base.errors import StudyError
from study.data.dataset import Dataset
from study.data.split import fold_words
from study.inference import doubt
from study.inference.contract import Contract
from study.inference.questions import questions
from study.inference.serving import log_model
from study.inference.serving.log_model import Served
from study.reports import ablation_report, model_card
from study.reports.markdown import plain
from study.tracking import limits, records, registry, runs, store, stored, tags
from study.tracking.registry import Version
from study.tracking.runs import Run
from study.training.config import DATA_AND_SEED, settings_text
from study.training.metrics import evaluate
from study.training.networks import own_file
from study.training.networks.network import find

CARD = "model_card.md"
QUESTIONS = 8  # validation rows that a rehearsed model is asked
Doubts = tuple[bytes | None, str]  # the reference for the novelty score, or why there is none


# --- the rehearsal ----------------------------------------------------------------------------------


def rehearse(client: store.MlflowClient, name: str, entrants: Sequence[Candidate], dataset: Dataset) -> Doubts:
    """Try with a candidate what the winner will need, and return the reference for doubts, which is the same for both.

    The candidate's model is stored, loaded and asked as a server does it, and gets a card; the registered model is made
    unless it exists. Raises StudyError, TrackingError, DataError.
    """
    doubts = doubt.fit(dataset)
    content, network = _any_model(client, entrants, dataset)
    model = _opened(content, name, network)
    asked = dataset.validation.inputs[:QUESTIONS]
    with tempfile.TemporaryDirectory() as folder:
        served = log_model.save_served_model(Path(folder, "served"), _served(content, model, network, dataset, doubts))
        with _own_path():
            answers = [one["label"] for one in log_model.ask(served, questions(asked, dataset))]
    labels = _logits(model, asked).argmax(axis=1).tolist()
    if answers != labels:
        raise StudyError(
            "the served model does not answer as its network does", where=name, expected=labels, got=answers
        )
    first, accuracy = next((one.name, one.accuracy) for one in entrants if one.accuracy)
    decision = Decision(first, None, None, accuracy, run_id="", over_champion=None)
    evaluation = evaluate(_logits(model, dataset.validation.inputs), dataset.validation.labels)
    model_card.ModelCard(
        model_card.evidence(decision, entrants, evaluation, []), evaluation, [], dataset.class_names
    ).markdown()
    registry.make_model(client, name, _model_description(dataset))
    return doubts


def _any_model(client: store.MlflowClient, entrants: Sequence[Candidate], dataset: Dataset) -> tuple[bytes, str]:
    """Return the ``.keras`` file of a candidate's trial, and its network's name; if all trials have been deleted, that
    of an untrained candidate."""
    for one in entrants:
        for run_id in one.run_ids:
            if content := stored.read_model(client, run_id):
                return content, one.config.network.name
    from study.training import network  # imports TensorFlow

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        network.build(entrants[0].config, network.Rows.of(dataset)).save(path)
        return path.read_bytes(), entrants[0].config.network.name


# --- what is served ---------------------------------------------------------------------------------


def _opened(content: bytes, where: object, network: str):
    from study.inference.model import open_network  # imports TensorFlow

    return open_network(content, where, network, known=find(network).function is not None)


def _served(content: bytes, model, network: str, dataset: Dataset, doubts: Doubts) -> Served:
    """Return what is served of a network: with the code of its file, if it has layers of its own."""
    from study.inference.model import has_own_layers  # imports TensorFlow

    reference, no_doubt = doubts
    code, source = "", None
    if has_own_layers(model):
        source = find(network).source
        code = f"network_{network.rpartition('@')[2]}:{own_file.parts(network)[1]}"
    return Served(content, Contract.of(dataset, code, no_doubt), reference, source)


@contextmanager
def _own_path() -> Iterator[None]:
    """Keep this process's own search path: MLflow puts the folder of a loaded model's modules in front of it."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


# --- the crown --------------------------------------------------------------------------------------


def crown(
    run: Run,
    name: str,
    entrants: Sequence[Candidate],
    study: AblationResults,
    decision: Decision,
    dataset: Dataset,
    doubts: Doubts,
) -> tuple[Version, list[tuple[str, str]]]:
    """Register the winner of a race as the champion `name`; return its version and the evidence for it, in words.

    The test set is opened when everything else is done but the writing of its results.
    """
    content = stored.read_model(run.client, decision.run_id)
    if content is None:
        raise StudyError("the winner's trial has no model", where=decision.run_id)
    winner = next(one for one in entrants if one.name == decision.winner)
    network = winner.config.network.name
    model = _opened(content, decision.run_id, network)
    source = log_model.log_served_model(run.client, run.run_id, _served(content, model, network, dataset, doubts))
    opened_before = _open_test_set(run, dataset)
    test = evaluate(_logits(model, dataset.test.inputs), dataset.test.labels)
    rows = model_card.evidence(decision, entrants, test, opened_before)
    facts = _facts(winner, run, study, decision, dataset)
    card = model_card.ModelCard(rows, test, facts, dataset.class_names)
    run.log_files({CARD: card.markdown()})
    run.log_summary({tags.TEST_ACCURACY: test.accuracy, "val_accuracy": decision.accuracy.mean / 100})
    short = card.shortened(limits.MODEL_DESCRIPTION, CARD)
    marks = _version_tags(winner, decision, dataset) | _fold_tags(_fold(study, decision), dataset)
    marks |= {tags.TEST_OPENED: str(len(opened_before) + 1)}
    version = registry.crown(run.client, name, source, run.run_id, short, marks)
    results = f"{plain(study.ablation.question)}\n\n{ablation_report.summary(study)}"
    runs.describe(run, f"**{plain(name)} version {version.number} is the champion.**\n\n{short}\n\n{results}")
    return version, rows


def _facts(
    winner: Candidate, run: Run, study: AblationResults, decision: Decision, dataset: Dataset
) -> list[tuple[str, str]]:
    marks, fold = study.record.tags, _fold(study, decision)
    return [
        ("configuration", f"`{settings_text(winner.settings) or 'defaults'}`"),
        ("data", f"{plain(dataset.title)}, SHA-256 `{dataset.sha256}`, {len(dataset.train):,} rows trained on, "
                 f"{len(dataset.validation):,} validated on{_fold_fact(fold)}"),
        ("trial", f"`{decision.run_id}`, the winner's fresh seed that validates best; race `{run.run_id}`"),
        ("commit", f"`{marks.get(tags.GIT_COMMIT, 'unknown')}`, training code `{marks[tags.TRAINING_CODE]}`"),
    ]  # fmt: skip


def _fold(study: AblationResults, decision: Decision) -> int | None:
    """Return the fold that the winning trial validated on; None if the race had no folds."""
    text = next(selection.fold_of(trial) for trial in study.trials if trial.run_id == decision.run_id)
    return None if text == selection.NONE else int(text)


def _fold_fact(fold: int | None) -> str:
    """Return what the card says of the folds of a race, if it had any."""
    return "" if fold is None else f": each seed of the race on another fold, this trial on {fold_words(fold)}"


def _fold_tags(fold: int | None, dataset: Dataset) -> dict[str, str]:
    return {} if fold is None else {tags.VALIDATION_SPLIT: dataset.split, tags.VERSION_FOLD: str(fold)}


def _version_tags(winner: Candidate, decision: Decision, dataset: Dataset) -> dict[str, str]:
    own = {
        f"{tags.VERSION_CONFIG}{name}": text
        for name, text in winner.config.as_text().items()
        if name not in DATA_AND_SEED
    }
    data = {tags.VERSION_DATA_SHA256: dataset.sha256, tags.DATASET: dataset.name, tags.DATASET_TITLE: dataset.title}
    data[tags.DATASET_FORM] = runs.form_of(dataset)
    if dataset.substitute_for:
        data[tags.DATASET_SUBSTITUTE_FOR] = dataset.substitute_for
    return own | data | {tags.VERSION_TRIAL: decision.run_id}


def _model_description(dataset: Dataset) -> str:
    # The mark of a substitute stays with the model, as its title does with each version.
    rows = "images" if dataset.kind == "pixels" else "rows"
    return f"Reads {rows} such as those of {plain(dataset.title)}; crowned by `mlflow run . -e promote`."


# --- the test ---------------------------------------------------------------------------------------


def _open_test_set(run: Run, dataset: Dataset) -> list[str]:
    """Write down that this run opens the test set, and return the tasks of those that opened it before.

    It is written down before the test, so that an opening counts even if nothing comes of it.
    """
    run.set_tags({tags.TEST_OPENED: "now"})
    opened = records.test_openings(run.client, dataset.sha256)
    run.set_tags({tags.TEST_OPENED: len(opened)})
    return [task for run_id, task in opened.items() if run_id != run.run_id]


def _logits(model, rows: np.ndarray) -> np.ndarray:
    from study.training import program  # imports TensorFlow

    return program.logits(model, rows)
