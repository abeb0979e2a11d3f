"""SearchSpace: the fields that a search varies around a baseline, each over a range or a few choices."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from study.base import yaml_file
from study.base.errors import ConfigError, StudyError, nearest, shown
from study.design.dimensions import MOST_POINTS, Choices, Dimension, Range, Suggests
from study.training.config import DATA_AND_SEED, FIELDS, NETWORK, TrialConfig, Value, value_text

SPACES = Path(__file__).parent / "spaces"
# A search varies hyperparameters of one network. Network, epochs, data, split and seed have parameters of their own.
FIXED = (*DATA_AND_SEED, NETWORK, "epochs")


class SpaceError(StudyError):
    """A search space that does not exist, or whose file is incomplete or wrong."""


class _Given:
    """Suggests the values that it was given."""

    def __init__(self, drawn: Mapping[str, object]):
        self._drawn = drawn

    def _given(self, name: str, *range: object, **how: object) -> Any:
        return self._drawn[name]

    suggest_float = suggest_int = suggest_categorical = _given


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions that a search varies, and the baseline, which is one of its points."""

    name: str
    baseline: TrialConfig
    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: Suggests) -> dict[str, object]:
        """Return the settings of a point that the trial suggests, field by field."""
        settings: dict[str, object] = {}
        for dimension in self.dimensions:
            if dimension.applies(settings):
                settings[dimension.field] = dimension.suggest(trial)
        return settings

    def become(self, drawn: Mapping[str, object]) -> dict[str, object]:
        """Return the settings of the point for which these values are drawn."""
        given = _Given(drawn)
        return {each.field: each.suggest(given) for each in self.dimensions if each.field in drawn}

    def first(self) -> dict[str, object]:
        """Return the values to draw for the baseline, by field."""
        return {each.field: each.drawn(value) for each, value in self._searched(self.baseline)}

    def _searched(self, config: TrialConfig) -> list[tuple[Dimension, Value]]:
        """Return the dimensions that are searched at a config, each with its value there."""
        settings: dict[str, object] = {}  # a field that is not searched does not count for the conditions of others
        found = []
        for dimension in self.dimensions:
            if dimension.applies(settings):
                value = settings[dimension.field] = _start(dimension, config)
                found.append((dimension, value))
        return found

    def place(self, config: TrialConfig) -> dict[str, object] | None:
        """Return the values to draw, by field, for a point that becomes this config; None if there is no such point.

        Data and seed are not compared.
        """
        searched = self._searched(config)
        if not all(dimension.contains(value) for dimension, value in searched):
            return None
        own = self.baseline.replace({dimension.field: value for dimension, value in searched})
        if own.canonical().of_network != config.canonical().of_network:
            return None
        return {dimension.field: dimension.drawn(value) for dimension, value in searched}

    def points(self) -> list[dict[str, object]] | None:
        """Return every point of the space, as drawn values by field, in order.

        None if there are infinitely many, or more than MOST_POINTS.
        """
        points: list[dict[str, object]] = [{}]
        for dimension in self.dimensions:
            if (values := dimension.values) is None:
                return None
            every: list[dict[str, object]] = [{dimension.field: value} for value in values]
            grown = (
                point | own for point in points for own in (every if dimension.applies(self.become(point)) else [{}])
            )
            points = list(itertools.islice(grown, MOST_POINTS + 1))
            if len(points) > MOST_POINTS:
                return None
        return points

    def with_baseline(self, settings: Mapping[str, object], *, where: str | None = None) -> "SearchSpace":
        """Return the space around another baseline; raises ConfigError or SpaceError if it is not in the space."""
        for name in settings:
            if name in FIXED and where == "set":
                raise ConfigError(f"{name} is not changed here", where=where, hint=_own_place(name))
        changed = SearchSpace(self.name, self.baseline.replace(settings, where=where), self.dimensions)
        changed.check_baseline(lambda name: where or "baseline")
        return changed

    def check_baseline(self, where: Callable[[str], str]) -> None:
        """Raise SpaceError if the baseline is not a point of the space."""
        for dimension in self.dimensions:
            value = _start(dimension, self.baseline)
            applies = dimension.field in self.first()
            if applies and not dimension.contains(value):
                raise SpaceError(
                    f"the baseline's {dimension.field} {value_text(value)} is not in the space, "
                    "and a search begins with its baseline",
                    where=where(dimension.field),
                    expected=dimension.words,
                    hint=f"Set it: baseline: {{{dimension.field}: …}} in the file, or set={dimension.field}=….",
                )

    def as_yaml(self) -> str:
        """Return the space as the text of a YAML file that `parse` reads back."""
        fields = {dimension.field: dimension.as_plain() for dimension in self.dimensions}
        return yaml_file.write({"baseline": self.baseline.changes(), "fields": fields})


def _start(dimension: Dimension, baseline: TrialConfig) -> Value:
    """Return the baseline's value of a dimension; what an ``auto`` stands for, unless that is a choice itself."""
    value = baseline.get(dimension.field)
    return value if dimension.contains(value) else baseline.effective(dimension.field)


def _own_place(name: str) -> str:
    """Return where a field that is not searched is set."""
    if name in ("validation", "fold"):
        return f"Write it in the space's YAML file: baseline: {{{name}: …}}."
    return f"Use the parameter {name}."


# --- reading ----------------------------------------------------------------------------------------


def load_space(name: str, network: str | None = None) -> SearchSpace:
    """Return the space called `name`: one of the project's, or a YAML file of the same form, of this `network`.

    None leaves the network to the file. Raises SpaceError, ConfigError or YamlError with the file, the line and the
    nearest name that exists.
    """
    path = yaml_file.find(name, SPACES, "space", SpaceError)
    space = parse_space(yaml_file.read(path), path.stem, path, network)
    if space.baseline.seed != FIELDS["seed"].default:
        raise SpaceError("a space has no seed", where=path, hint="Use the parameter seed.")
    return space


class _File(yaml_file.Model):
    baseline: dict[str, object] = Field(default={}, description="field: value")
    fields: dict[str, dict[str, object]] = Field(min_length=1, description="field: {range: [low, high]}")


class _Entry(yaml_file.Model):
    kind: Literal["float", "int", "categorical"] | None = None
    range: tuple[object, object] | None = Field(default=None, description="[low, high]")
    log: bool = Field(default=False, description="true or false")
    step: float | None = Field(default=None, gt=0, description="a number above 0")
    choices: list[object] | None = Field(default=None, min_length=1, description="[value, value]")
    zero_below: float | None = Field(default=None, description="a number")
    when: dict[str, Annotated[list[object], Field(min_length=1)]] = Field(
        default={}, description="{field: [value, value]}"
    )


At = Callable[..., str]  # turns a path of keys below a field's entry into file and line


def parse_space(text: str, name: str, path: object, network: str | None = None) -> SearchSpace:
    """Return the space that a YAML file's text describes; errors cite `path`.

    Raises SpaceError, ConfigError or YamlError, as `load_space` does.
    """
    content, at = yaml_file.parse(text, path)
    file = yaml_file.validated(_File, content, at, "a search space", SpaceError)
    start = TrialConfig()
    if network:
        if NETWORK in file.baseline:
            raise SpaceError("the file names its network", where=at("baseline", NETWORK), hint="Leave out network=.")
        start = start.replace({NETWORK: network})
    baseline = start.replace_each(file.baseline, lambda name: at("baseline", name))
    dimensions: list[Dimension] = []
    for key, content in file.fields.items():
        dimensions.append(_dimension(key, content, baseline, dimensions, _below(at, "fields", key)))
    space = SearchSpace(name, baseline, tuple(_where_used(dimensions, baseline, lambda name: at("fields", name))))
    space.check_baseline(lambda name: at("fields", name))
    return space


def _below(at: At, *prefix: object) -> At:
    return lambda *keys: at(*prefix, *keys)


def _dimension(name: str, content: object, baseline: TrialConfig, before: list[Dimension], at: At) -> Dimension:
    if name not in baseline.fields:
        raise SpaceError(f"no hyperparameter is called {name}", where=at(), hint=nearest(name, baseline.fields))
    if name in FIXED:
        raise SpaceError(f"{name} is not searched", where=at(), hint=_own_place(name))
    entry = yaml_file.validated(_Entry, content, at, "a field's entry", SpaceError)
    when = _conditions(entry.when, baseline, before, _below(at, "when"))

    def checked(key: str, values: Sequence[object]) -> list[Value]:
        return [baseline.replace({name: value}, where=at(key, n)).get(name) for n, value in enumerate(values)]

    if entry.choices and not entry.range:
        return _choices(name, entry, checked("choices", entry.choices), when, at)
    if entry.range and not entry.choices:
        dimension = _range(name, entry, checked("range", entry.range), when, at)
        if dimension.zero_below is not None:
            baseline.replace({name: 0.0}, where=at("zero_below"))
        return dimension
    raise SpaceError(f"{name} needs either a range or choices", where=at())


def _where_used(dimensions: list[Dimension], baseline: TrialConfig, where: Callable[[str], str]) -> list[Dimension]:
    """Return the dimensions, each searched only where the others leave it an effect.

    Raises SpaceError for one that never has any.
    """
    choices = {each.field: each.values or () for each in dimensions}
    ranges = {field for field, values in choices.items() if not values}

    def possible(other: str) -> tuple[Value, ...]:
        return tuple(choices.get(other) or (baseline.get(other),))

    found = []
    for dimension in dimensions:
        unless = baseline.unless.get(dimension.field, {})
        always = any(set(possible(other)) & set(values) for other, values in unless.items())
        for other, without in baseline.without_effect.get(dimension.field, {}).items():
            if always or other in ranges:  # a range is hardly ever at the one value that takes the effect away
                continue
            allowed = dimension.when.get(other) or possible(other)
            used = tuple(value for value in allowed if value not in without)
            if not used:
                raise SpaceError(
                    f"{dimension.field} has no effect when {other} is {' or '.join(map(value_text, allowed))}",
                    where=where(dimension.field), hint=f"Leave it out, or let {other} be another.",
                )  # fmt: skip
            if len(used) < len(allowed) and other in choices:
                dimension = replace(dimension, when={**dimension.when, other: used})
        found.append(dimension)
    return _ordered(found, where)


def _ordered(dimensions: list[Dimension], where: Callable[[str], str]) -> list[Dimension]:
    """Return the dimensions in their order, except that none stands before a field that its conditions name."""
    ordered: list[Dimension] = []
    waiting = list(dimensions)
    while waiting:
        placed = {dimension.field for dimension in ordered}
        ready = next((each for each in waiting if placed.issuperset(each.when)), None)
        if ready is None:
            fields = " and ".join(dimension.field for dimension in waiting)
            raise SpaceError(
                f"{fields} are each searched under a condition on the other", where=where(waiting[0].field)
            )
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def _choices(name: str, entry: _Entry, values: list[Value], when: Mapping[str, tuple[Value, ...]], at: At) -> Choices:
    for key in entry.model_fields_set & {"log", "step", "zero_below"}:
        raise SpaceError(f"{key} does not go with choices", where=at(key))
    _check_kind(entry, "categorical", at)
    if len(set(values)) < len(values):
        raise SpaceError(f"a choice of {name} appears twice", where=at("choices"), hint="Keep one of them.")
    return Choices(field=name, when=when, choices=tuple(values))


def _range(name: str, entry: _Entry, ends: list[Value], when: Mapping[str, tuple[Value, ...]], at: At) -> Range:
    low, high = ends
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
        raise SpaceError(f"{name} has no range", where=at("range"), expected="choices: [value, value]")
    if not low < high:
        expected = "two different ends, the lower first"
        raise SpaceError(f"the range of {name} is empty", where=at("range"), expected=expected, got=shown(ends))
    whole = isinstance(low, int)
    _check_kind(entry, "int" if whole else "float", at)
    if entry.log and low <= 0:
        hint = "Begin above 0; with zero_below, a value drawn below that means 0."
        raise SpaceError("a logarithmic range cannot begin at 0", where=at("range"), hint=hint)
    step = int(entry.step) if entry.step and whole and entry.step.is_integer() else entry.step
    if step is not None and entry.log:
        raise SpaceError(f"{name} cannot have both a step and log", where=at("step"), hint="Keep one of them.")
    if step is not None and not ((isinstance(step, int) or not whole) and _divides(step, low, high)):
        kind = "a whole number" if whole else "a number"
        expected = f"{kind} that divides {value_text(low)} … {value_text(high)} evenly"
        raise SpaceError(f"the step of {name} does not fit", where=at("step"), expected=expected, got=value_text(step))
    if entry.zero_below is not None and (whole or not low < entry.zero_below <= high):
        raise SpaceError("zero_below does not fit", where=at("zero_below"), expected="a number within the range")
    return Range(
        field=name, when=when, low=low, high=high, log=entry.log, step=step, zero_below=entry.zero_below
    )  # fmt: skip


def _divides(step: float, low: float, high: float) -> bool:
    try:
        return (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0
    except InvalidOperation:  # more than 10²⁸ steps
        return False


def _check_kind(entry: _Entry, fitting: str, at: At) -> None:
    if entry.kind not in (None, fitting):
        raise SpaceError(f"kind {entry.kind} does not fit", where=at("kind"), expected=fitting)


def _conditions(
    content: Mapping[str, list[object]], baseline: TrialConfig, before: list[Dimension], at: At
) -> dict[str, tuple[Value, ...]]:
    dimensions = {dimension.field: dimension for dimension in before}
    conditions = {}
    for name, values in content.items():
        if name not in dimensions:
            hint = nearest(name, dimensions) if dimensions else "Put it below a field."
            raise SpaceError(f"no field above is called {name}", where=at(name), hint=hint)
        dimension = dimensions[name]
        typed = tuple(baseline.replace({name: value}, where=at(name)).get(name) for value in values)
        for value in typed:
            if not dimension.contains(value):
                raise SpaceError(f"{name} is never {value_text(value)}", where=at(name), expected=dimension.words)
        if dimension.values is None:
            hint = "Give it choices or a step, or leave the condition out."
            raise SpaceError(f"{name} is hardly ever exactly one of these values", where=at(name), hint=hint)
        conditions[name] = typed
    return conditions
