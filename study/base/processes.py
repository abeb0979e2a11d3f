"""Which process writes a run or trains a trial, and whether it is still alive."""

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

GROUP = "/sys/fs/cgroup"  # of a container, as it sees itself


def this_process() -> dict[str, str]:
    """Return what identifies this process: host, pid, and when it started, because pids are reused."""
    started = psutil.Process().create_time()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": str(os.getpid()),
        "process_started": f"{started:.2f}",
    }


def is_gone(process: Mapping[str, str]) -> bool:
    """Return whether a process, identified as by `this_process`, has ended; False for one on another machine."""
    if process.get("machine") != _machine() or "process_started" not in process:
        return False
    try:
        there = psutil.Process(int(process["pid"]))
        if abs(there.create_time() - float(process["process_started"])) > 1:
            return True
        return there.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, ValueError):
        return False


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def memory_available() -> int:
    """Return how many bytes of memory a process can take now: what the machine has free, or its container."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # Linux with control groups; the word max is no limit
        limit = int(Path(GROUP, "memory.max").read_text())
        used = dict(line.split() for line in Path(GROUP, "memory.stat").read_text().splitlines())
        free = min(free, max(0, limit - int(used.get("anon", 0))))  # the rest, files' contents, makes way
    return free


class ParentWatch:
    """Notices when the process that started this one is gone: `mlflow run` does not pass its own end on."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def check(self) -> None:
        """Raise KeyboardInterrupt where the parent has ended."""
        if os.getppid() != self._parent:
            raise KeyboardInterrupt


def _machine() -> str:
    """Return what identifies a space of pids: two machines or containers can share a host name."""
    parts = [socket.gethostname(), f"{psutil.boot_time():.0f}"]
    with contextlib.suppress(OSError):  # Linux only
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
