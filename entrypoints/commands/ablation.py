"""Run a controlled ablation: arms that differ in named hyperparameters, each trained with the same seeds."""

import math

import click

from entrypoints import display, options, program
from study.analysis import confidence_sequence
from study.analysis.formatting import count
from study.base.passwords import without_password
from study.data.dataset import SPLITS, Dataset
from study.design.ablation import Ablation, TrialSpec, catalogue, load_ablation
from study.design.limits import Vary
from study.execution import time_estimate
from study.execution.engines.engine import Request
from study.execution.time_estimate import Pace
from study.tracking import runs
from study.workflows.prepare import prepare_ablation
from study.workflows.seed_supply import SeedRule, seed_rule

USUAL_SD = 0.2  # points, of a paired difference: what most of the catalogue has


def run(
    *,
    task: str,
    data: str | None,
    target: str | None,
    size: str | None,
    validation: str | None,
    network: str | None,
    seeds: int | None,
    most_seeds: int,
    minutes: float | None,
    margin: float | None,
    decide: str,  # read from the run's params when the study is evaluated, as compare is
    epochs: int | None,
    workers: int,
    launch: Request | None,
    settings: dict[str, str],
    vary: Vary | None,
    compare: str,
    storage: str,
    reuse: bool,
    output: str,
    dry_run: bool,
) -> None:
    """Run the ablation that the options name."""
    for_programs = program.output_for_programs() if output == "json" else None
    if task == "list":
        _list_catalogue()
        return
    ablation, dataset = prepare_ablation(
        task, network=network, data=data, target=target, size=size, validation=validation, epochs=epochs,
        settings=settings, margin=margin, decide=decide, vary=vary,
    )  # fmt: skip
    pairs = compare == "pairs"
    rule = seed_rule(ablation, seeds, most_seeds, minutes, pairs=pairs)
    trials = ablation.trial_specs(rule.first, dataset)
    own, workers = options.team(workers, launch, len(trials), storage)
    display.warn_of_password(storage)
    console = program.console()
    _introduce(ablation, dataset, rule, workers)
    pace = time_estimate.stored_pace(ablation.baseline.network.name, dataset)
    if dry_run:
        power = _power(ablation.judged_together(pairs), rule, decide)
        _print_dry_run(ablation, trials, dataset, rule, workers, power, pace)
        runs.name_project_run(f"dry run of {ablation.task}", {"plan.csv": time_estimate.plan_table(trials, dataset)})
        return

    from study.reports import verdicts_file  # these import matplotlib
    from study.workflows import run_ablation

    with display.Display(console, time_estimate.time_left(trials, dataset, workers, pace)) as observe:
        outcome = run_ablation.run_ablation(
            ablation, trials, dataset, params=options.given() | {"storage": without_password(storage)},
            worker_count=own, observe=observe, rule=rule, on_look=observe.looks(dataset, workers, pace),
            reuse=reuse, storage=storage, launch=launch,
            announce=lambda name: display.tell_how_to_join(console, name, storage),
        )  # fmt: skip
    display.print_findings(console, outcome.study)
    display.tell_of_reused(outcome.reused)
    number = len(outcome.study.trials)
    display.warn_of_ended(outcome.diverged, "diverged", number)
    if outcome.note:
        display.warn(outcome.note)
    program.say(f"Report: {outcome.page}")
    program.print_link(outcome.study.record.run_id)
    if for_programs:
        program.write_json(for_programs, verdicts_file.text(outcome.study))
    if outcome.failures:
        failed, first = len(outcome.failures), outcome.failures[0]
        raise click.ClickException(f"{failed} of {number} trials failed; the first: {first.reason}")


def _list_catalogue() -> None:
    width = max(map(len, catalogue()))
    listing = "\n".join(f"{task:<{width}}  {load_ablation(task).question}" for task in catalogue())
    program.say(listing)
    runs.name_project_run("ablation list", {"catalogue.txt": listing})


def _introduce(ablation: Ablation, dataset: Dataset, rule: SeedRule, workers: int) -> None:
    arms = len(ablation.arms)
    program.say(f"ablation {ablation.task}: {ablation.question}")
    if ablation.left_out:
        names = ", ".join(ablation.left_out)
        program.say(f"left out of the task, because {ablation.baseline.network.name} has no such fields: {names}")
    display.introduce_data(program.console(), dataset, SPLITS)
    number = f"{arms * rule.first} trials: {arms} arms × {count(rule.first, 'seed')}"
    if rule.first < rule.most:
        number += f", then more seeds for what is open, up to {rule.most} an arm"
    time = f", for {display.minutes(rule.minutes)}" if rule.minutes else ""
    program.say(f"{number}{time}, on {count(workers, 'worker')}")


def _power(comparisons: int, rule: SeedRule, decide: str) -> str:
    """Return which true difference the plan would find."""
    sds = confidence_sequence.detectable(rule.most, comparisons)
    seeds = f"With {count(rule.most, 'seed')} an arm"
    if math.isinf(sds):
        return f"{seeds} no difference can be claimed."
    if decide != "val_accuracy":
        return f"{seeds} a true difference of {sds:.2g} of its standard deviations would be found with 80 %."
    return (
        f"{seeds} a true difference of {sds * USUAL_SD:.2g} points would be found with 80 %, if differences vary from "
        f"seed to seed by {USUAL_SD:g} points (sd), as in most tasks on MNIST."
    )


def _print_dry_run(
    ablation: Ablation,
    trials: list[TrialSpec],
    dataset: Dataset,
    rule: SeedRule,
    workers: int,
    power: str,
    pace: Pace,
) -> None:
    width = max(len(trial.name) for trial in trials)
    for trial in trials:
        seconds = time_estimate.trial_seconds(trial.config, dataset, pace)
        program.say(f"{trial.name:<{width}}  about {display.duration(seconds)}")
    most = ablation.trial_specs(rule.most, dataset)
    least_seconds, most_seconds = (
        time_estimate.total_seconds(specs, dataset, workers, pace) for specs in (trials, most)
    )
    if rule.minutes:
        most_seconds = max(least_seconds, min(most_seconds, 60 * rule.minutes))
    total, start = display.duration(least_seconds), display.duration(time_estimate.SECONDS_TO_START)
    on = f"on {count(workers, 'worker')}, {start} of it to start, by {pace.evidence}"
    if len(most) > len(trials):
        program.say(f"At least {len(trials)} trials, about {total} in total; at most {len(most)}, about "
                    f"{display.duration(most_seconds)}; {on}.")  # fmt: skip
    else:
        program.say(f"About {total} in total {on}.")
    program.say(power)
    program.say("Nothing was run.")
