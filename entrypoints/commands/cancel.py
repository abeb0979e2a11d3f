"""End a study everywhere: its command, its workers on all machines, and the jobs that it has on engines."""

import click

from entrypoints import display, program
from study.tracking import runs
from study.workflows.cancel_study import cancel_study


def run(*, study: str, storage: str) -> None:
    """Cancel the study that the options name."""
    runs.name_project_run(f"cancel of {study}", {"study.txt": study})
    left = cancel_study(storage, study)
    ran = f"{left.stopped} ran and {'was' if left.stopped == 1 else 'were'} put back"
    program.say(
        f"{study} is cancelled, with {display.count(left.finished, 'trial')} finished; {ran}. "
        "Run the command that began it again to resume: finished trials are not trained again."
    )
    if left.problems:
        raise click.ClickException(f"some launches could not be ended; the first: {left.problems[0]}")
