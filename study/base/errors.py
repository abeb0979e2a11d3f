"""What can go wrong for a person, said in one line: where, what, expected, got, and what to do."""

import difflib
from collections.abc import Iterable

DEBUG_VARIABLE = "STUDY_DEBUG"  # set in the environment, it lets tracebacks through


class StudyError(Exception):
    """A problem that the person who ran the command can mend; printed as one line, without a traceback.

    `str(error)` reads ``where: what; expected …, got …. What to do.``, leaving out what is not known; `status` is the
    exit status of the program that it ends.
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
        text = f"{where}: {what}" if where is not None else what
        text = f"{text}; {contrast}" if contrast else text
        text = text if text.endswith((".", "?", "!")) else text + "."
        super().__init__(f"{text} {hint}" if hint else text)


class ConfigError(StudyError):
    """A hyperparameter with an unknown name or a value that it cannot have."""


class DataError(StudyError):
    """A dataset that cannot be had, read or split."""


class AblationError(StudyError):
    """An ablation that does not exist or does not say what it has to say."""


class TrackingError(StudyError):
    """An MLflow store that cannot be reached or written."""


class WorkerError(StudyError):
    """Worker processes that ended before their trials did."""


class Interrupted(StudyError):
    """The person, or the system, ended the study before its trials were done; what was finished is kept."""

    status = 130


def in_one_line(failure: BaseException) -> str:
    """Return what an exception says, in one line; of one that nobody has foreseen, the first cause and its type."""
    if isinstance(failure, StudyError):
        return str(failure)
    while inner := failure.__cause__ or failure.__context__:
        failure = inner
    if isinstance(failure, MemoryError) or "ResourceExhausted" in f"{type(failure).__name__}{failure}":
        return "not enough memory: a smaller network, batch or number of workers needs less"
    return f"{type(failure).__name__}: {first_line(failure)}"


def first_line(failure: BaseException) -> str:
    """Return the first line of what an exception says; nothing where it says nothing."""
    return next(iter(str(failure).splitlines()), "")


def shown(value: object, most: int = 60) -> str:
    """Return a value as it was given, in quotes where it is text, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a sentence that names the likeliest of `names`, or all of them where none is near."""
    names = list(names)
    return likeliest(name, names) or f"There are: {', '.join(names)}."


def likeliest(name: str, names: Iterable[str]) -> str | None:
    """Return a question that names the likeliest of `names`; None where none is near."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(close)}?" if close else None
