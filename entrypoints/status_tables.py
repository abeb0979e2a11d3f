"""Shows a study's status: lines that say how far it has got, and tables of launches, hosts and workers."""

from collections.abc import Iterator

from entrypoints import display
from study.analysis.formatting import count
from study.execution.storage import GRACE_SECONDS
from study.execution.study_status import LaunchStatus, StudyStatus
from study.reports.table import Table


def lines(status: StudyStatus) -> Iterator[str]:
    """Yield what the status says in sentences."""
    done = status.complete + status.pruned + status.failed
    of_them = [f"{status.pruned} pruned" if status.pruned else "", f"{status.failed} failed" if status.failed else ""]
    kinds = ", ".join(filter(None, of_them))
    yield (
        f"{status.study}: {done} of {count(status.trials, 'trial')} done{f' ({kinds})' if kinds else ''}, "
        f"{status.running} running, {status.waiting} waiting"
    )
    if status.seconds_left is not None and status.waiting + status.running:
        yield f"About {display.duration(status.seconds_left)} left, with the workers that run now"
    if status.ended:
        yield f"Workers take no more trials: {status.ended}"
    if status.conductor and not status.ended:
        how = ", which has ended: run its command again to resume" if status.conductor_ended else ""
        yield f"Conductor: {status.conductor}{how}"


def tables(status: StudyStatus) -> Iterator[Table]:
    """Yield the tables that have rows."""
    if status.launches:
        rows = [(each.id, each.engine, each.workers, _jobs(each), each.folder) for each in status.launches]
        yield Table(["launch", "on", "workers", "jobs", "logs"], rows, words=("on", "jobs", "logs"))
    if status.hosts:
        yield Table(["host", "running", "ended"], [(one.host, one.running, one.ended) for one in status.hosts])
    if status.workers:
        rows_of_workers = [
            (f"{one.host}:{one.pid}", one.trial, f"{one.epoch}/{one.epochs}", _age(one.heartbeat_seconds))
            for one in status.workers
        ]
        yield Table(["worker", "trial", "epoch", "heartbeat"], rows_of_workers, words=("trial", "heartbeat"))


def _jobs(launch: LaunchStatus) -> str:
    if launch.running is None:
        return "not known here"
    if not (launch.running or launch.waiting):
        return "ended"
    why = f" ({launch.reason})" if launch.reason else ""
    return ", ".join(filter(None, [f"{launch.running} running" if launch.running else "",
                                   f"{launch.waiting} waiting{why}" if launch.waiting else ""]))  # fmt: skip


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "none yet"
    return f"{display.duration(seconds)} ago{', so it is lost' if seconds > GRACE_SECONDS else ''}"
