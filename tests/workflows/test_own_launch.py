"""The workers that a command launches for itself, and what happens to those of a command that was killed."""

import sys

import pytest

from study.base import processes
from study.execution.engines import launches
from study.execution.engines.engine import Launch, Request
from study.execution.queue import create_queue
from study.workflows.launch import OwnLaunch

STORAGE = "sqlite:///optuna.db"


@pytest.mark.usefixtures("new_store", "connections_closed")
def test_what_a_killed_command_had_launched_is_ended_when_it_is_repeated(monkeypatch):
    monkeypatch.setattr(Launch, "words", lambda self: [sys.executable, "-c", "import time; time.sleep(600)"])
    queue, _ = create_queue(STORAGE, "left")
    OwnLaunch(queue, STORAGE, Request("local", 1, {})).start()  # and nobody stops it
    (left,) = launches.remembered(queue)
    assert processes.marked("STUDY_LAUNCH", left.id)
    again = OwnLaunch(queue, STORAGE, Request("local", 1, {}))
    again.start()
    (now,) = launches.remembered(queue)
    assert now.id != left.id and processes.marked("STUDY_LAUNCH", now.id)
    assert not processes.marked("STUDY_LAUNCH", left.id)
    again.stop()
    assert not list(launches.remembered(queue)) and not processes.marked("STUDY_LAUNCH", now.id)
