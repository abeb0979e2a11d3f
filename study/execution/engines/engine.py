"""What all engines share: what is asked of them, what is remembered of a launch, and how a worker program is called."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from study.base.errors import ConfigError, WorkerError, likeliest, shown
from study.base.passwords import has_password
from study.base.paths import RUN_VARIABLE, STORE_VARIABLE, store_folder

LAUNCH_VARIABLE = "STUDY_LAUNCH"  # in the environment of everything that a launch starts: the launch's ID
NAMES = ("local", "slurm", "ssh", "ray", "kubernetes")
PROJECT = Path(__file__).resolve().parents[3]
PASSED = ("MLFLOW_", "PG", "SSL_CERT_", "REQUESTS_CA_")  # beginnings of variables that workers elsewhere need as well
FOLDER = "launches"  # of scripts and logs, beside the tracking store's file or else in the working folder
COMMAND_SECONDS = 60  # the longest that an engine's own command may take
MOST_LAUNCHED = 10_000


@dataclass(frozen=True)
class Request:
    """What a person asks for: so many workers on this engine, with these options of its own."""

    engine: str
    workers: int
    options: Mapping[str, str]


@dataclass(frozen=True)
class Launch:
    """Workers that an engine was asked for, as the study remembers them; `id` is the name of all that it starts.

    `data` names the study's data where the workers run, None as the study does. `folder` has the engine's scripts and
    the workers' logs, on the machine of the host `host` (`machine` tells apart what has the same host name). `owner` is
    the process, as `processes.this_process` describes it, of a search or an ablation that launched them for itself, and
    ends them with itself.
    """

    id: str
    engine: str
    workers: int
    options: Mapping[str, str]
    study: str
    storage: str
    tracking_uri: str
    data: str | None
    folder: str
    host: str
    machine: str
    owner: Mapping[str, str] | None = None

    def words(self, python: str = sys.executable) -> list[str]:
        """Return the command that runs workers; how many is to be added: ``--workers`` and a number."""
        words = [python, "-m", "entrypoints.worker", "--study", self.study, "--storage", self.storage]
        return [*words, "--data", self.data] if self.data else words

    def environment(self) -> dict[str, str]:
        """Return the environment of a worker program: this process's, but the run of `mlflow run` is not its own."""
        kept = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
        path = os.pathsep.join(filter(None, (str(PROJECT), kept.get("PYTHONPATH"))))
        return kept | {LAUNCH_VARIABLE: self.id, STORE_VARIABLE: self.tracking_uri, "PYTHONPATH": path}


@dataclass(frozen=True)
class Job:
    """One program, or pod, of a launch as its engine has it: `reason` says why it waits."""

    id: str
    state: Literal["waiting", "running"]
    host: str = ""
    reason: str = ""


class Engine(Protocol):
    """The interface of an engine's module. All raise WorkerError with what the engine's command said.

    `DEFAULTS` are its options; an option whose default is "" has to be given or is left out. `LOGS` says where the
    workers' logs are, with `{folder}` and `{id}` for the launch's. `IS_REMOTE` says whether the workers are on other
    machines, which share no SQLite file with this one.
    """

    DEFAULTS: Mapping[str, str]
    LOGS: str
    IS_REMOTE: bool

    def check(self, options: Mapping[str, str]) -> None:
        """Raise ConfigError for options that it cannot take, or where its own programs are missing."""

    def start(self, launch: Launch) -> None:
        """Start a launch's workers and return; they go on when this process ends."""

    def jobs(self, launch: Launch) -> list[Job] | None:
        """Return what of a launch waits or runs; None where this machine cannot tell."""

    def cancel(self, launch: Launch) -> None:
        """Ask what is left of a launch to end, so that its trials are requeued; it is no error if nothing is left."""


# --- what is asked ----------------------------------------------------------------------------------


def parse_request(text: str, name: str) -> Request:
    """Return the request that ``ENGINE:WORKERS`` means, or ``ENGINE:WORKERS,option=value,option=value``."""
    first, *rest = text.split(",")
    engine, _, workers = first.partition(":")
    number = int(workers) if workers.isascii() and workers.isdigit() else 0
    if engine not in NAMES or not 1 <= number <= MOST_LAUNCHED:
        expected = f"ENGINE:WORKERS, such as local:4, with an engine of {', '.join(NAMES)}"
        raise ConfigError(f"{name} cannot be {shown(text)}", expected=expected, hint=likeliest(engine, NAMES))
    return Request(engine, number, parse_options(",".join(rest), name))


def parse_options(text: str, name: str) -> dict[str, str]:
    """Return options written as ``option=value,option=value``; a piece without ``=`` belongs to the value before."""
    options: dict[str, str] = {}
    key = ""
    for piece in text.split(",") if text else []:
        word, is_one, value = piece.partition("=")
        if is_one:
            key = word.strip()
            options[key] = value.strip()
        elif key:
            options[key] += f",{piece.strip()}"
        else:
            raise ConfigError(f"{name} has {shown(piece)}", expected="option=value,option=value")
    return options


def check_known(options: Mapping[str, str], known: Mapping[str, str], engine: str) -> None:
    """Raise ConfigError for an option that an engine does not have."""
    for option in options:
        if option not in known:
            hint = likeliest(option, known) or f"It takes {', '.join(known) or 'none'}."
            raise ConfigError(f"{engine} has no option {shown(option)}", where="options", hint=hint)


def check_number(name: str, options: Mapping[str, str]) -> None:
    """Raise ConfigError for an option, if it is given, that is no whole number from 1."""
    text = options.get(name, "1")
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigError(f"{name} cannot be {shown(text)}", where="options", expected="a whole number from 1")


def check_program(name: str, engine: str) -> None:
    """Raise ConfigError where a program of an engine is not on the PATH."""
    if not shutil.which(name):
        raise ConfigError(f"{name} is not on the PATH", where=engine, hint=f"Run this where {name} works.")


def check_address(storage: str, tracking_uri: str, engine: str, is_remote: bool) -> None:
    """Raise ConfigError for a storage or a store that the engine's workers could not, or should not, be told of."""
    for what, address in (("storage", storage), ("tracking store", tracking_uri)):
        if has_password(address):  # it would be in job scripts and lists of processes
            hint = "Leave it out. PostgreSQL takes it from PGPASSWORD or ~/.pgpass."
            raise ConfigError(f"the {what}'s address has a password", where=engine, hint=hint)
        if is_remote and address.startswith("sqlite"):
            raise ConfigError(
                f"the {what} is a SQLite file, which serves one machine only", where=engine, got=address,
                hint="Several machines need PostgreSQL and an MLflow server: see docs/cluster.md.",
            )  # fmt: skip


class NotStarted(WorkerError):
    """An engine could not be reached, so that nothing of a launch runs anywhere."""


def new_id(study: str) -> str:
    """Return a new name for a launch, which Slurm, Kubernetes and file systems all take."""
    words = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:40].rstrip("-")
    return f"study-{words or 'launch'}-{secrets.token_hex(4)}"


def new_folder(id: str) -> str:
    """Return the folder of a launch's scripts and logs, made; raises WorkerError where nothing can be written."""
    place = store_folder() or Path.cwd()
    folder = place / FOLDER / id
    try:
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir()
    except OSError as failure:
        raise WorkerError(f"nothing can be written here ({failure.strerror})", where=place) from None
    return str(folder.resolve())


# --- its commands -----------------------------------------------------------------------------------


def call(
    words: Sequence[str],
    engine: str,
    given: str = "",
    seconds: float = COMMAND_SECONDS,
    *,
    name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command of an engine and return its output; `name` is what people call it, its first word otherwise.

    Raises WorkerError with the end of what it said.
    """
    name = name or words[0]
    try:
        done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=seconds, env=environment)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise WorkerError(f"{name} does not work ({failure})", where=engine) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise WorkerError(f"{name} failed: {said[0]}", where=engine)
    return done.stdout


def passed_on() -> dict[str, str]:
    """Return those variables of this process's environment that workers on other machines need, passwords too."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED) and name != RUN_VARIABLE}


def host() -> str:
    """Return this machine's host name."""
    return socket.gethostname()
