"""Lets you run an ablation or a search from a notebook, and read any study as DataFrames.

`study.run_ablation`, `study.run_search` and `study.load` are these functions. They do what the commands do, and record
in the same MLflow store: the one that `MLFLOW_TRACKING_URI` or `mlflow.set_tracking_uri` names.
"""

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from tqdm.auto import tqdm

from study.analysis import ablation_results, search_results
from study.analysis.ablation_results import MEASURES, AblationResults
from study.analysis.search_results import SearchResults
from study.base.errors import ConfigError, nearest, shown
from study.base.processes import cores
from study.design.ablation import TrialSpec
from study.design.costs import COSTS, NO_LIMITS, parse_limits
from study.design.limits import CAP, COMPARE, DECIDE, VARY, Vary
from study.design.search import AUTO, METRICS, PRUNERS, SAMPLERS
from study.execution.engines import launches
from study.execution.engines.engine import MOST_LAUNCHED, Request, parse_request
from study.execution.queue import Progress
from study.execution.storage import DEFAULT_STORAGE
from study.reports.study_report import FOLDER, NAME
from study.tracking import store, stored
from study.tracking.records import RunRecord
from study.training.config import settings_text, value_text
from study.training.networks import own_file
from study.workflows import begun_search, prepare, search_budget
from study.workflows.confirmation import Observe
from study.workflows.run_ablation import run_ablation as _run_ablation
from study.workflows.run_search import run_search as _run_search
from study.workflows.seed_supply import OnLook, seed_rule

FRAME_HEIGHT = 800  # pixels


@dataclass(frozen=True)
class Report:
    """A study's report, which a notebook displays; `html` is the page."""

    html: str

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: {FRAME_HEIGHT}px; border: 0"></iframe>'


@dataclass(frozen=True, eq=False)
class _Frames:
    """Holds what the results of ablations and searches have in common."""

    study: AblationResults | SearchResults

    @property
    def run_id(self) -> str:
        """The ID of the study's run in MLflow."""
        return self.study.record.run_id

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row for each trial, by run ID: its name and state, its hyperparameters as text, its metrics as numbers."""
        rows = [_trial_row(trial) for trial in self.study.trials]
        return pd.DataFrame(rows, index=pd.Index([trial.run_id for trial in self.study.trials], name="run_id"))

    @property
    def report(self) -> Report:
        """The report; raises TrackingError if the study's run has none."""
        name = f"{FOLDER}/{NAME}.html"
        content = stored.read_file(self.study.record, name)
        if content is None:
            hint = f"Make it again: mlflow run . -e report -P run={self.run_id}"
            raise store.TrackingError(f"the run has no {name}", where=self.run_id, hint=hint)
        return Report(content.decode())

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


class AblationFrames(_Frames):
    """An ablation's results as DataFrames."""

    study: AblationResults

    @cached_property
    def arms(self) -> pd.DataFrame:
        """A row for each arm: how many trials it has, how many failed, and each measure's mean and half-width.

        The half-width is that of Student's 95 % interval over the seeds; NaN for fewer than two.
        """
        rows = []
        for arm in self.study.arms:
            row: dict[str, object] = {"trials": arm.trials, "failed": arm.failed}
            for measure in MEASURES:
                value = arm.values[measure.metric]
                row[measure.metric] = value.mean / measure.scale if value else float("nan")
                row[f"{measure.metric}_half_width"] = value.half_width / measure.scale if value else float("nan")
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index([arm.name for arm in self.study.arms], name="arm"))

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """A row for each comparison: the difference with its interval, in the margin's unit, the seeds, the verdict."""
        rows = []
        for verdict in self.study.verdicts:
            effect = verdict.effect
            rows.append(
                {
                    "arm": verdict.arm,
                    "against": verdict.against,
                    "seeds": effect.n if effect else 0,
                    "difference": effect.mean if effect else float("nan"),
                    "low": effect.low if effect else float("nan"),
                    "high": effect.high if effect else float("nan"),
                    "verdict": str(verdict.kind),
                    "sentence": verdict.sentence,
                }
            )
        columns = ["arm", "against", "seeds", "difference", "low", "high", "verdict", "sentence"]
        return pd.DataFrame(rows, columns=columns)


class SearchFrames(_Frames):
    """A search's results as DataFrames."""

    study: SearchResults

    @property
    def best(self) -> pd.Series:
        """The row of `trials` that is expected to be the best; raises ValueError if no trial is complete."""
        if not self.study.best:
            raise ValueError("no trial is complete")
        row = self.trials.loc[self.study.best.run_id]
        assert isinstance(row, pd.Series)  # run IDs are unique
        return row

    @cached_property
    def confirmation(self) -> AblationFrames | None:
        """The comparison of the search's best with its baseline, with fresh seeds; None if there was none."""
        return AblationFrames(self.study.confirmation) if self.study.confirmation else None

    @cached_property
    def importances(self) -> pd.DataFrame:
        """How much each field mattered, as shares, by PED-ANOVA and by fANOVA; empty if it cannot be computed."""
        rows = [(each.field, each.ped_anova, each.fanova) for each in self.study.importances]
        return pd.DataFrame(rows, columns=["field", "ped_anova", "fanova"]).set_index("field")


def run_ablation(
    task: str,
    *,
    data: str | None = None,
    target: str | None = None,
    size: str | None = None,
    network: str | None = None,
    validation: str | None = None,
    seeds: int | None = None,
    most_seeds: int = CAP,
    minutes: float | None = None,
    margin: float | None = None,
    decide: str = "val_accuracy",
    epochs: int | None = None,
    settings: Mapping[str, object] | None = None,
    compare: str = "baseline",
    vary: Vary | None = None,
    workers: int | None = None,
    launch: str | None = None,
    storage: str = DEFAULT_STORAGE,
    reuse: bool = True,
    progress: bool = True,
) -> AblationFrames:
    """Run an ablation from the catalogue or from a YAML file, and return its results.

    The parameters are those of the command. None means the task's own value; for `workers` it means one worker for
    each core, or none beside those of `launch`. `network` may be the path of a file, which is run. Raises StudyError
    with the message that the command shows.
    """
    _check_names(decide=(decide, DECIDE), compare=(compare, COMPARE), vary=(vary or VARY[0], VARY))
    _check_numbers(seeds=seeds, most_seeds=most_seeds, minutes=minutes, workers=workers, margin=margin)
    ablation, dataset = prepare.prepare_ablation(
        task, network=network and own_file.named(network), data=data, target=target, size=size, validation=validation,
        epochs=epochs, settings=settings, margin=margin, decide=decide, vary=vary,
    )  # fmt: skip
    own, request = _team(workers, launch, storage)
    rule = seed_rule(ablation, seeds, most_seeds, minutes, pairs=compare == "pairs")
    specs = ablation.trial_specs(rule.first, dataset)
    params = _params(
        task=task, data=dataset.spec, target=target, size=size, network=network, validation=validation, seeds=seeds,
        most_seeds=None if most_seeds == CAP else most_seeds, minutes=minutes, margin=margin, decide=decide,
        epochs=epochs, set=settings, compare=compare, vary=vary,
    )  # fmt: skip
    with _Bar(len(specs), progress) as observe:
        outcome = _run_ablation(
            ablation, specs, dataset, params=params, worker_count=own, observe=observe,
            rule=rule, reuse=reuse, storage=storage, launch=request,
        )  # fmt: skip
    return AblationFrames(outcome.study)


def run_search(
    space: str | None = None,
    *,
    network: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    name: str | None = None,
    data: str | None = None,
    target: str | None = None,
    size: str | None = None,
    epochs: int | None = None,
    settings: Mapping[str, object] | None = None,
    metric: str = "val_cross_entropy",
    sampler: str = AUTO,
    pruner: str = "hyperband",
    limit: str | None = None,
    also: str | None = None,
    replicate: bool = True,
    seed: int = 1,
    workers: int | None = None,
    launch: str | None = None,
    storage: str = DEFAULT_STORAGE,
    confirm: bool = True,
    reuse: bool = True,
    progress: bool = True,
) -> SearchFrames:
    """Run or resume a search, and return its results.

    The parameters are those of the command; `trials` is the total, and the same `name` resumes. Raises StudyError with
    the message that the command shows.
    """
    _check_names(
        metric=(metric, METRICS), sampler=(sampler, (AUTO, *SAMPLERS)), pruner=(pruner, PRUNERS),
        also=(also or "none", ("none", *COSTS)),
    )  # fmt: skip
    _check_numbers(trials=trials, minutes=minutes, workers=workers)
    search, dataset = prepare.prepare_search(
        space, network=network and own_file.named(network), metric=metric, sampler=sampler, pruner=pruner,
        limit=parse_limits(limit) if limit else NO_LIMITS, also=also, replicate=replicate, seed=seed, data=data,
        target=target, size=size, epochs=epochs, settings=settings,
    )  # fmt: skip
    own, request = _team(workers, launch, storage)
    study = name or begun_search.usual_name(search, dataset)
    begun = begun_search.find_begun(search, dataset, storage, study)
    budget = prepare.search_budget(search, trials, minutes, begun.before if begun else 0)
    most = budget.trials or MOST_LAUNCHED
    own, team = min(own, most), min(own + (request.workers if request else 0), most)
    plan = search_budget.plan(search, dataset, budget, team, (own or team) if confirm else 0)
    params = _params(
        space=space, network=network, study=name, trials=trials, minutes=minutes, data=dataset.spec, target=target,
        size=size, epochs=epochs, set=settings, metric=metric, sampler=sampler, pruner=pruner, limit=limit, also=also,
        replicate=replicate, seed=None if seed == 1 else seed, confirm=confirm,
    )  # fmt: skip

    @contextmanager
    def confirming(specs: Sequence[TrialSpec]) -> Iterator[tuple[Observe, OnLook]]:
        with _Bar(len(specs), progress) as shown:
            yield shown, lambda study, more: None

    with _Bar(budget.trials, progress) as observe:
        outcome = _run_search(
            search, dataset, name=study, plan=plan, params=params, worker_count=own, observe=observe,
            confirm=confirming if confirm else None, reuse=reuse, storage=storage, launch=request, begun=begun,
        )  # fmt: skip
    return SearchFrames(outcome.study)


def load(run_id: str) -> AblationFrames | SearchFrames:
    """Return the results of any study in the store by its run ID; raises TrackingError if that is not a study."""
    client = store.connect()
    if search_results.is_search(client, run_id):
        return SearchFrames(search_results.read(client, run_id))
    return AblationFrames(ablation_results.read(client, run_id))


def _params(**given: object) -> dict[str, str]:
    """Return the arguments that are not None as the options of the command, which the study's run keeps."""
    return {
        name: settings_text(value).replace(" ", ",") if isinstance(value, Mapping) else value_text(value)
        for name, value in given.items()
        if value is not None
    }


def _check_names(**given: tuple[str, Iterable[str]]) -> None:
    """Raise ConfigError for a word that is none of those that a parameter takes; a command's options do it there."""
    for name, (value, known) in given.items():
        if value not in (words := list(known)):
            raise ConfigError(f"{name} cannot be {shown(value)}", hint=nearest(str(value), words))


def _check_numbers(**given: float | None) -> None:
    """Raise ConfigError for a number that is not positive."""
    for name, value in given.items():
        if value is not None and not value > 0:
            raise ConfigError(f"{name} cannot be {value}", expected="a number above 0, or None")


def _team(workers: int | None, launch: str | None, storage: str) -> tuple[int, Request | None]:
    """Return how many workers start here, and what is launched; raises ConfigError for a launch that cannot work."""
    if launch is None:
        return workers or cores(), None
    request = parse_request(launch, "launch")
    launches.check(request, storage)
    return workers or 0, request


def _trial_row(trial: RunRecord) -> dict[str, object]:
    marks: dict[str, object] = {name: trial.tags[name] for name in ("arm", "slot", "state") if name in trial.tags}
    return {"name": trial.name, **marks, **trial.params, **trial.metrics}


class _Bar:
    """Shows a progress bar over trials, in a notebook or a terminal; its context returns the function to update it."""

    def __init__(self, total: int | None, shown: bool):
        self._bar = tqdm(total=total, unit="trial", disable=not shown)

    def __enter__(self) -> Callable[[list[Progress]], None]:
        return self._update

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def _update(self, trials: list[Progress]) -> None:
        self._bar.total = max(self._bar.total or 0, len(trials))
        self._bar.update(sum(trial.finished for trial in trials) - self._bar.n)
