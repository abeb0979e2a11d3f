"""A study whose every write may fail, as SQLite is tested: at the k-th write of a process something goes wrong.

    python -m factories.faults STUDY FOLDER ROLE:KIND:FIRST:STEP …

runs the STUDY (a name in COMMANDS) undisturbed, and then, for k = FIRST, FIRST + STEP, … until there are no more
writes, again from the same beginning: with a fault of the KIND (kill, once, for-ever) at the k-th write of the ROLE
(the conductor, which is the command, or its worker), and then by the same command once more without a fault. It prints
a line of JSON for each k, with what is not as it was undisturbed. Without a STEP there is one k. ``all:N`` are all
faults of the study but the first N, in an order that is always the same and as good as random: what has been done of a
sweep when it is stopped is a sample, and another goes on from there.

A write is a transaction of either database, of Optuna's or MLflow's, that changes something and is about to be
committed, or a file that is about to be copied into the artifacts. A killed process leaves half of that file. Nothing
in `study` knows of this: SQLAlchemy and Python tell of both. Everything but the training itself is real: commands,
worker server, workers, stores. All processes are forks of this one, which has imported what they need.

A promotion that has crowned its winner when the fault comes has done its work: the command once more races the new
champion, which stays. Then only the champion is compared, and that everything has ended.
"""
# ruff: noqa: E402  TensorFlow's chatter is held back first

import contextlib
import csv
import difflib
import gc
import hashlib
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from study.base.startup import hush, stderr_without_chatter, use_tensorflow

hush()
use_tensorflow()
with stderr_without_chatter():
    import keras  # noqa: F401
    import matplotlib.backends.backend_agg  # noqa: F401
    import tensorflow  # noqa: F401

    import study.execution.worker  # noqa: F401  psycopg before TensorFlow
import mlflow  # noqa: F401
import numpy as np
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import configure_mappers

from entrypoints import ablation, program, promote, search
from study.execution import worker, worker_pool, worker_server_client
from study.execution.worker_server import Lines, WorkerServer
from study.reports.plots import trial
from study.tracking.artifacts import CURVES
from study.workflows import common, confirmation

EPOCH_SECONDS = 4321.0  # so that a report's times can be told from all other numbers
SECONDS = 900  # for one command: it hangs, if it takes longer
KINDS = ("kill", "once", "for-ever")
ROLES = ("conductor", "worker")
TASK = "question: Faults?\nbaseline: {hidden: 4, epochs: 2}\narms: {grid: {learning_rate: [0.01, 0.02]}}\n"
SPACE = "baseline: {hidden: 4, epochs: 2}\nfields: {learning_rate: {range: [1.0e-3, 1.0e-1], log: true}}\n"
# Untrained networks of other sizes say other things: one is better than the baseline, and is compared with it.
SIZES = "baseline: {hidden: 4, epochs: 2}\nfields: {hidden: {choices: ['4', '6', '8', '10']}}\n"
FRESH_SEEDS = 7  # of a comparison: as many as its first look has
COMMANDS = {
    "ablation": (ablation.main, "--task mine.yaml --data digits --seeds 1 --workers 1"),
    "ablation-by-two": (ablation.main, "--task mine.yaml --data digits --seeds 2 --workers 2"),
    "search": (search.main, "--study mine --space space.yaml --data digits --trials 3 --workers 1 --confirm false"),
    "search-compared": (search.main, "--study mine --space sizes.yaml --data digits --trials 3 --workers 1"),
    "promote": (promote.main, "--top 2 --seeds 1 --workers 1"),
}
TASKS = {"ablation": "mine", "ablation-by-two": "mine", "search-compared": "search"}  # the tag of a study's run


@dataclass(frozen=True)
class Fault:
    """What goes wrong, in which process, at which of its writes."""

    role: str
    kind: str
    at: int


# --- the fault --------------------------------------------------------------------------------------


def install(role: str, fault: Fault | None, counts: Path) -> None:
    """Count this process's writes in a file of its role's name, a byte for each, and let the fault happen."""
    written = 0
    out = os.open(counts / role, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(half: Callable[[], object] = lambda: None) -> None:
        nonlocal written
        written += 1
        os.write(out, b".")
        if not fault or fault.role != role or written < fault.at or (fault.kind != "for-ever" and written > fault.at):
            return
        if fault.kind == "kill":
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device")

    changed: set[int] = set()

    @event.listens_for(Engine, "before_cursor_execute")
    def _(connection, cursor, statement, *_):
        if re.match(r"\s*(INSERT|UPDATE|DELETE|REPLACE)", statement, re.I):
            changed.add(id(connection))

    @event.listens_for(Engine, "rollback")
    def _(connection):
        changed.discard(id(connection))

    @event.listens_for(Engine, "commit")
    def _(connection):
        if id(connection) not in changed:
            return
        changed.discard(id(connection))
        try:
            write()
        except OSError as full:  # as the driver would say it
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError(f"disk I/O error ({full})")) from None

    def copied(name: str, words: tuple) -> None:
        if name == "shutil.copyfile" and "/artifacts/" in str(words[1]):
            source, target = Path(words[0]), Path(words[1])
            write(lambda: target.write_bytes(source.read_bytes()[: source.stat().st_size // 2]))

    sys.addaudithook(copied)


# --- the processes ----------------------------------------------------------------------------------


class Forked:
    """A fork of this process, as far as `worker_pool` knows a subprocess."""

    def __init__(self, run: Callable[[], int]):
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                status = run()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Server(worker_server_client.WorkerServerClient):
    """The worker server, without a program of its own: what it would import is there."""

    def __init__(self, fault: Fault | None, counts: Path):
        here, there = socket.socketpair()
        self._path = os.environ.get("PYTHONPATH", "")
        self._process = Forked(lambda: self._serve(here, there, fault, counts))
        there.close()
        self._lines = Lines(here)
        self._numbers = iter(range(1_000))
        self._workers = {}
        self._idle = self.ended = False

    @staticmethod
    def _serve(here: socket.socket, there: socket.socket, fault: Fault | None, counts: Path) -> int:
        here.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run = worker.run

        def run_with_faults(*words: str) -> int:
            from study.training import loop  # which has TensorFlow look for devices: not before the last fork

            loop.train = null_train
            install("worker", fault, counts)
            return run(*words)

        worker.run = run_with_faults
        WorkerServer(Lines(there)).serve()
        return 0


def command(name: str, folder: Path, fault: Fault | None = None) -> tuple[int, str]:
    """Run a study's command in a process of its own; return its exit status and what it said."""
    click_command, words = COMMANDS[name]
    counts = folder.parent / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir()
    said = folder.parent / "said"

    def run() -> int:
        signal.alarm(SECONDS)
        os.chdir(folder)
        os.close(alive)
        descriptor = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(descriptor, 1), os.dup2(descriptor, 2)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        sys.argv = ["program", *words.split()]
        servers = []

        def new_server() -> Server:
            servers.append(Server(fault, counts))
            return servers[-1]

        worker_server_client.WorkerServerClient = new_server
        worker_server_client.server()  # the first one, before this process does anything else
        install("conductor", fault, counts)
        try:
            program.run(click_command)
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            for server in servers:
                server.end()
        return 0

    alive, theirs = os.pipe()  # it closes when the last process of the command has ended
    process = Forked(run)
    os.close(theirs)
    status = process.wait()
    hangs = not select.select([alive], [], [], SECONDS)[0]
    os.close(alive)
    return (-99 if hangs else status), said.read_text(errors="replace")


# --- the training that takes no time ----------------------------------------------------------------


def null_train(config, dataset, on_epoch=lambda epoch: None):
    """Train nothing: curves that the config alone decides, and the weights that its seed gives."""
    from study.training import loop, network
    from study.training import program as compiled

    text = {name: word for name, word in config.as_text().items() if name != "data"}
    draw = np.random.default_rng(list(hashlib.sha256(json.dumps(text).encode()).digest()))
    epochs, state, reason = [], "complete", None
    for number in range(1, config.training.epochs + 1):
        loss, value, accuracy = (draw.uniform(0.1, 0.9) for _ in range(3))
        steps = draw.uniform(size=3).astype(np.float32)
        epochs.append(loop.Epoch(number, loss, accuracy, value, accuracy, value, EPOCH_SECONDS, steps, ()))
        if on_epoch(epochs[-1]):
            state, reason = "pruned", f"stopped after epoch {number}"
            break
    model = network.build(config, network.Rows.of(dataset))
    weights, outputs = model.get_weights(), {}
    if state == "complete":
        outputs = {name: compiled.logits(model, split.inputs) for name, split in dataset.splits.items()}
    best = 1 + int(np.argmin([epoch.val_loss for epoch in epochs]))
    return loop.TrialResult(
        state, reason, tuple(epochs), best, len(epochs), weights, 0.5, EPOCH_SECONDS * len(epochs), "xla",
        model if outputs else None, outputs,
    )  # fmt: skip


def shorten() -> None:
    """Take the time out of what does not matter here: the training, and the waiting after a fault."""
    worker.FAULT_SECONDS = 0.05
    worker_pool.POLL_SECONDS = common.POLL_SECONDS = 0.1
    confirmation.MOST_FRESH_SEEDS = FRESH_SEEDS
    # What every process would do once, before its first write, is done here: half of what such a study takes.
    import alembic.context  # noqa: F401
    import mlflow.store.tracking.sqlalchemy_workspace_store  # noqa: F401
    import plotly.graph_objects  # noqa: F401
    from mlflow.utils import requirements_utils

    import entrypoints.commands.ablation
    import entrypoints.commands.promote
    import entrypoints.commands.search  # noqa: F401
    from study.training import fingerprint

    configure_mappers()
    fingerprint.training_code_version()
    requirements_utils._init_packages_to_modules_map()
    trial.learning_curves({name: [0.5, 0.25] for name in CURVES}, 1, "warm").png()
    gc.collect()
    gc.freeze()


# --- what is left -----------------------------------------------------------------------------------

_NEUTRAL = (
    (re.compile(r"\bm-[0-9a-f]{32}\b"), "MODEL"),
    (re.compile(r"[0-9a-f]{32}(?![0-9a-f])"), "RUN"),
    (re.compile(r"\b(ablation-mine|promote)-[0-9a-f]{8}\b"), r"\1-RUN"),
    (re.compile(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC)?"), "TIME"),
    (re.compile(re.escape(socket.gethostname())), "HOST"),
    (re.compile(r"\n(<p>)?Times leave out trials that were carried over[^\n]*(\n(?=\n)|$)?"), ""),
    (re.compile(r"of \d+ s: [^|<\n]*"), "TIME"),
    # Of a promotion: an opening of the test set counts even if nothing comes of it, and a version keeps its number.
    (re.compile(r"opened for the [^|<\n]*"), "OPENED"),
    (re.compile(r"version \d+ is the champion"), "VERSION"),
    (re.compile(r"\b8642\b"), "–"),  # what a trial took, unless all of an arm's were carried over
)
KEPT = (
    "report/", "arms.csv", "verdicts.csv", "verdicts.json", "trials.csv", "plan.csv", "ablation.yaml", "search.yaml",
    "arms.png", "test_set.npz", "model_card.md",
)  # fmt: skip
NEWEST = """
    SELECT run_uuid, artifact_uri, status FROM runs
    WHERE run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'task' AND value = ?)
    AND run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'study_run') ORDER BY start_time DESC LIMIT 1
"""
SLOTS = """
    SELECT value FROM tags WHERE key = 'slot' AND run_uuid IN (
        SELECT run_uuid FROM tags JOIN runs USING (run_uuid)
        WHERE key = 'study_run' AND value = ? AND status = 'FINISHED')
"""
TRIALS = """
    SELECT state, count(*) FROM trials JOIN studies USING (study_id)
    WHERE study_name = ? AND state != 'FAIL' GROUP BY state ORDER BY state
"""


def left(name: str, folder: Path) -> dict[str, str]:
    """Return what a study has left, neutral to times, hosts and IDs: its files, and whatever has not ended."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
        ask = store.execute
        run_id, place, status = ask(NEWEST, (TASKS.get(name, name),)).fetchone()
        marks = dict(ask("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)))
        metrics = ask("SELECT key, value FROM latest_metrics WHERE run_uuid = ? ORDER BY key", (run_id,)).fetchall()
        found = {
            "status": status,
            "not ended": ask("SELECT name FROM runs WHERE status NOT IN ('FINISHED', 'FAILED', 'KILLED')").fetchall(),
            "slots": sorted(slot for (slot,) in ask(SLOTS, (run_id,))),
            "metrics": {key: value for key, value in metrics if "seconds" not in key},
            "champions": champions(folder),
            "description": marks.get("mlflow.note.content", ""),
        }
    with contextlib.closing(sqlite3.connect(folder / "optuna.db")) as queue:
        found["queue"] = queue.execute(TRIALS, (marks.get("study", ""),)).fetchall()
    files = Path(place.removeprefix("file://"))
    for path in sorted(files.rglob("*")):
        if path.is_file() and str(path.relative_to(files)).startswith(KEPT):
            found[str(path.relative_to(files))] = content_of(path)
    return {key: _neutral(value if isinstance(value, str) else str(value)) for key, value in found.items()}


def champions(folder: Path) -> list:
    """Return the registered models that have a champion."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
        return store.execute("SELECT name, alias FROM registered_model_aliases").fetchall()


def content_of(path: Path) -> str:
    """Return a file's text without what it says of times; of another file its hash."""
    if path.suffix in (".png", ".npz", ".npy"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    text = path.read_text()
    if path.name == "verdicts.json":
        content = json.loads(text)
        for part in (content, content.get("confirmation") or {}):
            part.pop("cost", None)  # what an ablation carried over, and the time of what it did not
        for arm in content.get("arms", ()):
            del arm["measures"]["train_seconds"]
        return json.dumps(content, indent=1)
    if path.name == "arms.csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        return str([{key: value for key, value in row.items() if "seconds" not in key} for row in rows])
    return text


def _neutral(text: str) -> str:
    for pattern, word in _NEUTRAL:
        text = pattern.sub(word, text)
    return text


# --- the sweep --------------------------------------------------------------------------------------


class Sweep:
    """Runs one study with faults, each time from the same beginning, in the same folder."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.beginning = name, folder / "work", folder / "beginning"
        self.folder.mkdir(parents=True)
        (self.folder / "mine.yaml").write_text(TASK)
        (self.folder / "space.yaml").write_text(SPACE)
        (self.folder / "sizes.yaml").write_text(SIZES)
        made = Forked(self._make_stores)
        assert made.wait() == 0, "the stores could not be made"
        if name == "promote":
            status, said = command("ablation", self.folder)
            assert status == 0, said
        self.folder.rename(self.beginning)
        self.expected = self._left_after(None)[0]
        self.writes = {role: self._count(role) for role in ROLES}

    def _make_stores(self) -> int:
        from study.execution import queue
        from study.tracking import store

        os.chdir(self.folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.folder}/mlflow.db"
        store.connect()
        queue.find_queue("sqlite:///optuna.db", "none")
        queue.create_queue("sqlite:///optuna.db", "none")
        return 0

    def _count(self, role: str) -> int:
        path = self.folder.parent / "counts" / role
        return path.stat().st_size if path.exists() else 0

    def _left_after(self, fault: Fault | None) -> tuple[dict[str, str], str]:
        """Return what is left after the fault and the same command once more, and what these have said."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.beginning, self.folder)
        status, said = command(self.name, self.folder, fault)
        crowned = bool(status) and champions(self.folder)
        if fault is None:
            assert status == 0, said
        elif status:
            again, more = command(self.name, self.folder)
            said = f"{said}\n--- again ---\n{more}"
            if again:
                return {"the second command": f"status {again}"}, said
        found = left(self.name, self.folder)
        if crowned:  # the second command found a champion, and raced against it
            found = self.expected | {name: found[name] for name in ("not ended", "champions", "queue")}
        return found, said

    def differences(self, fault: Fault) -> dict[str, str]:
        """Return what is not as it was undisturbed, by name; empty where all is well."""
        found, said = self._left_after(fault)
        names = [name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)]
        differences = {name: changed(self.expected.get(name, ""), found.get(name, "")) for name in sorted(names)}
        return differences | ({"said": said[-1_500:]} if differences else {})


def changed(expected: str, found: str) -> str:
    """Return the lines that differ, the first of them."""
    lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), lineterm="", n=0)
    return "\n".join(line[:400] for line in lines if not line.startswith(("---", "+++", "@@")))[:2_000]


def faults(sweep: Sweep, words: str) -> Iterator[Fault]:
    """Return the faults that ``ROLE:KIND:FIRST:STEP`` or ``all:N`` means."""
    if words.startswith("all:"):
        kinds = ((role, kind) for role in ROLES for kind in KINDS)
        every = (Fault(role, kind, at + 1) for role, kind in kinds for at in range(sweep.writes[role]))
        in_order = sorted(every, key=lambda fault: hashlib.sha256(repr(fault).encode()).digest())
        return iter(in_order[int(words.removeprefix("all:")) :])
    role, kind, first, *step = words.split(":")
    assert role in ROLES and kind in KINDS, words
    numbers = range(int(first), sweep.writes[role] + 1, int(step[0])) if step else [int(first)]
    return (Fault(role, kind, at) for at in numbers)


def main(name: str, folder: str, *words: str) -> None:
    shorten()
    sweep = Sweep(name, Path(folder).resolve())
    print(json.dumps({"writes": sweep.writes, "files": len(sweep.expected)}), flush=True)
    for fault in (fault for each in words for fault in faults(sweep, each)):
        found = {"fault": asdict(fault), "differences": sweep.differences(fault)}
        print(json.dumps(found, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
