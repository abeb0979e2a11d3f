"""Runs every entry point: quiet libraries, signals, errors in one line, an exit status, and the link at the end."""

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

from study.base import interruption, startup
from study.base.errors import DEBUG_VARIABLE, StudyError, in_one_line, traceback_text
from study.base.passwords import without_password
from study.base.paths import RUN_VARIABLE
from study.base.startup import hush
from study.base.text import readable

if TYPE_CHECKING:
    from rich.console import Console


def run(command: click.Command) -> None:
    """Run a click command as a program; a StudyError becomes one line on the standard error and exit status 1."""
    hush()
    startup.accept_any_text()
    startup.resume_collector()
    interruption.listen()
    try:
        command.main(standalone_mode=False)
    except StudyError as failure:
        _fail(str(failure), failure.status)
    except click.ClickException as failure:
        _fail(failure.format_message(), failure.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted.", 130)
    except Exception as failure:  # unforeseen: still one line, and --debug shows the rest
        _fail(in_one_line(failure), 1)


def console() -> "Console":
    """Return a console for the standard output; in a file, which has no width, lines are never wrapped."""
    from rich.console import Console  # the options do not need it

    return Console(width=None if sys.stdout.isatty() else 1_000)


def output_for_programs() -> TextIO:
    """Return the standard output for JSON alone: all else that is printed goes to the standard error."""
    output = sys.stdout
    click.get_current_context().with_resource(contextlib.redirect_stdout(sys.stderr))
    return output


def write_json(output: TextIO, text: str) -> None:
    """Write JSON in ASCII alone, whatever the encoding of the output is."""
    output.write(json.dumps(json.loads(text), indent=2) + "\n")


def say(text: str) -> None:
    """Print text on the standard output; a name in it that a terminal would obey is written out."""
    click.echo(readable(text))


def print_link(run_id: str) -> None:
    """Print where a browser shows the run: the last line of a command."""
    from study.tracking import store

    client = store.connect()
    link = store.run_link(client, run_id)
    say(f"Run {run_id}: {'`mlflow ui` shows it at ' if link.startswith(store.LOCAL_UI) else ''}{link}")


def _fail(message: str, status: int) -> None:
    message = readable(without_password(message))  # click's own repeat what was given
    if (failure := sys.exception()) and (os.environ.get(DEBUG_VARIABLE) or "--debug" in sys.argv):
        click.echo(traceback_text(failure), err=True, nl=False)
    click.secho(f"Error: {message}", fg="red", err=True)
    _note_in_run(message)
    sys.exit(status)


def _note_in_run(message: str) -> None:
    """Write the failure into the run that `mlflow run` made, if its store can be reached."""
    if RUN_VARIABLE not in os.environ:
        return
    from study.reports.markdown import plain
    from study.tracking import runs, store

    # The error is on the screen already, and the store may be the very thing that failed.
    with contextlib.suppress(Exception):
        runs.note_failure(store.connect(), message, plain(message))
