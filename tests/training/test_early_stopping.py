import math
from collections.abc import Sequence

import numpy as np
import pytest

from study.training.early_stopping import EarlyStopping, Plateau

NAN = float("nan")


def watch(losses: Sequence[float], patience: int | None, min_delta: float = 0.0) -> tuple[EarlyStopping, int]:
    """Let it watch these epochs until it stops; return it, and how many epochs it saw. The weights are the epoch."""
    rule = EarlyStopping(patience, min_delta)
    for epoch, loss in enumerate(losses, start=1):
        rule.update(epoch, loss, lambda epoch=epoch: [np.array([epoch])])
        if rule.stop:
            return rule, epoch
    return rule, len(losses)


def looks(steps_and_losses: Sequence[tuple[int, float]], patience: int | None, min_delta: float = 0.0) -> int | None:
    """Return after how many steps a plateau is found, None if it is not."""
    rule, taken = Plateau(patience, min_delta), 0
    for steps, loss in steps_and_losses:
        taken += steps
        rule.update(steps, loss)
        if rule.stop:
            return taken
    return None


# --- by epochs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("losses, patience, min_delta, seen, best", [
    ([5, 4, 3, 2, 1], 1, 0, 5, 5),  # ever better: never stops
    ([1, 2, 3, 4, 5], 2, 0, 3, 1),
    ([3, 2, 2.5, 2.6, 1, 0], 2, 0, 4, 2),  # what would come later is not seen
    ([3, 2, 2.5, 1.9, 2.5, 2.5, 0], 2, 0, 6, 4),  # a better one starts the count again
    ([3, 2, 2, 2], 2, 0, 4, 2),  # equal is not better
    ([1, 0.95, 0.91, 0.85], 2, 0.1, 3, 1),  # less than min_delta below the best is not better …
    ([1, 0.95, 0.89, 0.85], 2, 0.1, 4, 3),  # … but small steps add up
    ([1, 2, 0], 0, 0, 2, 1),  # a patience of 0 stops at the first that is no better
    ([1], 0, 0, 1, 1),
])  # fmt: skip
def test_early_stopping_by_hand(losses, patience, min_delta, seen, best):
    rule, epochs = watch(losses, patience, min_delta)
    assert (epochs, rule.kept_epoch) == (seen, best)
    assert [weights.tolist() for weights in rule.kept_weights] == [[best]]


def test_early_stopping_says_whether_it_stopped():
    assert watch([1, 2, 3], 2)[0].stop
    assert not watch([1, 2, 1.5], 3)[0].stop
    assert not watch([1], 0)[0].stop  # never at the first epoch


def test_without_patience_it_never_stops_and_keeps_no_weights():
    rule, epochs = watch([1, 0.5, *range(2, 50)], None)
    assert (epochs, rule.stop, rule.kept_epoch, rule.kept_weights) == (50, False, 0, None)


def test_weights_are_asked_for_only_where_they_are_kept():
    asked = []
    rule = EarlyStopping(3, 0.0)
    for epoch, loss in enumerate([3, 4, 2, 5, 1], start=1):
        rule.update(epoch, loss, lambda epoch=epoch: asked.append(epoch))
    assert asked == [1, 3, 5]


@pytest.mark.parametrize("losses, seen, best", [
    ([2, 1, NAN, NAN, 0.5], 4, 2),  # NaN is never better
    ([2, NAN, 1, NAN, 0.5], 5, 5),  # and does not spoil what comes after it
    ([NAN, NAN, NAN], 2, 1),  # a first epoch is kept, whatever it is
    ([NAN, 5, 6, 7], 4, 2),
    ([math.inf, 5, 6, 7], 4, 2),
])  # fmt: skip
def test_a_loss_that_is_not_a_number_is_no_improvement(losses, seen, best):
    # A first epoch that is NaN counts as waited for, as in Keras: the second is the last of a patience of 2.
    rule, epochs = watch(losses, 2)
    assert (epochs, rule.kept_epoch) == (seen, best)
    assert rule.kept_weights[0].tolist() == [best]


# --- by steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("each, patience, min_delta, stops", [
    ([(10, 5), (10, 4), (10, 3)], 20, 0, None),
    ([(10, 1), (10, 2), (10, 3), (10, 4)], 20, 0, 30),  # 20 steps after the best, which was at 10
    ([(10, 1), (10, 2), (10, 0.5), (10, 2), (10, 2)], 20, 0, 50),  # a better one starts the count again
    ([(10, 1), (10, 2), (10, 2), (10, 2)], 25, 0, 40),  # it is looked at only every 10 steps
    ([(10, 1), (10, 1), (10, 1)], 20, 0, 30),  # equal is not lower
    ([(10, 1), (10, 0.95), (10, 0.91)], 20, 0.1, 30),
    ([(10, 1), (10, 0.95), (10, 0.89)], 20, 0.1, None),  # small steps add up
    ([(10, 1), (3, 2), (10, 2), (10, 2)], 20, 0, 33),  # steps count, not looks: the rest of an epoch has only 3
    ([(100, 1), (100, 0.9)], 20, 0, None),  # not at a look that is lower, however long it took
    ([(100, 1), (100, 1.1)], 20, 0, 200),
])  # fmt: skip
def test_a_plateau_by_hand(each, patience, min_delta, stops):
    assert looks(each, patience, min_delta) == stops


def test_without_patience_there_is_no_plateau():
    assert looks([(1_000, 1.0)] * 50, None) is None


def test_a_plateau_of_losses_that_are_not_numbers():
    assert looks([(10, 1), (10, NAN), (10, NAN)], 20) == 30
    assert looks([(10, 1), (10, NAN), (10, 0.5), (10, NAN)], 20) is None
    assert looks([(10, NAN), (10, NAN), (10, 1)], 20) == 20
