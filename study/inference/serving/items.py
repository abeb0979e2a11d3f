"""What all kinds of items have in common: the checks of a request's list and of lists of numbers.

An error names the item and what was expected, and repeats nothing of the input.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from study.base.errors import StudyError
from study.inference.serving.admission import Admission

MOST_ITEMS = 256
JSON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number"}
LEVELS = ("rows", "pixels", "numbers")  # of lists in lists, the outermost first


class Items(Protocol):
    """One kind of items: each is checked, all of a request are weighed, and then they become rows of the network."""

    def checked(self, item: object, where: str) -> Any:
        """Return an item that is right, not yet decoded; raises StudyError, which says `where` it stands."""

    def work(self, checked: list[Any]) -> int:
        """Return the work that a request's items make; raises StudyError if that is too much."""

    def rows(self, checked: list[Any], work: int, admission: Admission) -> np.ndarray:
        """Return the items of a request with so much work as the network sees them (n, …); raises StudyError, Busy."""


def kind(value: object) -> str:
    """Return what a JSON value is, in words."""
    return JSON_NAMES.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def check_list(items: object) -> None:
    """Raise StudyError unless this is a list of 1 to MOST_ITEMS items."""
    expected = f"a list of 1 to {MOST_ITEMS} items"
    if not isinstance(items, list):
        raise StudyError("not a list", where="inputs", expected=expected, got=kind(items))
    if not 1 <= len(items) <= MOST_ITEMS:
        what = "too many items" if items else "no items"
        raise StudyError(what, where="inputs", expected=expected, got=len(items))


def check_object(item: object, where: str, expected: str) -> dict:
    """Return an item that is an object; raises StudyError for any other."""
    if not isinstance(item, dict):
        raise StudyError("not an item", where=where, expected=expected, got=kind(item))
    return item


def only_key(item: object, keys: Sequence[str], where: str) -> str:
    """Return the only key of an item, one of `keys`; raises StudyError."""
    named = " or ".join(f'"{key}"' for key in keys)
    expected = f"an object with {'either ' if len(keys) > 1 else 'only '}{named}"
    item = check_object(item, where, expected)
    if len(item) != 1 or not item.keys() <= set(keys):
        there = [key for key in keys if key in item]
        others = len(item) - len(there)
        got = " and ".join([f'"{key}"' for key in there] + ([f"{others} other keys"] if others else [])) or "no keys"
        raise StudyError("wrong keys", where=where, expected=expected, got=got.replace("1 other keys", "another key"))
    return next(iter(item))


def form(shape: Sequence[int], limits: str = "") -> str:
    """Return the shape of lists in lists in words: ``28 rows of 28 numbers from 0 to 255``."""
    levels = _levels(len(shape))
    return " of ".join(f"{side} {level}" for side, level in zip(shape, levels, strict=True)) + limits


def numbers(value: object, shape: tuple[int, ...], where: str, expected: str) -> np.ndarray:
    """Return lists in lists of numbers as an array (shape) of float64; raises StudyError for anything else.

    NaN and infinity are numbers here; a whole number that is too large is infinite.
    """
    parts: list = [value]
    lengths: list[list[int]] = []
    for depth in range(len(shape)):
        if not all(isinstance(part, list) for part in parts):
            got = kind(value) if depth == 0 else f"a list of things other than {_levels(len(shape))[depth - 1]}"
            what = "not rows of numbers" if len(shape) > 1 else "not a list of numbers"
            raise StudyError(what, where=where, expected=expected, got=got)
        lengths.append(sorted(set(map(len, parts))))
        if depth < len(shape) - 1:
            parts = list(chain.from_iterable(parts))
    if lengths != [[side] for side in shape]:
        raise StudyError("wrong shape", where=where, expected=expected, got=_form_of(value, lengths))
    # Check this here, because numpy accepts texts and truth values as numbers.
    leaves = list(chain.from_iterable(parts))
    if strange := set(map(type, leaves)) - {int, float}:
        got = " and ".join(sorted(JSON_NAMES.get(each, "null") for each in strange))
        raise StudyError("not only numbers", where=where, expected=expected, got=got)
    try:
        return np.array(leaves, np.float64).reshape(shape)
    except OverflowError:  # a whole number of more than 308 digits
        return np.array([_float(leaf) for leaf in leaves]).reshape(shape)


def _levels(depth: int) -> list[str]:
    """Return the names of the levels of lists in lists, the outermost first."""
    return [*LEVELS[: depth - 1], "numbers"] if depth <= len(LEVELS) else ["lists"] * (depth - 1) + ["numbers"]


def _form_of(value: object, lengths: list[list[int]]) -> str:
    levels = _levels(len(lengths))
    if lengths[0] == [0]:
        return f"no {levels[0]}"
    uneven = next((depth for depth, found in enumerate(lengths) if len(found) != 1), None)
    if uneven is None:
        if len(lengths) == 2:
            return f"{lengths[0][0]} rows of {lengths[1][0]}"
        return form([found[0] for found in lengths])
    return f"{lengths[0][0]} {levels[0]} of different lengths"


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
