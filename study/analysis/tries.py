"""Decides which of a trial's tries counts: a worker that stood still can leave a run beside that of another worker."""

from collections.abc import Callable, Hashable, Sequence

from study.tracking import tags
from study.tracking.records import RunRecord


def runs_that_count(trials: Sequence[RunRecord], trial_of: Callable[[RunRecord], Hashable]) -> tuple[RunRecord, ...]:
    """Return one run for each trial, in the order of `trials`, which are oldest first; `trial_of` says whose run it is.

    It is the last that is complete, else the last that was pruned, else the last that failed, else the last.
    """
    chosen: dict[Hashable, RunRecord] = {}
    for run in sorted(trials, key=_rank):
        chosen[trial_of(run)] = run
    counted = {run.run_id for run in chosen.values()}
    return tuple(run for run in trials if run.run_id in counted)


def _rank(run: RunRecord) -> int:
    if run.status == "FINISHED":
        return 3 if run.tags.get(tags.STATE) == tags.COMPLETE else 2
    return int(run.status == "FAILED")
