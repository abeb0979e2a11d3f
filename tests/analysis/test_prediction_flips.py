import math

import numpy as np
import pytest

from study.analysis.prediction_flips import MOST_PAIRS, Resampled, ledger, resample

LABELS = np.array([0, 1, 2, 0, 1], np.uint8)
# Which of the five images each trial gets right:        0  1  2  3  4
OLD = {
    1: np.array([0, 1, 0, 1, 2], np.uint8),  #         +  +  -  -  -
    2: np.array([0, 1, 1, 2, 0], np.uint8),  #         +  +  -  -  -
    3: np.array([0, 0, 2, 1, 2], np.uint8),
}  #         +  -  +  -  -
NEW = {1: np.array([1, 1, 2, 0, 2], np.uint8),  #         -  +  +  +  -
       2: np.array([2, 1, 2, 0, 2], np.uint8),  #         -  +  +  +  -
       4: np.array([0, 1, 2, 1, 0], np.uint8)}  #         +  +  +  -  -  # fmt: skip


@pytest.fixture
def book():
    return ledger({"old": OLD, "new": NEW}, LABELS, [("new", "old")])


def rights(*rows: str) -> dict[int, np.ndarray]:
    """Predictions by seed: 1 where the row has a plus, which is right, and 0 elsewhere."""
    return {seed: np.array([mark == "+" for mark in row], np.int64) for seed, row in enumerate(rows, start=1)}


def flips(now: dict, before: dict):
    """What changes on images whose class is 1."""
    images = len(next(iter(now.values())))
    return ledger({"now": now, "before": before}, np.ones(images, np.int64), [("now", "before")]).flips[0]


# --- between two arms -------------------------------------------------------------------------------


def test_an_image_flips_where_the_majorities_differ(book):
    (change,) = book.flips
    assert (change.arm, change.against) == ("new", "old")
    # Image 2: 1 of 3 right before, 3 of 3 now; image 3: 0 and 2; image 0: 3 and 1; images 1 and 4 stay as they are.
    assert sorted(change.fixed) == [2, 3]
    assert list(change.broken) == [0]
    assert change.p == 1  # two against one, by McNemar: 2 · (1 + 3) / 8


def test_the_other_way_round_fixed_is_broken():
    (change,) = ledger({"old": OLD, "new": NEW}, LABELS, [("old", "new")]).flips
    assert list(change.fixed) == [0]
    assert sorted(change.broken) == [2, 3]


def test_the_images_on_which_the_most_seeds_agree_come_first():
    before = rights("-++-", "---+", "--+-")
    now = rights("++--", "++-+", "+---")
    change = flips(now, before)
    # Image 0: from 0 to 3 of 3; image 1: from 1 to 2 of 3; image 2: from 2 to 0 of 3; image 3 stays at 1.
    assert list(change.fixed) == [0, 1]
    assert list(change.broken) == [2]
    change = flips(before, now)
    assert (list(change.fixed), list(change.broken)) == ([2], [0, 1])


def test_images_that_agree_equally_keep_their_order():
    change = flips(rights("+++++"), rights("--+--"))
    assert list(change.fixed) == [0, 1, 3, 4]


def test_half_of_the_seeds_is_no_majority():
    half, none, every = rights("+", "-"), rights("-", "-"), rights("+", "+")
    assert list(flips(half, none).fixed) == []
    assert list(flips(every, half).fixed) == [0]
    assert list(flips(half, every).broken) == [0]


def test_a_pair_has_the_mean_over_the_seeds_that_both_have(book):
    # Seed 1 flips images 0, 2 and 3, and seed 2 the same; seeds 3 and 4 have no counterpart.
    assert book.flips[0].a_pair == 3
    assert flips(rights("++--", "++--"), rights("++--", "+-+-")).a_pair == 1  # the mean of 0 and 2


def test_a_wrong_class_instead_of_another_is_no_flip():
    labels = np.array([0])
    change = ledger({"a": {1: np.array([1])}, "b": {1: np.array([2])}}, labels, [("a", "b")]).flips[0]
    assert (change.a_pair, len(change.fixed), len(change.broken)) == (0, 0, 0)


def test_arms_without_a_common_seed_flip_by_majority_but_have_no_pairs():
    change = flips({1: np.array([1, 1])}, {2: np.array([0, 1])})
    assert list(change.fixed) == [0]
    assert math.isnan(change.a_pair)


def test_mcnemars_p_is_over_the_fixed_and_the_broken():
    change = flips(rights("++++++++--++"), rights("--------++++"))
    assert (len(change.fixed), len(change.broken)) == (8, 2)
    assert change.p == pytest.approx(0.109375)
    same = flips(rights("+-"), rights("+-"))
    assert (len(same.fixed), len(same.broken), same.p) == (0, 0, 1)


def test_a_comparison_with_an_arm_that_has_no_predictions_is_left_out():
    book = ledger({"old": OLD, "new": NEW}, LABELS, [("lost", "old"), ("new", "lost"), ("new", "old")])
    assert [(change.arm, change.against) for change in book.flips] == [("new", "old")]


# --- other seeds and other images -------------------------------------------------------------------


def test_seeds_and_images_are_drawn_crosswise():
    # Two seeds, two images, one gain. A draw takes that seed 0, 1 or 2 times of 2 (1/4, 1/2, 1/4), and so that image:
    # the mean is the product over 4. It is 1 in 1 of 16 draws, and 0 in 7 of 16.
    found = resample(np.array([[1, 0], [0, 0]]))
    assert (found.seeds, found.mean, found.low, found.high) == (2, 25, 0, 100)


def test_with_one_seed_only_the_images_are_drawn():
    # 20 of 100 images: a binomial share, whose standard deviation is 4 points.
    found = resample(np.array([[1] * 20 + [0] * 80]), draws=20_000)
    assert found.mean == pytest.approx(20)
    assert (found.low, found.high) == (pytest.approx(20 - 1.96 * 4, abs=1), pytest.approx(20 + 1.96 * 4, abs=1))


def test_with_images_alike_only_the_seeds_are_drawn():
    # Two of four seeds gain every image: 0 or 4 of the four drawn are theirs in 1 of 16 draws each.
    found = resample(np.array([[1] * 5, [1] * 5, [0] * 5, [0] * 5]))
    assert (found.mean, found.low, found.high) == (50, 0, 100)


def test_what_is_the_same_everywhere_is_certain_and_the_same_gains_give_the_same_interval():
    assert resample(np.zeros((3, 5), int)) == Resampled(3, 0, 0, 0)
    assert resample(np.ones((3, 5), int)) == Resampled(3, 100, pytest.approx(100), pytest.approx(100))
    gains = np.random.default_rng(1).integers(-1, 2, (7, 50))
    assert resample(gains) == resample(gains)


def test_only_seeds_that_both_arms_have_are_drawn(book):
    assert book.flips[0].resampled.seeds == 2
    assert flips({1: np.array([1, 1])}, {2: np.array([0, 1])}).resampled is None


# --- over all trials --------------------------------------------------------------------------------


def test_the_ledger_counts_images_and_trials(book):
    assert (book.images, book.trials) == (5, 6)


def test_what_no_trial_gets_right_and_what_it_is_taken_for(book):
    assert list(book.never_right) == [4]
    # Image 0: 1 and 2 once each, of which the lesser counts; image 1: 0 once; image 2: 0 and 1 once each; image 3: 1
    # three times and 2 once; image 4: 2 four times and 0 twice.
    assert list(book.taken_for) == [1, 0, 0, 1, 2]


def test_an_image_that_none_misses_is_taken_for_nothing_else():
    book = ledger({"a": {1: np.array([3, 0])}}, np.array([3, 9]), [])
    assert list(book.taken_for) == [-1, 0]
    assert list(book.never_right) == [1]


def test_a_class_that_is_only_predicted_or_only_a_label_counts():
    book = ledger({"a": {1: np.array([7, 0])}}, np.array([0, 9]), [])
    assert list(book.taken_for) == [7, 0]


def test_what_the_seed_alone_flips(book):
    # Old: seeds 1 and 2 are right on the same images, and each differs from 3 on 1 and 2. New: 1 and 2 alike, and each
    # differs from 4 on 0 and 3.
    assert book.seed_flips == {"old": pytest.approx(4 / 3), "new": pytest.approx(4 / 3)}


def test_a_single_seed_flips_nothing_that_is_known():
    book = ledger({"a": {1: np.array([0])}}, np.array([0]), [])
    assert math.isnan(book.seed_flips["a"])


def test_many_seeds_are_counted_in_the_first_pairs_only():
    # The first seed differs from each other one in one image; the others are alike.
    trials = {seed: np.array([int(seed > 0)]) for seed in range(40)}
    assert ledger({"a": trials}, np.array([1]), []).seed_flips["a"] == 1
    # Of eight seeds all 28 pairs count, of which seven hold the first.
    eight = {seed: trials[seed] for seed in range(8)}
    assert MOST_PAIRS == 28
    assert ledger({"a": eight}, np.array([1]), []).seed_flips["a"] == 7 / 28
