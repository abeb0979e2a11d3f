"""How many trials fit into a search's time: before it starts, while it runs, and how surely."""

import math
from dataclasses import replace

import numpy as np
import pytest

from study.design.search import Budget, Search
from study.design.search_space import load_space
from study.execution.forecast import MeanTime, Range, SearchForecast, mean_time, outlook
from study.execution.pruning import Hyperband, share_trained
from study.execution.queue import Progress
from study.execution.time_estimate import SECONDS_TO_START, USUAL, Total

SEARCH = Search(load_space("default"), "val_cross_entropy", "gp", "hyperband")


def trials(*states: str, epoch: int = 10) -> list[Progress]:
    return [
        Progress(slot, f"trial {slot}", state, 10 if state == "COMPLETE" else epoch, 10, None, None)
        for slot, state in enumerate(states)
    ]


def test_what_was_seen_outweighs_the_guess_the_more_the_more_trials_there_are():
    guess = MeanTime(2.0, doubt=0.7)
    assert guess.after(0, 5) == guess
    few, many = guess.after(2, 20), guess.after(200, 2_000)  # 10 s each
    assert 2 < few.seconds < many.seconds < 10 and many.seconds == pytest.approx(10, rel=0.1)
    assert 0.15 < many.doubt < few.doubt < guess.doubt  # later trials may still take another time
    assert MeanTime(2.0, 0.1).after(2, 20).seconds < few.seconds  # a surer guess


def test_ranges_are_ninety_percent_of_a_lognormal():
    found = Range.around(10, 0.5)
    assert (found.low, found.middle, found.high) == pytest.approx((10 * math.exp(-0.8225), 10, 10 * math.exp(0.8225)))
    assert found.each(lambda number: number / 2) == Range(found.low / 2, 5, found.high / 2)


def test_more_trials_are_forecast_more_surely_and_time_and_number_agree():
    mean = MeanTime(2.0, 0.1)
    few, many = mean.trials_in(10), mean.trials_in(1_000)
    assert (few.middle, many.middle) == (5, 500)
    assert few.high / few.low > 2 * many.high / many.low
    assert mean.seconds_of(500).middle == 1_000
    assert mean.trials_in(-1).high == 0


def test_the_budget_that_ends_first_counts():
    mean = MeanTime(2.0, 0.01)
    by_time = outlook(mean, Budget(None, 1), 2, done=10, most_seconds=100)
    assert by_time.trials.middle == pytest.approx(110) and by_time.seconds == Range(100, 100, 100)
    by_number = outlook(mean, Budget(50, None), 2, done=10, most_seconds=None)
    assert by_number.trials == Range(50, 50, 50) and by_number.seconds.middle == pytest.approx(40)
    both = outlook(mean, Budget(50, 1), 2, done=10, most_seconds=100)
    assert both.trials.middle == 50 and both.seconds.middle == pytest.approx(40)
    short = outlook(mean, Budget(50, 1), 2, done=10, most_seconds=20)
    assert short.trials.middle == pytest.approx(30) and short.seconds.middle == 20
    assert outlook(mean, Budget(5, None), 2, done=10, most_seconds=None).trials.middle == 10  # it has more already


def test_while_it_runs_the_forecast_follows_the_trials_and_counts_none_of_before():
    forecast = SearchForecast(MeanTime(10.0, 0.7), Budget(None, 2), workers=2, end=20)
    assert forecast.now.trials.middle == pytest.approx(2 * (120 - 20 - SECONDS_TO_START) / 10)
    before = trials(*["COMPLETE"] * 5)
    assert forecast.after(0.5, before + trials("WAITING", epoch=0)) == pytest.approx(120 - 0.5)
    assert forecast.after(5, trials(*["COMPLETE"] * 5, "RUNNING", epoch=0)) == pytest.approx(115)
    forecast.after(55, trials(*["COMPLETE"] * 105))  # 100 in 50 s, a second of a worker each
    assert forecast.now.trials.middle == pytest.approx(105 + 2 * 45 / 1, rel=0.12)
    total = forecast.total(trials(*["COMPLETE"] * 105))
    assert 105 < total.low < 195 < total.high
    forecast.after(150, trials(*["COMPLETE"] * 205))
    assert forecast.total(trials(*["COMPLETE"] * 205)) == Total(205, 205)


def test_a_number_of_trials_is_told_as_it_is_and_the_seconds_are_estimated():
    forecast = SearchForecast(MeanTime(4.0, 0.7), Budget(50, None), workers=2, end=20)
    assert forecast.after(0, trials("WAITING", epoch=0)) == pytest.approx(SECONDS_TO_START + 100 + 20)
    assert forecast.total(trials("WAITING")) == Total(50, 50)


def test_a_total_is_told_as_a_number_or_as_a_range():
    assert (str(Total(50, 50)), Total(50, 50).words) == ("50", "50")
    assert (str(Total(40, 55)), Total(40, 55).words) == ("40–55", "40 to 55")


@pytest.mark.parametrize("epochs, trained", [(1, 1), (10, 5.55), (30, 12.39)])
def test_hyperband_trains_as_many_epochs_as_a_draw_of_its_brackets_says(epochs, trained):
    hyperband, draw = Hyperband(epochs, reduction=2, least=1), np.random.default_rng(0)
    spent = []
    for slot in range(4_000):
        rungs = hyperband.brackets[hyperband.bracket(slot)]
        spent.append(next((rung for rung in rungs if draw.random() < 0.5), epochs))
    assert hyperband.epochs_trained == pytest.approx(np.mean(spent), rel=0.05)
    assert hyperband.epochs_trained == pytest.approx(trained, rel=0.05)


def test_the_mean_time_is_that_of_the_space_and_of_what_is_pruned(digits):
    whole = mean_time(replace(SEARCH, pruner="none"), digits, USUAL).seconds
    fixed = USUAL.record + USUAL.compiling
    assert share_trained(replace(SEARCH, pruner="none")) == 1
    assert mean_time(SEARCH, digits, USUAL).seconds - fixed == pytest.approx(share_trained(SEARCH) * (whole - fixed))
    assert 0.5 < share_trained(replace(SEARCH, pruner="median")) < 1
    wide = Search(load_space("wide"), "val_cross_entropy", "gp", "none")  # larger networks, with conditions
    assert mean_time(wide, digits, USUAL).seconds > whole
    twice = mean_time(replace(SEARCH, pruner="none"), digits, replace(USUAL, slowness=2, doubt=0.25))
    assert (twice.seconds - fixed, twice.doubt) == (pytest.approx(2 * (whole - fixed)), 0.25)
