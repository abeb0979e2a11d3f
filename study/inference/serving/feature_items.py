"""Items of a network that reads features: an object with their names, or their values where they have none."""

import math

import numpy as np

from study.base.errors import StudyError, likeliest
from study.data.features import Column, Features
from study.inference.contract import Contract
from study.inference.serving import items
from study.inference.serving.admission import Admission

LARGEST = float(np.finfo(np.float32).max)
FEW = 10  # names or categories that an error lists
LONGEST = 100  # letters of an unknown name that are compared with the known ones


class NamedItems:
    """Items of named features: ``{"alcohol": 13.2, "colour": "red"}``.

    A feature that was sometimes missing in training may be missing here, or null. Those that said nothing in training
    are accepted and ignored.
    """

    def __init__(self, features: Features):
        self._features = features
        self._columns = {column.name: column for column in features.columns}

    def checked(self, item: object, where: str) -> dict:
        """Return an item that has the features that the network needs; raises StudyError."""
        given = items.check_object(item, where, f"an object with {_listed(list(self._columns))}")
        known = self._columns.keys() | set(self._features.dropped)
        if others := [name for name in given if name not in known]:
            got = "another name" if len(others) == 1 else f"{len(others)} other names"
            hint = likeliest(others[0][:LONGEST], list(self._columns))
            raise StudyError("unknown features", where=where, expected=_listed(list(self._columns)), got=got, hint=hint)
        for name, column in self._columns.items():
            if given.get(name) is not None:
                _check(column, given[name], f"{where}.{name}")
            elif not column.optional:
                what = "null" if name in given else "a missing feature"
                raise StudyError(what, where=f"{where}.{name}", expected=_wanted(column))
        return given

    def work(self, checked: list[dict]) -> int:
        """Return the work that items make beside the network: none that counts."""
        return 0

    def rows(self, checked: list[dict], work: int, admission: Admission) -> np.ndarray:
        """Return the items as the network sees them: (n, columns) of float32."""
        return self._features.encode(checked)


class ValueItems:
    """Items of features without names: ``{"values": […]}``, in lists of the row's shape."""

    def __init__(self, contract: Contract):
        self._shape = contract.row_shape
        self._expected = items.form(contract.row_shape)

    def checked(self, item: object, where: str) -> np.ndarray:
        """Return an item's values; raises StudyError."""
        items.only_key(item, ("values",), where)
        assert isinstance(item, dict)
        where = f"{where}.values"
        values = items.numbers(item["values"], self._shape, where, self._expected)
        if not (np.abs(values) <= LARGEST).all():  # NaN is not
            got = "NaN" if np.isnan(values).any() else "a larger one"
            raise StudyError("a number out of range", where=where, expected="numbers up to 3.4e38", got=got)
        return values.astype(np.float32)

    def work(self, checked: list[np.ndarray]) -> int:
        """Return the work that items make beside the network: none that counts."""
        return 0

    def rows(self, checked: list[np.ndarray], work: int, admission: Admission) -> np.ndarray:
        """Return the items as the network sees them: (n, …) of float32."""
        return np.stack(checked)


def of(contract: Contract) -> items.Items:
    """Return the items of a network that reads features."""
    return ValueItems(contract) if contract.features is None else NamedItems(contract.features)


def _check(column: Column, value: object, where: str) -> None:
    if column.values is not None:
        # JSON may have a category that looks like a whole number as one.
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise StudyError("not a category", where=where, expected=_wanted(column), got=items.kind(value))
        if str(value) not in column.values:
            raise StudyError("an unknown category", where=where, expected=_wanted(column))
        return
    if not isinstance(value, (int, float)):  # true and false are 1 and 0, as they are in a table
        raise StudyError("not a number", where=where, expected=_wanted(column), got=items.kind(value))
    if isinstance(value, float) and math.isnan(value):
        hint = "Leave it out, or say null." if column.optional else None
        raise StudyError("not a number", where=where, expected=_wanted(column), got="NaN", hint=hint)
    if abs(value) > LARGEST:
        raise StudyError("a number out of range", where=where, expected="at most 3.4e38")


def _wanted(column: Column) -> str:
    return "a number" if column.values is None else _listed(list(column.values), " or ")


def _listed(names: list[str], last: str = ", ") -> str:
    if len(names) > FEW:
        return f"{', '.join(names[:FEW])} and {len(names) - FEW} more"
    return ", ".join(names[:-1]) + last + names[-1] if len(names) > 1 else "".join(names)
