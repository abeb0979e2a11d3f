"""The sentences and tables of a dataset's report, which a terminal shows too."""

from collections.abc import Sequence

import numpy as np

from study.analysis.formatting import percent
from study.data.column_profile import ColumnProfile
from study.data.dataset import SPLITS, Dataset
from study.data.profile import QUANTILES, TOLERANCE, FeatureProfile, ImageProfile, Profile, overlaps
from study.reports.table import Table

SHOWN_CLASSES = 20
WORDS = {"train": "training", "validation": "validation", "test": "test"}
INK_NOTE = " {}: the mean pixel as a share of 255, as the median over the class's training images."
WITHIN_NOTE = "Within a split, {a_row} is compared with those before it."
NEAR_NOTE = (
    f" Nearly equal: the root mean square difference of the pixels is at most {TOLERANCE:g} of 255 grey levels. Each "
    "image is compared only with the training image whose means over 7×7 fields are closest. –: not looked for."
)
COLUMN_NOTE = (
    "Of the training rows. Missing: in how many rows. Says about the class, from 0 to 1: the correlation ratio η of a "
    "number (with two classes it is Pearson's |r|), Cramér's V of a category; each column by itself. –: nothing, as it "
    "is constant."
)
MOST_COLUMNS = 40  # of a table of columns on a page and on a terminal


def title(dataset: Dataset) -> str:
    """Return the dataset in a line: ``mnist: 70,000 images of 28×28 pixels in 10 classes``."""
    rows = sum(len(getattr(dataset, split)) for split in SPLITS)
    shape = "×".join(map(str, dataset.row_shape[:2] if dataset.kind == "pixels" else dataset.row_shape))
    if dataset.kind == "features":
        there = len(dataset.features.columns) if dataset.features else shape
        what = f"{rows:,} rows of {there} features"
    else:
        colour = "colour " if dataset.row_shape[2:] in ((3,), (4,)) else ""
        what = f"{rows:,} {colour}images of {shape} pixels"
    return f"{dataset.title}: {what} in {dataset.classes} classes"


def class_note(dataset: Dataset, profile: Profile) -> str:
    """Return which rows are for validation and for the test, and what the other columns of the classes' table mean."""
    note = f"Validation: {dataset.split}."
    if dataset.test_split:
        note += f" Test: {dataset.test_split}."
    return note + (INK_NOTE.format(profile.ink_word.capitalize()) if isinstance(profile, ImageProfile) else "")


def overlap_note(profile: Profile) -> str:
    """Return how rows are compared with one another."""
    images = profile.noun == "images"
    return WITHIN_NOTE.format(a_row="an image" if images else "a row") + (NEAR_NOTE if images else "")


def in_short(profile: Profile) -> str:
    """Return in a few sentences what you should know before you train."""
    counts, names = profile.counts["train"], profile.class_names
    most, least = int(counts.argmax()), int(counts.argmin())
    sentences = []
    if counts[least]:
        ratio = counts[most] / counts[least]
        sentences.append(
            f"The classes have from {counts[least]:,} (class {names[least]}) to {counts[most]:,} (class {names[most]}) "
            f"training {profile.noun}, a ratio of {ratio:.2f}."
        )
    for split, by_class in profile.counts.items():
        if len(missing := np.flatnonzero(by_class == 0)):
            sentences.append(f"No {WORDS[split]} {profile.noun} of {_classes_named(missing, names)}.")
    if isinstance(profile, FeatureProfile):
        sentences += _columns_in_short(profile)
    return " ".join([*sentences, *_duplicates_in_short(profile)])


def _columns_in_short(profile: FeatureProfile) -> list[str]:
    sentences = []
    if missing := [column for column in profile.columns if column.missing.any()]:
        values = sum(int(column.missing.sum()) for column in missing)
        where = _listed([column.name for column in missing])
        sentences.append(f"{values:,} values are missing, in {where}.")
    if constant := [column.name for column in profile.columns if column.is_constant]:
        sentences.append(f"The same in all training rows: {_listed(constant)}.")
    if profile.dropped:
        sentences.append(f"Left out, because every row has the same value: {_listed(profile.dropped)}.")
    if known := [column for column in ranked(profile) if np.isfinite(column.association)]:
        said = f"By itself {known[0].name} says most about the class ({known[0].association:.2f} of 1)"
        sentences.append(f"{said}, {known[-1].name} least ({known[-1].association:.2f})." if known[1:] else f"{said}.")
    return sentences


def ranked(profile: FeatureProfile) -> list[ColumnProfile]:
    """Return the columns, first those that say most about the class by themselves."""
    return sorted(profile.columns, key=lambda column: -np.nan_to_num(column.association, nan=-1))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{f' and {len(names) - 5} more columns' if len(names) > 5 else ''}"


def _classes_named(labels: np.ndarray, names: Sequence[str]) -> str:
    named = ", ".join(names[label] for label in labels[:5])
    return f"class {named}" if len(labels) == 1 else f"classes {named}{', …' if len(labels) > 5 else ''}"


def _duplicates_in_short(profile: Profile) -> list[str]:
    equal = {(pair.split, pair.row) for pair in profile.exact}
    across = {(pair.split, pair.row) for pair in profile.exact if pair.split != pair.of_split}
    against = {(pair.split, pair.row) for pair in profile.exact if pair.contradicts}
    noun, one = profile.noun, "an image" if profile.noun == "images" else "a row"
    sentences = [f"There are no duplicate {noun}."]
    if equal:
        sentences = [
            f"Duplicate {noun}: {len(equal):,}, of which {len(across):,} repeat {one} of another split and "
            f"{len(against):,} have another label than the {noun[:-1]} they repeat."
        ]
    if profile.near:
        against_near = sum(pair.contradicts for pair in profile.near)
        sentences.append(
            f"Near duplicates of training images in validation and test: {len(profile.near):,}, of which "
            f"{against_near:,} have another label."
        )
    elif profile.nearest:
        closest = f"the closest two are {profile.nearest[0].distance:.1f} grey levels apart"
        sentences.append(f"No validation or test image nearly equals a training image: {closest}.")
    return sentences


def class_table(profile: Profile) -> Table:
    """Return the rows of the first SHOWN_CLASSES classes, and of all together; of images with their ink."""
    train, images = profile.counts["train"], profile if isinstance(profile, ImageProfile) else None
    columns = ("class", *SPLITS, "train (%)", *((f"{images.ink_word} (%)",) if images else ()))
    rows = [
        (
            profile.class_names[label],
            *(int(profile.counts[split][label]) for split in SPLITS),
            percent(train[label] / train.sum(), 2),
            *((percent(images.ink[label, 2]),) if images else ()),
        )
        for label in range(min(SHOWN_CLASSES, len(train)))
    ]
    if len(train) > SHOWN_CLASSES:
        rows.append((f"… {len(train) - SHOWN_CLASSES} more", *["…"] * (len(columns) - 1)))
    total = ("all", *(int(profile.counts[split].sum()) for split in SPLITS), "100")
    rows.append((*total, None) if images else total)
    return Table(columns, rows)


def column_table(profile: FeatureProfile) -> Table:
    """Return the columns of the features, at most MOST_COLUMNS of them, first those that say most about the class."""
    columns = ranked(profile)
    rows: list[tuple[object, ...]] = [
        (column.name, _kind(column), *_spread(column), int(column.missing.sum()) or None, _share(column.association))
        for column in columns[:MOST_COLUMNS]
    ]
    if len(columns) > MOST_COLUMNS:
        rows.append((f"… {len(columns) - MOST_COLUMNS} more", *["…"] * 6))
    header = ("column", "kind", "lowest", "median", "highest", "missing", "says about the class")
    return Table(header, rows, words=("column", "kind"))


def _kind(column: ColumnProfile) -> str:
    return "number" if column.categories is None else f"{len(column.categories)} categories"


def _spread(column: ColumnProfile) -> tuple[str | None, str | None, str | None]:
    if column.categories is not None or column.missing.all():
        return None, None, None
    low, middle, high = np.nanquantile(column.values, (0, 0.5, 1))
    return f"{low:.4g}", f"{middle:.4g}", f"{high:.4g}"


def _share(association: float) -> str | None:
    return f"{association:.2f}" if np.isfinite(association) else None


def columns_table(profile: FeatureProfile) -> Table:
    """Return every column of the features in their order, with its quantiles or its categories."""
    header = ("column", "kind", "categories", "missing", "mean", "sd", *(f"q{q:g}" for q in (0, 25, 50, 75, 100)),
              "association")  # fmt: skip
    rows = []
    for column in profile.columns:
        numbers = column.values[~column.missing] if column.categories is None else np.empty(0)
        spread = [numbers.mean(), numbers.std(), *np.quantile(numbers, (0, 0.25, 0.5, 0.75, 1))] if len(numbers) else []
        told = [f"{value:.6g}" for value in spread] or [""] * 7
        categories = "|".join(column.categories or ())
        strength = "" if np.isnan(column.association) else f"{column.association:.6g}"
        rows.append((column.name, _kind(column), categories, int(column.missing.sum()), *told, strength))
    return Table(header, rows)


def overlap_table(profile: Profile) -> Table:
    """Return how many rows of each split equal one of another, exactly, and of images nearly."""
    looked_for = 6 if profile.noun == "images" else 4
    another = "with another label"
    columns = (f"{profile.noun} of", "that equal one of", "exactly", another, "nearly", another)[:looked_for]
    rows = (
        (row.split, row.of_split, row.exact, row.exact_contradicting, row.near, row.near_contradicting)[:looked_for]
        for row in overlaps(profile)
    )
    return Table(columns, rows, words=("that equal one of",))


def counts_table(profile: Profile) -> Table:
    """Return the rows of every class by split, of images with the quantiles of their ink."""
    inks = profile.ink if isinstance(profile, ImageProfile) else np.empty((len(profile.class_names), 0))
    rows = (
        (
            profile.class_names[label],
            *(profile.counts[split][label] for split in SPLITS),
            *(f"{share:.6g}" for share in ink),
        )
        for label, ink in enumerate(inks)
    )
    quantiles = [f"ink_q{100 * quantile:02.0f}" for quantile in QUANTILES][: inks.shape[1]]
    return Table(("class", *SPLITS, *quantiles), rows)


def duplicates_table(profile: Profile) -> Table:
    """Return every pair of equal or nearly equal rows; rows count from 0 in their split."""
    columns = ("kind", "split", "row", "label", "of_split", "of_row", "of_label", "distance", "contradicts")
    rows = (
        (
            "exact" if pair.exact else "near", pair.split, pair.row, pair.label, pair.of_split, pair.of_row,
            pair.of_label, f"{pair.distance:.6g}", str(pair.contradicts).lower(),
        )
        for pair in (*profile.exact, *profile.near)
    )  # fmt: skip
    return Table(columns, rows)
