import numpy as np
import pytest

from study.data.dataset import load_dataset
from study.data.split import BY_CLASS, LAST_ROWS, is_fair, stratified, validation_rows

SORTED = np.repeat(np.arange(10), 100)


def saved(path, labels: np.ndarray):
    """A dataset whose training images show their row and their label; the test rows have labels 0 to 9."""
    images = np.stack([np.arange(len(labels)) // 256, np.arange(len(labels)) % 256, labels], axis=1)
    test = np.arange(10)
    np.savez(path, x_train=images[:, None].astype(np.uint8), y_train=labels,
             x_test=np.zeros((10, 1, 3), np.uint8), y_test=test)  # fmt: skip
    return load_dataset(str(path))


def test_data_sorted_by_class_are_split_class_by_class(tmp_path):
    dataset = saved(tmp_path / "sorted.npz", SORTED)
    assert np.bincount(dataset.validation.labels).tolist() == [15] * 10
    assert np.bincount(dataset.train.labels).tolist() == [85] * 10
    assert (dataset.split, dataset.untrained) == (BY_CLASS, [])
    again = saved(tmp_path / "again.npz", SORTED)
    assert again.validation.images.tobytes() == dataset.validation.images.tobytes()
    both = np.concatenate([dataset.train.images, dataset.validation.images])[:, 0]
    assert len(np.unique(both[:, :2], axis=0)) == 1_000  # each row is in one of the two
    assert (dataset.validation.images[:, 0, 2] == dataset.validation.labels).all()


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
