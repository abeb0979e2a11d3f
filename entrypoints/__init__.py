"""The project's entry points: short programs that turn click's options into calls of the study library, no more."""

import os
import signal
import sys

import study  # noqa: F401  first of all: it pauses the garbage collector, which makes imports faster
from study.base import processes


def _leave(number: int, frame: object) -> None:
    os.write(2, b"Error: Interrupted.\n")
    os._exit(130)


# While `python -m` imports one of our programs, Ctrl-C has nothing to clean up; `program.run` takes over afterwards.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
if sys.argv[0] == "-m":
    processes.claim_run()
