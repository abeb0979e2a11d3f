"""Confirms what a search found: its best configuration against its baseline, with seeds that nothing has used."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from study.analysis import ablation_results, seed_plan, selection
from study.analysis.ablation_results import DECIDING, AblationResults
from study.analysis.search_results import SearchResults
from study.analysis.selection import Candidate
from study.base import processes
from study.data.dataset import Dataset
from study.design.ablation import Ablation, Arm, TrialSpec
from study.design.limits import BECAUSE, BECAUSE_NATS, MARGIN, MARGIN_NATS, MOST_FRESH_SEEDS
from study.design.search import CONFIRM
from study.execution.engines.engine import Request
from study.execution.queue import Progress
from study.execution.worker_pool import WorkerPool
from study.tracking import records, runs, tags
from study.tracking.runs import Run
from study.training.config import TrialConfig, brief, settings_text
from study.workflows.common import RESUME, Outcome, ended
from study.workflows.run_ablation import run_specs
from study.workflows.seed_supply import OnLook, SeedRule, seed_rule

BASELINE = "baseline"
MOST_REPLICATES = 100  # seeds that a search that goes on may come to train itself

Observe = Callable[[list[Progress]], None]
Show = Callable[[Sequence[TrialSpec]], AbstractContextManager[tuple[Observe, OnLook]]]


@dataclass(frozen=True)
class Confirmation:
    """A comparison that is ready to run: `mark` is the fingerprint of all that decides it but the number of seeds."""

    ablation: Ablation
    specs: tuple[TrialSpec, ...]
    rule: SeedRule
    mark: str
    first_seed: int
    decide: str


def confirm(
    study: SearchResults,
    run: Run,
    dataset: Dataset,
    *,
    show: Show,
    worker_count: int,
    storage: str,
    reuse: bool,
    minutes: float | None,
    announce: Callable[[str], None],
    launch: Request | None = None,
) -> Outcome[AblationResults] | None:
    """Compare the best that a search found with its baseline until that is settled, in a run below the search's.

    `show` gets the trials, and gives what is told of their progress while they run; `announce` gets the name of their
    study before they run. None if there is nothing to compare, or if that has been done. No trial sees a test row.
    Raises as `run_specs` does.
    """
    chosen = study.best
    if chosen is None or study.is_baseline(chosen):
        run.set_tags({tags.CONFIRMED_BY: tags.NOTHING})
        return None
    prepared = prepare(study, chosen.name, dataset, minutes)
    marked = records.find_tagged(run.client, tags.RACE, prepared.mark)
    done = [record for record in marked if record.tags.get(tags.KIND) == tags.STUDY_KIND]  # its trials repeat the mark
    if done and reuse and not _wants_more(ablation_results.read(run.client, done[-1].run_id, curves=False)):
        run.set_tags({tags.CONFIRMED_BY: done[-1].run_id})
        return None
    own = _open(run, study, prepared)
    run.set_tags({tags.CONFIRMED_BY: own.run_id})
    with (
        ended(own, f"stopped. {RESUME}"),
        WorkerPool(min(worker_count, len(prepared.specs))) as pool,
        show(prepared.specs) as (observe, on_look),
    ):
        outcome = run_specs(
            own, pool, prepared.ablation, prepared.specs, dataset, storage=storage, reuse=reuse, observe=observe,
            rule=prepared.rule, on_look=on_look, open_test=False, launch=launch, announce=announce,
        )  # fmt: skip
        if outcome.failures:
            own.end("FAILED", outcome.failure_text)
    return outcome


def prepare(study: SearchResults, name: str, dataset: Dataset, minutes: float | None) -> Confirmation:
    """Return the comparison of the search's choice, which is the trial of this `name`, with its baseline."""
    chosen = study.best
    assert chosen is not None
    search, settings = study.search, study.settings(chosen)
    around = TrialConfig(network=search.baseline.network, training=search.baseline.training)
    decide = search.metric if search.metric in DECIDING else "val_cross_entropy"  # val_loss has a penalty in it
    ablation = Ablation(
        task=CONFIRM,
        question=f"Is {name}, the best configuration of the search, better than the baseline?",
        known="The best of many trials owes some of its lead to luck. Seeds that none of them has used take that away.",
        baseline=around,
        arms=(Arm(BASELINE, {}), Arm(settings_text(settings, brief), settings)),
        seeds=None,
        margin=MARGIN if decide == "val_accuracy" else MARGIN_NATS,
        because=BECAUSE if decide == "val_accuracy" else BECAUSE_NATS,
        factors={},
        figures=(),
    )
    if decide == "val_accuracy":
        ablation = ablation.with_visible_margin(dataset)
    rule = seed_rule(ablation, None, MOST_FRESH_SEEDS, minutes)
    two = [Candidate(config.canonical()) for config in ablation.configs]
    mark = f"{CONFIRM} {selection.fingerprint(two, dataset.sha256, str(len(dataset.validation)), seeds=None)}"
    first = records.race_seed(study.client, mark)
    if first is None or _has_trained(study, range(first, first + rule.most)):
        used = {seed for of_task in records.used_seeds(study.client, dataset.sha256).values() for seed in of_task}
        own = study.search.baseline.seed
        first = selection.fresh_seed(used | set(range(own, own + MOST_REPLICATES)), rule.most)
    specs = tuple(ablation.trial_specs(rule.first, dataset, first))
    return Confirmation(ablation, specs, rule, mark, first, decide)


def _has_trained(study: SearchResults, seeds: range) -> bool:
    """Return whether the search itself has trained any of these seeds, and so chosen by it, since they were fresh."""
    return any(int(trial.tags.get(tags.SEED, 0)) in seeds for trial in study.all_trials)


def _open(run: Run, study: SearchResults, prepared: Confirmation) -> Run:
    """Open the comparison's run below the search's; it keeps its seeds if it is interrupted and begun again."""
    parent = run.client.get_run(run.run_id)
    marks = {tags.KIND: tags.STUDY_KIND, tags.TASK: CONFIRM, tags.RACE: prepared.mark}
    marks |= {tags.RACE_SEED: str(prepared.first_seed)} | processes.this_process()
    name = f"confirm {study.record.tags[tags.STUDY]}"
    own = Run(run.client, runs.create_child(run.client, parent, name, marks, run.run_id))
    own.log_params({"decide": prepared.decide})
    return own


def _wants_more(study: AblationResults) -> bool:
    """Return whether more seeds could settle a comparison that was ended before."""
    (verdict,) = study.verdicts
    seeds = max((arm.trials for arm in study.arms), default=0)
    return seed_plan.goes_on(verdict, seeds, MOST_FRESH_SEEDS)
