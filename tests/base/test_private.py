import os
import stat
from pathlib import Path

import pytest

from study.base import private
from study.base.errors import StudyError
from study.tracking import store


@pytest.fixture
def places(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """The folder's place in the temporary folder, and that in the home."""
    monkeypatch.setattr(private.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / f"keras-study-{os.getuid()}", tmp_path / "home" / ".cache" / "keras-study"


def test_the_folder_is_ours_alone(places):
    folder = private.private_folder()
    assert folder == places[0] == private.private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("squat", ["a link", "open to all", "a file"])
def test_a_folder_that_another_user_has_prepared_is_not_used(places, tmp_path, squat):
    squatted, other = places
    if squat == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        squatted.symlink_to(tmp_path / "elsewhere")
    elif squat == "a file":
        squatted.touch()
    else:
        squatted.mkdir()
        squatted.chmod(0o777)
    assert private.private_folder() == other
    other.chmod(0o755)
    with pytest.raises(StudyError, match="belongs to another user, or others can enter it"):
        private.private_folder()


def test_locks_are_in_it(places, tmp_path):
    with store._alone(f"sqlite:///{tmp_path}/mlflow.db"):
        assert [path.suffix for path in places[0].iterdir()] == [".lock"]
    assert not list(tmp_path.glob("*.lock"))
