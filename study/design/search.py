"""Search: a space, and how to find good points of it; all of this is fixed once the search has begun."""

from dataclasses import dataclass
from typing import Literal

from study.base import yaml_file
from study.base.errors import ConfigError, StudyError, shown
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
PARAMETERS, MOST_PARAMETERS = "parameters", 10**12


@dataclass(frozen=True)
class Search:
    """A space, the metric to optimize, the sampler and the pruner; with a `limit` networks have fewer parameters.

    With `replicate` a promising point may be trained with another seed in place of a new point.

    The space's baseline has the data, the split, the epochs and the seed of every trial; `metric` is one of METRICS, of
    the weights that a trial keeps.
    """

    space: SearchSpace
    metric: str
    sampler: str
    pruner: str
    limit: int | None = None
    replicate: bool = False

    @property
    def baseline(self) -> TrialConfig:
        """The config of the first trial."""
        return self.space.baseline

    @property
    def direction(self) -> Direction:
        """``minimize`` or ``maximize``."""
        return METRICS[self.metric]

    @property
    def limit_text(self) -> str:
        """The limit as `parse_limit` reads it."""
        return f"{PARAMETERS}<{self.limit}" if self.limit else "none"

    @property
    def words(self) -> str:
        """The search in one line."""
        fields = ", ".join(dimension.field for dimension in self.space.dimensions)
        how = f"{self.sampler}, {'no pruner' if self.pruner == 'none' else self.pruner}"
        epochs = self.baseline.training.epochs
        limit = f"; fewer than {self.limit:,} parameters" if self.limit else ""
        return f"{self.direction} {self.metric} over {fields} ({how}; {epochs} epoch{'s' if epochs > 1 else ''}{limit})"

    def better(self, one: float, other: float) -> bool:
        """Return whether a value of the metric is better than another."""
        return one < other if self.direction == "minimize" else one > other

    def as_yaml(self) -> str:
        """Return the search as text that `parse_search` reads back."""
        how = {"metric": self.metric, "sampler": self.sampler, "pruner": self.pruner, "name": self.space.name}
        limit = {"limit": self.limit} if self.limit else {}
        again = {"replicate": True} if self.replicate else {}
        return yaml_file.write(how | limit | again) + "---\n" + self.space.as_yaml()


def parse_limit(text: str) -> int:
    """Return the number of parameters that a network must stay below, of ``parameters<50000``; raises ConfigError."""
    name, _, number = text.replace(" ", "").partition("<")
    if name != PARAMETERS or not (number.isascii() and number.isdigit() and 0 < int(number) <= MOST_PARAMETERS):
        expected = f"{PARAMETERS}<N, with a whole number from 1 to {MOST_PARAMETERS:,}, or none"
        raise ConfigError(f"limit cannot be {shown(text)}", expected=expected)
    return int(number)


def parse_search(text: str, path: object) -> Search:
    """Return the search that `as_yaml` has written; raises StudyError for other text and for unknown names in it."""
    how, _, space = text.partition("---\n")
    words, _ = yaml_file.parse(how, path)
    if not (
        isinstance(words, dict) and words.keys() - {"limit", "replicate"} == {"metric", "sampler", "pruner", "name"}
    ):
        raise StudyError("not a search", where=path, expected="the text that a search writes")
    for what, known in (("metric", METRICS), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if words[what] not in tuple(known):
            raise StudyError(f"{what} cannot be {shown(words[what])}", where=path, expected=" or ".join(known))
    if not (words.get("limit") is None or isinstance(words["limit"], int)):
        raise StudyError("limit is no whole number", where=path, got=shown(words["limit"]))
    if not isinstance(words.get("replicate", False), bool):
        raise StudyError("replicate is not true or false", where=path, got=shown(words["replicate"]))
    return Search(parse_space(space, words.pop("name"), path), **words)


@dataclass(frozen=True)
class Budget:
    """When a search ends: at a total of `trials`, after `minutes`, or at whichever comes first."""

    trials: int | None
    minutes: float | None
