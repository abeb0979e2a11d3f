"""Search: a space, and how to find good points of it; all of this is fixed once the search has begun."""

from dataclasses import dataclass
from typing import Literal

from study.base import yaml_file
from study.base.errors import StudyError, shown
from study.design.costs import COSTS, NO_LIMITS, PARAMETERS, Limits, parse_limits
from study.design.search_space import SearchSpace, parse_space
from study.training.config import TrialConfig

Direction = Literal["minimize", "maximize"]
METRICS: dict[str, Direction] = {"val_cross_entropy": "minimize", "val_loss": "minimize", "val_accuracy": "maximize"}
DEFAULT_TRIALS = 50
AUTO, BEST_SAMPLER = "auto", "gp"  # what `auto` stands for was measured (docs/lab-log.md)
SAMPLERS = (BEST_SAMPLER, "tpe", "random", "qmc", "cmaes", "grid")
REPLICATING = "gp"  # the sampler that may suggest a point again, for another seed
PRUNERS = ("hyperband", "median", "none")
TASK, CONFIRM = "search", "confirm"  # the latter is the comparison with which a search ends


@dataclass(frozen=True)
class Search:
    """A space, the metric to optimize, the sampler and the pruner; networks stay below the `limit`.

    With `replicate` a promising point may be trained with another seed in place of a new point. `also` is one of COSTS,
    which the metric is weighed against.

    The space's baseline has the data, the split, the epochs and the seed of every trial; `metric` is one of METRICS, of
    the weights that a trial keeps.
    """

    space: SearchSpace
    metric: str
    sampler: str
    pruner: str
    limit: Limits = NO_LIMITS
    replicate: bool = False
    also: str | None = None

    @property
    def baseline(self) -> TrialConfig:
        """The config of the first trial."""
        return self.space.baseline

    @property
    def direction(self) -> Direction:
        """``minimize`` or ``maximize``."""
        return METRICS[self.metric]

    @property
    def words(self) -> str:
        """The search in one line."""
        fields = ", ".join(dimension.field for dimension in self.space.dimensions)
        how = f"{self.sampler}, {'no pruner' if self.pruner == 'none' else self.pruner}"
        epochs = self.baseline.training.epochs
        limit = f"; {self.limit.words}" if self.limit else ""
        return f"{self.direction} {self.metric} over {fields} ({how}; {epochs} epoch{'s' if epochs > 1 else ''}{limit})"

    def better(self, one: float, other: float) -> bool:
        """Return whether a value of the metric is better than another."""
        return one < other if self.direction == "minimize" else one > other

    def as_yaml(self) -> str:
        """Return the search as text that `parse_search` reads back."""
        how = {"metric": self.metric, "sampler": self.sampler, "pruner": self.pruner, "name": self.space.name}
        limit = {"limit": self.limit.text} if self.limit else {}
        again = {"replicate": True} if self.replicate else {}
        also = {"also": self.also} if self.also else {}
        return yaml_file.write(how | limit | again | also) + "---\n" + self.space.as_yaml()


def parse_search(text: str, path: object) -> Search:
    """Return the search that `as_yaml` has written; raises StudyError for other text and for unknown names in it."""
    how, _, space = text.partition("---\n")
    words, _ = yaml_file.parse(how, path)
    if not (
        isinstance(words, dict)
        and words.keys() - {"limit", "replicate", "also"} == {"metric", "sampler", "pruner", "name"}
    ):
        raise StudyError("not a search", where=path, expected="the text that a search writes")
    for what, known in (("metric", METRICS), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if words[what] not in tuple(known):
            raise StudyError(f"{what} cannot be {shown(words[what])}", where=path, expected=" or ".join(known))
    if isinstance(limit := words.get("limit", ""), int):  # as searches wrote it when parameters were the only limit
        limit = f"{PARAMETERS}<{limit}"
    if not isinstance(limit, str):
        raise StudyError("limit is no text", where=path, got=shown(limit))
    words["limit"] = parse_limits(limit) if limit else NO_LIMITS
    if words.get("also") not in (None, *COSTS):
        raise StudyError(f"also cannot be {shown(words['also'])}", where=path, expected=" or ".join(COSTS))
    if words.get("replicate", "true") != "true":  # a YAML file's words are text
        raise StudyError("replicate is not true", where=path, got=shown(words["replicate"]))
    words["replicate"] = "replicate" in words
    return Search(parse_space(space, words.pop("name"), path), **words)


@dataclass(frozen=True)
class Budget:
    """When a search ends: at a total of `trials`, after `minutes`, or at whichever comes first."""

    trials: int | None
    minutes: float | None
