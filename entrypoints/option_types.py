"""Types of the commands' options: each turns text into a value, once.

`mlflow run` passes every value as text, so "not given" is a word: auto, or none. A type raises a ConfigError for what
its option cannot be, so that the error reads like all others of this project.
"""

from collections.abc import Callable, Iterable
from typing import Literal, get_args, get_origin

import click

from study.base.errors import ConfigError, likeliest, shown
from study.design.costs import NO_LIMITS, Limits, parse_limits
from study.execution.engines import engine
from study.training.config import FIELDS, TrialConfig, parse_settings
from study.training.networks import own_file

GIVEN = "study.given"  # in click's context: the options' texts


class Text(click.ParamType):
    """Text as it is given; None where it is the word `unless`. The base of the other types."""

    name = "text"
    metavar = "TEXT"

    def __init__(self, unless: str | None = None):
        self.unless = unless

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Remember the option's text, for the run's params, and return its value."""
        assert param and ctx  # click leaves them out for prompts alone
        name = param.opts[0].removeprefix("--")
        ctx.meta.setdefault(GIVEN, {})[name] = value
        return None if value == self.unless else self.parse(name, value)

    def parse(self, name: str, text: str) -> object:
        """Return the value of this text; raises ConfigError, with the option's name."""
        return text


class Required(Text):
    """Text that has to be given; its default is none."""

    def __init__(self, hint: str):
        super().__init__()
        self.hint = hint

    def parse(self, name: str, text: str) -> str:
        if text == "none":
            raise ConfigError(f"{name} is missing", hint=self.hint)
        return text


class Choice(Text):
    """One of a few words; None where it is the word `unless`, which is then one of them."""

    def __init__(self, choices: Iterable[str], unless: str | None = None):
        super().__init__(unless)
        self.choices = (unless, *choices) if unless else tuple(choices)
        self.metavar = "|".join(self.choices)

    def parse(self, name: str, text: str) -> object:
        if text not in self.choices:
            hint = likeliest(text.lower(), self.choices)
            raise ConfigError(f"{name} cannot be {shown(text)}", expected=" or ".join(self.choices), hint=hint)
        return text


class Boolean(Choice):
    """true or false, in any case."""

    def __init__(self) -> None:
        super().__init__(("true", "false"))

    def parse(self, name: str, text: str) -> bool:
        return super().parse(name, text.lower()) == "true"


class Limit(Text):
    """Limits on a search's networks, such as parameters<50000,latency_ms<1; without one, none."""

    metavar = "parameters<N,latency_ms<T"

    def __init__(self) -> None:
        super().__init__()

    def parse(self, name: str, text: str) -> Limits:
        return NO_LIMITS if text == "none" else parse_limits(text)


class Whole(Text):
    """A whole number from 1 to `most`; auto is `auto`, or what it returns."""

    metavar = "N"

    def __init__(self, most: int, auto: int | Callable[[], int] | None = None):
        super().__init__()
        self.most, self.auto = most, auto

    def parse(self, name: str, text: str) -> int | None:
        if text == "auto":
            return self.auto() if callable(self.auto) else self.auto
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= self.most):
            expected = f"a whole number from 1 to {self.most}, or auto"
            raise ConfigError(f"{name} cannot be {shown(text)}", expected=expected)
        return int(text)


class Number(Text):
    """A number above 0 and at most `most`; the word `unless` is None."""

    metavar = "NUMBER"

    def __init__(self, most: float, unless: str = "none"):
        super().__init__(unless)
        self.most = most

    def parse(self, name: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number <= self.most:
            expected = f"a number above 0, up to {self.most:g}, or {self.unless}"
            raise ConfigError(f"{name} cannot be {shown(text)}", expected=expected)
        return number


class Field(Text):
    """A value of the hyperparameter of the option's name, checked as TrialConfig checks it."""

    def __init__(self, name: str, unless: str | None = None):
        super().__init__(unless)
        annotation = FIELDS[name].annotation
        self.metavar = "|".join(get_args(annotation)) if get_origin(annotation) is Literal else "VALUE"

    def parse(self, name: str, text: str) -> object:
        return TrialConfig.parse({name: text}).get(name)


class Settings(Text):
    """Hyperparameters as ``field=value,field=value``, or none: a mapping to texts, which the config checks."""

    metavar = "FIELD=VALUE,…"

    def parse(self, name: str, text: str) -> dict[str, str]:
        return parse_settings(text, where=name)


class EngineOptions(Text):
    """Options of an engine as ``option=value,option=value``, or none: a mapping to texts, which the engine checks."""

    metavar = "OPTION=VALUE,…"

    def parse(self, name: str, text: str) -> dict[str, str]:
        return {} if text == "none" else engine.parse_options(text, name)


class LaunchRequest(Text):
    """Workers on an engine, as ``ENGINE:WORKERS,option=value``; none is None."""

    metavar = "ENGINE:WORKERS"

    def __init__(self) -> None:
        super().__init__(unless="none")

    def parse(self, name: str, text: str) -> engine.Request:
        return engine.parse_request(text, name)


class NetworkName(Text):
    """A network: one of the project's, or a file of one's own, which is run; auto is None."""

    metavar = "NAME|FILE.py|FILE.py:FUNCTION"

    def __init__(self) -> None:
        super().__init__(unless="auto")

    def parse(self, name: str, text: str) -> str:
        return own_file.named(text)


class Indices(Text):
    """Up to `most` different whole numbers from 0, with commas between them, in their order; none is None."""

    metavar = "N,N,…"

    def __init__(self, most: int, what: str):
        super().__init__(unless="none")
        self.most, self.what = most, what

    def parse(self, name: str, text: str) -> list[int]:
        words = [word.strip() for word in text.split(",")]
        if not all(word.isascii() and word.isdigit() for word in words) or len(words) > self.most:
            expected = f"up to {self.most} {self.what}, such as 1234 or 3,17,200"
            raise ConfigError(f"{name} cannot be {shown(text)}", expected=expected)
        return list(dict.fromkeys(map(int, words)))


class StudyName(Text):
    """A study's name; auto is None."""

    metavar = "NAME"

    def __init__(self) -> None:
        super().__init__(unless="auto")

    def parse(self, name: str, text: str) -> str:
        if not text.isprintable() or len(text) > 200 or not text.strip():
            raise ConfigError(f"{name} cannot be {shown(text)}", expected="1 to 200 printable characters")
        return text


class Storage(Text):
    """The address of a study's database, checked; with `exists` a SQLite file has to be there."""

    metavar = "URL"

    def __init__(self, exists: bool = False):
        super().__init__()
        self.exists = exists

    def parse(self, name: str, text: str) -> str:
        from study.execution import storage  # imports Optuna, which not every command needs

        storage.check_storage(text, exists=self.exists)
        return storage.address_of(text)
