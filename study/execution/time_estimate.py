"""Estimates how long trials will take: by the store's own trials if it has some, and better while they run."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from study.base.errors import TrackingError
from study.base.processor import processor
from study.data.dataset import Dataset
from study.design.ablation import TrialSpec
from study.design.search import TASK
from study.execution.queue import Progress
from study.tracking import records, store, tags
from study.tracking.artifacts import csv_text
from study.tracking.records import RunRecord
from study.training.config import MLP, NETWORK, TrialConfig
from study.training.networks.network import find, network_shape

# Measured in November 2026 on one core of a cloud machine, 784-128-10 on 55,000 rows at batch 8, 32 and 128
# (docs/lab-log.md): what an epoch costs for each weight and row, for each weight and step, and for each step.
SECONDS_A_WEIGHT_AND_ROW = 3.5e-11
SECONDS_A_WEIGHT_AND_STEP = 7e-10
SECONDS_A_STEP = 8e-6
# What a pass over the validation rows costs within an epoch, for each row, and for each weight and row; the one at its
# end is in the numbers above.
SECONDS_A_ROW_SCORED = 1e-6
SECONDS_A_WEIGHT_AND_ROW_SCORED = 2e-11
SECONDS_TO_RECORD = 0.7
SECONDS_TO_COMPILE = 2.0
SECONDS_TO_START = 10.0
USUAL_WIDTH = 128

FEWEST_TRIALS = 5  # of the store that say how fast this machine is
# How far a trial's mean time may be from the estimate, as the standard deviation of its logarithm. Assumed, for a quiet
# machine: where other work shared it, half of 18 studies were off by more than 0.40 (docs/lab-log.md).
KNOWN, UNKNOWN = 0.25, 0.7


@dataclass(frozen=True)
class Pace:
    """How fast a machine is: an epoch takes `slowness` times what the constants above say.

    `record` and `compiling` are the seconds that a trial takes to be recorded and compiled. `by_batch` has the slowness
    at some batch sizes. `doubt` says how far the mean time of trials may be from the estimate, as the standard
    deviation of its logarithm.
    """

    slowness: float = 1.0
    record: float = SECONDS_TO_RECORD
    compiling: float = SECONDS_TO_COMPILE
    doubt: float = UNKNOWN
    by_batch: Mapping[int, float] = field(default_factory=dict)

    @property
    def evidence(self) -> str:
        """What the pace was learned from, in words."""
        return "a usual machine's times" if self.doubt == UNKNOWN else "the times of earlier trials"


USUAL = Pace()


def epoch_seconds(config: TrialConfig, dataset: Dataset, pace: Pace = USUAL) -> float:
    """Estimate the seconds that an epoch takes on one core."""
    weights, batch = weights_used(config, dataset), config.training.batch_size
    rows = len(dataset.train)
    steps = -(-rows // batch)
    usual = weights * (rows * SECONDS_A_WEIGHT_AND_ROW + steps * SECONDS_A_WEIGHT_AND_STEP) + steps * SECONDS_A_STEP
    scored = len(dataset.validation) * (-(-steps // (config.training.validate_every or steps)) - 1)
    usual += scored * (SECONDS_A_ROW_SCORED + weights * SECONDS_A_WEIGHT_AND_ROW_SCORED)
    return pace.by_batch.get(batch, pace.slowness) * usual


def trial_seconds(config: TrialConfig, dataset: Dataset, pace: Pace = USUAL) -> float:
    """Estimate the seconds that a trial takes on one core if it trains all its epochs, without compiling."""
    return pace.record + config.training.epochs * epoch_seconds(config, dataset, pace)


def stored_pace(network: str, dataset: Dataset) -> Pace:
    """Return this machine's pace with a network on these data, by the newest of the store's trials of it.

    It is the usual pace if there are no such trials, or if the store does not answer, which the study itself reports. A
    store that does not exist is not created for this.
    """
    try:
        timed = [] if store.is_absent() else records.find_timed(store.connect(), dataset.sha256, processor()[0])
    except TrackingError:
        return USUAL
    return pace_of([trial for trial in timed if trial.params.get(NETWORK, MLP) == network], dataset)


def pace_of(trials: Sequence[RunRecord], dataset: Dataset) -> Pace:
    """Return the pace of finished trials on these data; those that were carried over tell nothing."""
    own = [trial for trial in trials if tags.REUSED_FROM not in trial.tags and tags.TRAIN_SECONDS in trial.metrics]
    if len(own) < FEWEST_TRIALS:
        return USUAL
    slowness: dict[int, list[float]] = defaultdict(list)
    recording = []
    for trial in own:
        config, metrics = TrialConfig.recorded(trial.params), trial.metrics
        epoch = metrics[tags.TRAIN_SECONDS] / max(1.0, metrics.get(tags.EPOCHS_TRAINED, 1.0))
        slowness[config.training.batch_size].append(epoch / epoch_seconds(config, dataset))
        whole = (trial.ended or trial.started) - trial.started
        recording.append(whole - metrics[tags.TRAIN_SECONDS] - metrics.get(tags.COMPILE_SECONDS, 0.0))
    # An ablation compiles a program for each arm, a search one for nearly every trial.
    compiling = [trial.metrics.get(tags.COMPILE_SECONDS, 0.0) for trial in own if trial.tags.get(tags.TASK) == TASK]
    return Pace(
        slowness=median(each for group in slowness.values() for each in group),
        record=max(0.0, median(recording)),  # one trial during which a laptop slept would take hours
        compiling=fmean(compiling) if len(compiling) >= FEWEST_TRIALS else SECONDS_TO_COMPILE,
        doubt=KNOWN,
        by_batch={batch: median(group) for batch, group in slowness.items()},
    )


def weights_used(config: TrialConfig, dataset: Dataset) -> int:
    """Return about how many multiplications a network makes for a row."""
    work = find(config.network.name).work
    if work is None:  # as if it were the usual mlp
        return USUAL_WIDTH * (math.prod(dataset.row_shape) + dataset.classes)
    shape = network_shape(dataset.row_shape, dataset.kind == "pixels")
    return work(shape, dataset.classes, **dict(config.network.settings))


def total_seconds(specs: Sequence[TrialSpec], dataset: Dataset, workers: int, pace: Pace = USUAL) -> float:
    """Estimate the seconds that all trials take together, including starting and compiling."""
    trials = sum(trial_seconds(spec.config, dataset, pace) for spec in specs)
    shapes = len({spec.arm for spec in specs})
    return SECONDS_TO_START + trials / workers + shapes * pace.compiling


@dataclass(frozen=True)
class Total:
    """How many trials there will be: at least `low` and at most `high`, which are equal where that is known."""

    low: int
    high: int

    def __str__(self) -> str:
        return self._between("–")

    @property
    def words(self) -> str:
        """The number, or the range, in a sentence: ``40 to 55``."""
        return self._between(" to ")

    def _between(self, ends: str) -> str:
        return str(self.high) if self.low == self.high else f"{self.low}{ends}{self.high}"


class TimeLeft:
    """Estimates the seconds until the last trial ends, from a first estimate and how fast the trials really go.

    `seconds` is the estimate for each trial by slot, `whole` the estimate for all of them together, on all workers.
    More trials may be added while they run.
    """

    def __init__(self, seconds: Mapping[int, float], whole: float):
        self._seconds, self._whole = dict(seconds), whole

    def add(self, seconds: Sequence[float], workers: int) -> None:
        """Add trials, in the slots that follow, with the estimate for each."""
        self._seconds |= dict(enumerate(seconds, start=len(self._seconds)))
        self._whole += sum(seconds) / workers

    def after(self, elapsed: float, trials: Sequence[Progress]) -> float:
        """Return the seconds left, `elapsed` seconds after the start."""
        done = sum(
            self._seconds.get(trial.slot, 0) * (1 if trial.finished else trial.epoch / trial.epochs) for trial in trials
        )
        share = done / sum(self._seconds.values())
        if share == 0:
            return max(0.0, self._whole - elapsed)
        # At first the estimate counts, later the measured speed; both include the start.
        return (1 - share) * ((1 - share) * self._whole + share * (elapsed / share))

    def total(self, trials: Sequence[Progress]) -> Total:
        """Return how many trials there will be, as far as it is known."""
        return Total(len(trials), len(trials))


def time_left(specs: Sequence[TrialSpec], dataset: Dataset, workers: int, pace: Pace = USUAL) -> TimeLeft:
    """Return what estimates the time left for these trials."""
    seconds = {slot: trial_seconds(spec.config, dataset, pace) for slot, spec in enumerate(specs)}
    return TimeLeft(seconds, total_seconds(specs, dataset, workers, pace))


def plan_table(specs: Sequence[TrialSpec], dataset: Dataset) -> str:
    """Return every trial with its full config and estimated time, as a CSV file's text.

    The time is the usual one, so that a study's plan does not depend on what else the store has.
    """
    texts = [spec.config.as_text() for spec in specs]
    fields = list(dict.fromkeys(name for text in texts for name in text))  # networks differ in theirs
    rows = (
        (
            spec.name,
            f"{trial_seconds(spec.config, dataset):.1f}",
            *(text.get(name, "") for name in fields),
        )
        for spec, text in zip(specs, texts, strict=True)
    )
    return csv_text(("trial", "about seconds", *fields), rows)
