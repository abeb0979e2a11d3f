"""What a process that was killed has left behind in MLflow: runs that nobody will ever end."""

import contextlib

from study.base.processes import is_gone
from study.execution.queue import Queue
from study.tracking import records, runs, store


def end_lost_runs(client: store.MlflowClient) -> list[str]:
    """End, as KILLED, the runs of processes of this machine that have ended without doing so; return their names.

    Runs of other machines are left alone: whether their processes live cannot be seen from here.
    """
    ended = []
    for record in records.find_running(client):
        if is_gone(record.tags):
            with contextlib.suppress(Exception):  # another program may be at the same
                runs.Run(client, record.run_id).end("KILLED", "its process ended without a word")
                ended.append(record.name)
    return ended


def end_lost_trials(client: store.MlflowClient, study_run_id: str, queue: Queue) -> None:
    """End, as KILLED, the runs of a study's trials that no worker is at any more, as far as the store lets us."""
    with contextlib.suppress(Exception):
        queue.put_back_lost()
        at_work = {str(number) for number in queue.at_work()}
        for record in records.read_trials(client, study_run_id):
            if record.status == "RUNNING" and record.tags.get("optuna_trial") not in at_work:
                with contextlib.suppress(Exception):
                    runs.Run(client, record.run_id).end("KILLED", "its worker was stopped")
