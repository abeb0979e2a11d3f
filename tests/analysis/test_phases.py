"""Where the time of a study went, by hand-made runs."""

import pytest

from study.analysis.phases import GAP_SECONDS, phases
from study.tracking import tags
from study.tracking.records import RunRecord


def run(started: float, ended: float | None, train: float = 0, compile: float = 0, **of: str) -> RunRecord:
    metrics = {tags.TRAIN_SECONDS: train, tags.COMPILE_SECONDS: compile}
    return RunRecord("id", "name", "FINISHED", {}, of, metrics, started=started, ended=ended)


def test_two_workers_share_the_seconds_of_their_trials():
    trials = [run(105, 109, train=2, compile=1), run(105, 111, train=4, compile=1), run(109, 110, train=0.5)]
    spent = phases(run(100, 113), trials)
    assert spent.workers == 2
    assert (spent.start, spent.compile, spent.train, spent.report) == (5, 1, 3.25, 2)
    assert spent.record == (1 + 1 + 0.5) / 2
    assert spent.wait == 6 - 11 / 2  # one second of one of the two
    assert spent.total == 13
    assert (
        spent.text
        == "of 13 s: starting 38 %, compiling 8 %, training 25 %, recording 10 %, waiting 4 %, reporting 15 %"
    )


def test_an_open_study_has_no_report_yet_and_a_carried_trial_no_training():
    spent = phases(run(0, None), [run(1, 3, train=50, **{tags.REUSED_FROM: "other"}), run(3, None)])
    assert (spent.workers, spent.train, spent.record, spent.report, spent.total) == (1, 0, 2, 0, 3)
    assert phases(run(0, None), [run(3, None)]) is None


def test_the_time_between_two_programs_does_not_count():
    later = 11 + GAP_SECONDS
    spent = phases(run(0, later + 2), [run(0, 10, train=10), run(later, later + 1, train=1)])
    assert spent.total == pytest.approx(12) and spent.wait == pytest.approx(0)
