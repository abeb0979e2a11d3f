"""What the fields of a config have in common: how they are checked, and how their values become text and back."""

import math
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from study.base.errors import ConfigError, shown

NONE = "none"
MOST_SIDE = 4_096  # pixels of a picture
AUTO: Literal["auto"] = "auto"
Value = str | int | float | bool | None  # of a field


class Part(BaseModel):
    """A part of a config: immutable, and without unknown fields or infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# --- values -----------------------------------------------------------------------------------------


def none(value: object) -> object:
    """Return None for the word ``none``."""
    return None if value == NONE else value


def text(value: object) -> object:
    """Return a number as its text: in a YAML file 128 is one, and means the same as "128"."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def boolean(value: object) -> object:
    """Return the words ``true`` and ``false`` as what they mean, and None as it is; raises ValueError for all else."""
    words = {"true": True, "false": False}
    if value is None:  # the type says whether it may be
        return value
    found = words.get(value.lower(), value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError("expected true or false")
    return found


def word(value: str | None) -> str | None:
    """Return a text that fits into ``field=value,field=value``; raises ValueError for another."""
    if value is None:
        return value
    if not value or not value.isprintable() or set(value) & set(" ,="):
        raise ValueError("expected a word without spaces, commas and equals signs")
    return value


def one_of(choices: tuple[Value, ...]) -> Callable[[object], object]:
    """Return a function that finds the choice that a value is, or is the text of."""
    by_text = {value_text(choice): choice for choice in choices}

    def choose(value: object) -> object:
        return value if value is None else by_text.get(value_text(value), value)

    return choose


def widths(value: str) -> str:
    """Return widths such as ``20-7-5``, or ``none``, in their usual form; raises ValueError."""
    if value == NONE:
        return value
    parts = value.split("-")
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 65_536 for part in parts):
        raise ValueError(f"expected widths between 1 and 65536 such as 128 or 20-7-5, or {NONE}")
    return "-".join(str(int(part)) for part in parts)


def width_list(value: str) -> tuple[int, ...]:
    """Return the widths that ``20-7-5`` lists; none for ``none``."""
    return () if value == NONE else tuple(int(part) for part in value.split("-"))


def validation_rows(value: str) -> str:
    """Return a count or a fraction of rows, or ``auto``, in its usual form; raises ValueError."""
    if value == AUTO:
        return value
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not (0 < number < 1 or (1 <= number < 2**31 and number == int(number))):
        raise ValueError("expected auto, a fraction such as 0.2, or a count such as 5000")
    return repr(number) if number < 1 else str(int(number))


def size(value: str | None) -> str | None:
    """Return a height and a width of pictures, such as ``28x28``, in their usual form; raises ValueError."""
    if value is None:
        return None
    sides = value.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and 1 <= int(side) <= MOST_SIDE for side in sides):
        raise ValueError(f"expected a height and a width of 1 to {MOST_SIDE:,} pixels, such as 28x28")
    return "x".join(str(int(side)) for side in sides)


def decay(value: object) -> object:
    """Return a weight decay as a number, or ``auto``; raises ValueError."""
    if value == AUTO:
        return value
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise ValueError(f"expected {AUTO}, or a number of at least 0")
    return number


def checked(adapter: TypeAdapter[Any], name: str, value: object, where: object, *, is_bool: bool = False) -> Value:
    """Return the value of one field as its type has it; raises ConfigError. Only one that `is_bool` takes a bool."""
    if isinstance(value, bool) and not is_bool:  # would pass for the numbers 0 and 1
        raise ConfigError(f"{name} cannot be {value}", where=where, expected="a number or a word")
    try:
        found: Value = adapter.validate_python(value)
    except ValidationError as failure:
        message = failure.errors()[0]["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        expected = message.removeprefix("expected ")
        raise ConfigError(f"{name} cannot be {shown(value)}", where=where, expected=expected) from None
    return found


# --- text -------------------------------------------------------------------------------------------


def value_text(value: object) -> str:
    """Return one field's value as a person would write it: ``none``, ``true``, ``0.001``, ``1e-05``, ``20-7-5``."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value!r}" if isinstance(value, float) else str(value)


def brief(value: object) -> str:
    """Return one field's value for display: a float with three significant digits at most."""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)
