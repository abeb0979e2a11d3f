import json
import os
import subprocess
import sys

import pytest

from study.base import processes
from study.execution import recovery
from study.tracking import store
from study.tracking.runs import open_study_run


def test_this_process_lives():
    assert not processes.is_gone(processes.this_process())
    assert processes.this_process()["pid"] == str(os.getpid())


def test_a_process_that_has_ended_is_gone():
    told = subprocess.check_output(
        [sys.executable, "-c", "import json; from study.base.processes import *; print(json.dumps(this_process()))"],
        text=True,
    )
    assert processes.is_gone(json.loads(told))


@pytest.mark.parametrize("change, gone", [
    ({"process_started": "1.00"}, True),  # its pid has gone to another
    ({"machine": "elsewhere", "process_started": "1.00"}, False),  # which cannot be seen from here
    ({"pid": "not a number"}, False),
])  # fmt: skip
def test_a_process_is_told_from_others(change, gone):
    assert processes.is_gone(processes.this_process() | change) == gone


def test_runs_of_lost_processes_are_ended_and_others_left_alone(new_store):
    client = store.connect()
    me = processes.this_process()
    told = {
        "mine": me,
        "lost": me | {"process_started": "1.00"},
        "elsewhere": me | {"machine": "elsewhere", "process_started": "1.00"},
        "untold": {},
    }
    runs = {}
    for name, tags in told.items():
        runs[name] = open_study_run(client, name)
        runs[name].set_tags(tags)
    assert recovery.end_lost_runs(client) == ["lost"]
    states = {name: client.get_run(run.run_id).info.status for name, run in runs.items()}
    assert states == {"mine": "RUNNING", "lost": "KILLED", "elsewhere": "RUNNING", "untold": "RUNNING"}


def test_a_process_is_too_large_when_it_has_grown(monkeypatch):
    sizes = iter([10**10, 10**10, 10**10 + 1])
    monkeypatch.setattr(processes, "MOST_GROWTH", 0)
    monkeypatch.setattr(processes, "resident_bytes", lambda: next(sizes))
    watch = processes.MemoryWatch()
    assert [watch.is_full(), watch.is_full()] == [False, True]
    assert processes.MOST_GROWTH == 0 == watch.most


def test_the_size_of_this_process_is_known():
    assert 10 * 2**20 < processes.resident_bytes() < 2**40
