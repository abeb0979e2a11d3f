"""The servers that other tests rely on start, answer, come back, and leave nothing behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT
from factories import servers

needs_postgres = pytest.mark.skipif(servers.postgres_missing() is not None, reason=str(servers.postgres_missing()))


def becomes_true(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def ended(pid: int) -> bool:
    """Whether no such process runs; one that nobody has asked for its status counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_ports_are_free_and_different():
    ports = [servers.free_port() for _ in range(50)]
    assert len(set(ports)) == 50 and set(ports) <= set(servers.PORTS)


@needs_postgres
def test_postgres_keeps_what_it_was_told_through_a_restart_and_a_crash():
    with servers.Postgres() as postgres:
        folder, first = postgres._folder, postgres._process.pid
        url = postgres.url.replace("+psycopg", "")
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("CREATE TABLE kept (number integer)")
        for number, crash in enumerate((False, True)):
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                connection.execute("INSERT INTO kept VALUES (%s)", [number])
                postgres.restart(down_seconds=0, crash=crash)
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
        with closing(psycopg.connect(url)) as connection:
            assert connection.execute("SELECT number FROM kept ORDER BY number").fetchall() == [(0,), (1,)]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(postgres.password, "wrong"))
        last = postgres._process.pid
    assert ended(first) and ended(last) and not folder.exists()


@needs_postgres
def test_postgres_ends_with_a_process_that_is_killed():
    program = """
import time
from factories import servers

with servers.Postgres() as postgres:
    print(postgres._process.pid, postgres._folder, flush=True)
    time.sleep(99)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) as owner:
        pid, folder = owner.stdout.readline().split()
        assert not ended(int(pid)) and Path(folder).exists()
        owner.kill()
    assert becomes_true(lambda: ended(int(pid)) and not Path(folder).exists())
