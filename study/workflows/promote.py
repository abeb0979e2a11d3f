"""Promotes a champion: gathers the best configurations, races them on fresh seeds, tests and registers the winner."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from study.analysis import search_results, selection
from study.analysis.ablation_results import AblationResults
from study.analysis.selection import Candidate, Decision
from study.analysis.thrift import Thrift
from study.base.errors import ConfigError, StudyError, shown
from study.data.dataset import Dataset, load_dataset
from study.design.ablation import Ablation, TrialSpec
from study.design.costs import PARAMETERS
from study.design.limits import MOST_FRESH_SEEDS, Vary
from study.execution.engines.engine import Request
from study.execution.queue import Progress
from study.execution.storage import DEFAULT_STORAGE
from study.execution.worker_pool import WorkerPool
from study.tracking import records, registry, store, tags
from study.tracking.limits import MODEL_NAME
from study.tracking.records import RunRecord
from study.tracking.registry import Version
from study.training.config import MLP, NETWORK, TrialConfig
from study.training.networks.network import find
from study.workflows import crowning
from study.workflows.common import Outcome, open_run
from study.workflows.run_ablation import run_specs
from study.workflows.seed_supply import OnLook, SeedRule, seed_rule

FORBIDDEN = r"[/:@]"  # in a registered model's name


@dataclass(frozen=True)
class Race:
    """A promotion that is ready to run: the entrants, those with the best trials first, and the champion to beat.

    `mark` is the fingerprint of all that decides the race; `mark_of_seeds` that without the number of seeds.
    """

    client: store.MlflowClient
    name: str
    dataset: Dataset
    entrants: tuple[Candidate, ...]
    incumbent: Version | None
    incumbent_arm: str | None
    ablation: Ablation
    specs: tuple[TrialSpec, ...]
    rule: SeedRule | None
    first_seed: int
    mark: str
    mark_of_seeds: str
    thrift: Thrift | None = None

    def is_cheaper(self, arm: str, other: str | None) -> bool:
        """Return whether one arm's configuration is known to cost less than another's."""
        costs = {one.name: one.cost for one in self.entrants}
        one, two = costs.get(arm), costs.get(other or "")
        return one is not None and two is not None and one < two

    @property
    def absent(self) -> bool:
        """Whether the present champion cannot take part: other data, or the network of a file that is not here."""
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


def prepare(
    *,
    name: str | None,
    source: str | None,
    query: str | None,
    spec: str | None,
    top: int,
    seeds: int | None,
    vary: Vary = "seed",
    target: str | None = None,
    size: str | None = None,
    network: str | None = None,
    within: float | None = None,
) -> Race:
    """Gather the trials and return the race between the best of them and the champion.

    `seeds` is how many each gets; None means a few, and more for those that are hard to tell from the champion. `name`
    is the registered model (None: it is named after the data), `source` a study's run (None: the whole experiment),
    `query` an MLflow filter, `spec` a dataset (None: the one that the trials used), `network` the candidates' network
    (None: any of the project's). With `vary` split each seed of the race validates on another fold. `within` asks for
    the cheapest configuration that is so many points behind the best, by the cost that the search `source` weighed, or
    else by parameters. Raises PromotionError, TrackingError, DataError.
    """
    if name is not None:
        _check_name(name)
    client = store.connect()
    gathered = records.find_trials(client, source, query)
    trials = [trial for trial in gathered if trial.tags.get(tags.TASK) != selection.TASK]  # no races
    wanted = load_dataset(spec, target=target, size=size).sha256 if spec else None
    chosen = selection.of_network(selection.one_dataset(trials, wanted), network)
    dataset = _data_of(chosen, spec, target, size)
    if vary == "split":
        dataset = dataset.in_folds()
    thrift = None if within is None else Thrift(within, _cost(client, source))
    if thrift is None:
        candidates = selection.rank(chosen, top)
    else:
        candidates = thrift.entrants(selection.rank(chosen, None, thrift.cost), top)
    name = name or usual_name(dataset, [one.config.network.name for one in candidates])
    incumbent = registry.champion(client, name)
    defending = _configuration(incumbent, dataset) if incumbent else None
    absent = [Candidate(defending)] if defending and defending not in [one.config for one in candidates] else []
    entrants = selection.named([*candidates, *absent])
    arm_of_champion = next((one.name for one in entrants if one.config == defending), None)
    ablation = replace(selection.race(entrants, seeds, arm_of_champion), vary=vary).with_visible_margin(dataset)
    rule = seed_rule(ablation, seeds, MOST_FRESH_SEEDS)
    reserved = rule.most if arm_of_champion else rule.first
    decisive = candidates, dataset.sha256, str(len(dataset.validation)) if vary == "seed" else selection.FOLDS
    mark_of_seeds = selection.fingerprint(*decisive, seeds=None)
    recorded = records.race_seed(client, mark_of_seeds)
    first_seed = selection.race_seed(recorded, records.used_seeds(client, dataset.sha256), reserved)
    return Race(
        client=client,
        name=name,
        dataset=dataset,
        entrants=entrants,
        incumbent=incumbent,
        incumbent_arm=arm_of_champion,
        ablation=ablation,
        specs=tuple(ablation.trial_specs(rule.first, dataset, first_seed)),
        rule=rule if arm_of_champion else None,
        first_seed=first_seed,
        mark=selection.fingerprint(*decisive, seeds) + (f" {thrift.cost} within {within:g}" if thrift else ""),
        mark_of_seeds=mark_of_seeds,
        thrift=thrift,
    )


def _data_of(trials: Sequence[RunRecord], spec: str | None, target: str | None, size: str | None) -> Dataset:
    """Return the trials' own data, with their validation rows; `spec` says where they are now, None: where they were.

    Raises PromotionError if they have changed since.
    """
    last = trials[-1]
    rows, used = selection.validation_of(last), TrialConfig.recorded(last.params).data
    if spec is None:
        target, size = target or used.target, size or used.size
    validation = "auto" if rows == selection.FOLDS else rows
    dataset = load_dataset(spec or used.source, validation, target=target, size=size)
    if dataset.sha256 != last.tags[tags.DATASET_SHA256]:
        raise selection.PromotionError(
            "the data have changed since the trials were run", where=dataset.spec,
            expected=f"SHA-256 {last.tags[tags.DATASET_SHA256][:12]}…", got=f"{dataset.sha256[:12]}…",
        )  # fmt: skip
    if spec is None:  # and so nobody has asked for the substitute by its name
        marks = (trial.tags.get(tags.DATASET_SUBSTITUTE_FOR) for trial in trials)
        dataset = replace(dataset, substitute_for=next(filter(None, marks), None))
    return dataset


def _configuration(champion: Version, dataset: Dataset) -> TrialConfig | None:
    """Return the champion's configuration; None if it cannot take part in a race on these data."""
    if champion.tags.get(tags.VERSION_DATA_SHA256) != dataset.sha256 or not _can_be_built(champion):
        return None
    return TrialConfig.recorded(_settings(champion)).canonical()


def _cost(client: store.MlflowClient, source: str | None) -> str:
    if source is None or not search_results.is_search(client, source):
        return PARAMETERS
    return search_results.definition(records.read_run(client, source)).also or PARAMETERS


def usual_name(dataset: Dataset, networks: Sequence[str]) -> str:
    """Return the name of the registered model of these networks for these data: ``mnist-mlp``, ``wine-my_net``."""
    titles = sorted({network.partition("@")[0].replace(".py", "") for network in networks}, reverse=True)
    of_networks = re.sub(FORBIDDEN, "-", "".join(f"-{title}" for title in titles))
    return re.sub(FORBIDDEN, "-", dataset.name)[: MODEL_NAME - len(of_networks)] + of_networks


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MODEL_NAME or re.search(FORBIDDEN, name):
        expected = f"a name of at most {MODEL_NAME} characters without / : @, such as mnist-mlp"
        raise ConfigError(f"name cannot be {shown(name)}", expected=expected)


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
    on_look: OnLook = lambda study, more: None,
    storage: str = DEFAULT_STORAGE,
    launch: Request | None = None,
) -> Promotion:
    """Rehearse, run the race, and crown its winner if it beats the champion beyond the interval, or if `force` is true.

    With `launch` an engine's workers run its trials too. The race's seeds are in its run before its first trial is, so
    that they stay the same if it is interrupted or fails. The test set is opened for the winner only. Raises as
    `run_specs` does, and StudyError for failed trials.
    """
    seeds = {tags.RACE: race.mark_of_seeds, tags.RACE_SEED: race.first_seed}
    with (
        WorkerPool(min(worker_count, len(race.specs))) as pool,
        open_run("promote", params=params, marks=seeds, client=race.client) as run,
    ):
        doubts = crowning.rehearse(race.client, race.name, race.entrants, race.dataset)
        outcome = run_specs(
            run, pool, race.ablation, race.specs, race.dataset, storage=storage, observe=observe, announce=announce,
            open_test=False, rule=race.rule, on_look=on_look, launch=launch,
        )  # fmt: skip
        if outcome.failures:
            first = outcome.failures[0]
            raise StudyError(
                f"{len(outcome.failures)} trials of the race failed; the first: {first.name}, {first.reason}"
            )
        if race.thrift:
            decision = race.thrift.decide(outcome.study, race.incumbent_arm, race.entrants)
        else:
            decision = selection.decide(outcome.study, race.incumbent_arm)
        reason = _why_not(race, decision)
        if reason and not force:
            promotion = Promotion(outcome, decision, None, reason, [])
        else:
            version, rows = crowning.crown(run, race.name, race.entrants, outcome.study, decision, race.dataset, doubts)
            promotion = Promotion(outcome, decision, version, "", rows)
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
    if race.absent:
        other = "on other data" if _can_be_built(race.incumbent) else "with another version of the network's file"
        return f"{who} was trained {other}, so that the two cannot be compared"
    if decision.winner == race.incumbent_arm:
        return f"{who} has the configuration that won"
    if lost := decision.champion_lost:
        return f"the two cannot be compared, as {who} lost seeds ({lost.lost} of {lost.seeds} {lost.how})"
    if decision.chosen_for and race.is_cheaper(decision.winner, race.incumbent_arm):
        return None  # that is what was asked for
    if decision.over_champion is None or not decision.over_champion.low > 0:
        return f"the winner is not better than {who} beyond the interval{decision.about.replace(' on', ' for')}"
    return None


def _can_be_built(version: Version) -> bool:
    """Return whether the code of a version's network is known in this process."""
    try:
        return find(_settings(version).get(NETWORK, MLP)).function is not None
    except ConfigError:
        return False


def _settings(version: Version) -> dict[str, str]:
    prefix = tags.VERSION_CONFIG
    return {key.removeprefix(prefix): value for key, value in version.tags.items() if key.startswith(prefix)}
