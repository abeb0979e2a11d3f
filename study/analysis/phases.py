"""Tells where a study's time went: starting, compiling, training, recording, waiting, and what follows the trials."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from study.tracking import tags
from study.tracking.records import RunRecord

GAP_SECONDS = 10  # with no trial at all: the study was stopped, and went on later
NAMES = {
    "start": "starting", "compile": "compiling", "train": "training", "record": "recording", "wait": "waiting",
    "report": "reporting",
}  # fmt: skip


@dataclass(frozen=True)
class Phases:
    """The seconds of a study by what they were spent on, as they passed: those of its workers are divided by `workers`.

    `start` passes before the first trial, `report` after the last one: 0 while the study's run is open. `record` is all
    of a trial but its compiling and training: its network is built and scored, its pictures are drawn, its run and its
    model are written. `wait` is when some worker had a trial and another had none, at the end or between two trials.
    """

    workers: int
    start: float
    compile: float
    train: float
    record: float
    wait: float
    report: float

    @property
    def total(self) -> float:
        """All seconds, without those between two programs that ran the study one after the other."""
        return self.start + self.compile + self.train + self.record + self.wait + self.report

    @property
    def text(self) -> str:
        """The total, and the shares in percent."""
        shares = ", ".join(
            f"{NAMES[part.name]} {100 * seconds / self.total:.0f} %"
            for part in fields(self)
            if part.name in NAMES and (seconds := getattr(self, part.name)) > 0
        )
        return f"of {self.total:.0f} s: {shares}"


def phases(study: RunRecord, trials: Sequence[RunRecord]) -> Phases | None:
    """Return where a study's time went, as the runs of its trials say; None if no trial has ended.

    Trials that were carried over from another study were trained in no time here, and not by the workers alone.
    """
    spans = sorted((trial.started, trial.ended) for trial in trials if trial.ended)
    if not spans:
        return None
    own = [trial for trial in trials if trial.ended and tags.REUSED_FROM not in trial.tags]
    compiling, training = (
        sum(trial.metrics.get(metric, 0.0) for trial in own) for metric in (tags.COMPILE_SECONDS, tags.TRAIN_SECONDS)
    )
    trained = sorted((trial.started, trial.ended) for trial in own if trial.ended)
    workers, busy = _most_at_once(trained or spans), sum(end - start for start, end in spans)
    last = max(end for _, end in spans)
    return Phases(
        workers=workers,
        start=max(0.0, spans[0][0] - study.started),
        compile=compiling / workers,
        train=training / workers,
        record=max(0.0, busy - compiling - training) / workers,
        wait=max(0.0, _covered(spans) - busy / workers),
        report=max(0.0, study.ended - last) if study.ended else 0.0,
    )


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Return how many spans of time overlap at most: how many workers there were, whoever replaced whom."""
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return max(most, 1)


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return how long any of the spans, which are in order, lasted; a gap of more than GAP_SECONDS is left out."""
    total, (begin, until) = 0.0, spans[0]
    for start, end in spans:
        if start > until + GAP_SECONDS:
            total, begin = total + until - begin, start
        until = max(until, end)
    return total + until - begin
