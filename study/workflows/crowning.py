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
from study.data.dataset import Dataset, Split
from study.data.split import fold_words
from study.inference import novelty
from study.inference.serving import log_model
from study.reports import ablation_report, model_card
from study.reports.markdown import plain
from study.tracking import limits, records, registry, runs, store, tags
from study.tracking.registry import Version
from study.tracking.runs import Run
from study.training.config import DATA_AND_SEED, settings_text
from study.training.metrics import Evaluation, evaluate

CARD = "model_card.md"
QUESTIONS = 8  # validation images that a rehearsed model is asked


# --- the rehearsal ----------------------------------------------------------------------------------


def rehearse(client: store.MlflowClient, name: str, entrants: Sequence[Candidate], dataset: Dataset) -> bytes:
    """Try with a candidate what the winner will need, and return the reference for doubts, which is the same for both.

    The candidate's model is stored, loaded and asked as a server does it, and gets a card; the registered model is made
    unless it exists. Raises StudyError, TrackingError, DataError.
    """
    reference = novelty.fit(dataset.train.inputs, dataset.train.labels).to_bytes()
    content = _any_model(client, entrants, dataset)
    with tempfile.TemporaryDirectory() as folder:
        keras_file = Path(folder, "model.keras")
        keras_file.write_bytes(content)
        served = log_model.save_digit_model(Path(folder, "served"), keras_file, reference)
        with _own_path():
            answers = log_model.ask(served, dataset.validation.inputs[:QUESTIONS])
    labels = _logits(content, dataset.validation.inputs[:QUESTIONS]).argmax(axis=1).tolist()
    if answers != labels:
        raise StudyError("the served model does not answer as its network", where=name, expected=labels, got=answers)
    first, accuracy = next((one.name, one.accuracy) for one in entrants if one.accuracy)
    decision = Decision(first, None, None, accuracy, run_id="", over_champion=None)
    evaluation = _evaluation(content, dataset.validation)
    model_card.ModelCard(model_card.evidence(decision, entrants, evaluation, []), evaluation, []).markdown()
    registry.make_model(client, name, _model_description(dataset))
    return reference


def _any_model(client: store.MlflowClient, entrants: Sequence[Candidate], dataset: Dataset) -> bytes:
    """Return the ``.keras`` file of a candidate's trial; if all have been deleted, that of an untrained candidate."""
    for run_id in (run_id for one in entrants for run_id in one.run_ids):
        if content := records.read_model(client, run_id):
            return content
    from study.training import network  # imports TensorFlow

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        network.build(entrants[0].config, network.Rows.of(dataset)).save(path)
        return path.read_bytes()


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
    reference: bytes,
) -> tuple[Version, list[tuple[str, str]]]:
    """Register the winner of a race as the champion `name`; return its version and the evidence for it, in words.

    The test set is opened when everything else is done but the writing of its results.
    """
    content = records.read_model(run.client, decision.run_id)
    if content is None:
        raise StudyError("the winner's trial has no model", where=decision.run_id)
    with tempfile.TemporaryDirectory() as folder:
        keras_file = Path(folder, "model.keras")
        keras_file.write_bytes(content)
        source = log_model.log_digit_model(run.client, run.run_id, keras_file, reference)
    winner = next(one for one in entrants if one.name == decision.winner)
    opened_before = _open_test_set(run, dataset)
    test = _evaluation(content, dataset.test)
    rows = model_card.evidence(decision, entrants, test, opened_before)
    card = model_card.ModelCard(rows, test, _facts(winner, run, study, decision, dataset))
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
    if dataset.substitute_for:
        data[tags.DATASET_SUBSTITUTE_FOR] = dataset.substitute_for
    return own | data | {tags.VERSION_TRIAL: decision.run_id}


def _model_description(dataset: Dataset) -> str:
    # The mark of a substitute stays with the model, as its title does with each version.
    return f"Reads images such as those of {plain(dataset.title)}; crowned by `mlflow run . -e promote`."


# --- the test ---------------------------------------------------------------------------------------


def _open_test_set(run: Run, dataset: Dataset) -> list[str]:
    """Write down that this run opens the test set, and return the tasks of those that opened it before.

    It is written down before the test, so that an opening counts even if nothing comes of it.
    """
    run.set_tags({tags.TEST_OPENED: "now"})
    opened = records.test_openings(run.client, dataset.sha256)
    run.set_tags({tags.TEST_OPENED: len(opened)})
    return [task for run_id, task in opened.items() if run_id != run.run_id]


def _evaluation(content: bytes, split: Split) -> Evaluation:
    """Evaluate the model of a ``.keras`` file on a split."""
    return evaluate(_logits(content, split.inputs), split.labels)


def _logits(content: bytes, images: np.ndarray) -> np.ndarray:
    from study.base.backend import from_bytes
    from study.training import program  # imports TensorFlow

    return program.logits(from_bytes(content), images)
