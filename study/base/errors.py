"""Errors that a person can act on, in one line: where, what, expected, got, and what to do next."""

import difflib
import traceback
from collections.abc import Iterable

from study.base import text
from study.base.passwords import without_password

DEBUG_VARIABLE = "STUDY_DEBUG"  # set it in the environment to see tracebacks


class StudyError(Exception):
    """A problem that the person who ran the command can fix. It is printed as one line, without a traceback.

    `str(error)` reads ``where: what; expected …, got …. What to do.`` without the parts that are not given, without
    passwords, and without characters that a terminal would obey. `status` is the exit status of the program that it
    ends.
    """

    status = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
    ):
        contrast = ", ".join(
            f"{word} {value}" for word, value in (("expected", expected), ("got", got)) if value is not None
        )
        message = f"{where}: {what}" if where is not None else what
        message = f"{message}; {contrast}" if contrast else message
        message = message if message.endswith((".", "?", "!")) else message + "."
        super().__init__(text.in_one_line(without_password(f"{message} {hint}" if hint else message)))


class ConfigError(StudyError):
    """A hyperparameter or option that does not exist, or has a value it cannot have."""


class DataError(StudyError):
    """A dataset that cannot be found, read or split."""


class AblationError(StudyError):
    """An ablation that does not exist, or whose YAML file is not valid."""


class TrackingError(StudyError):
    """An MLflow store that cannot be reached or written to."""


class WorkerError(StudyError):
    """Worker processes that died before their trials were finished."""


class Interrupted(StudyError):
    """The person or the system stopped the study before its trials were finished. Finished trials are kept."""

    status = 130


def in_one_line(failure: BaseException) -> str:
    """Return an exception's message in one line; of an unforeseen exception, that of its first cause, with its type."""
    if isinstance(failure, StudyError):
        return str(failure)
    while inner := failure.__cause__ or (None if failure.__suppress_context__ else failure.__context__):
        failure = inner
    if isinstance(failure, MemoryError) or "ResourceExhausted" in f"{type(failure).__name__}{failure}":
        return "not enough memory: a smaller network, batch or number of workers needs less"
    return f"{type(failure).__name__}: {first_line(failure)}"


def first_line(failure: BaseException) -> str:
    """Return the first line of an exception's message without passwords; it may be empty."""
    return text.readable(without_password(next(iter(str(failure).splitlines()), "")))


def traceback_text(failure: BaseException) -> str:
    """Return an exception's traceback without passwords."""
    return text.readable(without_password("".join(traceback.format_exception(failure))))


def shown(value: object, most: int = 60) -> str:
    """Return a value as it was given: text in quotes, long values cut off."""
    written = repr(value)
    return written if len(written) <= most else f"{written[:most]}…"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest of `names`, or lists all of them if none is near."""
    names = list(names)
    return likeliest(name, names) or f"There are: {', '.join(names)}."


def likeliest(name: str, names: Iterable[str]) -> str | None:
    """Return a question that suggests the nearest of `names`, or None if none is near."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(close)}?" if close else None
