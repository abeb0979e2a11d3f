"""Make the kept stores of the version that is checked out: ``python -m tests.stores.make DATE``."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = Path("/tmp/keras-study-store")  # stands in the databases; whoever opens them puts his own there
TASK = "question: Does it open?\nbaseline: {hidden: 4, epochs: 2}\narms: {grid: {learning_rate: [0.01, 0.02]}}\n"
SPACE = "baseline: {hidden: 4, epochs: 2}\nfields: {learning_rate: {range: [1.0e-3, 1.0e-1], log: true}}\n"
COMMANDS = (
    "ablation --task mine.yaml --data digits --seeds 1 --workers 1",
    "search --study mine --space space.yaml --data digits --trials 3 --workers 1",
)
# Whose machine it was is nobody's business; no test of ours needs it.
PRIVATE = ("host", "machine", "mlflow.user", "mlflow.source.name", "processor_features")


def main(version: str) -> None:
    """Run the commands, take this machine out of what they have left, and pack it."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    (FOLDER / "mine.yaml").write_text(TASK)
    (FOLDER / "space.yaml").write_text(SPACE)
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{FOLDER}/mlflow.db"
    for words in COMMANDS:
        program, *options = words.split()
        command = [sys.executable, "-m", f"entrypoints.{program}", *options]
        subprocess.run(command, cwd=FOLDER, env=environment, check=True)
    with closing(sqlite3.connect(FOLDER / "mlflow.db")) as store:
        for table in ("tags", "logged_model_tags"):
            marks = ", ".join("?" * len(PRIVATE))
            key = {"tags": "key", "logged_model_tags": "tag_key"}[table]
            value = {"tags": "value", "logged_model_tags": "tag_value"}[table]
            store.execute(f"UPDATE {table} SET {value} = 'somebody' WHERE {key} IN ({marks})", PRIVATE)
        store.execute("UPDATE runs SET user_id = 'somebody'")
        store.commit()
        store.execute("VACUUM")
    with closing(sqlite3.connect(FOLDER / "optuna.db")) as queue:
        name = socket.gethostname()
        for table in ("trial_user_attributes", "study_user_attributes"):
            queue.execute(f"UPDATE {table} SET value_json = replace(value_json, ?, 'somebody')", (name,))
        queue.commit()
        queue.execute("VACUUM")
    for folder in FOLDER.rglob("artifacts"):  # what is not read again
        for name in ("report", "provenance", "test_set.npz", "arms.png"):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in FOLDER.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:8])
    with tarfile.open(HERE / f"{version}.tar.xz", "w:xz") as packed:
        for name in ("mlflow.db", "optuna.db", "mlruns"):
            packed.add(FOLDER / name, name, filter=_of_nobody)
    content = b"".join(path.read_bytes() for path in FOLDER.rglob("*") if path.is_file())
    mine = (socket.gethostname(), str(HERE.parents[1]), str(Path.home()))
    left = [word for word in mine if word.encode() in content]
    print(f"{(HERE / f'{version}.tar.xz').stat().st_size / 1_000:.0f} kB; of this machine: {left}")


def _of_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


if __name__ == "__main__":
    main(*sys.argv[1:])
