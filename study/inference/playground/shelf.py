"""Keeps open the networks that read the drawing; a separate thread opens them, so that the page never waits for one."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from study.base.errors import StudyError
from study.inference import doubt

if TYPE_CHECKING:  # imports TensorFlow
    from study.inference.model import Reader

MOST_MODELS = 12  # chosen at a time, and open at a time
LEAST_SIDE = 5  # pixels; anything smaller cannot show a digit


class PlaygroundError(StudyError):
    """The page cannot be served, or a model cannot read the drawing."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A network that is ready to read, with the score of how unlike the training images a drawing is."""

    reader: "Reader"
    score: Callable[[np.ndarray], tuple[list[float | None], list[str]]]

    def read(self, seen: np.ndarray) -> dict:
        """Return the classes' names and probabilities, the likeliest of them, and the doubt of a digit (28, 28).

        The doubt is None without a reference. Raises PlaygroundError.
        """
        image = scaled(seen, self.reader.takes.row_shape)[None]
        probabilities = self.reader.probabilities(image)[0]
        if not np.isfinite(probabilities).all():
            raise PlaygroundError("its answer is not a number")
        doubts, reasons = self.score(image)
        classes, label = self.reader.takes.class_names, int(probabilities.argmax())
        return {
            "probabilities": [round(float(value), 6) for value in probabilities],
            "classes": list(classes),
            "label": label,
            "class": classes[label],
            "doubt": None if doubts[0] is None else round(float(doubts[0]), 4),
            "reason": reasons[0],
        }


def scaled(seen: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a digit (28, 28) of uint8 scaled to a network's input; raises PlaygroundError if that is not a picture."""
    if len(shape) != 2 or min(shape) < LEAST_SIDE:
        raise PlaygroundError(f"it reads {'×'.join(map(str, shape))} numbers, which are no picture")
    if shape == seen.shape:
        return seen
    return np.asarray(Image.fromarray(seen).resize(shape[::-1], Image.Resampling.BILINEAR))


def open_network(address: str) -> Opened:
    """Return the network at `address`, or of the trial with this run ID; raises TrackingError."""
    from study.inference.model import open_model  # imports TensorFlow: ten seconds, in which the page is already up

    found = open_model(address)
    return Opened(found, doubt.scorer(found.reference, found.takes.no_doubt))


class Shelf:
    """Keeps the open networks, at most MOST_MODELS of them; the least recently used one makes room."""

    def __init__(self) -> None:
        self._futures: OrderedDict[str, Future[Opened]] = OrderedDict()
        self._waiting: SimpleQueue[tuple[str, Future[Opened]]] = SimpleQueue()
        self._lock = threading.Lock()
        # A daemon: the end of the program does not wait for TensorFlow's import.
        threading.Thread(target=self._work, name="opens models", daemon=True).start()

    def get(self, address: str) -> "Future[Opened]":
        """Return the network at `address`, now or in a while: it is opened if it is not yet."""
        with self._lock:
            if address not in self._futures:
                self._futures[address] = Future()
                self._waiting.put((address, self._futures[address]))
            self._futures.move_to_end(address)
            while len(self._futures) > MOST_MODELS:
                self._futures.popitem(last=False)[1].cancel()
            return self._futures[address]

    def _work(self) -> None:
        while True:
            address, future = self._waiting.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(open_network(address))
            except Exception as failure:
                future.set_exception(failure)
