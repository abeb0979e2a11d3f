"""Keeps an ablation's queue filled: with the trials of its first seeds, then with more for what is still open."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from study.analysis import ablation_results, seed_plan
from study.analysis.ablation_results import AblationResults
from study.analysis.formatting import count
from study.data.dataset import Dataset
from study.design.ablation import Ablation, TrialSpec
from study.execution.queue import Progress, Queue
from study.tracking.runs import Run
from study.workflows.common import stocked

OnLook = Callable[[AblationResults, list[TrialSpec]], None]


@dataclass(frozen=True)
class SeedRule:
    """How many seeds an arm has: `first` at the first look, then up to `most`, in so many minutes; None: no limit."""

    first: int
    most: int
    minutes: float | None = None


def seed_rule(
    ablation: Ablation, seeds: int | None, most: int, minutes: float | None = None, *, pairs: bool = False
) -> SeedRule:
    """Return the rule for exactly so many `seeds`, or those of the task; if neither says it, for at most `most`."""
    if exactly := seeds or ablation.seeds:
        return SeedRule(exactly, exactly, minutes)
    return SeedRule(min(seed_plan.start(ablation.judged_together(pairs)), most), most, minutes)


class SeedSupply:
    """Enqueues trials as `Queue.add_specs` does, and plans more when all that were planned have ended.

    `specs` are all that are planned, and grow. Without a `rule` nothing is added. `on_look` is called after each look
    with the results so far and the trials that are planned next. `note` says so when the time was up.
    """

    def __init__(
        self,
        run: Run,
        queue: Queue,
        ablation: Ablation,
        dataset: Dataset,
        specs: Sequence[TrialSpec],
        rule: SeedRule | None,
        on_look: OnLook,
    ):
        self._run, self._queue, self._ablation, self._dataset = run, queue, ablation, dataset
        self.specs, self._rule, self._on_look = list(specs), rule, on_look
        self._deadline = time.monotonic() + 60 * rule.minutes if rule and rule.minutes is not None else None
        self.note: str | None = None
        self._first_seed = min(spec.config.seed for spec in specs)

    def __call__(self, trials: list[Progress]) -> None:
        """Enqueue what is missing; look, when all that were planned have ended; end the queue when the time is up."""
        if self._queue.ended:
            return
        if self._rule and trials and all(trial.finished for trial in trials):
            self.specs += self._look(self._rule)
        left = len(self.specs) - sum(trial.finished or trial.state == "RUNNING" for trial in trials)
        # From now on no trial begins that would end too late. Trials that were carried over do not count for this.
        if left and self._deadline is not None and time.monotonic() + self._queue.seconds_a_trial() > self._deadline:
            self.note = f"The time was up: {count(left, 'planned trial')} did not run."
            self._queue.end("the time is up")
        else:
            self._queue.add_specs(self.specs, stocked(trials))

    def _look(self, rule: SeedRule) -> list[TrialSpec]:
        """Return the trials that the results so far ask for."""
        study = ablation_results.read(self._run.client, self._run.run_id, curves=False)
        have = Counter(spec.arm for spec in self.specs)
        wanted = seed_plan.next_seeds(study, have, rule.most)
        more = self._ablation.more_specs(self._dataset, have, wanted, self._first_seed)
        self._on_look(study, more)
        return more
