import numpy as np
import pytest

from study.base.errors import DataError
from study.data.dataset import load_dataset
from study.data.split import (
    BY_CLASS,
    FOLDS,
    IN_FOLDS,
    LAST_ROWS,
    fold,
    fold_rows,
    fold_words,
    is_fair,
    stratified,
    validation_rows,
)

SORTED = np.repeat(np.arange(10), 100)


def saved(path, labels: np.ndarray):
    """A dataset whose training images show their row and their label; the test rows have all labels."""
    images = np.stack([np.arange(len(labels)) // 256, np.arange(len(labels)) % 256, labels], axis=1)
    test = np.arange(10) % (labels.max() + 1)
    np.savez(path, x_train=images[:, None].astype(np.uint8), y_train=labels,
             x_test=np.zeros((10, 1, 3), np.uint8), y_test=test)  # fmt: skip
    return load_dataset(str(path))


def test_data_sorted_by_class_are_split_class_by_class(tmp_path):
    dataset = saved(tmp_path / "sorted.npz", SORTED)
    assert np.bincount(dataset.validation.labels).tolist() == [15] * 10
    assert np.bincount(dataset.train.labels).tolist() == [85] * 10
    assert (dataset.split, dataset.untrained) == (BY_CLASS, [])
    again = saved(tmp_path / "again.npz", SORTED)
    assert again.validation.inputs.tobytes() == dataset.validation.inputs.tobytes()
    both = np.concatenate([dataset.train.inputs, dataset.validation.inputs])[:, 0]
    assert len(np.unique(both[:, :2], axis=0)) == 1_000  # each row is in one of the two
    assert (dataset.validation.inputs[:, 0, 2] == dataset.validation.labels).all()


def test_the_rows_that_are_drawn_never_change():
    assert np.flatnonzero(stratified(SORTED, 10)).tolist() == [93, 176, 256, 323, 458, 501, 622, 774, 828, 900]


@pytest.mark.parametrize("seed", range(5))
def test_mixed_data_keep_their_last_rows(seed):
    labels = np.random.default_rng(seed).permutation(SORTED)
    kept, how = validation_rows(labels, 150)
    assert how == LAST_ROWS and np.flatnonzero(kept).tolist() == list(range(850, 1_000))


def test_the_sets_that_come_with_the_project_keep_their_last_rows(digits):
    assert digits.split == load_dataset("synthetic").split == LAST_ROWS


@pytest.mark.slow
def test_mnist_keeps_its_last_rows(mnist):
    assert mnist.split == LAST_ROWS


@pytest.mark.parametrize("labels, wanted", [
    (SORTED, 150), (SORTED[::-1], 150),
    (np.concatenate([np.tile([0, 1], 50), [2, 2]]), 15),  # all of a rare class is at the end
    (np.concatenate([[2] * 20, np.tile([0, 1], 40)]), 15),  # a class of which three rows are due is not there
])  # fmt: skip
def test_last_rows_that_are_no_fair_sample(labels, wanted):
    last = np.arange(len(labels)) >= len(labels) - wanted
    assert not is_fair(labels, last)
    kept, _ = validation_rows(labels, wanted)
    assert kept.sum() == wanted and set(labels[~kept]) == set(labels) and is_fair(labels, kept)


@pytest.mark.parametrize("labels, wanted, counts", [
    ([0] * 6 + [1] * 4, 5, [3, 2]), ([0] * 7 + [1] * 3, 5, [4, 1]), ([0] * 8 + [1], 4, [4, 0]),
    ([0] * 8 + [1], 8, [7, 1]), ([0, 1, 2], 1, [1, 0, 0]), ([0, 0, 2, 2], 2, [1, 0, 1]),
])  # fmt: skip
def test_shares_by_hand(labels, wanted, counts):
    labels = np.array(labels)
    kept = stratified(labels, wanted)
    assert np.bincount(labels[kept], minlength=len(counts)).tolist() == counts


def test_a_class_without_training_rows_is_known(tmp_path):
    labels = np.where(SORTED == 3, 4, SORTED)  # class 3 is in the test rows only
    assert saved(tmp_path / "untrained.npz", labels).untrained == [3]


# --- folds ------------------------------------------------------------------------------------------


def rows_of(split) -> list[int]:
    """The rows of a file that `saved` has written, by what their images show."""
    return (split.inputs[:, 0, 0].astype(int) * 256 + split.inputs[:, 0, 1]).tolist()


UNEVEN = np.repeat(np.arange(4), [50, 1, 17, 9])  # one row too many for six folds of six, and two rare classes


@pytest.mark.parametrize("labels", [SORTED, SORTED[::-1], np.random.default_rng(1).permutation(SORTED), UNEVEN])
@pytest.mark.parametrize("turn", [0, 1, 30])
def test_every_row_is_in_one_fold_and_every_class_in_as_many_as_it_can_be(labels, turn):
    numbers = range(FOLDS * turn, FOLDS * (turn + 1))
    folds = np.array([fold(labels, number) for number in numbers])
    assert (folds.sum(axis=0) == 1).all()
    assert folds.sum(axis=1).tolist() == [fold_rows(len(labels), number) for number in numbers]
    assert np.ptp(folds.sum(axis=1)) <= 1
    for label in np.unique(labels):
        assert np.ptp(folds[:, labels == label].sum(axis=1)) <= 1


def test_after_twelve_folds_the_rows_are_permuted_anew():
    first, second, again = (np.array([fold(SORTED, start + part) for part in range(FOLDS)]) for start in (0, 12, 0))
    assert (first == again).all()
    shared = first.astype(int) @ second.T  # rows that a fold of each permutation have in common: 7 of 83 by chance
    assert shared.max() < 20
    assert (fold_words(0), fold_words(14)) == (
        "fold 0: part 1 of 12 by class, permutation 1", "fold 14: part 3 of 12 by class, permutation 2",
    )  # fmt: skip


def test_the_rows_of_a_fold_never_change():
    labels = np.repeat(np.arange(3), 16)
    assert [np.flatnonzero(fold(labels, number)).tolist() for number in (0, 11, 12)] == [
        [7, 9, 21, 43], [15, 26, 39, 40], [0, 8, 26, 44],
    ]  # fmt: skip


@pytest.mark.parametrize("labels", [SORTED, np.random.default_rng(1).permutation(SORTED), UNEVEN])
@pytest.mark.parametrize("validation", ["auto", "0.3"])
def test_a_dataset_with_a_fold_validates_on_it_and_trains_on_the_rest(tmp_path, labels, validation):
    saved(tmp_path / "own.npz", labels)
    whole = load_dataset(str(tmp_path / "own.npz"), validation)
    for number in (0, 5, 23):
        folded = whole.with_fold(number)
        kept = fold(labels, number)
        assert rows_of(folded.validation) == np.flatnonzero(kept).tolist()
        assert rows_of(folded.train) == np.flatnonzero(~kept).tolist()
        assert (folded.train.labels == labels[~kept]).all() and (folded.validation.labels == labels[kept]).all()
        assert (folded.split, folded.sha256, folded.test) == (fold_words(number), whole.sha256, whole.test)
        again = whole.with_fold(1).without_test().with_fold(number)  # whatever split it had before
        assert rows_of(again.train) == rows_of(folded.train) and len(again.test) == 0
    assert whole.with_fold(None) is whole


def test_a_fold_takes_the_place_of_validation(tmp_path):
    saved(tmp_path / "own.npz", SORTED)
    dataset = load_dataset(str(tmp_path / "own.npz"), "5000", 3)  # more rows than there are
    assert rows_of(dataset.validation) == np.flatnonzero(fold(SORTED, 3)).tolist()


def test_a_study_in_folds_has_as_many_rows_as_each_of_them(digits):
    folded = digits.in_folds()
    assert (folded.split, len(folded.train), len(folded.validation)) == (IN_FOLDS, 1_318, 120)
    assert {digits.fold_rows(number) for number in range(24)} == {119, 120}


def test_too_few_rows_for_folds_are_refused(tmp_path):
    few = saved(tmp_path / "few.npz", np.tile([0, 1], 5))
    for call in (lambda: few.with_fold(0), lambda: few.fold_rows(0), few.in_folds):
        with pytest.raises(DataError, match="too few rows for 12 folds; expected at least 12 training rows, got 10"):
            call()


@pytest.mark.slow
def test_the_folds_of_mnist_have_as_many_rows_as_its_usual_validation_set(mnist):
    folded = mnist.with_fold(7)
    assert (len(folded.train), len(folded.validation)) == (55_000, 5_000)
    counts = np.bincount(mnist.pool.labels)
    assert (abs(np.bincount(folded.validation.labels) - counts / FOLDS) < 1).all()
