"""Which training rows are kept for validation: the last ones, the same share of every class, or one of twelve folds.

MNIST comes mixed, and its last rows are a fair sample of it. Those of a file that is sorted by class are a few classes
only, which the training rows then lack. One set of validation rows says nothing about others; folds take turns at it.
"""

import numpy as np

SPLIT_SEED = 1
LAST_ROWS = "last rows"
BY_CLASS = f"by class, seed {SPLIT_SEED}"
GIVEN = "the file's own"
TEST_SEED = 3
TEST_BY_CLASS = f"a fifth by class, seed {TEST_SEED}"
LEAST_ROWS = 5  # of a source without test rows
FOLDS = 12
FOLD_SEED = 2  # of the first permutation; each one after it has the next
IN_FOLDS = f"{FOLDS} folds by class, another one with each seed"
FAR = 4.0  # standard deviations: in a mixed file a class's number of rows is as far from its mean once in 16,000


def rows_for_test(labels: np.ndarray) -> np.ndarray:
    """Return which rows are for the test where the source has none of its own: a fifth of every class, a mask (n,)."""
    return stratified(labels, max(1, round(len(labels) / 5)), TEST_SEED)


def validation_rows(labels: np.ndarray, wanted: int, *, mixed: bool = True) -> tuple[np.ndarray, str]:
    """Return which rows are for validation, a mask (n,) with `wanted` rows, and how they were chosen, in words.

    Rows that nobody is known to have `mixed` are drawn by class in any case.
    """
    last = np.arange(len(labels)) >= len(labels) - wanted
    if mixed and is_fair(labels, last):
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


def stratified(labels: np.ndarray, wanted: int, seed: int = SPLIT_SEED) -> np.ndarray:
    """Return a mask (n,) of `wanted` rows that have the same share of every class, drawn by `seed`.

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
    order = np.lexsort((np.random.PCG64(seed).random_raw(len(labels)), labels))
    firsts = np.concatenate([[0], np.cumsum(counts)])
    kept = np.zeros(len(labels), bool)
    for first, number in zip(firsts[:-1], take, strict=True):
        kept[order[first : first + number]] = True
    return kept


# --- folds ------------------------------------------------------------------------------------------


def fold(labels: np.ndarray, number: int) -> np.ndarray:
    """Return which rows are in the fold of this number, counted from 0: a mask (n,) with `fold_rows` rows.

    Each FOLDS numbers in a row have one permutation, and cut all rows into parts: every row is in exactly one of them.
    Two parts differ by one row at most, in total and of each class, so a class of fewer than FOLDS rows is in as many
    parts as it has rows.
    """
    turn, part = divmod(number, FOLDS)
    # Rows in a random order, class after class, are dealt out like cards.
    order = np.lexsort((np.random.PCG64(FOLD_SEED + turn).random_raw(len(labels)), labels))
    kept = np.zeros(len(labels), bool)
    kept[order[part::FOLDS]] = True
    return kept


def fold_rows(rows: int, number: int) -> int:
    """Return how many of so many rows are in the fold of this number."""
    return len(range(number % FOLDS, rows, FOLDS))


def fold_words(number: int) -> str:
    """Return what a run says of a fold: ``fold 14: part 3 of 12 by class, permutation 2``."""
    turn, part = divmod(number, FOLDS)
    return f"fold {number}: part {part + 1} of {FOLDS} by class, permutation {turn + 1}"
