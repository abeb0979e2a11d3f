"""Reads params as a person gave them: `mlflow run` quotes them for the shell, and logs what the shell gets."""

import shlex
from collections.abc import Mapping

from study.base.passwords import without_password


def repeated(params: Mapping[str, str]) -> dict[str, str]:
    """Return a study's params as its arms, trials and models repeat them: unquoted, and without passwords."""
    return {name: without_password(value) for name, value in unquoted(params).items()}


def unquoted(params: Mapping[str, str]) -> dict[str, str]:
    """Return a run's params without the quotes that `mlflow run` put around values with a space or other special marks.

    Params are written once, so they are mended where they are read.
    """
    return {name: _unquoted(value) for name, value in params.items()}


def _unquoted(value: str) -> str:
    if not ("'" in value and value == value.strip()):
        return value
    try:
        words = shlex.split(value)
    except ValueError:  # a quote without its other half
        return value
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == value else value
