"""Measures how well the novelty score of rows that are no handwritten digits tells test rows from foreign ones.

    python -m benchmarks.novelty [mnist.npz]

Every table of scikit-learn's, parts of its two photographs (16×16 pixels in colour; the class is the photograph), and
MNIST as if it were any pictures. Foreign rows are the test rows with every column permuted by itself, uniform numbers
between the training rows' extremes, and of pictures the inverted ones and those moved by a quarter. A line has the AUC
of test rows against foreign ones, and the share of both that the score doubts.
"""

import sys

import numpy as np

from study.data.dataset import load_dataset
from study.inference import row_novelty
from study.inference.novelty import DOUBTFUL

TABLES = ("iris", "wine", "breast_cancer")
SIDE = 16  # of the photographs' parts
MOST = 2_000  # rows to test with
SEED = 1


def main(paths: list[str]) -> None:
    """Print the table."""
    print(f"{'data':14} {'train':>6} {'test':>5} {'mean':>5} {'doubted':>8}   foreign: AUC, doubted")
    for name in (*TABLES, *paths):
        dataset = load_dataset(name)
        _measure(dataset.name, dataset.train.inputs, dataset.train.labels, dataset.test.inputs[:MOST])
    rows, labels = _photographs()
    test = np.arange(len(rows)) % 5 == 4
    _measure("photographs", rows[~test], labels[~test], rows[test])
    few = np.flatnonzero(~test)[::8]
    _measure("few of them", rows[few], labels[few], rows[test])


def _measure(name: str, train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> None:
    reference = row_novelty.fit(train, labels)
    own, _ = row_novelty.score(reference, test)
    words = [f"{name:14} {len(train):>6} {len(test):>5} {own.mean():5.2f} {(own >= DOUBTFUL).mean():>8.1%}  "]
    for kind, rows in _foreign(train, test).items():
        values = row_novelty._described(rows).astype(np.float64)
        distances = row_novelty._distances(reference, values)
        owns = row_novelty._distances(reference, row_novelty._described(test).astype(np.float64))
        doubts, _ = row_novelty.score(reference, rows)
        words.append(f"{kind} {_auc(owns, distances):.3f} {(doubts >= DOUBTFUL).mean():.0%}")
    print(" ".join(words))


def _foreign(train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(SEED)
    flat = test.reshape(len(test), -1)
    permuted = np.column_stack([draw.permutation(column) for column in flat.T]).reshape(test.shape)
    low, high = train.min(axis=0), train.max(axis=0)
    uniform = draw.uniform(low, high, (len(test), *test.shape[1:])).astype(test.dtype)
    foreign = {"permuted": permuted, "uniform": uniform}
    if test.dtype == np.uint8:
        foreign |= {"inverted": 255 - test, "moved": np.roll(test, test.shape[1] // 4, axis=1)}
        foreign["upside down"] = test[:, ::-1]
    return foreign


def _photographs() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_sample_images

    rows, labels = [], []
    for label, picture in enumerate(load_sample_images().images):
        height, width = (side // SIDE * SIDE for side in picture.shape[:2])
        parts = picture[:height, :width].reshape(height // SIDE, SIDE, width // SIDE, SIDE, 3).swapaxes(1, 2)
        rows.append(parts.reshape(-1, SIDE, SIDE, 3))
        labels += [label] * len(rows[-1])
    order = np.random.default_rng(SEED).permutation(len(labels))
    return np.concatenate(rows)[order], np.array(labels)[order]


def _auc(own: np.ndarray, foreign: np.ndarray) -> float:
    """Return the share of pairs in which the foreign row is farther, ties counted by half."""
    own = np.sort(own)
    both = np.searchsorted(own, foreign, "left") + np.searchsorted(own, foreign, "right")
    return float(both.mean() / 2 / len(own))


if __name__ == "__main__":
    main(sys.argv[1:])
