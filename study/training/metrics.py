"""Metrics of a classifier's outputs: loss, accuracy, confusion; pure numpy."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A classifier on one split: `loss` (nats), `accuracy` (0 to 1) and `confusion` (classes, classes).

    `confusion[i, j]` counts the images of class i that were taken for class j; `loss_error` is the standard error of
    the loss as a mean over the images.
    """

    loss: float
    accuracy: float
    confusion: np.ndarray
    loss_error: float = np.nan

    @property
    def recall(self) -> np.ndarray:
        """Share of each class's images that were recognized, (classes,); NaN for a class without images."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """Share of the images taken for each class that are of it, (classes,); NaN for a class never predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def macro_f1(self) -> float:
        """Mean over the classes of F1 = 2·TP / (2·TP + FP + FN); a class neither present nor predicted has none."""
        hits = np.diag(self.confusion)
        return float(np.nanmean(_ratio(2 * hits, self.confusion.sum(axis=0) + self.confusion.sum(axis=1))))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have rows, which all count alike however few rows they have."""
        return float(np.nanmean(self.recall))

    def confused_pairs(self) -> list[tuple[int, int, int]]:
        """Return (true class, predicted class, images) for every confusion that occurred, the most frequent first."""
        pairs = [(int(i), int(j), int(self.confusion[i, j])) for i, j in np.argwhere(self.confusion) if i != j]
        return sorted(pairs, key=lambda pair: -pair[2])


def evaluate(logits: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Score `logits` (n, classes) against `labels` (n,); the loss is the mean cross-entropy of their softmax."""
    classes, labels = logits.shape[1], labels.astype(np.int64)
    predicted = logits.argmax(axis=1)
    losses = _cross_entropies(logits, labels)
    return Evaluation(
        loss=float(losses.mean()),
        accuracy=float((predicted == labels).mean()),
        confusion=confusion(predicted, labels, classes),
        loss_error=float(losses.std(ddof=1) / np.sqrt(len(labels))) if len(labels) > 1 else np.nan,
    )


def _cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return −log softmax of each row's own class, (n,)."""
    # A row a class: sums and maxima over the classes then run along memory, up to 20 times faster than scipy's.
    with np.errstate(invalid="ignore"):  # a network that diverged: its loss is not finite, which the caller sees
        above = logits.T.astype(np.float64, order="C")
        above -= above.max(axis=0)
        own = above[labels, np.arange(len(labels))]
        losses: np.ndarray = np.log(np.exp(above, out=above).sum(axis=0)) - own
    return losses


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how many images of class i (n labels) were taken for class j (n predictions): (classes, classes)."""
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio
