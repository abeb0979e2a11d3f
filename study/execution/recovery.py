"""Recovers when a process dies; the table says who notices, after how long, and what happens.

| who died | who notices | after | what happens |
|---|---|---|---|
| a worker | the conductor and idle workers of that machine, by its pid | 5 s | its trial is requeued |
| a worker, the third on one trial | the same | 5 s | the trial fails: *its workers died* |
| a worker's machine or network | the next worker to take a trial: no heartbeat for 20 s | then | the same |
| a worker after its run ended, before it told Optuna | the next worker on the trial | then | the run's result counts |
| a worker that stood still until another took its trial | itself | its next epoch, or its end | it drops the trial |
| the process that marked a trial as failed, before requeueing it | the conductor | 0.5 s | the trial is requeued |
| the conductor (the command itself) | its workers: their standard input closes | at once | they requeue and end |
| the server that forks its workers | the conductor: its socket closes | at once | all end, and the command says so |
| `mlflow run` around the conductor | the conductor, by its parent's pid | 0.5 s | it ends as after Ctrl-C |
| any process with an open run | the next command on that machine | its start | the run ends KILLED |
| `mlflow run` before its program began | the next command on that machine, in a SQLite store | 10 min | the same |
| the database's server | every process that uses it | then | they wait, 3 minutes at most |
| the MLflow server | every process that uses it | then | they ask again; half a minute costs no trial |
| MLflow's server, for longer | the worker that writes | then | the trial is requeued; 3 in a row end the worker |
| the disk: full, or read-only | the conductor | then | it ends and says so; its command, repeated, goes on |
| a job that its engine warns, preempts or cancels | its program, by a signal | at once | its trials are requeued |
| nobody: `-e cancel` ends the study | conductor and workers, by a word in the queue | 0.5 s | they requeue and end |
| a conductor that had launched workers | its command, repeated there | its start | those workers end |
| any process, at any write | who gives the same command once more | then | the same report, but for times and IDs |
| any of them, in any order | all of the above | – | every trial ends with one result, and none runs for ever |

A trial that fails through its own fault (it diverges, or its code raises) is never requeued. The clocks of two machines
are never compared, nor their time zones: heartbeats are written and judged by the database's clock.
"""

import contextlib
import time

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.base import processes
from study.base.processes import is_gone
from study.execution import optuna_internals
from study.execution.attributes import REASON, RUN_ID, UNCOUNTED, WORKER, doubles, slot_of, tries_before, tries_counted
from study.execution.storage import FAULTS
from study.tracking import records, runs, store, tags

RETRIES = 2  # of a trial whose workers died
NEVER_BEGUN_SECONDS = 600  # after which nobody begins a run that `mlflow run` has made
LOOK_SECONDS = 5  # between two looks for workers that have ended

# --- trials -----------------------------------------------------------------------------------------


def requeue(study: optuna.Study, trial: FrozenTrial, *, counts: bool = True) -> None:
    """Requeue a trial that did not finish, unless it has been retried RETRIES times.

    An interrupted try does not count, and its trial is always requeued. A trial is left alone if another of its tries
    is waiting, running, complete or pruned: the process that requeued it may not have managed to mark it as failed. A
    double that waits is none: it will be thrown away.
    """
    trials = study.get_trials(deepcopy=False)
    twice = doubles(trials)
    for other in trials:
        thrown_away = other.state == TrialState.WAITING and other.number in twice
        alive = other.state != TrialState.FAIL and not thrown_away
        if alive and other.number != trial.number and slot_of(other) == slot_of(trial):
            return
    if counts and is_exhausted(trial):
        return
    history = [*tries_before(trial), trial.number]
    uncounted = trial.user_attrs.get(UNCOUNTED, 0) + (not counts)
    kept = {name: value for name, value in trial.user_attrs.items() if name not in (REASON, WORKER)}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept | {UNCOUNTED: uncounted},
            system_attrs=trial.system_attrs | optuna_internals.retry_attributes(history),
        )
    )


def is_exhausted(trial: FrozenTrial) -> bool:
    """Return whether a trial whose worker died is not tried again."""
    return tries_counted(trial) > RETRIES


def requeue_lost(study: optuna.Study) -> None:
    """Requeue the trials of workers on this machine that have ended, without waiting for their heartbeats."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not (worker := trial.user_attrs.get(WORKER)):
            # Its worker may have died before its first heartbeat. From now on the trial needs one, as others do.
            with contextlib.suppress(*FAULTS):  # the next look does it
                optuna_internals.expect_heartbeat(study, trial)
        elif is_gone(worker):
            fail_and_requeue(study, trial)


def fail_and_requeue(study: optuna.Study, trial: FrozenTrial, *, counts: bool = True) -> None:
    """Mark a try that will not finish as failed, and requeue its trial as `requeue` does, unless it has ended."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        optuna_internals.mark_failed(study, trial)
        requeue(study, trial, counts=counts)


def requeue_silent(study: optuna.Study, seconds: float) -> None:
    """Requeue, as if they had been interrupted, the running trials whose workers have been silent for so long.

    A worker that is told to end is not lost, and its try does not count against the trial.
    """
    requeue_lost(study)
    ages = optuna_internals.heartbeat_ages(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if ages.get(trial.number, 0.0) > seconds:
            fail_and_requeue(study, trial, counts=False)


def requeue_forgotten(study: optuna.Study) -> None:
    """Requeue the trials that failed because their workers died, and that nobody has requeued.

    Marking a trial as failed and requeueing it are two steps, and a process may die in between, or find the disk full.
    If it is still at it, the queue has the trial twice, and hands out the first.
    """
    trials = study.get_trials(deepcopy=False)
    tried_again = {number for trial in trials for number in tries_before(trial)}
    for trial in trials:
        died = trial.state == TrialState.FAIL and REASON not in trial.user_attrs
        if died and trial.number not in tried_again:
            requeue(study, trial)


# --- runs -------------------------------------------------------------------------------------------


def end_lost_runs(client: store.MlflowClient) -> list[str]:
    """End, as KILLED, the runs whose processes on this machine died without ending them; return the runs' names.

    Runs of other machines are left alone: this process cannot tell whether theirs are alive. A run that `mlflow run`
    made says nothing of its process at first; then what its program has noted on this machine counts.
    """
    ended = []
    for record in records.find_running(client):
        if _is_lost(record):
            with contextlib.suppress(Exception):  # another program may be ending the same run
                runs.Run(client, record.run_id).end("KILLED", "its process ended without a word")
                ended.append(record.name)
    return ended


def _is_lost(record: records.RunRecord) -> bool:
    if "process_started" in record.tags:
        return is_gone(record.tags)
    if owner := processes.claimant(record.run_id):
        return is_gone(owner)
    old = time.time() - record.started > NEVER_BEGUN_SECONDS
    own = record.run_id == runs.begun_run()
    return old and not own and runs.is_made_here(record) and not processes.may_begin(record.run_id, record.started)


def end_lost_trials(client: store.MlflowClient, study_run_id: str, study: optuna.Study) -> None:
    """End, as KILLED, the runs of a study's trials that no worker is running any more; ignore store failures.

    Workers elsewhere may go on meanwhile. A trial runs from before its run begins until after it has ended, so the runs
    are read first, then the trials, and then once more those runs that seem lost.
    """
    with contextlib.suppress(Exception):
        requeue_lost(study)
        begun = records.read_running_trials(client, study_run_id)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        alive = {str(trial.number) for trial in running}
        for record in begun:
            if record.tags.get(tags.OPTUNA_TRIAL) not in alive:
                with contextlib.suppress(Exception):
                    if records.read_run(client, record.run_id).status == "RUNNING":
                        runs.Run(client, record.run_id).end("KILLED", "its worker was stopped")


def end_last_try(client: store.MlflowClient, trial: optuna.Trial) -> records.RunRecord | None:
    """Return the run that this trial's last try left behind, and end it if it has not ended; None if there is none."""
    run_id = trial.user_attrs.get(RUN_ID)
    record = records.find_run(client, run_id) if run_id else None
    if record and record.status == "RUNNING":
        runs.Run(client, record.run_id).end("KILLED", "its worker died; another took the trial up")
    return record
