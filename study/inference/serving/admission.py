"""Lets only so much work into the served model at a time, so that no request makes the others wait for long.

MLflow's server answers on a few threads: as many as there are cores, and four. Requests with little work pass freely.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

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

    @contextmanager
    def request(self, work: int) -> Iterator[None]:
        """Hold a place for a request with so much work in all; raises Busy at once if there is none."""
        if work <= LITTLE:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def picture(self, work: int, of_request: int) -> Iterator[None]:
        """Let a picture with so much work be decoded; `of_request` is the work of its request in all.

        Raises Busy if other large pictures keep a large one waiting for SECONDS.
        """
        if of_request <= LITTLE:
            yield
        elif work <= LITTLE:
            with self._turn:  # a tenth of a second at most; without it, three requests would crowd out all others
                yield
        else:
            if not self._large.acquire(timeout=SECONDS):
                raise _busy()
            try:
                yield
            finally:
                self._large.release()


def _busy() -> Busy:
    return Busy("busy with other large pictures", hint="Ask again in a second, or send smaller pictures.")
