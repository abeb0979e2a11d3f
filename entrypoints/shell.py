"""What every entry point shares: quiet libraries, errors in one line, an exit status that tells."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

import click
from rich.console import Console

from study.base import startup
from study.base.errors import DEBUG_VARIABLE, ConfigError, StudyError, in_one_line, likeliest, shown
from study.base.startup import hush

MOST_WORKERS = 1_000


def run(command: click.Command) -> None:
    """Run a click command as a program; a StudyError becomes one line on the standard error and exit status 1."""
    hush()
    startup.resume_collector()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command.main(standalone_mode=False)
    except StudyError as failure:
        _fail(str(failure), failure.status)
    except click.ClickException as failure:
        _fail(failure.format_message(), failure.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted.", 130)
    except Exception as failure:  # not foreseen: still one line, and the way to the rest
        _fail(in_one_line(failure), 1)


def _fail(message: str, status: int) -> None:
    if os.environ.get(DEBUG_VARIABLE) or "--debug" in sys.argv:
        import traceback

        traceback.print_exc()
    click.secho(f"Error: {message}", fg="red", err=True)
    _note_in_run(message)
    sys.exit(status)


def _note_in_run(message: str) -> None:
    """Let the run that `mlflow run` has made say why it failed, if its store can be reached at all."""
    if "MLFLOW_RUN_ID" not in os.environ:
        return
    from study.tracking import runs, store

    # The person has been told already, and the store may be the very thing that failed.
    with contextlib.suppress(Exception):
        runs.note_failure(store.connect(), message)


def console() -> Console:
    """Return a console for the standard output; a file has no width, and its lines are as long as what they say."""
    return Console(width=None if sys.stdout.isatty() else 1_000)


def choice(name: str, text: str, choices: Sequence[str]) -> str:
    """Return a parameter that is one of a few words; raises ConfigError where it is none of them."""
    if text not in choices:
        hint = likeliest(text.lower(), choices)
        raise ConfigError(f"{name} cannot be {shown(text)}", expected=" or ".join(choices), hint=hint)
    return text


def boolean(name: str, text: str) -> bool:
    """Return a parameter that is true or false; raises ConfigError where it is neither."""
    return choice(name, text.lower(), ("true", "false")) == "true"


def whole_number(name: str, text: str, most: int) -> int | None:
    """Return a parameter that is a whole number from 1 to `most`, or None for auto; raises ConfigError."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ConfigError(f"{name} cannot be {shown(text)}", expected=f"a whole number from 1 to {most}, or auto")
    return int(text)


def positive(name: str, text: str, most: float) -> float | None:
    """Return a parameter that is a number above 0 and at most `most`, or None for none; raises ConfigError."""
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise ConfigError(f"{name} cannot be {shown(text)}", expected=f"a number above 0, up to {most:g}, or none")
    return number


def worker_count(text: str) -> int:
    """Return how many worker processes there are to be: auto is one for every core that this process may use."""
    if number := whole_number("workers", text, MOST_WORKERS):
        return number
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def unless(text: str, word: str) -> str | None:
    """Return a parameter, or None where it is the word that stands for nothing given."""
    return None if text == word else text


def options(**settings: tuple[object, str]) -> Callable:
    """Return a decorator that gives a command an option for each ``name=(default, help)``, and ``--debug``."""

    def decorate(function: Callable) -> Callable:
        function = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(
            function
        )
        for name, (default, text) in reversed(settings.items()):
            function = click.option(f"--{name}", default=default, show_default=True, help=text)(function)
        return function

    return decorate
