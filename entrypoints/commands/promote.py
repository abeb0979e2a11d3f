"""Promote a champion: race the best configurations with fresh seeds, test the winner only, and register it."""

import shlex

from entrypoints import display, options, program
from study.analysis.formatting import count
from study.base.passwords import without_password
from study.data.split import IN_FOLDS
from study.design.costs import COSTS
from study.design.limits import Vary
from study.execution import time_estimate
from study.execution.engines.engine import Request
from study.reports.table import Table
from study.tracking import runs
from study.workflows import promote
from study.workflows.promote import Promotion, Race


def run(
    *,
    source: str | None,
    query: str | None,
    data: str | None,
    target: str | None,
    size: str | None,
    network: str | None,
    top: int,
    within: float | None,
    seeds: int | None,
    name: str | None,
    vary: Vary,
    workers: int,
    launch: Request | None,
    storage: str,
    force: bool,
    dry_run: bool,
) -> None:
    """Promote as the options say."""
    race = promote.prepare(
        name=name,
        source=source,
        query=query,
        spec=data,
        target=target,
        size=size,
        network=network,
        top=top,
        seeds=seeds,
        vary=vary,
        within=within,
    )
    _print_candidates(race)
    if (before := promote.done_before(race)) and not force:
        champion = f"{race.name} version {race.incumbent.number}" if race.incumbent else "no champion"
        stays = f"There are no new trials since run {before}, so {champion} stays."
        program.say(f"{stays} force=true promotes the winner anyway.")
        runs.name_project_run("promote: nothing new", {"see.txt": before})
        return
    own, workers = options.team(workers, launch, len(race.specs), storage)
    pace = time_estimate.stored_pace(race.entrants[0].config.network.name, race.dataset)
    if dry_run:
        seconds = display.duration(time_estimate.total_seconds(race.specs, race.dataset, workers, pace))
        program.say(f"About {seconds} in total on {count(workers, 'worker')}. Nothing was run.")
        runs.name_project_run("dry run of promote", {"plan.csv": time_estimate.plan_table(race.specs, race.dataset)})
        return

    console = program.console()
    display.warn_of_password(storage)
    with display.Display(console, time_estimate.time_left(race.specs, race.dataset, workers, pace)) as observe:
        done = promote.run(
            race, params=options.given() | {"storage": without_password(storage)}, worker_count=own,
            observe=observe, force=force, storage=storage, launch=launch,
            on_look=observe.looks(race.dataset, workers, pace),
            announce=lambda study: display.tell_how_to_join(console, study, storage),
        )  # fmt: skip
    display.print_findings(program.console(), done.outcome.study, verdicts=False)
    display.warn_of_ended(done.outcome.diverged, "diverged", len(done.outcome.study.trials))
    _conclude(race, done)


def _print_candidates(race: Race) -> None:
    """Print the configurations to be raced, with the results of their trials, and which one is champion now."""
    dataset = race.dataset
    size = f"{len(dataset.train):,} training rows, {len(dataset.validation):,} validation rows"
    program.say(f"{dataset.title}, SHA-256 {dataset.sha256[:12]}…: {size}")
    costs = [COSTS[race.thrift.cost]] if race.thrift else []
    rows = (
        (entrant.name, entrant.accuracy and entrant.accuracy.n, entrant.accuracy,
         *[entrant.cost for _ in costs], "champion" if entrant.name == race.incumbent_arm else "")
        for entrant in race.entrants
    )  # fmt: skip
    table = Table(("configuration", "trials", "val accuracy (%)", *costs, "is"), rows, words=("is",))
    display.print_table(program.console(), table)
    first, last = race.specs[0].config.seed, race.specs[-1].config.seed
    size = f"{count(len(race.entrants), 'configuration')} × {count(last - first + 1, 'fresh seed')}"
    seeds = str(first) if first == last else f"{first} to {last}"
    if race.rule and race.rule.most > last - first + 1:
        seeds += f"; up to {first + race.rule.most - 1} for what is hard to tell from the champion"
    folds = ", each validated on another fold" if dataset.split == IN_FOLDS else ""
    program.say(f"{size} ({seeds}){folds}; no trial sees the test rows")


def _conclude(race: Race, done: Promotion) -> None:
    width = max((len(name) for name, _ in done.rows), default=0)
    for name, value in done.rows:
        program.say(f"{name:<{width}}  {value}")
    if done.version:
        version = f"{race.name} version {done.version.number}"
        program.say(f"{version} is the champion. Serve it (--env-manager local uses this environment):")
        program.say(f"mlflow models serve -m {shlex.quote(f'models:/{race.name}@champion')} -p 5001 --env-manager uv")
    else:
        program.say(f"The champion stays: {done.reason}. force=true promotes the winner anyway.")
    program.print_link(done.outcome.study.record.run_id)
