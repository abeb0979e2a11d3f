"""The database of a queue: whether it can be opened, and what may be shown of its address."""

import pytest

from study import queue as queues
from study import storage
from study.errors import WorkerError


def test_queue_that_cannot_be_opened_is_an_error():
    with pytest.raises(WorkerError, match="the queue cannot be opened"):
        queues.create("sqlite:////nowhere/at/all/optuna.db", "x")


@pytest.mark.parametrize("url, shown, has", [
    ("postgresql+psycopg://me:secret@db.example:5432/study", "postgresql+psycopg://me:***@db.example:5432/study", True),
    ("postgresql+psycopg://me@db.example/study", "postgresql+psycopg://me@db.example/study", False),
    ("sqlite:///optuna.db", "sqlite:///optuna.db", False),
    ("not an address", "not an address", False),
])  # fmt: skip
def test_no_password_is_shown(url, shown, has):
    assert (storage.without_password(url), storage.has_password(url)) == (shown, has)
