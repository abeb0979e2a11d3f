"""Identifies processes: which one writes a run or trains a trial, whether it lives, how much memory it may take."""

import contextlib
import json
import math
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from study.base.paths import RUN_VARIABLE
from study.base.private import private_folder

MOST_GROWTH = 3 * 2**30  # bytes
DAYS_OF_A_CLAIM = 30
BOOT = "/proc/sys/kernel/random/boot_id"  # a new one each time that the machine starts
GROUP = "/sys/fs/cgroup"  # of a container, as it sees itself


def this_process() -> dict[str, str]:
    """Return what identifies this process: host, pid, and when it started, because pids are reused."""
    return {
        "host": socket.gethostname(),
        "machine": machine(),
        "pid": str(os.getpid()),
        "process_started": f"{_started(psutil.Process()):.2f}",
    }


def _started(process: psutil.Process) -> float:
    """Return when a process started, in seconds since the machine did: who sets the clock changes neither."""
    return float(process.create_time() - psutil.boot_time())


def label(process: Mapping[str, str]) -> str:
    """Return ``host:pid`` of what `this_process` returned."""
    return f"{process['host']}:{process['pid']}"


def machine() -> str:
    """Return what identifies a space of pids: two machines or containers can share a host name."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path(BOOT).read_text().strip())
    except OSError:  # not Linux; this changes when somebody sets the clock
        parts.append(f"{psutil.boot_time():.0f}")
    with contextlib.suppress(OSError):  # Linux only
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def is_gone(process: Mapping[str, str]) -> bool:
    """Return whether a process, identified as by `this_process`, has ended; False for one on another machine."""
    if process.get("machine") != machine() or "process_started" not in process:
        return False
    try:
        there = psutil.Process(int(process["pid"]))
        if abs(_started(there) - float(process["process_started"])) > 1:
            return True
        return there.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, ValueError):
        return False


def kill(pids: Iterable[int]) -> None:
    """Kill processes, and wait until they are gone, 5 s at most; those that are gone already are no error."""
    there = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            there.append(psutil.Process(pid))
            there[-1].kill()
    psutil.wait_procs(there, timeout=5)


def marked(variable: str, value: str) -> dict[int, int]:
    """Return this person's processes with a variable in their environment: their parents' pids, by pid."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process.ppid()
    return found


def end(pids: Iterable[int], others: Iterable[int], seconds: float) -> None:
    """Ask processes to end (SIGTERM), and wait so long until they and the `others` are gone; kill what is left."""
    there = []
    for pid in (asked := set(pids)) | set(others):
        with contextlib.suppress(psutil.NoSuchProcess):
            there.append(psutil.Process(pid))
            if pid in asked:
                there[-1].terminate()
    _, left = psutil.wait_procs(there, timeout=seconds)
    kill(process.pid for process in left)


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


class MemoryWatch:
    """Tells when this process has grown too large since the watch began: by MOST_GROWTH, or half a core's share.

    Growth, and not size: a process whose data alone are large would otherwise be too large for ever.
    """

    def __init__(self) -> None:
        self.full = False  # when it was last asked
        self._before = resident_bytes()
        memory = min(psutil.virtual_memory().total, _container_limit() or math.inf)
        self.most = min(MOST_GROWTH, memory // (2 * cores()))

    def is_full(self) -> bool:
        """Return whether the process has grown by more than `most` bytes."""
        self.full = resident_bytes() - self._before > self.most
        return self.full


def resident_bytes() -> int:
    """Return how much of the machine's memory this process occupies."""
    return int(psutil.Process().memory_info().rss)


def memory_available() -> int:
    """Return how many bytes of memory a process can take now: what the machine has free, or its container."""
    free = int(psutil.virtual_memory().available)
    if limit := _container_limit():
        with contextlib.suppress(OSError, ValueError):
            used = dict(line.split() for line in Path(GROUP, "memory.stat").read_text().splitlines())
            free = min(free, max(0, limit - int(used.get("anon", 0))))  # the rest, files' contents, makes way
    return free


def _container_limit() -> int | None:
    """Return how many bytes of memory this process's container allows; None without a limit."""
    with contextlib.suppress(OSError, ValueError):  # Linux with control groups; the word max is no limit
        return int(Path(GROUP, "memory.max").read_text())
    return None


# --- claims -----------------------------------------------------------------------------------------


def claim_run() -> None:
    """Note on this machine that this process writes the run that `mlflow run` made for it, if any.

    It takes seconds until MLflow is imported and the run itself says so, and a program may be killed before.
    """
    with contextlib.suppress(Exception):  # without a claim the run is only known as lost later
        if run_id := os.environ.get(RUN_VARIABLE):
            path = _claim(run_id)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            for old in path.parent.iterdir():
                if time.time() - old.stat().st_mtime > DAYS_OF_A_CLAIM * 86_400:
                    old.unlink()
            path.write_text(json.dumps(this_process()))


def claimant(run_id: str) -> dict[str, str] | None:
    """Return the process on this machine that has claimed a run, identified as by `this_process`, or None."""
    with contextlib.suppress(Exception):
        return dict(json.loads(_claim(run_id).read_text()))
    return None


def may_begin(run_id: str, made: float) -> bool:
    """Return whether a process on this machine may still begin a run that `mlflow run` made (in seconds since 1970).

    Such a process has the run's ID in its environment, or is an `mlflow run` that is making an environment first.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            starts_runs = "run" in words and "mlflow" in map(os.path.basename, words)
            if starts_runs and process.create_time() <= made + 1:
                return True
            if process.environ().get(RUN_VARIABLE) == run_id:
                return True
    return False


def _claim(run_id: str) -> Path:
    if not re.fullmatch(r"\w+", run_id):
        raise ValueError(run_id)
    return private_folder() / "claims" / run_id
