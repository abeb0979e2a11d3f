"""Declares a command's options, and those that several commands share."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from entrypoints.option_types import (
    GIVEN,
    Boolean,
    Choice,
    Field,
    LaunchRequest,
    NetworkName,
    Number,
    Required,
    Settings,
    Storage,
    Text,
    Whole,
)  # fmt: skip
from study.base.processes import cores
from study.base.text import readable
from study.design.limits import VARY as VARIED
from study.execution.engines.engine import MOST_LAUNCHED, Request
from study.execution.worker_server_client import server
from study.training.config import FIELDS, NETWORK, value_text

PLAN = "study.plan"  # in click's context: whether plan=true was given
MOST_WORKERS = 1_000
MOST_MINUTES = 100_000
MODEL = "mnist-mlp"  # the registered model that predict and playground mean by default
CHAMPION = f"models:/{MODEL}@champion"


def option(name: str, default: object, help: str, type: Text | None = None, variable: str | None = None) -> Callable:
    """Return the decorator of an option; `variable` is the command's argument where it has another name."""
    type = type or Text()
    return click.option(
        f"--{name}", variable or name, default=default, show_default=True, help=help, type=type, metavar=type.metavar
    )


def command(help: str, *options: Callable, trains: bool = False) -> Callable[[Callable], click.Command]:
    """Return a decorator that makes a function a click command with these options, and ``--debug``.

    If it `trains`, and this is no dry run, the server that forks its workers starts before the function: it needs
    seconds to import TensorFlow, and this process needs seconds for what it imports.
    """

    def decorate(function: Callable) -> click.Command:
        if trains:
            function = _after_server(function)
        debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
        for declare in (debug, *reversed(options)):
            function = declare(function)
        return click.command(help=help)(function)

    return decorate


def _after_server(function: Callable) -> Callable:
    @wraps(function)
    def run(**values: Any) -> object:
        if not values.get("dry_run") and own_workers(values["workers"], values.get("launch")):
            server()
        return function(**values)

    return run


def given() -> dict[str, str]:
    """Return the text of every option of the running command, as the run's params are to show it."""
    return {name: readable(text) for name, text in click.get_current_context().meta.get(GIVEN, {}).items()}


def own_workers(workers: int, launch: Request | None) -> int:
    """Return how many workers the running command starts by itself: with workers=auto none beside those it launches."""
    return 0 if launch and given()["workers"] == "auto" else workers


def team(workers: int, launch: Request | None, trials: int | None, storage: str) -> tuple[int, int]:
    """Return how many workers the running command starts by itself, and how many it has with those that it launches.

    Neither is more than the trials. Raises ConfigError for a launch that cannot work.
    """
    if launch:
        from study.execution.engines import launches  # imports Optuna

        launches.check(launch, storage)
    own, most = own_workers(workers, launch), trials or MOST_LAUNCHED
    return min(own, most), min(own + (launch.workers if launch else 0), most)


def field(name: str, help: str | None = None) -> Callable:
    """Return the option of one hyperparameter, with its own default and description."""
    of_config = FIELDS[name]
    kind = NetworkName() if name == NETWORK else Field(name)
    return option(name, value_text(of_config.default), help or of_config.description or "", kind)


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


STUDY = option(
    "study", "none", "Name of the study, as its command prints it.",
    Required("Give the name that the search or ablation prints: -P study=….")
)  # fmt: skip
STUDY_STORAGE = storage(
    "The study's database: the storage of the command that started it. auto: optuna.db beside the tracking store.",
    exists=True,
)
NETWORK_NAME = option(
    NETWORK, "auto", "The network: mlp, cnn, or a file of your own, such as my_net.py or my_net.py:FUNCTION. auto: as "
    "the task or the space says, usually mlp.", NetworkName()
)  # fmt: skip
TARGET = field("target", "If the data are a table: the column that has the labels.")
SIZE = field("size", "If the data are a folder of pictures: the height and width to scale them to, such as 28x28.")
VARIES = (
    "What differs between the trials of an arm. seed: initial weights, order of the rows, dropout. split: each seed "
    "also validates on another twelfth of the training rows, the same in every arm."
)
VARY = option("vary", "seed", VARIES, Choice(VARIED))
WORKERS = option(
    "workers", "auto", "Worker processes, one thread each. auto: one per core.", Whole(MOST_WORKERS, cores)
)
LAUNCH = option(
    "launch", "none", "Workers that an engine starts and that end with this command: local:4, slurm:64, or "
    "slurm:64,partition=gpu with options of the engine. With them, workers=auto starts no others.", LaunchRequest()
)  # fmt: skip
MINUTES = option(
    "minutes", "none", "Stop after this many minutes: no trial begins that would end later. A search also keeps time "
    "for its comparison and its report.", Number(MOST_MINUTES)
)  # fmt: skip
OUTPUT = option(
    "output", "text", "json: print only verdicts.json to the standard output; everything else goes to the standard "
    "error.", Choice(("text", "json"))
)  # fmt: skip
REUSE = option("reuse", "true", "false: train every trial, even if the store already has its result.", Boolean())
SETTINGS = option("set", "none", "Changes to the baseline, such as hidden=256,dropout=0.2.", Settings(), "settings")
