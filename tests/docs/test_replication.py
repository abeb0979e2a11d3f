import numpy as np
import pytest

from docs import make_replication
from study.analysis.statistics import estimate
from study.design.ablation import catalogue, load_ablation
from study.design.origin import Reported

ROWS = make_replication.measured()


def test_every_figure_of_the_reports_has_one_of_ours_beside_it():
    tasks = [load_ablation(task) for task in catalogue()]
    figures = [values for task in tasks for each in task.origin.reported for values in each.figures.values()]
    page = make_replication.page("note")
    lines = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") == 6]
    theirs = [line for line in lines if not line.split(" | ")[2].startswith(("–", "the report's", "---"))]
    assert len(theirs) == sum(len(values) if isinstance(values, tuple) else 1 for values in figures)
    assert not [line for line in theirs if line.endswith("| 0 |")]


def test_what_was_measured_is_of_arms_that_there_are_each_seed_once():
    arms = {(task, arm.name) for task in catalogue() for arm in load_ablation(task).arms}
    assert {(row["task"], row["arm"]) for row in ROWS} <= arms
    assert len({(row["task"], row["arm"], row["seed"]) for row in ROWS}) == len(ROWS)
    assert len({row["data_sha256"] for row in ROWS}) == 1
    assert list(ROWS[0]) == list(make_replication.COLUMNS)


@pytest.mark.parametrize("theirs, far", [(12, False), (15, False), (16, True), (14.9, False), (15.1, True), (5, False)])
def test_a_figure_is_far_where_a_single_run_would_hardly_be(theirs, far):
    """9, 10, 11: mean 10, s = 1, t(2) = 4.303, so that a single run lies within 10 ± 4.303 · √(4/3) = 4.97.

    15 may have been 14.5; 15.1 may have been 15.05.
    """
    ours = np.array([9.0, 10.0, 11.0])
    assert bool(make_replication._is_far(theirs, ours, estimate(ours))) == far


def test_a_difference_is_paired_by_seed():
    [entry] = load_ablation("l2").origin.reported
    assert entry == Reported("l2=0.01", {"difference": -1.7})
    rows = [
        {"arm": arm, "seed": seed, "val_accuracy": value}
        for arm, seed, value in (("l2=0.0", "1", "97"), ("l2=0.0", "2", "98"), ("l2=0.01", "2", "96.5"))
    ]
    assert make_replication._values("difference", load_ablation("l2"), rows, "l2=0.01").tolist() == [[-1.5]]
