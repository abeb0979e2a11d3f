"""What interrupts a program: Ctrl-C, SIGTERM, SIGUSR1, and the end of the `mlflow run` that started it."""

import math
import os
import signal
import time
from types import FrameType

AGAIN_SECONDS = 10  # in which a second signal of a batch system does not disturb the cleaning up after the first

_asked = False
_raised = -math.inf  # when a signal last interrupted this process


def listen() -> None:
    """Let SIGTERM, SIGUSR1, and Ctrl-C unless it is ignored, raise KeyboardInterrupt here, and remember it.

    Python raises it wherever the program happens to be. Inside a function that C++ called, or a finalizer, it is lost:
    TensorFlow prints a SystemError, and trains on. So whoever works for long calls `check` from time to time.

    Batch systems signal every process of a job at once, and our own programs then pass the signal on to their workers.
    Those that follow the first within AGAIN_SECONDS raise nothing, so that a trial is put back undisturbed.
    """
    global _asked, _raised
    _asked, _raised = False, -math.inf
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGUSR1, _interrupt)  # what Slurm users let a job be warned with
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def was_asked() -> bool:
    """Return whether this process has been asked to end since `listen`."""
    return _asked


def ask() -> None:
    """Raise KeyboardInterrupt as a signal would, in a process that learns in another way that it has to end.

    A signal that follows soon does not disturb the cleaning up either.
    """
    global _raised
    _raised = time.monotonic()
    raise KeyboardInterrupt


def check() -> None:
    """Raise KeyboardInterrupt if this process has been asked to end."""
    if _asked:
        raise KeyboardInterrupt


class ParentWatch:
    """Notices when the process that started this one is gone: `mlflow run` does not pass its own end on."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def check(self) -> None:
        """Raise KeyboardInterrupt where the parent has ended, or this process has been asked to."""
        check()
        if os.getppid() != self._parent:
            raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _asked, _raised
    _asked, now = True, time.monotonic()
    if number == signal.SIGINT or now - _raised > AGAIN_SECONDS:  # an impatient person is always heard
        _raised = now
        raise KeyboardInterrupt
