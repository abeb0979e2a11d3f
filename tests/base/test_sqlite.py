import sqlite3

import pytest
from sqlalchemy import create_engine

from study.base import sqlite


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Let the folder below the test's be on a file system of the given kind."""

    def set_kind(kind: str) -> None:
        file = tmp_path / "mounts"
        file.write_text(f"disk / ext4 rw 0 0\nother {tmp_path / 'here'} {kind} rw 0 0\n")
        monkeypatch.setattr(sqlite, "MOUNTS", file)
        sqlite.is_local.cache_clear()

    (tmp_path / "here").mkdir()
    yield set_kind
    sqlite.is_local.cache_clear()


@pytest.mark.parametrize("kind, mode", [("ext4", "wal"), ("nfs4", "delete"), ("9p", "delete")])
def test_a_file_has_a_log_if_its_disk_is_of_this_machine(tmp_path, mounts, kind, mode):
    mounts(kind)
    sqlite.commit_quickly()
    engine = create_engine(f"sqlite:///{tmp_path / 'here' / 'a.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (x)")
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == (1 if mode == "wal" else 2)
    engine.dispose()
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["a.db"]  # the log is gone


def test_other_programs_read_such_a_file_while_it_is_open(tmp_path, mounts):
    mounts("ext4")
    sqlite.commit_quickly()
    engine = create_engine(f"sqlite:///{tmp_path / 'here' / 'a.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (x)")
    with sqlite3.connect(tmp_path / "here" / "a.db") as other:
        assert other.execute("SELECT count(*) FROM numbers").fetchall() == [(0,)]
    other.close()
    engine.dispose()


def test_a_file_that_cannot_be_written_is_opened_all_the_same(tmp_path, mounts):
    mounts("ext4")
    sqlite3.connect(tmp_path / "here" / "a.db").close()
    sqlite.commit_quickly()
    engine = create_engine(f"sqlite:///file:{tmp_path / 'here' / 'a.db'}?mode=ro&uri=true")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()


def test_where_nothing_is_known_of_the_disks_nothing_changes(tmp_path, monkeypatch):
    sqlite.is_local.cache_clear()
    monkeypatch.setattr(sqlite, "MOUNTS", tmp_path / "nowhere")
    assert not sqlite.is_local(tmp_path)
    sqlite.is_local.cache_clear()
