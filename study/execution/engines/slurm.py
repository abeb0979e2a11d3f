"""The engine ``slurm``: an array job, each of whose tasks runs some of the workers."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from study.base.errors import ConfigError, shown
from study.base.paths import RUN_VARIABLE, STORE_VARIABLE
from study.execution.engines.engine import LAUNCH_VARIABLE, Job, Launch, call, check_number, check_program

# `per_job` is how many workers a task runs, which gets as many cores; `warning`, how many seconds before the end of its
# time a task is told. All others are options of sbatch.
_OWN = ("per_job", "warning")
DEFAULTS: Mapping[str, str] = {"per_job": "8", "warning": "90", "time": "04:00:00", "mem-per-cpu": "2G"}
LOGS = "in {folder}"
IS_REMOTE = True
SCRIPT = "job.sh"

# What the script decides itself.
_DECIDED = (
    "job-name", "array", "ntasks", "nodes", "cpus-per-task", "signal", "requeue", "no-requeue", "open-mode", "output",
    "error", "wrap",
)  # fmt: skip
_EXPORTED = (LAUNCH_VARIABLE, STORE_VARIABLE, "PYTHONPATH")  # sbatch passes the rest, passwords too, by itself

# sbatch copies the script, and runs it in the folder in which sbatch was called. Bash runs a trap only once `wait`
# returns, and then has to wait again.
_TEMPLATE = """\
#!/bin/bash
{directives}

# {workers} workers for the study {study}. A warning (the time is nearly up) lets the workers put their trials back, and
# the task into the queue again. A preempted task is put there by Slurm itself, and scancel ends all.
{exports}
workers={each}
[ "$SLURM_ARRAY_TASK_ID" != {last} ] || workers={rest}
worker= requeue=
trap 'requeue=yes; kill -TERM $worker 2>/dev/null' USR1
trap 'kill -TERM $worker 2>/dev/null' TERM
{command} --workers "$workers" &
worker=$!
wait $worker; status=$?
while kill -0 $worker 2>/dev/null; do wait $worker; status=$?; done
if [ "$requeue" ] && [ $status -ne 0 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" && sleep 60
fi
exit $status
"""


def check(options: Mapping[str, str]) -> None:
    """Raise ConfigError for numbers that are none, and without Slurm's commands."""
    for name in _OWN:
        check_number(name, options)
    for name, value in options.items():
        is_sbatchs = all(part.isalnum() for part in name.split("-")) and name not in _DECIDED and value.isprintable()
        if not is_sbatchs and name not in _OWN:
            hint = "Options are those of sbatch in their long form, such as partition=gpu, and per_job and warning."
            raise ConfigError(f"slurm takes no option {shown(name)}", where="options", hint=hint)
    check_program("sbatch", "slurm")


def script(launch: Launch) -> str:
    """Return the job script of a launch, in which the last task has the workers that are left over."""
    options = {**DEFAULTS, **launch.options}
    each = min(int(options.pop("per_job")), launch.workers)
    warning = options.pop("warning")
    last = (launch.workers - 1) // each
    folder = launch.folder.replace("%", "%%")
    flags = {
        "job-name": launch.id, "array": f"0-{last}", "ntasks": "1", "cpus-per-task": str(each),
        "signal": f"B:USR1@{warning}", "open-mode": "append", "output": f"{folder}/%a.log", **options,
    }  # fmt: skip
    lines = [f"#SBATCH --{name}={shlex.quote(value)}" for name, value in flags.items()]
    environment = launch.environment()
    exports = [f"export {name}={shlex.quote(environment[name])}" for name in _EXPORTED]
    return _TEMPLATE.format(
        directives="\n".join([*lines, "#SBATCH --requeue"]), workers=launch.workers, study=shlex.quote(launch.study),
        exports="\n".join([f"unset {RUN_VARIABLE}", *exports]), each=each, last=last,
        rest=launch.workers - last * each, command=shlex.join(launch.words()),
    )  # fmt: skip


def start(launch: Launch) -> None:
    """Render the job script into the launch's folder, and submit it."""
    path = Path(launch.folder, SCRIPT)
    path.write_text(script(launch))
    call(["sbatch", "--parsable", str(path)], "slurm")


def jobs(launch: Launch) -> list[Job] | None:
    """Return the array's tasks that wait or run."""
    output = call(["squeue", "--noheader", "--array", f"--name={launch.id}", "--format=%i|%T|%N|%r"], "slurm")
    rows = (line.split("|") for line in output.splitlines())
    return [
        Job(id, "waiting" if state in ("PENDING", "REQUEUED") else "running", host, reason)
        for id, state, host, reason in rows
    ]


def cancel(launch: Launch) -> None:
    """Cancel the array: Slurm sends SIGTERM to all its processes, and kills what is left after KillWait."""
    call(["scancel", f"--name={launch.id}"], "slurm")
