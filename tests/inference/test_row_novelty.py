import numpy as np
import pytest

from study.data.dataset import load_dataset
from study.inference import doubt, row_novelty
from study.inference.novelty import BLANK, DOUBTFUL
from study.inference.row_novelty import Reference

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize("name, least", [("iris", 0.85), ("wine", 0.85), ("breast_cancer", 0.95)])
def test_test_rows_are_usual_and_permuted_ones_are_not(name, least):
    dataset = load_dataset(name)
    content, _ = doubt.fit(dataset)
    score, test = doubt.scorer(content), dataset.test.inputs
    own, _ = score(test)
    permuted = np.concatenate([np.column_stack([DRAW.permutation(column) for column in test.T]) for _ in range(10)])
    foreign, reasons = score(permuted)
    assert 0.35 < np.mean(own) < 0.65 and np.mean(np.array(own) >= DOUBTFUL) < 0.07
    # The share of pairs in which the permuted row is doubted more, ties by half.
    difference = np.array(foreign)[:, None] - np.array(own)
    assert ((difference > 0) + 0.5 * (difference == 0)).mean() > least
    assert {reason != "" for value, reason in zip(foreign, reasons, strict=True) if value >= DOUBTFUL} == {True}


def test_a_reference_is_read_back_as_it_was_written():
    rows, labels = DRAW.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3
    reference = row_novelty.fit(rows, labels, ["a", "b", "c", "d", "e"])
    again = Reference.from_bytes(reference.to_bytes())
    assert row_novelty.score(again, rows)[0].tolist() == row_novelty.score(reference, rows)[0].tolist()
    assert again.names.tolist() == ["a", "b", "c", "d", "e"]


def test_a_constant_feature_a_class_of_one_and_a_blank_picture_are_no_trouble():
    rows = np.column_stack([DRAW.normal(size=40), np.full(40, 7.0)]).astype(np.float32)
    labels = np.array([0] * 39 + [1])
    doubts, reasons = row_novelty.score(
        row_novelty.fit(rows, labels, ["x", "seven"]), rows + np.array([0, 900], np.float32)
    )
    assert set(doubts) == {1.0} and set(reasons) == {"seven is far from the training rows"}
    pictures = DRAW.integers(0, 256, (40, 6, 9, 3)).astype(np.uint8)
    doubts, reasons = row_novelty.score(row_novelty.fit(pictures, labels), np.zeros((1, 6, 9, 3), np.uint8))
    assert (doubts.tolist(), reasons) == ([1.0], [BLANK])


def test_many_classes_share_one_covariance():
    rows, labels = DRAW.normal(size=(3_000, 40)).astype(np.float32), np.arange(3_000) % 1_000
    assert row_novelty.fit(rows, labels).precisions.shape == (1, 40, 40)


def test_where_there_is_no_score_it_says_why():
    few, wide = np.zeros((19, 3), np.float32), np.zeros((30, 501), np.float32)
    assert row_novelty.why_not(few) == "no score: fewer than 20 training rows"
    assert row_novelty.why_not(wide) == "no score: rows of 501 numbers, and more than 500"
    assert doubt.scorer(None, "why")(few[:2]) == ([None, None], ["why", "why"])


def test_the_order_of_the_rows_does_not_matter():
    """Classes that come in turn: every fifth row would be one class of the five."""
    draw = np.random.default_rng(3)
    labels = np.arange(600) % 5
    rows = (draw.normal(size=(600, 4)) + 6 * np.eye(5)[labels][:, :4]).astype(np.float32)
    doubts, _ = row_novelty.score(row_novelty.fit(rows, labels), rows)
    assert 0.4 < np.median(doubts) < 0.6
    far, _ = row_novelty.score(row_novelty.fit(rows, labels), rows + 12)
    assert np.mean(np.array(far) >= DOUBTFUL) > 0.95
