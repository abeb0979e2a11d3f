"""The engine ``local``: one more worker program on this machine, which outlives the command that started it.

Its processes are found by the launch's ID in their environment, so that no pid has to be remembered, which another
process may have later. The engine ``ssh`` runs this module, as a program, on other machines.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from study.base import processes
from study.execution.engines.engine import FOLDER, LAUNCH_VARIABLE, Job, Launch, check_known, host

DEFAULTS: Mapping[str, str] = {}
LOGS = "in {folder}"
IS_REMOTE = False
LOG = "worker.log"
PATIENCE_SECONDS = 40  # more than a worker program needs to put its trials back

# The program's parent is gone before it looks for it: a program ends when whatever started it does.
_DETACHED = 'exec </dev/null >>"$1" 2>&1; shift; "$@" &'


def check(options: Mapping[str, str]) -> None:
    """Raise ConfigError for any option: it has none."""
    check_known(options, DEFAULTS, "local")


def start(launch: Launch) -> None:
    """Start the worker program in a session of its own: neither a closed terminal nor its Ctrl-C reaches it."""
    program = [*launch.words(), "--workers", str(launch.workers)]
    words = ["sh", "-c", _DETACHED, "sh", str(Path(launch.folder, LOG)), *program]
    subprocess.run(words, env=launch.environment(), start_new_session=True, check=True)


def jobs(launch: Launch) -> list[Job] | None:
    """Return the worker program, if it still runs; None on another machine."""
    if launch.machine != processes.machine():
        return None
    there = processes.marked(LAUNCH_VARIABLE, launch.id)
    return [Job(str(pid), "running", host()) for pid, parent in there.items() if parent not in there]


def cancel(launch: Launch) -> None:
    """End the worker program, which puts its trials back; what does not end in time is killed."""
    there = jobs(launch)
    if there is not None:
        processes.end((int(job.id) for job in there), processes.marked(LAUNCH_VARIABLE, launch.id), PATIENCE_SECONDS)


# --- as a program, for the engine ssh ---------------------------------------------------------------


def main(what: str) -> None:
    """Do what another machine asks for: ``start``, ``jobs`` or ``cancel`` the launch on the standard input."""
    given = json.load(sys.stdin)
    os.environ.update(given["environment"])
    folder = Path(FOLDER, given["launch"]["id"]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    launch = replace(Launch(**given["launch"]), machine=processes.machine(), host=host(), folder=str(folder))
    match what:
        case "start":
            start(launch)
        case "jobs":
            print(json.dumps([asdict(job) for job in jobs(launch) or []]))
        case "cancel":
            cancel(launch)


if __name__ == "__main__":
    main(*sys.argv[1:])
