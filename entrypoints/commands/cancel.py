"""End a study everywhere: its command, its workers on all machines, and its jobs on engines."""

import click

from entrypoints import program
from study.analysis.formatting import count
from study.tracking import runs
from study.workflows.cancel_study import cancel_study


def run(*, study: str, storage: str) -> None:
    """Cancel the study that the options name."""
    runs.name_project_run(f"cancel of {study}", {"study.txt": study})
    left = cancel_study(storage, study)
    ran = f"{left.stopped} {'was running and is' if left.stopped == 1 else 'were running and are'} requeued"
    program.say(
        f"{study} is cancelled, with {count(left.finished, 'trial')} finished; {ran}. "
        "To resume, repeat the command that began it: finished trials are not trained again."
    )
    if left.problems:
        raise click.ClickException(f"some launches could not be ended; the first: {left.problems[0]}")
