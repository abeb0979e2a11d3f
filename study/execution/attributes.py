"""Names the attributes that our queues keep in Optuna, each in one place, and reads them.

A trial's *slot* is its place in the queue. It stays the same when the trial is requeued and Optuna gives the new try
another number, so slots join tries, MLflow runs and results.
"""

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

# Of a study.
ASSIGNMENT = "assignment"  # what the workers have to know
HAND_OUT = "hand_out"  # of a search: trials are handed out until this slot
ENDED = "ended"  # why workers take no more trials; empty while they may
CANCELLED = "cancelled"  # the host that has cancelled it: conductor and workers end at once; empty while they may go on
CONDUCTOR = "conductor"  # the process that fills the queue, as `processes.this_process` describes it
PLAN = "plan"  # how many `trials` there are to be, as far as the conductor knows, and the `epochs` of a search's
COMPARISON = "comparison"  # of a search: the name of the study in which its best is compared with its baseline
LAUNCH = "launch:"  # the beginning of the names of launches, one attribute each; null once they have ended

# Of a trial.
SLOT = "slot"
NAME = "name"  # for people; the code never looks a trial up by it
ARM = "arm"
CONFIG = "config"  # as flat text; of an ablation's trials only
SETTINGS = "settings"  # what a search has suggested, for people
WORKER = "worker"  # the process that runs it, as `processes.this_process` describes it
RUN_ID = "run_id"  # its MLflow run
REASON = "reason"  # why it failed for good
FINGERPRINT = "fingerprint"  # of what a search trains
REPEATS = "repeats"  # the number of the trial that trained the same
EXCLUDED = "excluded"  # why it was not trained: the search has a limit
REUSED_FROM = "reused_from"  # the run ID of the equal trial whose result was carried over
REPLICATES = "replicates"  # the slot of the trial whose point it trains with another seed
SEED_NUMBER = "seed_number"  # how many seeds that point had before
GENERATION = "generation"  # of CMA-ES, to which its point belongs
UNCOUNTED = "uncounted"  # how many of its tries were interrupted: they do not count against it

# Of a trial, written as Optuna writes it.
HISTORY = "retry_history"  # the numbers of its earlier tries


def slot_of(trial: FrozenTrial) -> int:
    """Return the trial's place in the queue, which all its tries share."""
    return trial.user_attrs.get(SLOT, trial.number)


def stands_aside(trial: FrozenTrial) -> bool:
    """Return whether a search's trial was not trained, so that another slot takes its place."""
    return REPEATS in trial.user_attrs or EXCLUDED in trial.user_attrs


def seed_number(trial: FrozenTrial) -> int:
    """Return how many seeds a search's trial's point had before it: 0 for the search's own seed."""
    return trial.user_attrs.get(SEED_NUMBER, 0) if REPLICATES in trial.user_attrs else 0


def tries_before(trial: FrozenTrial) -> list[int]:
    """Return the numbers of the trials that were this one's earlier tries."""
    return trial.system_attrs.get(HISTORY, [])


def tries_counted(trial: FrozenTrial) -> int:
    """Return how many tries a trial has had, including this one but not those that were interrupted."""
    return len(tries_before(trial)) + 1 - trial.user_attrs.get(UNCOUNTED, 0)


def doubles(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that are in the queue twice; `trials` are all of it, in Optuna's order.

    Two commands that run the same search, or two processes that requeue the same trial, can both enqueue it. The first
    one counts. The database numbers trials in order and for good, so every process that asks gets the same answer.
    """
    seen: set[tuple[int, int | None]] = set()
    found = set()
    for trial in trials:
        before = tries_before(trial)
        tried = slot_of(trial), before[-1] if before else None
        if tried in seen:
            found.add(trial.number)
        seen.add(tried)
    return found


def tries_that_count(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return one try for each slot, in their order: a complete one, else a pruned one, else the last but no double."""
    trials = list(trials)
    twice = doubles(trials)
    chosen: dict[int, tuple[int, FrozenTrial]] = {}
    ranks = {TrialState.COMPLETE: 3, TrialState.PRUNED: 2}
    for trial in trials:
        rank = ranks.get(trial.state, 0 if trial.number in twice else 1)
        if (slot := slot_of(trial)) not in chosen or rank > chosen[slot][0] or rank == chosen[slot][0] == 1:
            chosen[slot] = rank, trial
    return [chosen[slot][1] for slot in sorted(chosen)]
