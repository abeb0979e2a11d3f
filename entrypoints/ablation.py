"""Run a controlled ablation: arms that differ in named hyperparameters, each with the same seeds."""

import click
from rich.console import Console

from entrypoints import display, shell
from study.analysis.ablation_results import COMPARE
from study.base.errors import ConfigError
from study.data.dataset import SPLITS, Dataset, load_dataset
from study.design.ablation import MOST_SEEDS, Ablation, TrialSpec, catalogue, load_ablation
from study.execution import time_estimate
from study.execution.storage import DEFAULT_STORAGE, check_storage, without_password
from study.tracking import runs
from study.training.config import parse_settings
from study.workflows import run_ablation

DEFAULTS = dict(
    task=("batch_size", "An ablation of the catalogue, or the path of a YAML file. 'list' shows the catalogue."),
    data=(
        "auto",
        "mnist, digits, synthetic, or the path of an .npz file; auto: as the task says, mostly mnist, or digits where "
        "that cannot be had.",
    ),
    validation=("auto", "Training rows kept for validation: a count or a fraction; auto: as the task says."),
    seeds=("auto", "How many seeds each arm is run with; auto: as the task says (most: 7)."),
    epochs=("auto", "Epochs of every trial, at most; auto: as the task says."),
    workers=("auto", "Worker processes, one thread each; auto: one for every core."),
    set=("none", "Changes to the baseline: field=value,field=value."),
    compare=("baseline", "What each arm is compared with: baseline, or pairs (each with each)."),
    storage=(DEFAULT_STORAGE, "The database in which workers meet: SQLite for one machine, PostgreSQL for several."),
    reuse=("true", "false: train again what the store has already."),
    plan=("false", "true: list the trials and an estimate of the time, and run nothing."),
)


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Run the ablation that the options name."""
    if given["task"] == "list":
        width = max(map(len, catalogue()))
        listing = "\n".join(f"{task:<{width}}  {load_ablation(task).question}" for task in catalogue())
        click.echo(listing)
        runs.name_project_run("ablation list", {"catalogue.txt": listing})
        return
    only_plan, reuse = (shell.boolean(name, given[name]) for name in ("plan", "reuse"))
    seeds = shell.whole_number("seeds", given["seeds"], MOST_SEEDS)
    workers = shell.worker_count(given["workers"])
    ablation = _ablation(given)
    shell.choice("compare", given["compare"], COMPARE)
    spec = ablation.baseline.data.source if given["data"] == "auto" else given["data"]
    dataset = load_dataset(spec, ablation.baseline.data.validation)
    cells = ablation.cells(seeds or ablation.seeds, dataset)
    console = shell.console()
    workers = min(workers, len(cells))
    check_storage(given["storage"])
    display.warn_of_password(given["storage"])

    _introduce(console, ablation, dataset, len(cells), workers)
    if only_plan:
        _print_plan(cells, dataset, workers)
        runs.name_project_run(f"plan of {ablation.task}", {"plan.csv": run_ablation.plan_table(cells, dataset)})
        return

    params = given | {"storage": without_password(given["storage"])}
    with display.Display(console, time_estimate.time_left(cells, dataset, workers)) as observe:
        outcome = run_ablation.run_ablation(
            ablation, cells, dataset, params=params, worker_count=workers, observe=observe,
            announce=lambda name: display.tell_how_to_join(console, name, given["storage"]),
            reuse=reuse, storage=given["storage"],
        )  # fmt: skip
    display.print_findings(console, outcome.study)
    display.tell_of_reused(outcome.reused)
    console.print(f"Report: {outcome.page}", markup=False, highlight=False)
    run_id = outcome.study.record.run_id
    console.print(
        f"Run {run_id}: `mlflow ui` shows it with every trial, its curves, confusion matrices and model.",
        highlight=False,
    )
    display.warn_of_ended(outcome.diverged, "diverged", len(cells))
    if outcome.failures:
        raise click.ClickException(
            f"{len(outcome.failures)} of {len(cells)} trials failed; the first: {outcome.failures[0].reason}"
        )


def _ablation(given: dict[str, str]) -> Ablation:
    """Return the task with the baseline that the options ask for."""
    ablation = load_ablation(given["task"])
    settings = parse_settings(given["set"])
    if "epochs" in settings and given["epochs"] != "auto":
        raise ConfigError("epochs is given twice", where="set", hint="Keep it here or in the parameter epochs.")
    for name in ("validation", "epochs"):
        if given[name] != "auto":
            ablation = ablation.with_baseline({name: given[name]})
    return ablation.with_baseline(settings, where="set")


def _introduce(console: Console, ablation: Ablation, dataset: Dataset, trials: int, workers: int) -> None:
    arms, seeds = len(ablation.arms), trials // len(ablation.arms)
    console.print(f"ablation {ablation.task}: {ablation.question}", markup=False, highlight=False)
    display.introduce_data(console, dataset, SPLITS)
    size = f"{trials} trials: {arms} arms × {display.count(seeds, 'seed')}, on {display.count(workers, 'worker')}"
    console.print(size, markup=False, highlight=False)


def _print_plan(cells: list[TrialSpec], dataset: Dataset, workers: int) -> None:
    width = max(len(cell.name) for cell in cells)
    for cell in cells:
        click.echo(f"{cell.name:<{width}}  about {display.duration(time_estimate.trial_seconds(cell.config, dataset))}")
    whole, start = map(
        display.duration, (time_estimate.total_seconds(cells, dataset, workers), time_estimate.SECONDS_TO_START)
    )
    click.echo(f"In all about {whole} on {display.count(workers, 'worker')}, {start} of it to start. Nothing was run.")


if __name__ == "__main__":
    shell.run(main)
