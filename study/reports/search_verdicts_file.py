"""What a search has come to, for programs: its ``verdicts.json``, whose fields and their meaning are the models here.

A field may be added in the same version. One that goes, or changes its meaning, raises VERSION.
"""

from typing import Literal

from pydantic import Field

from study.analysis.search_results import SearchResults
from study.analysis.standings import Belief, Standing
from study.reports import verdicts_file
from study.reports.verdicts_file import NAME, Data, Interval, Part, Verdicts
from study.tracking import tags
from study.training.config import value_text

__all__ = ["NAME", "content", "text"]
VERSION: Literal[1] = 1


class Configuration(Part):
    """A configuration that was trained to its end, and what is expected of it."""

    trial: str = Field(description="the name of its first trial")
    settings: dict[str, str]
    runs: dict[str, str] = Field(description="the ID of each complete trial's run, by seed")
    value: float = Field(description="the mean of what was measured")
    expected: Interval | None = Field(description="the mean over seeds on these validation rows, with 95 %")
    behind: Interval | None = Field(description="by how much it is worse than the first, with 95 %; null for the first")
    chance: float | None = Field(
        description="the probability that it is the best of all that were trained to their end"
    )


class Trials(Part):
    """How the trials ended."""

    complete: int
    pruned: int
    failed: int


class SearchVerdicts(Part):
    """A search, judged. Accuracies are shares, losses are in nats."""

    version: Literal[1]
    search: str = Field(description="what was searched, and how, in words")
    run: str = Field(description="ID of the search's MLflow run")
    data: Data
    metric: str
    direction: Literal["minimize", "maximize"]
    trials: Trials
    best: Configuration | None = Field(description="the one that is expected to be the best")
    lead: Interval | None = Field(description="of the best over the second, with 95 %; null if nothing is expected yet")
    standings: list[Configuration] = Field(description="the ten best, by what is expected of them")
    importances: dict[str, float] = Field(description="the share of each field by PED-ANOVA; empty with too few trials")
    confirmation: Verdicts | None = Field(description="the best against the baseline, with fresh seeds")


def text(study: SearchResults) -> str:
    """Return the content of a search's ``verdicts.json``."""
    return content(study).model_dump_json(indent=2) + "\n"


def content(study: SearchResults) -> SearchVerdicts:
    """Return what a search has come to, for programs."""
    standings = [_configuration(study, each) for each in study.top]
    return SearchVerdicts(
        version=VERSION,
        search=study.search.words,
        run=study.record.run_id,
        data=Data.of(study.record),
        metric=study.search.metric,
        direction=study.search.direction,
        trials=Trials(complete=len(study.complete), pruned=len(study.pruned), failed=len(study.failed)),
        best=standings[0] if standings else None,
        lead=standings[1].behind if len(standings) > 1 else None,
        standings=standings,
        importances={each.field: each.ped_anova for each in study.importances},
        confirmation=verdicts_file.content(study.confirmation) if study.confirmation else None,
    )


def _configuration(study: SearchResults, standing: Standing) -> Configuration:
    seeds = study.seeds_of(standing)
    return Configuration(
        trial=seeds[0].name,
        settings={name: value_text(value) for name, value in study.settings(seeds[0]).items()},
        runs={trial.tags[tags.SEED]: trial.run_id for trial in seeds},
        value=standing.value,
        expected=_interval(standing.expected),
        behind=_interval(standing.behind),
        chance=standing.chance,
    )


def _interval(belief: Belief | None) -> Interval | None:
    return Interval(mean=belief.middle, low=belief.low, high=belief.high) if belief else None
