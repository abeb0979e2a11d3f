"""Crown a champion: race the best configurations with fresh seeds, test the winner once, register it."""

import click
from rich.console import Console

from entrypoints import display, shell
from study.analysis.formatting import show
from study.design.ablation import MOST_SEEDS
from study.execution import time_estimate
from study.tracking import runs
from study.workflows import promote, run_ablation
from study.workflows.promote import Race

MOST_ENTRANTS = 100
DEFAULTS = {
    "from": ("none", "Run ID of the study whose trials to choose from; none: all of the experiment."),
    "filter": ("none", "An MLflow filter over the trials, such as params.activation = 'relu'."),
    "data": (
        "auto",
        "mnist, digits, or the path of an .npz file; auto: what the trials are on, if that is one dataset.",
    ),
    "top": ("5", "How many distinct configurations to race, the best by their validation accuracy."),
    "seeds": ("6", "How many fresh seeds each of them is trained with."),
    "name": ("mnist-mlp", "The registered model whose champion it is to be."),
    "workers": ("auto", "Worker processes, one thread each; auto: one for every core."),
    "force": ("false", "true: crown the winner even if it does not beat the champion, or if nothing is new."),
    "plan": ("false", "true: list what would be raced, and run nothing."),
}


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Promote as the options say."""
    force, only_plan = shell.boolean("force", given["force"]), shell.boolean("plan", given["plan"])
    workers = shell.worker_count(given["workers"])
    race = promote.prepare(
        name=given["name"],
        source=shell.unless(given["from"], "none"),
        query=shell.unless(given["filter"], "none"),
        spec=shell.unless(given["data"], "auto"),
        top=shell.whole_number("top", given["top"], MOST_ENTRANTS) or int(DEFAULTS["top"][0]),
        seeds=shell.whole_number("seeds", given["seeds"], MOST_SEEDS) or int(DEFAULTS["seeds"][0]),
    )
    console = shell.console()
    _print_candidates(console, race)
    if (before := promote.done_before(race)) and not force:
        click.echo(f"Nothing is new since run {before}; {_champion(race)} stays. force=true races again.")
        runs.name_project_run("promote: nothing new", {"see.txt": before})
        return
    workers = min(workers, len(race.specs))
    if only_plan:
        seconds = time_estimate.total_seconds(race.specs, race.dataset, workers)
        click.echo(f"In all about {display.duration(seconds)} on {display.count(workers, 'worker')}. Nothing was run.")
        runs.name_project_run("plan of promote", {"plan.csv": run_ablation.plan_table(race.specs, race.dataset)})
        return

    with display.Display(console, time_estimate.time_left(race.specs, race.dataset, workers)) as observe:
        done = promote.run(race, params=given, worker_count=workers, observe=observe, force=force)
    display.print_findings(console, done.outcome.study, verdicts=False)
    display.warn_of_ended(done.outcome.diverged, "diverged", len(race.specs))
    width = max((len(name) for name, _ in done.rows), default=0)
    for name, value in done.rows:
        click.echo(f"{name:<{width}}  {value}")
    if done.version:
        where = "(local: where TensorFlow is installed)"
        click.echo(f"{race.name} version {done.version.number} is the champion. Serve it {where}:")
        click.echo(f"mlflow models serve -m models:/{race.name}@champion -p 5001 --env-manager uv|local")
    else:
        click.echo(f"The champion stays: {done.reason}. force=true crowns the winner all the same.")


def _print_candidates(console: Console, race: Race) -> None:
    """Print which configurations are to be raced, with what their trials came to, and who is champion now."""
    data = race.dataset
    rows = f"{len(data.train):,} rows to train on, {len(data.validation):,} for validation"
    click.echo(f"{data.title}, SHA-256 {data.sha256[:12]}…: {rows}")
    table = [
        (entrant.name, str(entrant.accuracy.n) if entrant.accuracy else "–", show(entrant.accuracy),
         "champion" if entrant.name == race.incumbent_arm else "")
        for entrant in race.entrants
    ]  # fmt: skip
    display.print_table(console, ("configuration", "trials", "val accuracy (%)", "is"), table, words=("is",))
    first, last = race.specs[0].config.seed, race.specs[-1].config.seed
    size = f"{display.count(len(race.entrants), 'configuration')} × {display.count(race.seeds, 'fresh seed')}"
    seeds = str(first) if first == last else f"{first} to {last}"
    click.echo(f"{size} ({seeds}); no trial sees the test images")


def _champion(race: Race) -> str:
    return f"{race.name} version {race.incumbent.number}" if race.incumbent else "no champion"


if __name__ == "__main__":
    shell.run(main)
