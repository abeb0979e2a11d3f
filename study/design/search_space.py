"""SearchSpace: the fields that a search varies, each over a range or a few choices, around a baseline."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from study.base import yaml_file
from study.base.errors import ConfigError, StudyError, nearest, shown
from study.training.config import FIELDS, HYPERPARAMETERS, TrialConfig, value_text

SPACES = Path(__file__).parent / "spaces"
KEYS = ("baseline", "fields")
KINDS = ("float", "int", "categorical")
FIELD_KEYS = ("kind", "range", "log", "step", "choices", "zero_below", "when")
# A search varies hyperparameters only. Epochs, data, split and seed have parameters of their own.
SEARCHED = tuple(name for name in HYPERPARAMETERS if name != "epochs")
MOST_POINTS = 100_000  # that are listed


class SpaceError(StudyError):
    """A search space that does not exist or does not say what it has to say."""


class Suggests(Protocol):
    """What chooses the values: an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...

    def suggest_categorical(self, name: str, choices: tuple) -> object: ...


@dataclass(frozen=True)
class Dimension:
    """One field of the space: a range (`low` to `high`, both in it) or `choices`.

    A value drawn below `zero_below` means 0: on a logarithmic scale that is how a range can have 0 at its lower end.
    The field is searched only `when` each of the fields named there has one of the values beside it.
    """

    field: str
    kind: str
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple = ()
    zero_below: float | None = None
    when: Mapping[str, tuple] = field(default_factory=dict)

    def suggest(self, trial: Suggests) -> object:
        """Return the field's value that the trial suggests."""
        if self.kind == "categorical":
            return trial.suggest_categorical(self.field, self.choices)
        if self.kind == "int":
            return trial.suggest_int(self.field, self.low, self.high, step=self.step or 1, log=self.log)
        value = trial.suggest_float(self.field, self.low, self.high, step=self.step, log=self.log)
        if self.step:  # Optuna draws 0.9500000000000001 where 0.95 is meant
            value = self._after(round((value - self.low) / self.step))
        return 0.0 if self.zero_below is not None and value < self.zero_below else value

    def _after(self, steps: int) -> float | int:
        """Return the value so many steps above the low end, as a person writes it: 0.95 is 3 of 0.05 above 0.8."""
        return type(self.low)(Decimal(str(self.low)) + steps * Decimal(str(self.step or 1)))

    def drawn(self, value: object) -> object:
        """Return what has to be drawn for the field to be `value`: `value` itself, or for 0 the low end."""
        return self.low if self.zero_below is not None and value == 0 else value

    def contains(self, value: object) -> bool:
        """Return whether the field can become `value`."""
        if self.kind == "categorical":
            return value in self.choices
        drawn = self.drawn(value)
        if not (isinstance(drawn, (int, float)) and self.low <= drawn <= self.high):
            return False
        steps = (drawn - self.low) / self.step if self.step else 0
        return abs(steps - round(steps)) < 1e-9

    def applies(self, settings: Mapping[str, object]) -> bool:
        """Return whether the field is searched beside these settings of the others."""
        return all(settings.get(name) in values for name, values in self.when.items())

    @property
    def values(self) -> tuple | None:
        """All values that can be drawn, in order; None for a range without steps, or for more than MOST_POINTS."""
        if self.kind == "categorical":
            return self.choices
        if self.log or not (self.step or self.kind == "int"):
            return None
        count = round((self.high - self.low) / (self.step or 1)) + 1
        return tuple(map(self._after, range(count))) if count <= MOST_POINTS else None

    @property
    def words(self) -> str:
        """The field and what it can be, in a few words."""
        if self.choices:
            what = ", ".join(map(value_text, self.choices))
        else:
            low = self.low if self.zero_below is None else self.zero_below
            what = f"{value_text(low)} … {value_text(self.high)}" + (" (log)" if self.log else "")
            what += f" by {value_text(self.step)}" if self.step else ""
            what += " or 0" if self.zero_below is not None else ""
        conditions = (f"{name} is {' or '.join(map(value_text, values))}" for name, values in self.when.items())
        return f"{what} when {' and '.join(conditions)}" if self.when else what

    def as_plain(self) -> dict[str, object]:
        """Return the field's entry in a YAML file."""
        entry = {"kind": self.kind}
        entry |= {"choices": list(self.choices)} if self.choices else {"range": [self.low, self.high]}
        entry |= {"log": "true"} if self.log else {}
        entry |= {name: getattr(self, name) for name in ("step", "zero_below") if getattr(self, name) is not None}
        return entry | ({"when": {name: list(values) for name, values in self.when.items()}} if self.when else {})


@dataclass(frozen=True)
class SearchSpace:
    """What a search varies, around which baseline; the baseline is one of its points."""

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

    def first(self) -> dict[str, object]:
        """Return what has to be drawn for the baseline, by field."""
        settings = {dimension.field: self.baseline.get(dimension.field) for dimension in self.dimensions}
        return {
            dimension.field: dimension.drawn(settings[dimension.field])
            for dimension in self.dimensions
            if dimension.applies(settings)
        }

    def points(self) -> list[dict[str, object]] | None:
        """Return every point of the space, as drawn values by field, in order.

        None where they are without number, or more than MOST_POINTS.
        """
        points: list[dict[str, object]] = [{}]
        for dimension in self.dimensions:
            if (values := dimension.values) is None:
                return None
            grown = (
                point | own
                for point in points
                for own in ([{dimension.field: value} for value in values] if dimension.applies(point) else [{}])
            )
            points = list(itertools.islice(grown, MOST_POINTS + 1))
            if len(points) > MOST_POINTS:
                return None
        return points

    def with_baseline(self, settings: Mapping[str, object], *, where: str | None = None) -> "SearchSpace":
        """Return the space around another baseline; raises ConfigError or SpaceError where that is not in it."""
        for name in settings:
            if name in FIELDS and name not in SEARCHED and where == "set":
                raise ConfigError(f"{name} is not changed here", where=where, hint=f"Use the parameter {name}.")
        changed = SearchSpace(self.name, self.baseline.replace(settings, where=where), self.dimensions)
        changed.check_baseline(lambda name: where or "baseline")
        return changed

    def check_baseline(self, where: Callable[[str], str]) -> None:
        """Raise SpaceError where the baseline is not a point of the space."""
        for dimension in self.dimensions:
            value = self.baseline.get(dimension.field)
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


# --- reading ----------------------------------------------------------------------------------------


def load_space(name: str) -> SearchSpace:
    """Return the space that `name` means: one of the project's, or a YAML file of the same form.

    Raises SpaceError, ConfigError or YamlError with the file, the line and the nearest name that exists.
    """
    path = yaml_file.find(name, SPACES, "space", SpaceError)
    space = parse_space(yaml_file.read(path), path.stem, path)
    if space.baseline.seed != FIELDS["seed"].default:
        raise SpaceError("a space has no seed", where=path, hint="Use the parameter seed.")
    return space


def parse_space(text: str, name: str, path: object) -> SearchSpace:
    """Return the space that a YAML file's text describes; `path` is where the errors say it stands.

    Raises SpaceError, ConfigError or YamlError, as `load` does.
    """
    content, at = yaml_file.parse(text, path)
    if not isinstance(content, dict):
        raise SpaceError("not a search space", where=path, expected=f"a mapping with {' and '.join(KEYS)}")
    yaml_file.check_keys(content, KEYS, at, SpaceError)
    settings, fields = content.get("baseline") or {}, content.get("fields")
    if not isinstance(settings, dict):
        raise SpaceError("baseline is not a mapping", where=at("baseline"), expected="field: value")
    if not (isinstance(fields, dict) and fields):
        what = "fields is empty" if fields in ({}, None) else "fields is not a mapping"
        raise SpaceError(what, where=at("fields"), expected="field: {range: [low, high]}")
    baseline = TrialConfig().replace_each(settings, lambda name: at("baseline", name))
    dimensions: list[Dimension] = []
    for key, entry in fields.items():
        dimensions.append(_dimension(key, entry, baseline, dimensions, lambda *keys, key=key: at("fields", key, *keys)))
    space = SearchSpace(name, baseline, tuple(dimensions))
    space.check_baseline(lambda name: at("fields", name))
    return space


def _dimension(
    name: str, entry: object, baseline: TrialConfig, before: list[Dimension], at: Callable[..., str]
) -> Dimension:
    if name not in FIELDS:
        raise SpaceError(f"no hyperparameter is called {name}", where=at(), hint=nearest(name, FIELDS))
    if name not in SEARCHED:
        raise SpaceError(f"{name} is not searched", where=at(), hint=f"Use the parameter {name}.")
    if not isinstance(entry, dict):
        raise SpaceError(f"{name} is not a mapping", where=at(), expected="{range: [low, high]} or {choices: […]}")
    yaml_file.check_keys(entry, FIELD_KEYS, at, SpaceError)
    if ("range" in entry) == ("choices" in entry):
        raise SpaceError(f"{name} needs either a range or choices", where=at())
    when = _conditions(entry.get("when", {}), before, lambda *keys: at("when", *keys))

    def checked(value: object, *keys: object) -> object:
        if isinstance(value, (dict, list)):
            raise SpaceError(f"{shown(value)} is not a value", where=at(*keys))
        return baseline.replace({name: value}, where=at(*keys)).get(name)

    if "choices" in entry:
        return _categorical(name, entry, when, checked, at)
    return _range(name, entry, when, checked, at)


def _categorical(name: str, entry: dict, when: dict, checked: Callable, at: Callable[..., str]) -> Dimension:
    for key in ("log", "step", "zero_below", "range"):
        if key in entry:
            raise SpaceError(f"{key} does not go with choices", where=at(key))
    _check_kind(entry, ("categorical",), at)
    if not (isinstance(entry["choices"], list) and entry["choices"]):
        what = "empty" if entry["choices"] in ([], None) else "not a list"
        raise SpaceError(f"choices of {name} is {what}", where=at("choices"), expected="[value, value]")
    choices = tuple(checked(value, "choices", index) for index, value in enumerate(entry["choices"]))
    if len(set(choices)) < len(choices):
        raise SpaceError(f"a choice of {name} stands twice", where=at("choices"), hint="Keep one of them.")
    return Dimension(name, "categorical", choices=choices, when=when)


def _range(name: str, entry: dict, when: dict, checked: Callable, at: Callable[..., str]) -> Dimension:
    ends = entry["range"]
    if not (isinstance(ends, list) and len(ends) == 2):
        raise SpaceError("range is not a pair", where=at("range"), expected="[low, high]", got=shown(ends))
    low, high = (checked(value, "range", index) for index, value in enumerate(ends))
    if not all(isinstance(end, (int, float)) for end in (low, high)):
        raise SpaceError(f"{name} has no range", where=at("range"), expected="choices: [value, value]")
    if not low < high:
        what = f"the range of {name} is empty"
        raise SpaceError(what, where=at("range"), expected="two ends that differ, the lower first", got=shown(ends))
    integral = isinstance(low, int)
    kind = _check_kind(entry, ("int",) if integral else ("float",), at) or ("int" if integral else "float")
    log = _boolean(entry.get("log", "false"), at("log"))
    if log and low <= 0:
        hint = "Begin above 0; zero_below lets what is drawn below a value mean 0."
        raise SpaceError("a logarithmic range cannot begin at 0", where=at("range"), hint=hint)
    step = _number(entry["step"], at("step"), integral) if "step" in entry else None
    if step is not None and log:
        raise SpaceError(f"{name} cannot have both a step and log", where=at("step"), hint="Keep one of them.")
    if step is not None and not (step > 0 and _divides(step, low, high)):
        expected = f"a number above 0 that divides {value_text(low)} … {value_text(high)} evenly"
        raise SpaceError(f"the step of {name} does not fit", where=at("step"), expected=expected, got=value_text(step))
    zero_below = _number(entry["zero_below"], at("zero_below"), False) if "zero_below" in entry else None
    if zero_below is not None and (integral or not low < zero_below <= high):
        raise SpaceError("zero_below does not fit", where=at("zero_below"), expected="a number within the range")
    if zero_below is not None:
        checked(0.0, "zero_below")
    return Dimension(name, kind, low, high, log, step, zero_below=zero_below, when=when)


def _divides(step: float | int, low: float | int, high: float | int) -> bool:
    return (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0


def _conditions(content: object, before: list[Dimension], at: Callable[..., str]) -> dict[str, tuple]:
    if not isinstance(content, dict):
        raise SpaceError("when is not a mapping", where=at(), expected="{field: [value, value]}")
    names = {dimension.field: dimension for dimension in before}
    conditions = {}
    for name, values in content.items():
        if name not in names:
            hint = nearest(name, names) if names else "Put it below a field."
            raise SpaceError(f"no field above is called {name}", where=at(name), hint=hint)
        if not (isinstance(values, list) and values):
            raise SpaceError(f"{name} is not a list", where=at(name), expected="[value, value]")
        try:
            typed = tuple(TrialConfig.parse({name: value}).get(name) for value in values)
        except (ConfigError, TypeError) as failure:
            raise SpaceError(str(failure).rstrip("."), where=at(name)) from None
        for value in typed:
            if not names[name].contains(value):
                raise SpaceError(f"{name} never is {value_text(value)}", where=at(name), expected=names[name].words)
        if names[name].values is None:
            hint = "Give it choices or a step, or leave the condition out."
            raise SpaceError(f"{name} hardly ever is exactly one of these values", where=at(name), hint=hint)
        conditions[name] = typed
    return conditions


def _check_kind(entry: dict, fitting: tuple[str, ...], at: Callable[..., str]) -> str | None:
    kind = entry.get("kind")
    if kind is not None and kind not in KINDS:
        raise SpaceError(f"no kind is called {kind}", where=at("kind"), hint=nearest(str(kind), KINDS))
    if kind is not None and kind not in fitting:
        raise SpaceError(f"kind {kind} does not fit", where=at("kind"), expected=" or ".join(fitting))
    return kind


def _boolean(value: object, where: str) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise SpaceError(f"{shown(value)} is neither true nor false", where=where)
    return str(value).lower() == "true"


def _number(value: object, where: str, integral: bool) -> float | int:
    try:
        number = float(value)
        if integral and number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        kind = "a whole number" if integral else "a number"
        raise SpaceError(f"{shown(value)} is not {kind}", where=where) from None
    return int(number) if integral else number
