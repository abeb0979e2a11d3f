import numpy as np
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from study.data import builtin
from study.data.dataset import load_dataset


def test_digits_have_mnists_form(digits):
    assert [len(split) for split in (digits.train, digits.validation, digits.test)] == [1222, 216, 359]
    for split in (digits.train, digits.validation, digits.test):
        assert split.inputs.shape == (len(split), 28, 28) and split.inputs.dtype == np.uint8
        assert split.labels.shape == (len(split),) and split.labels.dtype == np.int32
        assert set(split.labels) == set(range(10))
    assert digits.row_shape == (28, 28)


def test_digits_lie_inside_mnists_box(digits):
    images = np.concatenate([digits.train.inputs, digits.validation.inputs, digits.test.inputs])
    border = np.ones((28, 28), bool)
    border[4:24, 4:24] = False
    assert images[:, border].max() == 0
    assert images.max() == 255


def test_digits_are_scikit_learns_drawn_out(digits):
    source = load_digits()
    np.testing.assert_array_equal(digits.test.labels, source.target[4::5])
    for number in (0, 100, 358):
        drawn = zoom(source.images[4::5][number], 20 / 8, order=1) * 255 / 16
        np.testing.assert_allclose(digits.test.inputs[number, 4:24, 4:24], drawn, atol=0.5 + 1e-9)


def test_synthetic_points_lie_in_quarters_with_three_labels_in_a_hundred_turned_over():
    sets = builtin.synthetic().arrays
    points = np.concatenate([sets["x_train"], sets["x_test"]])[:, 0]
    labels = np.concatenate([sets["y_train"], sets["y_test"]])
    assert (points.shape, points.dtype, labels.dtype) == ((1_800, 2), np.uint8, np.uint8)
    assert len(sets["y_test"]) == 600
    turned = labels != ((points[:, 0] >= 128) == (points[:, 1] >= 128))
    assert abs(turned.mean() - 0.03) < 4 * np.sqrt(0.03 * 0.97 / 1_800)
    assert abs(points.mean() - 127.5) < 4 * 256 / np.sqrt(12 * points.size)


@pytest.mark.parametrize("name, classes, columns, rows, sha256", [
    ("iris", ("setosa", "versicolor", "virginica"), 4, (102, 18, 30), "08ead680"),
    ("wine", ("class_0", "class_1", "class_2"), 13, (122, 22, 34), "b0b565b0"),
    ("breast_cancer", ("malignant", "benign"), 30, (388, 68, 113), "7c4f164d"),
])  # fmt: skip
def test_the_small_tables_are_scikit_learns_and_the_same_bytes_everywhere(name, classes, columns, rows, sha256):
    dataset = load_dataset(name)
    source = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer}[name]()
    assert (dataset.kind, dataset.class_names, dataset.row_shape) == ("features", classes, (columns,))
    assert dataset.features.names == tuple(source.feature_names)
    assert tuple(len(split) for split in (dataset.train, dataset.validation, dataset.test)) == rows
    together = np.concatenate([dataset.pool.inputs, dataset.test.inputs])
    assert (np.sort(together, axis=0) == np.sort(source.data.astype(np.float32), axis=0)).all()
    shares = np.bincount(dataset.test.labels) / np.bincount(source.target)
    assert (np.abs(shares - 0.2) < 0.02).all() and not dataset.untrained
    assert dataset.sha256.startswith(sha256)
