"""Compares a search that has begun with the one that is asked for under its name."""

from dataclasses import dataclass

from study.base.errors import ConfigError
from study.data.dataset import Dataset
from study.design.search import Search, parse_search
from study.design.search_space import FIXED
from study.execution import attributes
from study.execution.queue import Assignment, Queue, find_queue
from study.execution.space_phases import CHANGING
from study.training.config import NETWORK, value_text
from study.workflows.common import assignment


@dataclass(frozen=True, eq=False)
class Begun:
    """A search that has begun: its open queue, and how its space differs from the one asked for, if it does."""

    queue: Queue
    changed: str

    @property
    def before(self) -> int:
        """How many of its trials may lie outside its present space: all of them, if it has had another one."""
        if not (self.changed or self.queue.assignment.earlier):
            return 0
        return sum(not attributes.stands_aside(trial) for trial in self.queue.begun())


def usual_name(search: Search, dataset: Dataset) -> str:
    """Return the name of a search that nobody has named: ``default-mnist``."""
    return f"{search.space.name}-{dataset.name}"


def find_begun(search: Search, dataset: Dataset, storage: str, name: str) -> Begun | None:
    """Return the search of this name if it has begun; None if there is none, or if it is still being created.

    This creates nothing. Raises ConfigError if the search differs from `search` in more than its space.
    """
    queue = find_queue(storage, name)
    if queue is None or attributes.ASSIGNMENT not in queue.user_attrs:
        return None
    return Begun(queue, changed_space(search, dataset, queue))


def changed_space(search: Search, dataset: Dataset, queue: Queue) -> str:
    """Return in words how the space of `search` differs from that of the queue's search; empty if it does not.

    Raises ConfigError if anything else differs, or if the sampler cannot go on in another space.
    """
    before = queue.assignment
    if before.search is None:
        raise ConfigError(f"{queue.study_name} is an ablation's queue", where="study", hint="Give another name.")
    now = assignment(
        dataset,
        before.run_id,
        [search.baseline.network.name],
        open_test=False,
        reuse=before.reuse,
        search=search.as_yaml(),
    )
    differences = [(what, then, here) for what, then, here in _settings(before, now) if then != here]
    ranges = [] if differences else _ranges(parse_search(before.search, "search"), search)
    if search.sampler not in CHANGING:
        differences += ranges
    if differences:
        what, then, here = differences[0]
        raise ConfigError(
            f"the study {queue.study_name} exists, with another {what}", where="study", expected=then, got=here,
            hint="Use its settings, or start another study: -P study=NAME. Equal trials are not trained again.",
        )  # fmt: skip
    return "; ".join(f"{what} was {then}, and is now {here}" for what, then, here in ranges)


def _ranges(then: Search, here: Search) -> list[tuple[str, str, str]]:
    """Return each field whose range has changed: its name, the earlier range, and the one asked for now."""
    names = dict.fromkeys(one.field for one in (*then.space.dimensions, *here.space.dimensions))
    pairs = [(f"range of {name}", _range_of(then, name), _range_of(here, name)) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _settings(before: Assignment, now: Assignment) -> list[tuple[str, str, str]]:
    """Return each setting that is fixed in a search: its name, the search's value, and the value asked for now."""
    if before.networks != now.networks:
        first, second = (", ".join(one.networks) or "one of the project's" for one in (before, now))
        return [("network", first, second)]
    then, here = (parse_search(each.search or "", "search") for each in (before, now))
    pairs: list[tuple[str, str, str]] = [
        (what, getattr(then, what), getattr(here, what)) for what in ("metric", "sampler", "pruner")
    ]
    pairs.append(("limit", then.limit.text, here.limit.text))
    pairs.append(("also", then.also or "none", here.also or "none"))
    pairs.append(("replicate", value_text(then.replicate), value_text(here.replicate)))
    for field in here.baseline.fields if then.baseline.network.name == here.baseline.network.name else [NETWORK]:
        if field not in ("data", "target", "size", "validation"):  # the SHA-256 and the rows stand for them
            name = field if field in FIXED else f"baseline: {field}"
            pairs.append((name, then.baseline.as_text()[field], here.baseline.as_text()[field]))
    pairs.append(("data", f"SHA-256 {before.data_sha256[:12]}…", f"SHA-256 {now.data_sha256[:12]}…"))
    pairs.append(("number of validation rows", before.validation, now.validation))
    pairs.append(("training code", before.training_code[:12], now.training_code[:12]))
    return pairs


def _range_of(search: Search, field: str) -> str:
    return next((one.words for one in search.space.dimensions if one.field == field), "not searched")
