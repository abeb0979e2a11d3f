import numpy as np
import pytest

from study.analysis import explanations
from study.analysis.explanations import Reading


def reading(*probabilities: float, truth: int | None = None) -> Reading:
    blank = np.zeros((2, 2), np.uint8)
    return Reading("x.png", blank, blank, np.array(probabilities), truth=truth)


def test_a_reading_names_the_two_likeliest_classes():
    one = reading(0.2, 0.7, 0.1)
    assert (one.label, one.runner_up, one.probability) == (1, 0, 0.7)
    assert reading(0.5, 0.5).runner_up == 1  # a tie: the first is the label
    assert [reading(0.2, 0.8, truth=truth).wrong for truth in (None, 0, 1)] == [False, True, False]


def test_the_nearest_images_by_hand():
    image = np.array([[0, 255]], np.uint8)
    images = np.array([[[255, 0]], [[0, 0]], [[0, 255]], [[255, 255]]], np.uint8)
    near = explanations.nearest(image, images, 3)
    assert near.rows.tolist() == [2, 1, 3]  # 1 and 3 are equally near: the first comes first
    assert near.distances.tolist() == [0, 1, 1]
    assert explanations.nearest(image, images, 9).distances[-1] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("block", [1, 7, 1_000])
def test_the_nearest_images_are_the_same_whatever_the_block(monkeypatch, block):
    drawn = np.random.default_rng(1).integers(0, 256, (50, 6, 5)).astype(np.uint8)
    image, images = drawn[0], drawn[1:]
    monkeypatch.setattr(explanations, "NUMBERS_AT_ONCE", 30 * block)
    near = explanations.nearest(image, images, 49)
    distances = np.linalg.norm((images / 255 - image / 255).reshape(49, -1), axis=1)
    assert near.rows.tolist() == np.argsort(distances).tolist()
    assert near.distances == pytest.approx(np.sort(distances))


def test_the_nearest_of_large_pictures_are_told_by_whole_numbers_that_hold_them():
    images = np.array([10, 130, 5, 200], np.uint8)[:, None, None] * np.ones((1, 400, 400), np.uint8)
    near = explanations.nearest(np.zeros((400, 400), np.uint8), images, 4)
    assert near.rows.tolist() == [2, 0, 1, 3] and near.distances[-1] == pytest.approx(400 * 200 / 255)


def test_contributions_and_bias_add_up_to_the_logits():
    answers, kernel, bias = np.array([2.0, -1.0]), np.array([[1.0, 0.5, 0.0], [3.0, -2.0, 0.0]]), np.array([0.1, 0, -4])
    parts = explanations.contributions(answers, kernel, bias)
    assert parts.each.tolist() == [[2, 1, 0], [-3, 2, 0]]
    assert parts.logits == pytest.approx([-0.9, 3, -4]) and parts.logits == pytest.approx(answers @ kernel + bias)
    assert parts.lead(1, 0).tolist() == [-1, 5]
    assert parts.lead(1, 0).sum() + bias[1] - bias[0] == pytest.approx(parts.logits[1] - parts.logits[0])


def test_the_strongest_are_those_farthest_from_zero():
    values = np.array([0.5, -3.0, 0.0, 2.0, -0.5])
    assert explanations.strongest(values, 3).tolist() == [1, 3, 0]
    assert explanations.strongest(values, 9).tolist() == [1, 3, 0, 4]  # what adds nothing is not named


def test_a_folder_is_scored_by_the_pictures_whose_class_is_known():
    found = explanations.scores(
        [reading(0.9, 0.1, truth=0), reading(0.8, 0.2, truth=1), reading(0.1, 0.9, truth=1), reading(1.0, 0.0)]
    )
    assert (found.n, found.hits) == (3, 2) and found.accuracy == pytest.approx(2 / 3)
    assert found.confusion.tolist() == [[1, 0], [1, 1]]
    # Wilson's interval of 2 in 3.
    assert found.interval == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert explanations.scores([reading(1.0, 0.0)]) is None


@pytest.mark.parametrize("name, truth", [
    ("7_marker.png", 7), ("0.png", 0), ("3 of mine.jpg", 3), ("five.png", None), ("IMG_3.jpg", None),
    ("20261120_101500.jpg", None), ("12.png", None), ("", None), ("٣.png", None),
])  # fmt: skip
def test_a_name_tells_the_class_by_a_single_digit_at_its_beginning(name, truth):
    assert explanations.truth_of(name, tuple("0123456789")) == truth


@pytest.mark.parametrize("name, truth", [
    ("cat_1.png", 0), ("Cat.png", 0), ("cats.png", None), ("cat fish 2.png", 1), ("a cat.png", None), ("c++3.png", 2),
])  # fmt: skip
def test_a_name_tells_the_class_by_its_name(name, truth):
    assert explanations.truth_of(name, ("cat", "cat fish", "c++3")) == truth


def test_a_thumbnail_has_the_means_of_squares():
    picture = np.array([[0, 100, 255], [100, 200, 255], [10, 10, 50]], np.float32)
    assert explanations.thumbnail(picture, 3).tolist() == picture.tolist()
    assert explanations.thumbnail(picture, 2).tolist() == [[100, 255], [10, 50]]  # the edge is repeated
    assert explanations.thumbnail(picture, 1).shape == (1, 1) and explanations.thumbnail(picture, 1).dtype == np.uint8
    assert explanations.thumbnail(np.zeros((30, 400)), 100).shape == (8, 100)


def test_a_picture_in_a_square_keeps_its_shape():
    square = explanations.square(np.array([[1, 2]], np.uint8), 4, paper=9)
    assert square.tolist() == [[9] * 4, [1, 1, 2, 2], [1, 1, 2, 2], [9] * 4]
    assert explanations.square(np.zeros((500, 300), np.uint8), 56, paper=9).shape == (56, 56)
