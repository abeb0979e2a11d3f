"""Range and Choices: the two kinds of dimension that a search space has."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from study.training.config import Value, value_text

MOST_POINTS = 100_000  # a longer list of points is not made


class Suggests(Protocol):
    """Suggests values, as an Optuna trial does."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...

    def suggest_categorical(self, name: str, choices: tuple[Value, ...]) -> Value: ...


@dataclass(frozen=True, kw_only=True)
class _Field:
    """One field of the space, searched only `when` each of the fields named there has one of the values beside it."""

    field: str
    when: Mapping[str, tuple[Value, ...]] = dataclasses.field(default_factory=dict)

    def applies(self, settings: Mapping[str, object]) -> bool:
        """Return whether the field is searched beside these settings of the others."""
        return all(settings.get(name) in values for name, values in self.when.items())

    def _with_conditions(self, words: str) -> str:
        conditions = (f"{name} is {' or '.join(map(value_text, values))}" for name, values in self.when.items())
        return f"{words} when {' and '.join(conditions)}" if self.when else words

    def _entry(self, **plain: object) -> dict[str, object]:
        when = {name: list(values) for name, values in self.when.items()} or None
        return {name: value for name, value in (plain | {"when": when}).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Range(_Field):
    """The numbers from `low` to `high`, both included; whole numbers where `low` is one.

    The sampler sees what is *drawn* for the field. A value drawn below `zero_below` means 0: on a logarithmic scale
    that is how a range can have 0 at its lower end.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    zero_below: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the field is a whole number."""
        return isinstance(self.low, int)

    def suggest(self, trial: Suggests) -> Value:
        """Return the field's value that the trial suggests."""
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(self.field, int(self.low), int(self.high), step=step, log=self.log)
        value = trial.suggest_float(self.field, self.low, self.high, step=self.step, log=self.log)
        if self.step:  # Optuna draws 0.9500000000000001 where 0.95 is meant
            value = self._after(round((value - self.low) / self.step))
        return self.becomes(value)

    def becomes(self, drawn: Value) -> Value:
        """Return the field's value where `drawn` is drawn for it."""
        assert isinstance(drawn, (int, float))
        return 0.0 if self.zero_below is not None and drawn < self.zero_below else drawn

    def _after(self, steps: int) -> float:
        """Return the value this many steps above the low end, as a person writes it: 0.95 is 3 of 0.05 above 0.8."""
        return type(self.low)(Decimal(str(self.low)) + steps * Decimal(str(self.step or 1)))

    def drawn(self, value: Value) -> Value:
        """Return the value to draw so that the field becomes `value`."""
        return self.low if self.zero_below is not None and value == 0 else value

    def contains(self, value: Value) -> bool:
        """Return whether the field can become `value`."""
        drawn = self.drawn(value)
        if not (isinstance(drawn, (int, float)) and self.low <= drawn <= self.high) or self.becomes(drawn) != value:
            return False
        steps = (drawn - self.low) / self.step if self.step else 0
        return abs(steps - round(steps)) < 1e-9

    @property
    def values(self) -> tuple[Value, ...] | None:
        """The values to draw so that the field becomes each that it can become, in order.

        None for a range without steps, or for more than MOST_POINTS.
        """
        if self.log or not (self.step or self.whole):
            return None
        count = round((self.high - self.low) / (self.step or 1)) + 1
        drawn = map(self._after, range(count if count <= MOST_POINTS else 0))
        return tuple({self.becomes(value): value for value in reversed([*drawn])}.values())[::-1] or None

    def position(self, value: Value) -> float:
        """Return where a value lies along the dimension, from 0 to 1."""
        scale = math.log if self.log else float
        number = self.drawn(value)
        assert isinstance(number, (int, float))
        return (scale(number) - scale(self.low)) / (scale(self.high) - scale(self.low))

    def at(self, position: float) -> float:
        """Return the value that lies at a position from 0 to 1."""
        if self.log:
            return float(self.low * (self.high / self.low) ** position)
        return self.low + position * (self.high - self.low)

    @property
    def words(self) -> str:
        """The values that the field can have, and under which conditions, in a few words."""
        low = self.low if self.zero_below is None else self.zero_below
        log, step = " (log)" if self.log else "", f" by {value_text(self.step)}" if self.step else ""
        zero = "" if self.zero_below is None else " or 0"
        return self._with_conditions(f"{value_text(low)} … {value_text(self.high)}{log}{step}{zero}")

    def as_plain(self) -> dict[str, object]:
        """Return the field's entry in a YAML file."""
        kind, log = "int" if self.whole else "float", "true" if self.log else None
        ends = [self.low, self.high]
        return self._entry(kind=kind, range=ends, log=log, step=self.step, zero_below=self.zero_below)


@dataclass(frozen=True, kw_only=True)
class Choices(_Field):
    """A few values, in the order of the file."""

    choices: tuple[Value, ...]

    def suggest(self, trial: Suggests) -> Value:
        """Return the field's value that the trial suggests."""
        return trial.suggest_categorical(self.field, self.choices)

    def drawn(self, value: Value) -> Value:
        """Return the value to draw so that the field becomes `value`."""
        return value

    def becomes(self, drawn: Value) -> Value:
        """Return the field's value where `drawn` is drawn for it."""
        return drawn

    def contains(self, value: Value) -> bool:
        """Return whether the field can become `value`."""
        return value in self.choices

    @property
    def values(self) -> tuple[Value, ...]:
        """All values that can be drawn, in order."""
        return self.choices

    def position(self, value: Value) -> float:
        """Return where a value lies along the dimension, from 0 to 1."""
        return self.choices.index(value) / self._steps

    def at(self, position: float) -> float:
        """Return where a position from 0 to 1 lies among the choices, the first of which is at 0, the next at 1."""
        return position * self._steps

    @property
    def _steps(self) -> int:
        return max(1, len(self.choices) - 1)

    @property
    def words(self) -> str:
        """The values that the field can have, and under which conditions, in a few words."""
        return self._with_conditions(", ".join(map(value_text, self.choices)))

    def as_plain(self) -> dict[str, object]:
        """Return the field's entry in a YAML file."""
        return self._entry(kind="categorical", choices=list(self.choices))


Dimension = Range | Choices
