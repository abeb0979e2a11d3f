"""Run a controlled ablation: arms that differ in named hyperparameters, each trained with the same seeds."""

import click

from entrypoints import display, options, program
from entrypoints.option_types import Choice, Whole
from entrypoints.options import option
from study.analysis.ablation_results import COMPARE
from study.base.passwords import without_password
from study.data.dataset import SPLITS, Dataset
from study.design.ablation import MOST_SEEDS, Ablation, TrialSpec, catalogue, load_ablation
from study.execution import time_estimate
from study.tracking import runs
from study.workflows import run_ablation
from study.workflows.prepare import prepare_ablation

OPTIONS = (
    option("task", "batch_size", "A task of the catalogue, or a YAML file of your own. list shows the catalogue."),
    options.data("mnist, digits, synthetic, or an .npz file. auto: as the task says, usually mnist, or digits if "
                 "MNIST is unavailable."),
    options.field_or_auto("validation", "Training rows kept for validation: a count or a fraction. auto: as the task "
                          "says."),
    option("seeds", "auto", "Number of seeds for each arm. auto: as the task says, usually 7.", Whole(MOST_SEEDS)),
    options.field_or_auto("epochs", "Maximum epochs of a trial. auto: as the task says."),
    options.WORKERS,
    options.SETTINGS,
    option("compare", "baseline", "Compare each arm with the baseline, or compare all pairs of arms (pairs).",
           Choice(COMPARE)),
    options.storage(),
    options.REUSE,
    options.dry_run("true: list the trials with an estimate of the time, and run nothing."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(
    *,
    task: str,
    data: str | None,
    validation: str | None,
    seeds: int | None,
    epochs: int | None,
    workers: int,
    settings: dict[str, str],
    compare: str,  # read from the run's params when the study is evaluated
    storage: str,
    reuse: bool,
    dry_run: bool,
) -> None:
    """Run the ablation that the options name."""
    if task == "list":
        _list_catalogue()
        return
    ablation, dataset = prepare_ablation(task, data=data, validation=validation, epochs=epochs, settings=settings)
    trials = ablation.trial_specs(seeds or ablation.seeds or 7, dataset)
    workers = min(workers, len(trials))
    display.warn_of_password(storage)
    console = program.console()
    _introduce(ablation, dataset, len(trials), workers)
    if dry_run:
        _print_dry_run(trials, dataset, workers)
        runs.name_project_run(f"dry run of {ablation.task}", {"plan.csv": run_ablation.plan_table(trials, dataset)})
        return

    with display.Display(console, time_estimate.time_left(trials, dataset, workers)) as observe:
        outcome = run_ablation.run_ablation(
            ablation, trials, dataset, params=options.given() | {"storage": without_password(storage)},
            worker_count=workers, observe=observe, reuse=reuse, storage=storage,
            announce=lambda name: display.tell_how_to_join(console, name, storage),
        )  # fmt: skip
    display.print_findings(console, outcome.study)
    display.tell_of_reused(outcome.reused)
    display.warn_of_ended(outcome.diverged, "diverged", len(trials))
    program.say(f"Report: {outcome.page}")
    program.print_link(outcome.study.record.run_id)
    if outcome.failures:
        count, first = len(outcome.failures), outcome.failures[0]
        raise click.ClickException(f"{count} of {len(trials)} trials failed; the first: {first.reason}")


def _list_catalogue() -> None:
    width = max(map(len, catalogue()))
    listing = "\n".join(f"{task:<{width}}  {load_ablation(task).question}" for task in catalogue())
    program.say(listing)
    runs.name_project_run("ablation list", {"catalogue.txt": listing})


def _introduce(ablation: Ablation, dataset: Dataset, trials: int, workers: int) -> None:
    arms, seeds = len(ablation.arms), trials // len(ablation.arms)
    program.say(f"ablation {ablation.task}: {ablation.question}")
    display.introduce_data(program.console(), dataset, SPLITS)
    program.say(f"{trials} trials: {arms} arms × {display.count(seeds, 'seed')}, on {display.count(workers, 'worker')}")


def _print_dry_run(trials: list[TrialSpec], dataset: Dataset, workers: int) -> None:
    width = max(len(trial.name) for trial in trials)
    for trial in trials:
        seconds = time_estimate.trial_seconds(trial.config, dataset)
        program.say(f"{trial.name:<{width}}  about {display.duration(seconds)}")
    total = display.duration(time_estimate.total_seconds(trials, dataset, workers))
    start = display.duration(time_estimate.SECONDS_TO_START)
    program.say(
        f"About {total} in total on {display.count(workers, 'worker')}, {start} of it to start. Nothing was run."
    )


if __name__ == "__main__":
    program.run(main)
