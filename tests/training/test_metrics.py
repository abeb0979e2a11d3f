import math

import numpy as np
import pytest

from study.training.metrics import Evaluation, confusion, evaluate

# Seven images of three classes. Class 0: 2 of 3 right, class 1: 1 of 2, class 2: 2 of 2.
LABELS = np.array([0, 0, 0, 1, 1, 2, 2], np.int32)
TAKEN_FOR = np.array([0, 0, 2, 1, 2, 2, 2])
CONFUSION = np.array([[2, 0, 1], [0, 1, 1], [0, 0, 2]])


@pytest.fixture
def seven() -> Evaluation:
    return evaluate(5 * np.eye(3, dtype=np.float32)[TAKEN_FOR], LABELS)


def of(confusion) -> Evaluation:
    return Evaluation(loss=0.0, accuracy=0.0, confusion=np.array(confusion))


def test_confusion_has_true_classes_in_its_rows(seven):
    np.testing.assert_array_equal(seven.confusion, CONFUSION)
    assert seven.accuracy == pytest.approx(5 / 7)


def test_recall_is_the_share_of_each_class(seven):
    assert seven.recall == pytest.approx([2 / 3, 1 / 2, 1])


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there(seven):
    assert seven.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert of([[8, 2, 0], [0, 0, 0], [0, 1, 1]]).balanced_accuracy == pytest.approx((0.8 + 0.5) / 2)


def test_macro_f1_by_hand(seven):
    # 2·TP / (2·TP + FP + FN): class 0: 4/(4+0+1), class 1: 2/(2+0+1), class 2: 4/(4+2+0).
    assert seven.macro_f1 == pytest.approx((4 / 5 + 2 / 3 + 2 / 3) / 3)


def test_confused_pairs_are_sorted_by_how_often(seven):
    assert seven.confused_pairs() == [(0, 2, 1), (1, 2, 1)]
    assert of([[5, 1, 0], [3, 5, 0], [0, 9, 5]]).confused_pairs() == [(2, 1, 9), (1, 0, 3), (0, 1, 1)]


def test_loss_is_the_mean_cross_entropy():
    # Softmax of (0, ln 3) is (1/4, 3/4); of (0, 0) it is (1/2, 1/2).
    logits = np.array([[0, math.log(3)], [0, 0]], np.float32)
    assert evaluate(logits, np.array([0, 1])).loss == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_loss_has_the_standard_error_of_a_mean():
    # Losses ln 4 and ln 2: their standard deviation is ln 2 / √2, that of the mean of two ln 2 / 2.
    logits = np.array([[0, math.log(3)], [0, 0]], np.float32)
    assert evaluate(logits, np.array([0, 1])).loss_error == pytest.approx(math.log(2) / 2)
    assert math.isnan(evaluate(logits[:1], np.array([0])).loss_error)


def test_loss_is_finite_and_exact_for_logits_beyond_the_range_of_exp():
    assert evaluate(np.array([[1000.0, 0.0], [-1000.0, 1000.0]], np.float32), np.array([1, 1])).loss == 500.0


def test_a_class_without_images_has_no_recall_but_counts_its_false_alarms():
    evaluation = of([[3, 1], [0, 0]])
    assert evaluation.recall[0] == 0.75
    assert math.isnan(evaluation.recall[1])
    assert evaluation.macro_f1 == pytest.approx((6 / 7 + 0) / 2)


def test_a_class_neither_present_nor_predicted_does_not_count():
    assert of([[3, 0, 0], [0, 2, 0], [0, 0, 0]]).macro_f1 == 1.0


def test_the_confusion_counts_every_class_even_where_it_never_occurs():
    evaluation = evaluate(np.zeros((2, 10), np.float32), np.array([0, 0]))
    assert evaluation.confusion.shape == (10, 10)
    assert evaluation.confusion.sum() == evaluation.confusion[0, 0] == 2
    assert evaluation.loss == pytest.approx(math.log(10))


def test_labels_of_a_small_type_do_not_overflow():
    confusion = evaluate(np.eye(20)[[19]], np.array([19], dtype=np.uint8)).confusion
    assert np.argwhere(confusion).tolist() == [[19, 19]]


def test_confusion_counts_labels_against_predictions():
    counts = confusion(np.array([0, 1, 1, 2], np.uint8), np.array([0, 1, 2, 2]), 3)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
