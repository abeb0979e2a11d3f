"""The workers that a command launches for itself, and what happens to those of a command that was killed."""

import sys

import pytest

from study.base import processes
from study.execution.engines import launches, local
from study.execution.engines.engine import Launch, Request
from study.execution.queue import create_queue
from study.workflows.launch import OwnLaunch

STORAGE = "sqlite:///optuna.db"
ALIVE = processes.this_process() | {"machine": "elsewhere"}  # as far as anybody here can tell
DEAD = processes.this_process() | {"pid": str(2**22 - 1)}


@pytest.mark.usefixtures("new_store", "connections_closed")
def test_what_a_killed_command_had_launched_is_ended_when_it_is_repeated(monkeypatch):
    monkeypatch.setattr(Launch, "words", lambda self: [sys.executable, "-c", "import time; time.sleep(600)"])
    queue, _ = create_queue(STORAGE, "left")
    with monkeypatch.context() as another:
        another.setattr(processes, "this_process", lambda: DEAD)
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


@pytest.mark.usefixtures("new_store", "connections_closed")
def test_two_commands_of_one_study_leave_each_others_workers_alone(monkeypatch):
    started, ended = [], []
    monkeypatch.setattr(local, "start", started.append)
    monkeypatch.setattr(local, "cancel", ended.append)
    monkeypatch.setattr(local, "jobs", lambda launch: [])
    queue, _ = create_queue(STORAGE, "shared")
    with monkeypatch.context() as another:
        another.setattr(processes, "this_process", lambda: ALIVE)
        OwnLaunch(queue, STORAGE, Request("local", 1, {})).start()
    own = OwnLaunch(queue, STORAGE, Request("local", 1, {}))
    own.start()
    own.stop()
    theirs, mine = started
    assert ended == [mine] and [each.id for each in launches.remembered(queue)] == [theirs.id]
