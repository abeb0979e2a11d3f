"""Starts launches, remembers them in their study, and ends them: the table of the engines."""

from collections.abc import Iterator
from dataclasses import asdict

from study.base import processes
from study.base.errors import WorkerError
from study.execution import attributes
from study.execution.engines import engine, kubernetes, local, ray, slurm, ssh
from study.execution.engines.engine import Engine, Job, Launch, Request
from study.execution.queue import Queue
from study.execution.storage import address_of
from study.tracking import store

ENGINES: dict[str, Engine] = {"local": local, "slurm": slurm, "ssh": ssh, "ray": ray, "kubernetes": kubernetes}


def check(request: Request, storage: str) -> None:
    """Raise ConfigError for a request that cannot work: before anything has begun."""
    chosen = ENGINES[request.engine]
    engine.check_address(address_of(storage), store.tracking_uri(), request.engine, chosen.IS_REMOTE)
    chosen.check(request.options)


def start(queue: Queue, storage: str, request: Request, data: str | None = None, *, own: bool = False) -> Launch:
    """Start the workers that are asked for, and return their launch; it is remembered first, so that none is lost.

    With `own` this process is their owner. Raises ConfigError, and WorkerError if the engine refuses.
    """
    check(request, storage)
    id = engine.new_id(queue.study_name)
    launch = Launch(
        id=id, engine=request.engine, workers=request.workers, options=dict(request.options), study=queue.study_name,
        storage=address_of(storage), tracking_uri=store.tracking_uri(), data=data, folder=engine.new_folder(id),
        host=engine.host(), machine=processes.machine(), owner=processes.this_process() if own else None,
    )  # fmt: skip
    queue.set_user_attr(f"{attributes.LAUNCH}{id}", asdict(launch))
    try:
        ENGINES[launch.engine].start(launch)
    except engine.NotStarted:
        forget(queue, launch)
        raise
    except BaseException:
        cancel(queue, launch)  # some of it may have started
        raise
    return launch


def remembered(queue: Queue) -> Iterator[Launch]:
    """Yield the launches of a study that nobody has ended."""
    for name, value in queue.user_attrs.items():
        if name.startswith(attributes.LAUNCH) and value:
            yield Launch(**value)


def logs(launch: Launch) -> str:
    """Return where the logs of a launch's workers are."""
    return ENGINES[launch.engine].LOGS.format(folder=launch.folder, id=launch.id)


def jobs(launch: Launch) -> list[Job] | None:
    """Return what of a launch waits or runs; None where this machine, or the engine at this moment, cannot tell."""
    try:
        return ENGINES[launch.engine].jobs(launch)
    except WorkerError:
        return None


def cancel(queue: Queue, launch: Launch) -> str | None:
    """End a launch, and forget it unless it is another machine's; where its engine refuses, return why."""
    try:
        ENGINES[launch.engine].cancel(launch)
    except WorkerError as failure:
        return str(failure)
    if launch.machine == processes.machine() or ENGINES[launch.engine].IS_REMOTE:
        forget(queue, launch)
    return None


def forget(queue: Queue, launch: Launch) -> None:
    """Forget a launch, of which nothing is left."""
    queue.set_user_attr(f"{attributes.LAUNCH}{launch.id}", None)


def any_left(launches: list[Launch]) -> bool:
    """Return whether any of these launches may still have workers."""
    return any(jobs(launch) != [] for launch in launches)
