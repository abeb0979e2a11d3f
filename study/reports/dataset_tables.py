"""The sentences and tables of a dataset's report, which a terminal shows too."""

import numpy as np

from study.analysis.formatting import percent
from study.data.dataset import SPLITS, Dataset
from study.data.profile import QUANTILES, TOLERANCE, Profile, overlaps
from study.reports.table import Table

SHOWN_CLASSES = 20
WORDS = {"train": "training", "validation": "validation", "test": "test"}
CLASS_NOTE = (
    "Validation: the last rows of the training file. Ink: the mean pixel as a share of 255, as the median over the "
    "class's training images."
)
OVERLAP_NOTE = (
    "Within a split, an image is compared with those before it. Nearly equal: the root mean square difference of the "
    f"pixels is at most {TOLERANCE:g} of 255 grey levels. Each image is compared only with the training image whose "
    "means over 7×7 fields are closest. –: not looked for."
)


def title(dataset: Dataset) -> str:
    """Return the dataset in a line: ``mnist: 70,000 images of 28×28 pixels in 10 classes``."""
    images = sum(len(getattr(dataset, split)) for split in SPLITS)
    height, width = dataset.row_shape
    return f"{dataset.title}: {images:,} images of {height}×{width} pixels in {dataset.classes} classes"


def in_short(survey: Profile) -> str:
    """Return in a few sentences what you should know before you train."""
    counts = survey.counts["train"]
    most, least = int(counts.argmax()), int(counts.argmin())
    sentences = []
    if counts[least]:
        ratio = counts[most] / counts[least]
        sentences.append(
            f"The classes have from {counts[least]:,} (class {least}) to {counts[most]:,} (class {most}) training "
            f"images, a ratio of {ratio:.2f}."
        )
    for split, by_class in survey.counts.items():
        if len(missing := np.flatnonzero(by_class == 0)):
            sentences.append(f"No {WORDS[split]} images of {_classes_named(missing)}.")
    return " ".join([*sentences, *_duplicates_in_short(survey)])


def _classes_named(labels: np.ndarray) -> str:
    named = ", ".join(str(label) for label in labels[:5])
    return f"class {named}" if len(labels) == 1 else f"classes {named}{', …' if len(labels) > 5 else ''}"


def _duplicates_in_short(survey: Profile) -> list[str]:
    equal = {(pair.split, pair.row) for pair in survey.exact}
    across = {(pair.split, pair.row) for pair in survey.exact if pair.split != pair.of_split}
    against = {(pair.split, pair.row) for pair in survey.exact if pair.contradicts}
    sentences = ["There are no duplicate images."]
    if equal:
        sentences = [
            f"Duplicate images: {len(equal):,}, of which {len(across):,} repeat an image of another split and "
            f"{len(against):,} have another label than the image they repeat."
        ]
    if survey.near:
        against_near = sum(pair.contradicts for pair in survey.near)
        sentences.append(
            f"Near duplicates of training images in validation and test: {len(survey.near):,}, of which "
            f"{against_near:,} have another label."
        )
    elif survey.nearest:
        closest = f"the closest two are {survey.nearest[0].distance:.1f} grey levels apart"
        sentences.append(f"No validation or test image nearly equals a training image: {closest}.")
    return sentences


def class_table(survey: Profile) -> Table:
    """Return the images and the ink of the first SHOWN_CLASSES classes, and of all together."""
    train = survey.counts["train"]
    columns = ("class", *SPLITS, "train (%)", "ink (%)")
    rows = [
        (
            str(label),
            *(int(survey.counts[split][label]) for split in SPLITS),
            percent(train[label] / train.sum(), 2),
            percent(survey.ink[label, 2]),
        )
        for label in range(min(SHOWN_CLASSES, len(train)))
    ]
    if len(train) > SHOWN_CLASSES:
        rows.append((f"… {len(train) - SHOWN_CLASSES} more", *["…"] * 5))
    rows.append(("all", *(int(survey.counts[split].sum()) for split in SPLITS), "100", None))
    return Table(columns, rows)


def overlap_table(survey: Profile) -> Table:
    """Return how many images of each split equal one of another, exactly and nearly."""
    columns = ("images of", "that equal one of", "exactly", "with another label", "nearly", "with another label")
    rows = (
        (row.split, row.of_split, row.exact, row.exact_contradicting, row.near, row.near_contradicting)
        for row in overlaps(survey)
    )
    return Table(columns, rows, words=("that equal one of",))


def counts_table(survey: Profile) -> Table:
    """Return the images of every class by split, with the quantiles of their ink."""
    rows = (
        (label, *(survey.counts[split][label] for split in SPLITS), *(f"{share:.6g}" for share in ink))
        for label, ink in enumerate(survey.ink)
    )
    return Table(("class", *SPLITS, *(f"ink_q{100 * quantile:02.0f}" for quantile in QUANTILES)), rows)


def duplicates_table(survey: Profile) -> Table:
    """Return every pair of equal or nearly equal images; rows count from 0 in their split."""
    columns = ("kind", "split", "row", "label", "of_split", "of_row", "of_label", "distance", "contradicts")
    rows = (
        (
            "exact" if pair.exact else "near", pair.split, pair.row, pair.label, pair.of_split, pair.of_row,
            pair.of_label, f"{pair.distance:.6g}", str(pair.contradicts).lower(),
        )
        for pair in (*survey.exact, *survey.near)
    )  # fmt: skip
    return Table(columns, rows)
