"""The project's entry points: short programs that wire click's options to the study library, and nothing else."""

import os
import signal
import sys

import study  # noqa: F401  before all else: it makes the start of a program quicker


def _leave(number: int, frame: object) -> None:
    os.write(2, b"Error: Interrupted.\n")
    os._exit(130)


# While `python -m` imports one of our programs a Ctrl-C has nothing to end; `shell.run` then takes over.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
