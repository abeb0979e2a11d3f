"""Turns labels, whole numbers or text, into classes 0, 1, … with names."""

from collections.abc import Mapping, Sequence

import numpy as np

from study.base.errors import DataError, shown
from study.base.text import readable

LEAST_CLASSES, MOST_CLASSES = 2, 1_000
MOST_LETTERS = 100  # of a class's name


def classified(
    labels: Mapping[str, np.ndarray], names: Sequence[str] | None, where: object, column: str = "y_train"
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels (n,) by split as classes of int32, and the classes' names.

    Whole numbers from 0 to k - 1 without a gap are the classes themselves; `names` names them in this order, and
    without it there are none: (). Other whole numbers and text become classes in their order; `names`, of text labels,
    says another order. `column` is the place of the training rows' labels in `where`. Raises DataError, also for a
    class that the training rows don't have, unless other numbers surround it.
    """
    place = f"{where}: {column}" if column else where
    there = np.unique(np.concatenate(list(labels.values())))
    known = np.unique(labels["train"])
    numbers = there.dtype.kind in "iu"
    as_they_are = numbers and len(there) <= MOST_CLASSES and (there == np.arange(len(there))).all()
    for split, values in labels.items():
        strange = values > known[-1] if as_they_are else ~np.isin(values, known)
        if strange.any():
            got = values[strange.argmax()]
            raise DataError(
                "a label that the training rows never show", where=f"{where}: y_{split}",
                expected=_listed(known), got=got if numbers else shown(str(got)),
            )  # fmt: skip
    if len(there) < LEAST_CLASSES:
        expected = f"{LEAST_CLASSES} to {MOST_CLASSES:,} classes"
        raise DataError("there is only one class", where=place, expected=expected, got=f"the label {there[0]} alone")
    if len(there) > MOST_CLASSES:
        what = "too many classes"
        raise DataError(what, where=place, expected=f"at most {MOST_CLASSES:,}", got=f"{len(there):,} labels")
    if as_they_are:
        found = () if names is None else _named(names, len(there), where)
        return {split: values.astype(np.int32) for split, values in labels.items()}, found
    own = [str(value) for value in there]
    if numbers:
        order, found = there, _named(own if names is None else names, len(there), where)
    else:
        found = _named(sorted(own, key=_in_order) if names is None else names, len(there), where)
        if unknown := set(own) - set(found):
            what, got = "a label that class_names doesn't have", shown(sorted(unknown)[0])
            raise DataError(what, where=where, expected=_listed(np.array(found)), got=got)
        order = np.array(found)
    by_value = np.argsort(order)
    places = {
        split: by_value[np.searchsorted(order[by_value], values)].astype(np.int32) for split, values in labels.items()
    }
    return places, found


def _in_order(name: str) -> tuple[int, str]:
    """Return a key that sorts "10" after "9", and all other text as it is."""
    return (int(name), "") if name.isascii() and name.isdigit() and len(name) < 10 else (2**31, name)


def _named(names: Sequence[str], classes: int, where: object) -> tuple[str, ...]:
    place = f"{where}: class_names"
    if len(names) != classes:
        raise DataError("not one name a class", where=place, expected=f"{classes} names", got=f"{len(names)}")
    for name in names:
        if not name.strip() or len(name) > MOST_LETTERS or readable(name) != name or "\n" in name:
            expected = f"1 to {MOST_LETTERS} printable characters"
            raise DataError("a class without a proper name", where=place, expected=expected, got=shown(name))
    if len(set(names)) < classes:
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError("two classes have the same name", where=place, got=shown(twice))
    return tuple(names)


def _listed(values: np.ndarray) -> str:
    if values.dtype.kind in "iu" and len(values) > 1 and (np.diff(values) == 1).all():
        return f"{values[0]} to {values[-1]}"
    return ", ".join(str(value) for value in values[:10]) + (", …" if len(values) > 10 else "")
