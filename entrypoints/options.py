"""The commands' options: click types that turn text into values, and the options that several commands share.

`mlflow run` passes every value as text, so "not given" is a word: auto, or none. A type converts it once, and the
command receives a typed value. What a value cannot be is a ConfigError in the form of the house, not one of click's.
"""

import os
from collections.abc import Callable, Sequence
from typing import Literal, get_args, get_origin

import click

from study.base.errors import ConfigError, likeliest, shown
from study.training.config import TrialConfig, parse_settings, value_text

GIVEN = "study.given"  # in click's context: the options' texts
PLAN = "study.plan"
MOST_WORKERS = 1_000
MODEL = "mnist-mlp"  # the registered model that promote, predict and playground mean by default
CHAMPION = f"models:/{MODEL}@champion"


class Text(click.ParamType):
    """Text as it is given; None where it is the word `unless`. The base of the other types."""

    name = "text"
    metavar = "TEXT"

    def __init__(self, unless: str | None = None):
        self.unless = unless

    def convert(self, value: str, param: click.Parameter, ctx: click.Context) -> object:
        """Remember the option's text, for the run's params, and return its value."""
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
    """One of a few words."""

    def __init__(self, choices: Sequence[str]):
        super().__init__()
        self.choices = tuple(choices)
        self.metavar = "|".join(self.choices)

    def parse(self, name: str, text: str) -> str:
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
    """A number above 0 and at most `most`; none is None."""

    metavar = "NUMBER"

    def __init__(self, most: float):
        super().__init__(unless="none")
        self.most = most

    def parse(self, name: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number <= self.most:
            expected = f"a number above 0, up to {self.most:g}, or none"
            raise ConfigError(f"{name} cannot be {shown(text)}", expected=expected)
        return number


class Field(Text):
    """A value of the hyperparameter of the option's name, checked as TrialConfig checks it."""

    def __init__(self, name: str, unless: str | None = None):
        super().__init__(unless)
        annotation = TrialConfig.model_fields[name].annotation
        self.metavar = "|".join(get_args(annotation)) if get_origin(annotation) is Literal else "VALUE"

    def parse(self, name: str, text: str) -> object:
        return getattr(TrialConfig.parse({name: text}), name)


class Settings(Text):
    """Hyperparameters as ``field=value,field=value``, or none: a mapping to texts, which the config checks."""

    metavar = "FIELD=VALUE,…"

    def parse(self, name: str, text: str) -> dict[str, str]:
        return parse_settings(text, where=name)


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


# --- declaring options ------------------------------------------------------------------------------


def option(name: str, default: object, help: str, type: Text | None = None, variable: str | None = None) -> Callable:
    """Return the decorator of an option; `variable` is the command's argument where it has another name."""
    type = type or Text()
    return click.option(
        f"--{name}", variable or name, default=default, show_default=True, help=help, type=type, metavar=type.metavar
    )


def command(help: str, *options: Callable) -> Callable[[Callable], click.Command]:
    """Return a decorator that makes a function a click command with these options, and ``--debug``."""

    def decorate(function: Callable) -> click.Command:
        debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
        for declare in (debug, *reversed(options)):
            function = declare(function)
        return click.command(help=help)(function)

    return decorate


def given() -> dict[str, str]:
    """Return the text of every option of the running command, as the run's params are to show it."""
    return dict(click.get_current_context().meta.get(GIVEN, {}))


def field(name: str, help: str | None = None) -> Callable:
    """Return the option of one hyperparameter, with its own default and description."""
    of_config = TrialConfig.model_fields[name]
    return option(name, value_text(of_config.default), help or of_config.description, Field(name))


def field_or_auto(name: str, help: str) -> Callable:
    """Return the option of a hyperparameter that is None where it is left to the task or the space: auto."""
    return option(name, "auto", help, Field(name, unless="auto"))


def data(help: str) -> Callable:
    """Return the option that names a dataset; auto is None."""
    return option("data", "auto", help, Text(unless="auto"))


def storage(help: str | None = None, exists: bool = False) -> Callable:
    """Return the option of the database in which a study's workers meet."""
    usual = (
        "The database where workers meet: a SQLite file for one machine, PostgreSQL for several. auto: optuna.db "
        "beside the tracking store."
    )
    return option("storage", "auto", help or usual, Storage(exists))


def dry_run(help: str) -> Callable:
    """Return the option ``dry_run``, and ``plan``, its name before version 0.2, which is not shown."""

    def decorate(function: Callable) -> Callable:
        # Eager, so that click takes it before dry_run, wherever it stands on the command line.
        function = click.option(
            "--plan", default="false", hidden=True, is_eager=True, expose_value=False, type=Boolean(), callback=_plan
        )(function)
        return click.option(
            "--dry_run", default="false", show_default=True, help=help, type=Boolean(), metavar=Boolean().metavar,
            callback=lambda ctx, _, value: value or ctx.meta.get(PLAN, False),
        )(function)  # fmt: skip

    return decorate


def _plan(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta.get(GIVEN, {}).pop("plan", None)
    if value:
        ctx.meta[PLAN] = True
        click.echo("plan is now called dry_run; plan still works in this version.", err=True)


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


WORKERS = option(
    "workers", "auto", "Worker processes, one thread each. auto: one per core.", Whole(MOST_WORKERS, cores)
)
REUSE = option("reuse", "true", "false: train every trial, even if the store already has its result.", Boolean())
SETTINGS = option("set", "none", "Changes to the baseline, such as hidden=256,dropout=0.2.", Settings(), "settings")
