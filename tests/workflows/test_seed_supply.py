"""Seeds that are added where a question is open; nothing is trained: accuracies are made up from arm and seed."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from study.analysis import ablation_results
from study.design.ablation import parse_ablation
from study.execution import worker
from study.execution.queue import create_queue, progress
from study.execution.storage import DEFAULT_STORAGE
from study.tracking import runs, tags
from study.tracking.store import connect
from study.workflows import run_ablation
from study.workflows.common import assignment
from study.workflows.seed_supply import SeedRule, SeedSupply

YAML = """
question: Which is better?
margin: 0.2
baseline: {hidden: 8, epochs: 2}
arms:
  list:
    - {name: plain}
    - {name: far, dropout: 0.3}
    - {name: near, dropout: 0.1}
"""


@pytest.fixture(autouse=True)
def alone(store, connections_closed, monkeypatch):
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0)


def accuracy(arm: str, seed: int) -> float:
    shift, sd = {"plain": (0, 0), "far": (-0.05, 0.001), "near": (0.0001, 0.0011)}[arm]
    return 0.97 + shift + sd * float(np.random.default_rng([len(arm), seed]).normal())


def train(config, dataset, run, name, on_epoch) -> SimpleNamespace:
    epoch = SimpleNamespace(number=1, val_loss=0.1)
    on_epoch(epoch)
    value = accuracy(name.partition(" ")[0], config.seed)
    run.log_summary({tags.MODEL_VAL_ACCURACY: value, tags.MODEL_VAL_CROSS_ENTROPY: 1 - value})
    return SimpleNamespace(state="complete", reason=None, epochs=(epoch,), model_epoch=1)


class Study:
    """An ablation whose queue is supplied and worked off here."""

    def __init__(self, dataset, rule: SeedRule | None, seeds: int = 8):
        self.ablation = parse_ablation(YAML, "mine", "mine.yaml")
        self.run = runs.open_study_run(connect(), "ablation mine")
        specs = self.ablation.trial_specs(seeds, dataset)
        run_ablation.describe(self.ablation, specs, dataset, self.run, self.run.run_id, True)
        self.queue, _ = create_queue(DEFAULT_STORAGE, self.run.run_id)
        self.queue.assign(assignment(dataset, self.run.run_id, open_test=True, reuse=False))
        self.looks: list[tuple[int, int]] = []  # how many are settled, and how many trials follow

        def on_look(study, more):
            self.looks.append((sum(one.kind != "undecided" for one in study.verdicts), len(more)))

        self.supply = SeedSupply(self.run, self.queue, self.ablation, dataset, specs, rule, on_look)

    def work(self, at_a_time: int = 1_000) -> None:
        """Supply and work in turn, some trials at a time, until nothing waits."""
        while True:
            self.supply(progress(self.queue, specs=self.supply.specs))
            if not self.queue.waiting():
                return
            left = iter(range(at_a_time))
            worker.work(DEFAULT_STORAGE, self.run.run_id, train=train, leave=lambda left=left: next(left, None) is None)

    def seeds(self) -> Counter:
        return Counter(spec.arm for spec in self.supply.specs)

    def kinds(self) -> dict[str, str]:
        found = ablation_results.read(self.run.client, self.run.run_id, curves=False)
        return {verdict.arm: str(verdict.kind) for verdict in found.verdicts}


def test_settled_arms_leave_and_open_ones_go_on_however_the_work_is_cut(few_digits):
    whole, cut = Study(few_digits, SeedRule(8, 20)), Study(few_digits, SeedRule(8, 20))
    whole.work()
    cut.work(at_a_time=5)
    assert whole.kinds() == {"far": "hurts", "near": "no effect"}
    seeds = whole.seeds()
    assert seeds["far"] == 8 < seeds["near"] == seeds["plain"] < 20
    settled, more = zip(*whole.looks, strict=True)
    assert (settled[0], settled[-1]) == (1, 2)
    assert more[-1] == 0 and sum(more) == len(whole.supply.specs) - 3 * 8
    assert all(trial.state == "COMPLETE" for trial in progress(whole.queue))
    assert [spec.name for spec in cut.supply.specs] == [spec.name for spec in whole.supply.specs]
    assert cut.looks == whole.looks


def test_without_a_rule_no_seed_is_added(few_digits):
    study = Study(few_digits, None, seeds=1)
    study.work()
    assert (set(study.seeds().values()), study.looks) == ({1}, [])


def test_when_the_time_is_up_nothing_more_is_handed_out(few_digits):
    study = Study(few_digits, SeedRule(8, 30, minutes=1e-9))
    study.supply(progress(study.queue, specs=study.supply.specs))
    assert study.queue.ended == "the time is up"
    assert worker.work(DEFAULT_STORAGE, study.run.run_id, train=train) == 0


def test_what_runs_when_the_time_is_up_is_not_told_as_left_out(few_digits):
    study = Study(few_digits, SeedRule(8, 30, minutes=1))
    waiting = progress(study.queue, specs=study.supply.specs)
    states = ["COMPLETE"] * 10 + ["RUNNING"] * 2
    begun = [replace(trial, state=state) for trial, state in zip(waiting, states, strict=False)]
    study.supply._deadline = 0.0
    study.supply(begun + waiting[12:])
    assert study.supply.note == f"The time was up: {len(waiting) - 12} planned trials did not run."
    last = Study(few_digits, SeedRule(8, 30, minutes=1))
    last.supply._deadline = 0.0
    last.supply([replace(trial, state="RUNNING") for trial in progress(last.queue, specs=last.supply.specs)])
    assert last.supply.note is None and not last.queue.ended
