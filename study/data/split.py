"""Which training rows are kept for validation: the last ones, or the same share of every class.

MNIST comes mixed, and its last rows are a fair sample of it. Those of a file that is sorted by class are a few classes
only, which the training rows then lack.
"""

import numpy as np

SPLIT_SEED = 1
LAST_ROWS = "last rows"
BY_CLASS = f"by class, seed {SPLIT_SEED}"
FAR = 4.0  # standard deviations: in a mixed file a class's number of rows is as far from its mean once in 16,000


def validation_rows(labels: np.ndarray, wanted: int) -> tuple[np.ndarray, str]:
    """Return which rows are for validation, a mask (n,) with `wanted` rows, and how they were chosen, in words."""
    last = np.arange(len(labels)) >= len(labels) - wanted
    if is_fair(labels, last):
        return last, LAST_ROWS
    return stratified(labels, wanted), BY_CLASS


def is_fair(labels: np.ndarray, kept: np.ndarray) -> bool:
    """Return whether the rows that are kept could be a random sample: no class is far too frequent or too rare there.

    Nor may a class be missing of which at least one row is due, or have all its rows there.
    """
    counts, there = np.bincount(labels), np.bincount(labels[kept], minlength=int(labels.max()) + 1)
    share = kept.mean()
    due = share * counts
    # The number of a class's rows in a random sample is hypergeometric.
    sd = np.sqrt(due * (1 - share) * (len(labels) - counts) / max(1, len(labels) - 1))
    far = np.abs(there - due) > FAR * sd
    missing, untrained = (there == 0) & (due >= 1), (there > 0) & (there == counts)
    return not (far | missing | untrained).any()


def stratified(labels: np.ndarray, wanted: int) -> np.ndarray:
    """Return a mask (n,) of `wanted` rows that have the same share of every class, drawn by SPLIT_SEED.

    What is left by rounding goes to the classes that it is due to most; as far as possible no class gives all its rows.
    """
    _, counts = np.unique(labels, return_counts=True)
    due = wanted * counts  # in parts of a row: whole numbers, so that equal ones are equal
    most = counts - 1 if wanted <= (counts - 1).sum() else counts
    take = np.minimum(due // len(labels), most)
    while take.sum() < wanted:
        left = np.where(take < most, due - take * len(labels), np.iinfo(np.int64).min)
        take[left.argmax()] += 1
    # The raw stream of a bit generator is what numpy promises to keep.
    order = np.lexsort((np.random.PCG64(SPLIT_SEED).random_raw(len(labels)), labels))
    firsts = np.concatenate([[0], np.cumsum(counts)])
    kept = np.zeros(len(labels), bool)
    for first, number in zip(firsts[:-1], take, strict=True):
        kept[order[first : first + number]] = True
    return kept
