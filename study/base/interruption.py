"""What interrupts a program: Ctrl-C, SIGTERM, and the end of the `mlflow run` that started it."""

import os
import signal
from types import FrameType

_asked = False


def listen() -> None:
    """Let SIGTERM, and Ctrl-C unless it is ignored, raise KeyboardInterrupt in this process, and remember it.

    Python raises it wherever the program happens to be. Inside a function that C++ called, or a finalizer, it is lost:
    TensorFlow prints a SystemError, and trains on. So whoever works for long calls `check` from time to time.
    """
    global _asked
    _asked = False
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def was_asked() -> bool:
    """Return whether this process has been asked to end since `listen`."""
    return _asked


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
    global _asked
    _asked = True
    raise KeyboardInterrupt
