"""Chooses the champion: candidates by validation, a race with fresh seeds, and the evidence for the winner."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from study.analysis import ablation_results
from study.analysis.ablation_results import ACCURACY, AblationResults
from study.analysis.statistics import Estimate, estimate
from study.analysis.verdicts import Loss
from study.base.errors import StudyError
from study.design.ablation import Ablation, Arm
from study.design.costs import PARAMETERS
from study.design.limits import BECAUSE, MARGIN
from study.tracking import tags
from study.tracking.records import RunRecord
from study.training.config import BUILT_IN, MLP, NETWORK, TrialConfig, brief, settings_text, value_text
from study.training.fingerprint import training_code_version
from study.training.networks.described import know_described

TASK = "promote"
NONE, FOLDS = value_text(None), "folds"  # no fold; and any of them


class PromotionError(StudyError):
    """A set of trials from which no champion can be chosen."""


@dataclass(frozen=True)
class Candidate:
    """A configuration and the mean validation accuracy of its trials in percent; None without trials.

    Its `name`, by which it enters a race, is given by `named`. `cost` is the mean of what its trials cost, if known.
    """

    config: TrialConfig
    accuracy: Estimate | None = None
    run_ids: tuple[str, ...] = ()
    name: str = ""
    cost: float | None = None

    @property
    def settings(self) -> dict[str, object]:
        """The fields in which it differs from the defaults."""
        fields = self.config.fields
        return {name: value for name, value in self.config.flat().items() if value != fields[name].default}


@dataclass(frozen=True)
class Decision:
    """The outcome of a race.

    `winner` and `second` are names of arms, `lead` the paired difference between them in points, None for a single
    entrant; `run_id` is the winner's trial that validates best, and `over_champion` the paired difference of the winner
    to the present champion's configuration, None if that did not run or has `champion_lost` seeds. With `on_new_data`
    the intervals of both are those for new data from the same source, which are wider than those for these data. The
    winner was `chosen_for` its cost, and then the second is the best.
    """

    winner: str
    second: str | None
    lead: Estimate | None
    accuracy: Estimate
    run_id: str
    over_champion: Estimate | None
    champion_lost: Loss | None = None
    on_new_data: bool = False
    chosen_for: str | None = None

    @property
    def about(self) -> str:
        """What the intervals are about, as it follows the unit of a difference."""
        return " on new data from the same source" if self.on_new_data else ""

    @property
    def separated(self) -> bool:
        """Whether the interval of the winner's lead over the second lies above zero."""
        return self.lead is not None and self.lead.low > 0


# --- the candidates ---------------------------------------------------------------------------------


def one_dataset(trials: Sequence[RunRecord], wanted_sha256: str | None) -> list[RunRecord]:
    """Return the trials on one dataset (the wanted one, or the only one) and on its most used split.

    Raises PromotionError if there are none, or if there are several datasets and none is wanted.
    """
    by_data: dict[str, list[RunRecord]] = {}
    for trial in trials:
        by_data.setdefault(trial.tags[tags.DATASET_SHA256], []).append(trial)
    if not by_data:
        hint = "Run an ablation or a search first, or look elsewhere: another from=RUN_ID, or filter=…."
        raise PromotionError("there are no finished trials to choose from", hint=hint)
    there = ", ".join(f"{len(group)} on {group[0].tags['dataset']} {sha256[:12]}…" for sha256, group in by_data.items())
    if wanted_sha256 is None and len(by_data) > 1:
        hint = "Name the data: -P data=mnist, digits or a path."
        raise PromotionError("the trials used different datasets and cannot be compared", got=there, hint=hint)
    sha256 = wanted_sha256 or next(iter(by_data))
    if sha256 not in by_data:
        raise PromotionError("no finished trial used this dataset", expected=f"SHA-256 {sha256[:12]}…", got=there)
    splits = [validation_of(trial) for trial in by_data[sha256]]
    most_used = max(sorted(set(splits)), key=splits.count)
    return [trial for trial in by_data[sha256] if validation_of(trial) == most_used]


def validation_of(trial: RunRecord) -> str:
    """Return which rows a trial validated on: their number, or FOLDS for a fold, of which each seed has another."""
    return trial.tags[tags.VALIDATION_ROWS] if fold_of(trial) == NONE else FOLDS


def fold_of(trial: RunRecord) -> str:
    """Return the fold that a trial validated on, as text; NONE where it had no fold."""
    return trial.params.get("fold", NONE)


def of_network(trials: Sequence[RunRecord], network: str | None) -> list[RunRecord]:
    """Return the trials of this network; None means those of the project's own. Raises PromotionError without any."""
    there = {trial.params.get(NETWORK, MLP) for trial in trials}
    wanted = {network} if network else there & set(BUILT_IN)
    if chosen := [trial for trial in trials if trial.params.get(NETWORK, MLP) in wanted]:
        return chosen
    hint = "A network of your own is known by its file's content: name that file, -P network=FILE.py."
    raise PromotionError(
        "there are no trials of this network", expected=network or " or ".join(BUILT_IN), got=", ".join(sorted(there)),
        hint=hint,
    )  # fmt: skip


def rank(trials: Sequence[RunRecord], top: int | None, cost: str = PARAMETERS) -> list[Candidate]:
    """Return the `top` distinct configurations by the mean validation accuracy of their trials, the best first.

    All of them, if `top` is None. `cost` is a metric of the trials.
    """
    by_config: dict[TrialConfig, dict[object, RunRecord]] = {}
    for trial in trials:
        know_described(trial.tags.get(tags.NETWORKS), trial.run_id)
        config = TrialConfig.recorded(trial.params, where=trial.run_id)
        configuration = TrialConfig(network=config.network, training=config.training).canonical()
        # By seed and fold, because the same trial run again in another study says nothing new.
        by_config.setdefault(configuration, {})[config.seed, config.data.fold] = trial
    ranked = [
        Candidate(
            config,
            estimate(np.array([trial.metrics[ACCURACY.metric] * ACCURACY.scale for trial in group.values()])),
            tuple(trial.run_id for trial in group.values()),
            cost=_mean_cost([trial.metrics[cost] for trial in group.values() if cost in trial.metrics]),
        )
        for config, group in by_config.items()
    ]
    return sorted(ranked, key=lambda candidate: -_mean(candidate.accuracy))[:top]


def _mean_cost(costs: Sequence[float]) -> float | None:
    return sum(costs) / len(costs) if costs else None


def named(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates with names: their settings, to three digits where that keeps the names distinct.

    A network that all of them share is left out.
    """
    shared = {NETWORK} if len({one.settings.get(NETWORK) for one in candidates}) == 1 else set()

    def names(text: Callable[[object], str]) -> list[str]:
        told = ({name: each for name, each in one.settings.items() if name not in shared} for one in candidates)
        return [settings_text(settings, text) or "defaults" for settings in told]

    short = names(brief)
    told = [name if short.count(name) == 1 else exact for name, exact in zip(short, names(value_text), strict=True)]
    return tuple(replace(one, name=name) for one, name in zip(candidates, told, strict=True))


def race_seed(recorded: int | None, used: Mapping[str, Set[int]], seeds: int) -> int:
    """Return the first of a race's seeds, which no trial has used; `used` has the seeds of the trials of each task.

    A race keeps the seeds that it has begun with (`recorded`), so that nobody can roll them again. It gets others only
    if trials that choose candidates have used these since.
    """
    choosing = {seed for task, of_task in used.items() if task != TASK for seed in of_task}
    if recorded is not None and not choosing & set(range(recorded, recorded + seeds)):
        return recorded
    return fresh_seed({seed for of_task in used.values() for seed in of_task}, seeds)


def fresh_seed(used: Set[int], seeds: int) -> int:
    """Return the first of `seeds` consecutive seeds that are not used."""
    first = 1
    while taken := used & set(range(first, first + seeds)):
        first = max(taken) + 1
    return first


# --- the race ---------------------------------------------------------------------------------------


def race(entrants: Sequence[Candidate], seeds: int | None, champion: str | None) -> Ablation:
    """Return the race as an ablation: an arm for each configuration, with the same fresh seeds.

    The arms are compared with that of the present `champion`, if it takes part.
    """
    return Ablation(
        task=TASK,
        question="Which of the best configurations is the best with fresh seeds?",
        known="The best of many trials owes some of its lead to luck. Seeds that none of them has used take that away.",
        baseline=TrialConfig(),
        arms=tuple(Arm(entrant.name, entrant.settings) for entrant in entrants),
        seeds=seeds,
        margin=MARGIN,
        because=BECAUSE,
        factors={},
        figures=(),
        against=champion,
    )


def fingerprint(entrants: Sequence[Candidate], data_sha256: str, validation: str, seeds: int | None) -> str:
    """Return a hash (16 hex digits) of all that decides a race; an equal one means that nothing is new.

    Without a number of `seeds` it is that of the race at any number, which have their first seeds in common.
    """
    configs = sorted(settings_text(entrant.settings) for entrant in entrants)
    decisive = [configs, data_sha256, validation, seeds, training_code_version()]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def decide(study: AblationResults, champion: str | None) -> Decision:
    """Return the winner of a race by the validation accuracy; `champion` is the arm that is champion now, if any.

    Without a champion the arms have the same seeds, and the best mean wins. With one they have as many as it took to
    tell them from it, and the best mean difference to it wins. An arm that lost seeds which others finished cannot
    win: its mean covers the survivors only. Raises PromotionError if no arm has finished, or if none has finished all
    that others have.
    """
    if not any(arm.trials for arm in study.arms):
        raise PromotionError("no trial of the race has finished", where=study.record.run_id)
    least = 1 if champion else max(arm.trials for arm in study.arms)
    finished = [arm for arm in study.arms if arm.trials >= least and arm.name not in study.unstable]
    if not finished:
        lost = ", ".join(f"{arm}: {loss.words}" for arm, loss in study.unstable.items())
        raise PromotionError(
            "every configuration lost seeds that another one finished", where=study.record.run_id, got=lost
        )
    # Of equal means the first named wins, so that a race run again ends the same.
    by = champion if champion in [arm.name for arm in finished] else None
    ranked = sorted(finished, key=lambda arm: -_merit(study, arm, by))
    winner, second = ranked[0].name, ranked[1].name if len(ranked) > 1 else None
    best = max(study.finished(winner).values(), key=lambda trial: trial.metrics[ACCURACY.metric])
    accuracy = ranked[0].values[ACCURACY.metric]
    assert accuracy is not None  # it has trials
    return Decision(
        winner=winner,
        second=second,
        lead=lead_of(study, winner, second),
        accuracy=accuracy,
        run_id=best.run_id,
        over_champion=over_champion_of(study, winner, champion),
        champion_lost=study.unstable.get(champion) if champion else None,
        on_new_data=study.ablation.vary == "split",
    )


def _merit(study: AblationResults, arm: ablation_results.Arm, champion: str | None) -> float:
    """Return what an arm is ranked by."""
    if champion is None:
        return float(_mean(arm.values[ACCURACY.metric]))
    differences = study.differences(ACCURACY, arm.name, champion)
    return float(differences.mean()) if len(differences) else -np.inf


def over_champion_of(study: AblationResults, winner: str, champion: str | None) -> Estimate | None:
    """Return the difference of the winner to the champion, by the wider interval where there are two.

    A champion is to answer what comes, not to validate these rows.
    """
    if champion in (None, winner):
        return None
    return study.on_new_data(winner, champion) or study.difference(ACCURACY, winner, champion)


def lead_of(study: AblationResults, winner: str, second: str | None) -> Estimate | None:
    """Return the difference between the first two; which pair that is, the race itself decides, so all pairs count."""
    if second is None or not len(differences := study.differences(ACCURACY, winner, second)):
        return None
    return study.widest(ACCURACY, differences, math.comb(len(study.arms), 2))


def _mean(accuracy: Estimate | None) -> float:
    """Return the mean to rank by; an arm without trials ranks last."""
    return -np.inf if accuracy is None else accuracy.mean
