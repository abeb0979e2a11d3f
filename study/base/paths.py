"""Files that a person names: looked for in the working folder, then beside the SQLite tracking store.

`mlflow run` with a git address works in a temporary clone of the project. The folder that the person ran it in is then
known by the tracking store alone, which lies there.
"""

import os
from pathlib import Path
from urllib.parse import unquote

from study.base.errors import StudyError

STORE_VARIABLE = "MLFLOW_TRACKING_URI"  # `mlflow run` sets it for its program
SQLITE = "sqlite:///"


def sqlite_file(uri: str) -> Path:
    """Return the file of a SQLite store's address, in which MLflow writes a space as %20."""
    return Path(unquote(uri.removeprefix(SQLITE)))


def store_folder() -> Path | None:
    """Return the folder of the SQLite tracking store that the environment names; None for any other store."""
    uri = os.environ.get(STORE_VARIABLE, "")
    return sqlite_file(uri).absolute().parent if uri.startswith(SQLITE) else None


def find_file(name: str, error: type[StudyError], hint: str | None = None) -> Path:
    """Return the file or folder of this name: in the working folder, or else in that of the tracking store.

    Raises `error`, which shows both paths, where it is in neither. Where only one place comes into question, its path
    is returned even if nothing is there: whoever opens it can say why it cannot be opened.
    """
    try:
        here = Path(name).expanduser()
    except RuntimeError as failure:  # ~somebody who is not known here
        raise error(str(failure), where=name) from None
    folder = store_folder()
    if os.path.lexists(here) or not folder or here.is_absolute() or folder.resolve() == Path.cwd().resolve():
        return here
    if os.path.lexists(there := folder / here):
        return there
    raise error(f"no such file; looked for {here.absolute()} and {there}", where=name, hint=hint)
