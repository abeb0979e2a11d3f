"""Search for good hyperparameters: Optuna suggests trials, MLflow records them, and unpromising ones are pruned."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from entrypoints import display, options, program
from study.analysis.formatting import count
from study.base.passwords import without_password
from study.data.dataset import Dataset
from study.design.ablation import TrialSpec
from study.design.auto_space import AUTO_SPACE, space_of
from study.design.costs import Limits
from study.design.search import Search
from study.execution.engines.engine import Request
from study.execution.time_estimate import SECONDS_TO_START, time_left
from study.reports import search_tables
from study.tracking import runs
from study.tracking.artifacts import SEARCH
from study.training.config import BUILT_IN
from study.workflows import begun_search, prepare, run_search, search_budget
from study.workflows.common import Outcome
from study.workflows.confirmation import Observe
from study.workflows.search_budget import Plan
from study.workflows.seed_supply import OnLook

CONFIRMING = "\nThe best configuration against the baseline, with fresh seeds:"


def run(
    *,
    study: str | None,
    trials: int | None,
    minutes: float | None,
    space: str | None,
    network: str | None,
    epochs: int | None,
    metric: str,
    sampler: str,
    pruner: str,
    limit: Limits,
    also: str | None,
    replicate: bool,
    seed: int,
    data: str | None,
    target: str | None,
    size: str | None,
    workers: int,
    launch: Request | None,
    storage: str,
    settings: dict[str, str],
    confirm: bool,
    reuse: bool,
    output: str,
    dry_run: bool,
) -> None:
    """Run or resume the search that the options name."""
    for_programs = program.output_for_programs() if output == "json" else None
    search, dataset = prepare.prepare_search(
        space, network=network, metric=metric, sampler=sampler, pruner=pruner, limit=limit, also=also,
        replicate=replicate, seed=seed, data=data, target=target, size=size, epochs=epochs, settings=settings,
    )  # fmt: skip
    name = study or begun_search.usual_name(search, dataset)
    begun = begun_search.find_begun(search, dataset, storage, name)
    budget = prepare.search_budget(search, trials, minutes, begun.before if begun else 0)
    own, workers = options.team(workers, launch, budget.trials, storage)
    display.warn_of_password(storage)
    console = program.console()
    plan = search_budget.plan(search, dataset, budget, workers, (own or workers) if confirm else 0)
    _introduce(console, search, dataset, name, plan)
    if begun and begun.changed:
        program.say(f"{name} continues in another space: {begun.changed}. Earlier trials inside it count.")
    if dry_run:
        _print_dry_run(console, search, plan)
        runs.name_project_run(f"dry run of search {name}", {SEARCH: search.as_yaml()})
        return

    display.tell_how_to_join(console, name, storage)
    with display.Display(console, plan.forecast, search.better) as observe:

        @contextmanager
        def confirming(specs: Sequence[TrialSpec]) -> Iterator[tuple[Observe, OnLook]]:
            observe.stop()
            program.say(CONFIRMING)
            with display.Display(console, time_left(specs, dataset, plan.comparing, plan.pace)) as shown:
                yield shown, shown.looks(dataset, plan.comparing, plan.pace)

        outcome = run_search.run_search(
            search, dataset, name=name, plan=plan, worker_count=own, observe=observe, reuse=reuse, launch=launch,
            confirm=confirming if confirm else None,
            params=options.given() | {"storage": without_password(storage)}, storage=storage, begun=begun,
        )  # fmt: skip
    if budget.trials and (found := len(outcome.study.all_trials)) > budget.trials:
        program.say(f"{name} already had {found} trials; trials is the total, so none was added.")
    _conclude(console, outcome, options.given().get("network"))
    if for_programs:
        from study.reports import search_verdicts_file  # imports matplotlib

        program.write_json(for_programs, search_verdicts_file.text(outcome.study))


def _introduce(console: Console, search: Search, dataset: Dataset, name: str, plan: Plan) -> None:
    program.say(f"search {name}: {search.words}")
    if search.space.name == AUTO_SPACE and (left_out := space_of(search.baseline.network.name)[1]):
        program.say(f"not searched, because no range is known: {', '.join(left_out)}")
    display.introduce_data(console, dataset, ("train", "validation"))
    budget = plan.budget
    size = count(budget.trials, "trial") if budget.trials else "trials"
    if (points := search.space.points()) and budget.trials == len(points):
        size += " (all points of the space)"
    time = f" for {display.minutes(budget.minutes)}" if budget.minutes else ""
    program.say(f"{size}{time}, on {count(plan.workers, 'worker')}{_fitting(plan)}")


def _fitting(plan: Plan) -> str:
    """Return what fits into a search's minutes."""
    if plan.budget.minutes is None:
        return ""
    found = f": about {plan.forecast.total(()).words} trials"
    if plan.comparing and plan.seeds:
        fewest, most = plan.seeds
        found += f", then {fewest} to {most} seeds" if fewest < most else f", then {fewest} seeds"
        found += " each of the best and the baseline"
    elif plan.comparing:
        found += ", but hardly time to compare the best with the baseline"
    return found


def _print_dry_run(console: Console, search: Search, plan: Plan) -> None:
    console.print()
    display.print_table(console, search_tables.space_table(search))
    trials = plan.forecast.now.seconds
    times = [display.duration(SECONDS_TO_START + seconds) for seconds in (trials.low, trials.high)]
    program.say(f"\nAbout {' to '.join(dict.fromkeys(times))} for the trials, by {plan.pace.evidence}.")
    if plan.comparing:
        least, most = map(display.duration, plan.comparison)
        program.say(f"The comparison of the best with the baseline takes about {least} to {most} more.")
    program.say("Nothing was run.")


def _conclude(console: Console, outcome: Outcome, network: str | None) -> None:
    study, total = outcome.study, len(outcome.study.all_trials)
    display.print_search(console, study)
    if (confirmed := outcome.confirmed) and confirmed.failures:
        display.warn_of_ended(confirmed.failures, "of the comparison failed", len(confirmed.study.trials))
    if outcome.note:
        program.say(outcome.note)
    display.tell_of_reused(outcome.reused)
    display.warn_of_ended(outcome.diverged, "diverged", total)
    display.warn_of_ended(outcome.failures, "failed", total)
    program.say(f"Report: {outcome.page}")
    if study.complete:
        own = f" -P network={network}" if network not in (None, "auto", *BUILT_IN) else ""
        program.say(f"Race the best with fresh seeds: mlflow run . -e promote -P from={study.record.run_id}{own}")
    program.print_link(study.record.run_id)
