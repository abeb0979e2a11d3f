"""The engine ``ssh``: worker programs on other machines, which get this project's commit, and its environment by uv.

There they are what the engine `local` is here: this module calls that one, as a program, over SSH.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from study.base.errors import ConfigError, WorkerError, shown
from study.execution.engines.engine import PROJECT, Job, Launch, NotStarted, call, check_known, check_program, passed_on

# `hosts` are names as ssh takes them; `folder` is where the project lies there, below the home; `python` is one there
# that has the project's environment, so that none is made; `config` is another file than ~/.ssh/config.
DEFAULTS: Mapping[str, str] = {"hosts": "", "folder": "keras-study", "python": "", "config": ""}
LOGS = "on each host, in launches/{id} below the project's folder"
IS_REMOTE = True
ENVIRONMENT_SECONDS = 1_800  # for half a minute's work on a usual machine, of 2.7 GB
COMMAND_SECONDS = 120

_BRINGS = "brings a commit of the project"

# Run in a login shell, because many people set PATH there alone. A worker that runs holds on to the files that it has
# opened, and Python has read its modules; another commit than theirs is refused by the workers' own check.
_TAKE = """\
set -e
mkdir -p {folder}
git init --quiet {folder}
"""
_PREPARE = """\
set -e
cd {folder}
git checkout --quiet --detach --force {commit}
git branch --quiet -D {branch}
if [ ! -x .venv/bin/python ] || ! cmp -s requirements.txt .venv/installed.txt; then
    command -v uv >/dev/null || {{ echo 'uv is not on the PATH there' >&2; exit 1; }}
    [ -x .venv/bin/python ] || uv venv --quiet --python {version} .venv
    uv pip install --quiet --python .venv/bin/python -r requirements.txt
    cp requirements.txt .venv/installed.txt
fi
"""


def check(options: Mapping[str, str]) -> None:
    """Raise ConfigError without hosts, without git or ssh, and where the project has uncommitted changes."""
    check_known(options, DEFAULTS, "ssh")
    for name in _hosts(options):
        if name.startswith("-") or not name.isprintable() or " " in name:
            raise ConfigError(f"hosts cannot have {shown(name)}", where="options", expected="names that ssh takes")
    if not _hosts(options):
        raise ConfigError("hosts are missing", where="options", hint="Name them: options=hosts=a,b.")
    for program in ("ssh", "git"):
        check_program(program, "ssh")
    _commit()


def start(launch: Launch) -> None:
    """Bring the project to each host, and start its share of the workers there."""
    names = _hosts(launch.options)
    commit = _commit()
    shares = {name: launch.workers // len(names) + (n < launch.workers % len(names)) for n, name in enumerate(names)}
    working = {name: share for name, share in shares.items() if share}
    try:
        _on_all(working, lambda name: _run(launch, name, "true"))
    except WorkerError as failure:
        raise NotStarted(str(failure)) from None

    def begin(name: str) -> None:
        _bring(launch, name, commit)
        _ask(launch, name, "start", share=working[name])

    _on_all(working, begin)


def jobs(launch: Launch) -> list[Job] | None:
    """Return the worker programs that run on the hosts."""
    found = _on_all(_hosts(launch.options), lambda name: _ask(launch, name, "jobs"))
    return [Job(**job) for jobs in found for job in json.loads(jobs)]


def cancel(launch: Launch) -> None:
    """End the worker programs on the hosts, which put their trials back."""
    _on_all(_hosts(launch.options), lambda name: _ask(launch, name, "cancel"))


def _hosts(options: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(name for name in options.get("hosts", "").split(",") if name))


def _commit() -> str:
    """Return the project's commit; raises ConfigError if what workers run has changed since."""
    words = ["git", "-C", str(PROJECT), "status", "--porcelain", "--", "study", "entrypoints", "requirements.txt"]
    try:
        changes = call(words, "ssh")
    except WorkerError:
        hint = "Clone it with git, or start the workers by hand: mlflow run . -e worker."
        raise ConfigError(f"{_BRINGS}, and this folder is no git checkout", where="ssh", hint=hint) from None
    if changes:
        got = changes.splitlines()[0].strip()
        raise ConfigError(
            f"{_BRINGS}, and there are uncommitted changes here", where="ssh", got=got, hint="Commit them."
        )
    return call(["git", "-C", str(PROJECT), "rev-parse", "HEAD"], "ssh").strip()


T = TypeVar("T")


def _on_all(names: Iterable[str], task: Callable[[str], T]) -> list[T]:
    """Do a task for every host at the same time, and return the results; raises what the first of them raises."""
    with ThreadPoolExecutor(max_workers=32) as pool:
        return list(pool.map(task, names))


# --- one host ---------------------------------------------------------------------------------------


def _ssh(launch: Launch) -> list[str]:
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]
    config = launch.options.get("config", "")
    return [*words, "-F", str(Path(config).expanduser().resolve())] if config else words


def _run(launch: Launch, name: str, script: str, given: str = "", seconds: float = COMMAND_SECONDS) -> str:
    try:
        return call([*_ssh(launch), name, f"sh -lc {shlex.quote(script)}"], "ssh", given, seconds)
    except WorkerError as failure:
        raise WorkerError(str(failure), where=name) from None


def _folder(launch: Launch) -> str:
    return (launch.options.get("folder") or DEFAULTS["folder"]).removeprefix("~/")  # where every login begins


def _bring(launch: Launch, name: str, commit: str) -> None:
    """Bring the commit to a host, and make its environment unless it is there."""
    folder = shlex.quote(_folder(launch))
    _run(launch, name, _TAKE.format(folder=folder))
    push = ["git", "-C", str(PROJECT), "push", "--quiet", "--force", f"{name}:{_folder(launch)}"]
    environment = os.environ | {"GIT_SSH_COMMAND": shlex.join(_ssh(launch))}
    done = subprocess.run(
        [*push, f"{commit}:refs/heads/{launch.id}"], env=environment, capture_output=True, text=True,
        timeout=ENVIRONMENT_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise WorkerError(f"git push failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}", where=name)
    script = _PREPARE if not launch.options.get("python") else _PREPARE.partition("if [")[0]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    _run(launch, name, script.format(folder=folder, commit=commit, branch=launch.id, version=version),
         seconds=ENVIRONMENT_SECONDS)  # fmt: skip


def _ask(launch: Launch, name: str, what: str, share: int = 0) -> str:
    """Let the engine `local` on a host do something for the launch; the passwords go through its standard input."""
    path = launch.options.get("python") or ".venv/bin/python"
    python = f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)  # the shell there knows ~
    given = json.dumps({"launch": asdict(replace(launch, workers=share)), "environment": passed_on()})
    # A host that was never reached, or never got its environment, has no workers.
    missing = f"{{ echo {shlex.quote(f'there is no {path}')} >&2; exit 1; }}"
    absent = missing if what == "start" else "{ echo '[]'; exit 0; }"
    there = f"cd {shlex.quote(_folder(launch))} 2>/dev/null && command -v {python} >/dev/null || {absent}"
    script = f"{there}\nexec {python} -m study.execution.engines.local {what}"
    return _run(launch, name, script, given)
