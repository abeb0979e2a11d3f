"""Decides when to stop: rules that watch val_loss, counting epochs, as Keras's EarlyStopping does, or steps."""

from collections.abc import Callable, Sequence

import numpy as np


def lowest(val_losses: Sequence[float]) -> int:
    """Return the place of the lowest val_loss, of equal ones the first; one that is not a number is never lower."""
    return int(np.argmin(np.where(np.isnan(val_losses), np.inf, val_losses)))


class EarlyStopping:
    """Keras's EarlyStopping on val_loss with restore_best_weights, without its printing.

    `kept_epoch` is the last one that was better by more than `min_delta`. Its weights are restored, though another may
    have a lower val_loss. With `patience` None it never stops and keeps nothing.
    """

    def __init__(self, patience: int | None, min_delta: float):
        self.patience, self.min_delta = patience, min_delta
        self.kept_epoch, self.stop = 0, False
        self.kept_weights: list[np.ndarray] | None = None
        self._best, self._wait = np.inf, 0

    def update(self, epoch: int, val_loss: float, weights: Callable[[], list[np.ndarray]]) -> None:
        """Take in an epoch (from 1) and its val_loss; afterwards `stop` says whether it was the last.

        `weights` returns the weights at its end. It is called only if they are kept.
        """
        if self.patience is None:
            return
        self._wait += 1
        improved = val_loss < self._best - self.min_delta
        if improved:
            self._best, self._wait = val_loss, 0
        if improved or self.kept_epoch == 0:
            self.kept_epoch, self.kept_weights = epoch, weights()
        # Keras never stops at the first epoch nor at a better one, not even with a patience of 0.
        self.stop = not improved and self._wait >= self.patience and epoch > 1


class Plateau:
    """Stops when val_loss has not fallen by more than `min_delta` over `patience` steps; the last weights stay.

    With `patience` None it never stops.
    """

    def __init__(self, patience: int | None, min_delta: float):
        self.patience, self.min_delta, self.stop = patience, min_delta, False
        self._best, self._wait = np.inf, 0

    def update(self, steps: int, val_loss: float) -> None:
        """Take in the val_loss after `steps` more steps; afterwards `stop` says whether they were the last."""
        self._wait += steps
        if val_loss < self._best - self.min_delta:
            self._best, self._wait = val_loss, 0
        self.stop = self.patience is not None and self._wait >= self.patience
