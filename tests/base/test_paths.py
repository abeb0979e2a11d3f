from pathlib import Path

import pytest

from study.base.errors import DataError
from study.base.paths import STORE_VARIABLE, find_file, store_folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The working folder and, elsewhere, that of the tracking store."""
    here, there = tmp_path / "clone", tmp_path / "my folder"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv(STORE_VARIABLE, f"sqlite:///{tmp_path}/my%20folder/mlflow.db")
    return here, there


def test_a_file_is_looked_for_here_and_then_beside_the_store(folders):
    here, there = folders
    for folder, found in ((there, there / "mine.npz"), (here, Path("mine.npz"))):
        (folder / "mine.npz").touch()
        assert find_file("mine.npz", DataError) == found
    with pytest.raises(DataError, match=rf"^{there}/no.npz: no such file\.$"):
        find_file(str(there / "no.npz"), DataError)


def test_what_is_in_neither_folder_is_an_error_with_both_paths(folders):
    here, there = folders
    with pytest.raises(DataError) as error:
        find_file("a/mine.npz", DataError, "Name another.")
    expected = f"a/mine.npz: no such file; looked for {here}/a/mine.npz and {there}/a/mine.npz. Name another."
    assert str(error.value) == expected


@pytest.mark.parametrize("uri", ["", "http://127.0.0.1:5000", "sqlite:///mlflow.db"])
def test_a_relative_path_is_shown_in_full_where_there_is_one_place_only(folders, monkeypatch, uri):
    monkeypatch.setenv(STORE_VARIABLE, uri)
    with pytest.raises(DataError, match=rf"^mine.npz: no such file; looked for {folders[0]}/mine.npz\.$"):
        find_file("mine.npz", DataError)
    assert store_folder() == (folders[0] if uri.startswith("sqlite") else None)


def test_a_home_that_nobody_has_is_an_error():
    with pytest.raises(DataError, match=r"~nobody_here/x.npz: "):
        find_file("~nobody_here/x.npz", DataError)
