"""Makes a folder of this person's own on this machine, for locks and for notes from one process to the next.

The shared temporary folder is not enough: another user of the machine can foresee a file's name there, and put a link
or a file that is always locked in its place.
"""

import os
import stat
import tempfile
from pathlib import Path

from study.base.errors import StudyError


def private_folder() -> Path:
    """Return a folder that nobody else can enter, made if it is new: in the temporary folder, or else in the home.

    The temporary folder comes first because locks do not work in some network homes. Raises StudyError if neither place
    can be used.
    """
    temporary = Path(tempfile.gettempdir(), f"keras-study-{os.getuid()}")
    places = [temporary]
    if home := os.environ.get("HOME"):
        places.append(Path(home, ".cache", "keras-study"))
    for place in places:
        if _is_made(place) and _is_private(place):
            return place
    hint = "Remove it, or set TMPDIR to a folder of your own."
    raise StudyError("belongs to another user, or others can enter it", where=temporary, hint=hint)


def _is_made(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    status = folder.lstat()  # of a link itself, and not of what it leads to
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
