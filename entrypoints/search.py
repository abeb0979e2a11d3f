"""Search for good hyperparameters: Optuna suggests, every trial is recorded, and bad ones are cut short."""

import click
from rich.console import Console

from entrypoints import display, shell
from study.base.errors import ConfigError
from study.data.dataset import Dataset, load_dataset
from study.design.dimensions import MOST_POINTS
from study.design.search import METRICS, PRUNERS, SAMPLERS, Budget, Search
from study.design.search_space import load_space
from study.execution import time_estimate
from study.execution.storage import DEFAULT_STORAGE, check_storage, without_password
from study.reports import search_report
from study.tracking import runs
from study.tracking.artifacts import SEARCH
from study.training.config import parse_settings
from study.workflows import run_search
from study.workflows.common import Outcome

DEFAULT_TRIALS = 50
MOST_TRIALS, MOST_MINUTES, MOST_EPOCHS, MOST_SEED = 100_000, 100_000, 100_000, 2**31 - 1
DEFAULTS = dict(
    study=("auto", "Its name; the same name goes on with the same search. auto: from the space and the data."),
    trials=("auto", f"How many trials it is to have in all; auto: {DEFAULT_TRIALS}, or what the minutes allow."),
    minutes=("none", "Begin no trial after so many minutes."),
    space=("default", "The fields and their ranges: default, wide, or the path of a YAML file."),
    epochs=("auto", "Epochs of a trial, at most; auto: as the space says (default and wide: 10)."),
    metric=("val_cross_entropy", "What is optimized: val_cross_entropy (val_loss without the L2 penalty), val_loss or "
            "val_accuracy, of the weights that a trial keeps."),
    sampler=("tpe", "How points are suggested: tpe, random, qmc, cmaes or grid."),
    pruner=("hyperband", "How bad trials are cut short: hyperband, median or none."),
    seed=("1", "Of the suggestions, and of every trial's weights, order of the rows and dropout."),
    data=("auto", "mnist, digits, synthetic, or the path of an .npz file; auto: mnist, or digits where that cannot be "
          "had."),
    workers=("auto", "Worker processes, one thread each; auto: one for every core."),
    storage=(DEFAULT_STORAGE, "The database in which workers meet: SQLite for one machine, PostgreSQL for several."),
    set=("none", "Changes to the baseline, the first trial: field=value,field=value."),
    reuse=("true", "false: train again what the store has already."),
    plan=("false", "true: show the space and an estimate of the time, and run nothing."),
)  # fmt: skip


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Run the search that the options name, or go on with it."""
    only_plan, reuse = (shell.boolean(name, given[name]) for name in ("plan", "reuse"))
    minutes = shell.positive("minutes", given["minutes"], MOST_MINUTES)
    trials = shell.whole_number("trials", given["trials"], MOST_TRIALS)
    trials = trials if trials or minutes else DEFAULT_TRIALS
    workers = shell.worker_count(given["workers"])
    search, dataset = _search(given)
    name = f"{search.space.name}-{dataset.name}" if given["study"] == "auto" else given["study"]
    if not name.isprintable() or len(name) > 200 or not name.strip():
        raise ConfigError("study cannot be this name", expected="up to 200 printable letters")
    console = shell.console()
    if trials and (points := search.space.points()):
        trials = min(trials, len(points))
    budget = Budget(trials, minutes)
    workers = min(workers, trials or workers)
    check_storage(given["storage"])
    display.warn_of_password(given["storage"])

    _introduce(console, search, dataset, name, budget, workers)
    seconds = time_estimate.search_seconds(search.baseline, dataset, trials or 1, workers)
    if minutes:
        seconds = min(seconds, 60 * minutes) if trials else 60 * minutes
    if only_plan:
        run_search.check_same(search, dataset, given["storage"], name)
        _print_plan(console, search, seconds)
        runs.name_project_run(f"plan of search {name}", {SEARCH: search.as_yaml()})
        return

    each = time_estimate.trial_seconds(search.baseline, dataset)
    time_left = time_estimate.TimeLeft(dict.fromkeys(range(trials or 1), each), seconds)
    display.tell_how_to_join(console, name, given["storage"])
    params = given | {"storage": without_password(given["storage"])}
    with display.Display(console, time_left, search.better, trials) as observe:
        outcome = run_search.run_search(
            search, dataset, name=name, budget=budget, params=params, worker_count=workers, observe=observe,
            reuse=reuse, storage=given["storage"],
        )  # fmt: skip
    if trials and len(outcome.study.trials) > trials:
        click.echo(f"{name} had {len(outcome.study.trials)} trials already; trials is what it is to have in all.")
    display.print_search(console, outcome.study)
    _conclude(console, outcome, given["storage"])


def _search(given: dict[str, str]) -> tuple[Search, Dataset]:
    """Return the search that the options ask for, and its data."""
    for name, choices in (("metric", METRICS), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
        shell.choice(name, given[name], tuple(choices))
    found = load_space(given["space"])
    found = found.with_baseline(parse_settings(given["set"]), where="set")
    if given["sampler"] == "grid" and found.points() is None:
        endless = next((one.field for one in found.dimensions if one.values is None), "the space")
        raise ConfigError(
            f"sampler cannot be 'grid' where {endless} has too many values", where=f"space {found.name}",
            expected=f"choices, or a range with a step, for every field; in all at most {MOST_POINTS:,} points",
        )  # fmt: skip
    data = found.baseline.data
    dataset = load_dataset(data.source if given["data"] == "auto" else given["data"], data.validation)
    settings = {"data": dataset.spec, "validation": len(dataset.validation), "seed": given["seed"]}
    if given["epochs"] != "auto":
        settings["epochs"] = given["epochs"]
    return Search(found.with_baseline(settings), given["metric"], given["sampler"], given["pruner"]), dataset


def _introduce(console: Console, search: Search, dataset: Dataset, name: str, budget: Budget, workers: int) -> None:
    console.print(f"search {name}: {search.words}", markup=False, highlight=False)
    display.introduce_data(console, dataset, ("train", "validation"))
    size = display.count(budget.trials, "trial") if budget.trials else "trials"
    if (points := search.space.points()) and budget.trials == len(points):
        size += " (all points of the space)"
    time = f" for {budget.minutes:g} minutes" if budget.minutes else ""
    console.print(f"{size}{time}, on {display.count(workers, 'worker')}", markup=False, highlight=False)


def _print_plan(console: Console, search: Search, seconds: float) -> None:
    console.print()
    display.print_table(console, search_report.SPACE_COLUMNS, search_report.space_cells(search), words=("range",))
    console.print()
    click.echo(f"At most about {display.duration(seconds)}, if no trial is cut short. Nothing was run.")


def _conclude(console: Console, outcome: Outcome, storage: str) -> None:
    run_id = outcome.study.record.run_id
    display.tell_of_reused(outcome.reused)
    lines = [
        f"Report: {outcome.page}",
        f"Run {run_id}: `mlflow ui` shows it with every trial, its curves, confusion matrix and model.",
    ]
    if outcome.study.complete:
        lines.append(f"The best of them, raced with fresh seeds, tested once: mlflow run . -e promote -P from={run_id}")
    for line in lines:
        console.print(line, markup=False, highlight=False)
    total = len(outcome.study.trials)
    display.warn_of_ended(outcome.diverged, "diverged", total)
    display.warn_of_ended(outcome.failures, "failed", total)


if __name__ == "__main__":
    shell.run(main)
