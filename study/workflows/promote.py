"""Promotes a champion: gathers the best configurations, races them on fresh seeds, tests and registers the winner."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from study.analysis import selection
from study.analysis.ablation_results import AblationResults
from study.analysis.selection import Candidate, Decision
from study.base.errors import ConfigError, StudyError, shown
from study.data.dataset import Dataset, load_dataset
from study.design.ablation import Ablation, TrialSpec
from study.execution.queue import Progress
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.inference import novelty
from study.inference.serving import log_model
from study.reports import ablation_report, model_card
from study.reports.markdown import plain
from study.tracking import records, registry, runs, store, tags
from study.tracking.registry import Version
from study.tracking.runs import Run
from study.training.config import HYPERPARAMETERS, TrialConfig, settings_text
from study.training.metrics import Evaluation, evaluate
from study.workflows.common import Outcome, open_run
from study.workflows.run_ablation import run_specs


@dataclass(frozen=True)
class Race:
    """A promotion that is ready to run: the entrants, those with the best trials first, and the champion to beat."""

    client: store.MlflowClient
    name: str
    dataset: Dataset
    entrants: tuple[Candidate, ...]
    incumbent: Version | None
    incumbent_arm: str | None
    ablation: Ablation
    specs: tuple[TrialSpec, ...]
    seeds: int
    mark: str

    @property
    def other_data(self) -> bool:
        """Whether the present champion was trained on other data and so cannot take part."""
        return self.incumbent is not None and self.incumbent_arm is None


@dataclass(frozen=True)
class Promotion:
    """A promotion's outcome: the race, its decision, and the new version or the reason why the champion stays.

    `rows` are the evidence for a new champion, in words.
    """

    outcome: Outcome[AblationResults]
    decision: Decision
    version: Version | None
    reason: str
    rows: list[tuple[str, str]]


def prepare(*, name: str, source: str | None, query: str | None, spec: str | None, top: int, seeds: int) -> Race:
    """Gather the trials and return the race between the best of them and the champion.

    `source` is a study's run (None: the whole experiment), `query` an MLflow filter, `spec` a dataset (None: the one
    that the trials used). Raises PromotionError, TrackingError, DataError.
    """
    if not re.fullmatch(r"[^/:@\s][^/:@]*", name):
        raise ConfigError(f"name cannot be {shown(name)}", expected="a name without / : @, such as mnist-mlp")
    client = store.connect()
    trials = [
        trial for trial in records.find_trials(client, source, query) if trial.tags.get(tags.TASK) != selection.TASK
    ]
    wanted = load_dataset(spec).sha256 if spec else None
    chosen = selection.one_dataset(trials, wanted)
    last = chosen[-1]
    dataset = load_dataset(spec or last.params["data"], last.tags[tags.VALIDATION_ROWS])
    if dataset.sha256 != last.tags[tags.DATASET_SHA256]:
        raise selection.PromotionError(
            "the data have changed since the trials were run", where=dataset.spec,
            expected=f"SHA-256 {last.tags[tags.DATASET_SHA256][:12]}…", got=f"{dataset.sha256[:12]}…",
        )  # fmt: skip
    candidates = selection.rank(chosen, top)
    incumbent, defending = registry.champion(client, name), None
    if incumbent and incumbent.tags.get("data_sha256") == dataset.sha256:
        defending = TrialConfig.parse(_settings(incumbent))
    absent = [Candidate(defending)] if defending and defending not in [one.config for one in candidates] else []
    entrants = selection.named([*candidates, *absent])
    ablation = selection.race(entrants, seeds)
    first_seed = selection.fresh_seed(records.used_seeds(client, dataset.sha256), seeds)
    return Race(
        client=client,
        name=name,
        dataset=dataset,
        entrants=entrants,
        incumbent=incumbent,
        incumbent_arm=next((one.name for one in entrants if one.config == defending), None),
        ablation=ablation,
        specs=tuple(ablation.trial_specs(seeds, dataset, first_seed)),
        seeds=seeds,
        mark=selection.fingerprint(candidates, dataset.sha256, last.tags[tags.VALIDATION_ROWS], seeds),
    )


def done_before(race: Race) -> str | None:
    """Return the ID of the run that ran this very race, if the champion is still the one that it left; else None."""
    now = race.incumbent.number if race.incumbent else "none"
    for record in records.find_tagged(race.client, tags.PROMOTION, race.mark):
        if record.tags.get(tags.CHAMPION_AFTER) == f"{race.name} {now}":
            return record.run_id
    return None


def run(
    race: Race,
    *,
    params: dict[str, str],
    worker_count: int,
    observe: Callable[[list[Progress]], None],
    force: bool,
    announce: Callable[[str], None] = lambda name: None,
    storage: str = DEFAULT_STORAGE,
) -> Promotion:
    """Run the race, and crown its winner if it beats the champion beyond the interval, or if `force` is true.

    The test set is opened once, for the winner. Raises as `run_specs` does, and StudyError for failed trials.
    """
    with (
        WorkerPool(min(worker_count, len(race.specs))) as pool,
        open_run("promote", params=params, client=race.client) as run,
    ):
        outcome = run_specs(
            run, pool, race.ablation, race.specs, race.dataset, storage=storage, observe=observe, announce=announce,
            open_test=False,
        )  # fmt: skip
        if outcome.failures:
            first = outcome.failures[0]
            raise StudyError(
                f"{len(outcome.failures)} trials of the race failed; the first: {first.name}, {first.reason}"
            )
        decision = selection.decide(outcome.study, race.incumbent_arm)
        reason = _why_not(race, decision)
        if reason and not force:
            promotion = Promotion(outcome, decision, None, reason, [])
        else:
            promotion = _crown(race, run, outcome, decision)
        champion = registry.champion(race.client, race.name)
        run.set_tags(
            {tags.PROMOTION: race.mark, tags.CHAMPION_AFTER: f"{race.name} {champion.number if champion else 'none'}"}
        )
    return promotion


def _why_not(race: Race, decision: Decision) -> str | None:
    """Return why the champion stays, or None if the winner has beaten it or there is no champion."""
    now = registry.champion(race.client, race.name)
    if (now and now.number) != (race.incumbent and race.incumbent.number):
        return "another champion was crowned while this race ran"
    if race.incumbent is None:
        return None
    who = f"{race.name} version {race.incumbent.number}"
    if race.other_data:
        return f"{who} was trained on other data, so that the two cannot be compared"
    if decision.winner == race.incumbent_arm:
        return f"{who} has the configuration that won"
    if decision.over_champion is None or not decision.over_champion.low > 0:
        return f"the winner is not better than {who} beyond the interval"
    return None


def _crown(race: Race, run: Run, outcome: Outcome[AblationResults], decision: Decision) -> Promotion:
    content = records.read_model(race.client, decision.run_id)
    if content is None:
        raise StudyError("the winner's trial has no model", where=decision.run_id)
    test = _test(content, race.dataset)
    rows = model_card.evidence(decision, race.entrants, test)
    winner = next(one for one in race.entrants if one.name == decision.winner)
    marks = outcome.study.record.tags
    facts = [
        ("configuration", f"`{settings_text(winner.settings) or 'defaults'}`"),
        ("data", f"{plain(race.dataset.title)}, SHA-256 `{race.dataset.sha256}`, {len(race.dataset.train):,} rows "
                 f"trained on, {len(race.dataset.validation):,} validated on"),
        ("trial", f"`{decision.run_id}`, the winner's fresh seed that validates best; race `{run.run_id}`"),
        ("commit", f"`{marks.get(tags.GIT_COMMIT, 'unknown')}`, training code `{marks[tags.TRAINING_CODE]}`"),
    ]  # fmt: skip
    card = model_card.model_card(rows, test, facts)
    reference = novelty.fit(race.dataset.train.images, race.dataset.train.labels)
    with tempfile.TemporaryDirectory() as folder:
        keras_file = Path(folder, "model.keras")
        keras_file.write_bytes(content)
        source = log_model.log_digit_model(race.client, run.run_id, keras_file, reference.to_bytes())
    run.log_files({"model_card.md": card})
    run.log_summary({"test_accuracy": test.accuracy, "val_accuracy": decision.accuracy.mean / 100})
    own = {f"config.{name}": text for name, text in winner.config.as_text().items() if name in HYPERPARAMETERS}
    version = registry.crown(
        race.client,
        race.name,
        source,
        run.run_id,
        card,
        own | {"data_sha256": race.dataset.sha256, "dataset": race.dataset.name, "trial": decision.run_id},
    )
    runs.describe(
        run, f"**{plain(race.name)} version {version.number} is the champion.**\n\n{card}\n\n{_table(outcome)}"
    )
    return Promotion(outcome, decision, version, "", rows)


def _table(outcome: Outcome[AblationResults]) -> str:
    return f"{plain(outcome.study.ablation.question)}\n\n{ablation_report.summary(outcome.study)}"


def _settings(version: Version) -> dict[str, str]:
    prefix = "config."
    return {key.removeprefix(prefix): value for key, value in version.tags.items() if key.startswith(prefix)}


def _test(content: bytes, dataset: Dataset) -> Evaluation:
    """Evaluate the model of a ``.keras`` file on the test images; this is the only time that they are used."""
    from study.base.backend import from_bytes
    from study.training import loop  # imports TensorFlow

    return evaluate(loop.logits(from_bytes(content), dataset.test.images), dataset.test.labels)
