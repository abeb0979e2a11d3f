"""Lets only so much work into the served model at a time, so that no request makes the others wait for long.

MLflow's server answers on a few threads: as many as there are cores, and four. Requests with little work pass freely.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from study.base.errors import StudyError

LITTLE = 3_000_000  # work, in pixels as `picture_headers` counts them: a tenth of a second
PLACES = 3  # for requests with more work; even a server on one core has two threads more
SECONDS = 0.5  # that a large picture waits for another one


class Busy(StudyError):
    """The server has enough work; the same request may be answered a second later."""


class Admission:
    """Admits at most PLACES requests with much work at a time, which take turns picture by picture.

    Of large pictures, whose memory counts, one is decoded at a time.
    """

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(PLACES)
        self._turn, self._large = threading.Lock(), threading.Lock()

    def request(self, work: int) -> AbstractContextManager:
        """Return a block that holds a place for a request of so much work; entering raises Busy if none is left."""
        return nullcontext() if work <= LITTLE else _held(self._places, seconds=0)

    def picture(self, work: int, of_request: int) -> AbstractContextManager:
        """Return a block that decodes a picture with so much work; `of_request` is the work of its whole request.

        Entering it raises Busy if other large pictures keep a large one waiting for SECONDS.
        """
        if of_request <= LITTLE:
            return nullcontext()
        # A little one takes a tenth of a second at most; without turns, three requests would crowd out all others.
        return self._turn if work <= LITTLE else _held(self._large, SECONDS)


@contextmanager
def _held(lock: "threading.BoundedSemaphore | threading.Lock", seconds: float) -> Iterator[None]:
    """Hold a lock for the block; raises Busy if it is not free within so many seconds."""
    if not lock.acquire(timeout=seconds):
        raise Busy("busy with other large pictures", hint="Ask again in a second, or send smaller pictures.")
    try:
        yield
    finally:
        lock.release()
