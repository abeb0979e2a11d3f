"""The part of a dataset's report that is about the columns of its features."""

from study.data.column_profile import ColumnProfile
from study.data.profile import FeatureProfile
from study.reports import dataset_tables
from study.reports.document import Document
from study.reports.plots import columns as plots

SHOWN = 18  # columns, whose distributions are drawn
SHOWN_CLASSES = 6  # classes, that many colours can be told apart


def columns(document: Document, profile: FeatureProfile) -> None:
    """Add the table of the columns, and how those that say most about the class are distributed in each class."""
    document.heading("Columns")
    document.table(dataset_tables.column_table(profile))
    document.text(dataset_tables.COLUMN_NOTE + " `columns.csv` lists every column in the data's order.")
    known = [column for column in dataset_tables.ranked(profile) if not column.is_constant]
    _distributions(document, profile, known)
    missing = {column.name: 100 * column.missing.mean() for column in profile.columns if column.missing.any()}
    if missing:
        ranked = dict(sorted(missing.items(), key=lambda one: -one[1])[:SHOWN])
        first = f", {SHOWN} of {len(missing)} columns" if len(missing) > SHOWN else ""
        figure = plots.shares(ranked, f"Missing values{first}", "share of the training rows (%)")
        document.heading("Missing values", 3)
        document.figures({"missing": figure})
        document.text(
            "A column of 0 and 1 says which values are missing. The median of the rows that are not for the test "
            "stands for a missing number."
        )


def _distributions(document: Document, profile: FeatureProfile, known: list[ColumnProfile]) -> None:
    if not known:
        return
    labels, counts = profile.labels, profile.counts["train"]
    largest = sorted(sorted(range(len(counts)), key=lambda label: -counts[label])[:SHOWN_CLASSES])
    by_class = {profile.class_names[label]: labels == label for label in largest if counts[label]}
    shown = known[:SHOWN]
    words = f"Distributions by class, {len(shown)} of {len(profile.columns)} columns"
    if len(profile.columns) == len(shown):
        words = "Distributions by class"
    if len(counts) > SHOWN_CLASSES:
        words += f", the {SHOWN_CLASSES} largest of {len(counts)} classes"
    document.heading("Distributions", 3)
    document.figures({"distributions": plots.distributions(shown, by_class, words)})
    document.text(
        "Of the training rows of each class, the share in each bin from the 1st to the 99th percentile, or the share "
        "of each category. First the columns that say most about the class."
    )
