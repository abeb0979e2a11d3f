"""Bring more workers to a running search or ablation: on this machine, on others over SSH, or on a cluster."""

from entrypoints import display, options, program
from study.analysis.formatting import count
from study.execution.engines import launches
from study.execution.engines.engine import Request
from study.tracking import runs
from study.workflows.launch import launch_workers


def run(*, study: str, storage: str, engine: str, workers: int, own: dict[str, str], data: str | None) -> None:
    """Bring workers to the study that the options name."""
    runs.name_project_run(f"launch for {study}", {"study.txt": study})
    launched = launch_workers(storage, study, Request(engine, workers, own), data)
    program.say(f"{count(workers, 'worker')} on {engine}: {launched.id}")
    here, logs = f"in {launched.folder}", launches.logs(launched)
    program.say(f"Scripts{' and logs' if logs == here else ''}: {here}")
    if logs != here:
        program.say(f"Logs: {logs}")
    display.tell_how_to_follow(study, storage, options.given()["storage"])
