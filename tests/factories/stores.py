"""Opens the kept stores of earlier versions (`tests/stores`), in a folder of the test's own."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / "stores"
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in KEPT.glob("*.tar.xz"))
MADE_IN = "/tmp/keras-study-store"
# The columns of MLflow's tables that name the folder in which the store was made.
PLACES = {
    "experiments": ("artifact_location",), "runs": ("artifact_uri",), "logged_models": ("artifact_location",),
    "inputs": (), "tags": ("value",), "params": ("value",),
}  # fmt: skip


def unpack(version: str, folder: Path) -> Path:
    """Unpack the stores of a version into a folder, and let them name it as theirs; return it."""
    with tarfile.open(KEPT / f"{version}.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        for table, columns in PLACES.items():
            for column in columns:
                store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (MADE_IN, str(folder)))
        store.commit()
    return folder
