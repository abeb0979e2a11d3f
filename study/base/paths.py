"""Finds files that a person names: in the working folder, or else beside the SQLite tracking store.

`mlflow run` with a git address works in a temporary clone of the project. The folder that the person ran it in is then
known by the tracking store alone, which lies there.
"""

import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from study.base.errors import StudyError

RUN_VARIABLE, STORE_VARIABLE = "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"  # `mlflow run` sets both for its program
SQLITE = "sqlite:///"


def is_server(uri: str) -> bool:
    """Return whether an address is that of a tracking server."""
    return urlsplit(uri).scheme in ("http", "https")


def sqlite_file(uri: str) -> Path:
    """Return the file of a SQLite store's address, in which MLflow writes a space as %20."""
    return Path(unquote(uri.removeprefix(SQLITE)))


def store_folder() -> Path | None:
    """Return the folder of the SQLite tracking store that the environment names; None for any other store."""
    uri = os.environ.get(STORE_VARIABLE, "")
    return sqlite_file(uri).absolute().parent if uri.startswith(SQLITE) else None


def find_file(name: str, error: type[StudyError], hint: str | None = None) -> Path:
    """Return the file or folder of this name: in the working folder, or else in that of the tracking store.

    Raises `error` where it is in neither, with the full paths, and for what is neither a file nor a folder.
    """
    try:
        here = Path(name).expanduser()
    except RuntimeError as failure:  # ~somebody who is not known here
        raise error(str(failure), where=name) from None
    places, folder = [here], store_folder()
    if folder and not here.is_absolute() and folder.resolve() != Path.cwd().resolve():
        places.append(folder / here)
    for path in places:
        if os.path.lexists(path):
            check_regular(path, error)
            return path
    looked = "" if here.is_absolute() else f"; looked for {' and '.join(str(path.absolute()) for path in places)}"
    raise error(f"no such file{looked}", where=name, hint=hint)


def check_regular(path: Path, error: type[StudyError]) -> None:
    """Raise `error` for a pipe, a device or a socket: reading one may never end.

    What is absent or closed to this user passes: whoever opens it can say so.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise error(kinds.get(stat.S_IFMT(mode), "a device"), where=path, expected="a file")
