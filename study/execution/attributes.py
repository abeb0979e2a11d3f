"""Names the attributes that our queues keep in Optuna, each in one place, and reads them.

A trial's *slot* is its place in the queue. It stays the same when the trial is requeued and Optuna gives the new try
another number, so slots join tries, MLflow runs and results.
"""

from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial

# Of a study.
ASSIGNMENT = "assignment"  # what the workers have to know
ENDED = "ended"  # why workers take no more trials; empty while they may

# Of a trial.
SLOT = "slot"
NAME = "name"  # for people; the code never looks a trial up by it
ARM = "arm"
CONFIG = "config"  # as flat text; of an ablation's trials only
SETTINGS = "settings"  # what a search has suggested, for people
WORKER = "worker"  # the process that runs it, as `processes.this_process` describes it
RUN_ID = "run_id"  # its MLflow run
REASON = "reason"  # why it failed for good
REPEATS = "repeats"  # the number of the trial at the same point
REUSED_FROM = "reused_from"  # the run ID of the equal trial whose result was carried over
GENERATION = "generation"  # of CMA-ES, to which its point belongs
UNCOUNTED = "uncounted"  # how many of its tries were interrupted: they do not count against it


def slot_of(trial: FrozenTrial) -> int:
    """Return the trial's place in the queue, which all its tries share."""
    return trial.user_attrs.get(SLOT, trial.number)


def tries_before(trial: FrozenTrial) -> list[int]:
    """Return the numbers of the trials that were this one's earlier tries."""
    return RetryHeartbeatStaleTrialCallback.retry_history(trial)


def tries_counted(trial: FrozenTrial) -> int:
    """Return how many tries a trial has had, including this one but not those that were interrupted."""
    return len(tries_before(trial)) + 1 - trial.user_attrs.get(UNCOUNTED, 0)
