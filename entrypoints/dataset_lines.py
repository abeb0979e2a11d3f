"""Says what deserves a line about a dataset before a command trains on it."""

from collections.abc import Sequence

from study.data.dataset import Dataset

UNEVEN = 2.0  # times as many rows in the largest class as in the smallest: worth a line
MOST_NAMED = 8  # columns


def uneven(dataset: Dataset) -> str | None:
    """Return in a line how uneven the classes are, if they are: accuracy then says little about the small ones."""
    counts, names = dataset.class_counts, dataset.class_names
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] < UNEVEN * counts[least]:
        return None
    return (
        f"Classes are uneven: from {counts[least]:,} ({names[least]}) to {counts[most]:,} ({names[most]}) training "
        "rows. val_balanced_accuracy counts each class alike."
    )


def columns(dataset: Dataset) -> str | None:
    """Return in a line what was done to the columns of a table, if anything was."""
    if not dataset.features:
        return None
    told = []
    if gaps := [column.name for column in dataset.features.columns if column.optional]:
        told.append(f"values missing in {_listed(gaps)}, each with a column that says so")
    if dropped := dataset.features.dropped:
        told.append(f"left out, as they never change: {_listed(dropped)}")
    return f"Columns: {'; '.join(told)}" if told else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if names[MOST_NAMED:] else "")
