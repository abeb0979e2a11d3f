"""What a survey of a dataset shows: a page, tables, and a run that keeps them."""

import shlex
from collections.abc import Sequence

import numpy as np

from study.data.dataset import SPLITS, Dataset
from study.data.profile import QUANTILES, TOLERANCE, Overlap, Pair, Profile, is_pictures, overlaps
from study.reports import common
from study.reports.document import Document, plain
from study.reports.plots import panels, style
from study.tracking import records, runs
from study.tracking.artifacts import csv_text

FOLDER = NAME = "explore"
SAMPLES = 8  # images of each class
SHOWN_CLASSES = 20
SHOWN_PAIRS = 9
WORDS = {"train": "training", "validation": "validation", "test": "test"}
SHORT = {"train": "train", "validation": "val", "test": "test"}
CLASS_COLUMNS = ("class", *SPLITS, "train (%)", "ink (%)")
CLASS_NOTE = (
    "Validation: the last rows of the training file. Ink: the mean pixel as a share of 255, the median of the class's "
    "training images."
)
OVERLAP_COLUMNS = ("images of", "that equal one of", "exactly", "with another label", "nearly", "with another label")
OVERLAP_NOTE = (
    "Within a split: images that equal one before them. Nearly: the root mean square of the difference of the pixels "
    f"is at most {TOLERANCE:g} of 255 grey levels, compared with the training image whose means over 7×7 fields are "
    "next; a – was not looked for."
)


def log(run: runs.Run, survey: Profile, dataset: Dataset, seed: int) -> str:
    """Write the survey into the run and end it; return where the page lies.

    Raises TrackingError where that cannot be written.
    """
    run.log_dataset(dataset)
    files = write(survey, dataset, seed).written(NAME)
    tables = {"class_counts.csv": class_counts_csv(survey), "duplicates.csv": duplicates_csv(survey)}
    run.log_files({f"{FOLDER}/{name}": content for name, content in files.items()} | tables)
    run.log_summary(_metrics(survey))
    runs.describe(run, f"**{plain(title(dataset))}**\n\n{plain(in_short(survey))}")
    run.end("FINISHED")
    return records.artifact_path(run.client, run.run_id, f"{FOLDER}/{NAME}.html")


def write(survey: Profile, dataset: Dataset, seed: int) -> Document:
    """Return the survey as a page, with the seed that drew its samples."""
    document = Document(title(dataset))
    if dataset.substitute_for:
        document.text(f"> **Not MNIST.** These are the UCI digits, in place of {plain(dataset.substitute_for)}.")
    document.text("**In short.** " + plain(in_short(survey)))
    _classes(document, survey, dataset)
    if is_pictures(dataset.image_shape):
        _looks(document, survey, dataset, seed)
    _pixels(document, survey, dataset)
    _twice(document, survey, dataset)
    _provenance(document, dataset, seed)
    return document


# --- sentences and tables that a terminal shows too -------------------------------------------------


def title(dataset: Dataset) -> str:
    """Return the dataset in a line: ``mnist: 70,000 images of 28×28 pixels in 10 classes``."""
    images = sum(len(getattr(dataset, split)) for split in SPLITS)
    height, width = dataset.image_shape
    return f"{dataset.title}: {images:,} images of {height}×{width} pixels in {dataset.classes} classes"


def in_short(survey: Profile) -> str:
    """Return in a few sentences what somebody should know before training."""
    counts = survey.counts["train"]
    most, least = int(counts.argmax()), int(counts.argmin())
    sentences = []
    if counts[least]:
        ratio = counts[most] / counts[least]
        sentences.append(
            f"A class has from {counts[least]:,} (class {least}) to {counts[most]:,} (class {most}) training images, "
            f"{ratio:.2f} times as many."
        )
    for split, by_class in survey.counts.items():
        if len(missing := np.flatnonzero(by_class == 0)):
            sentences.append(f"No {WORDS[split]} images of {_classes_named(missing)}.")
    return " ".join([*sentences, *_twice_in_short(survey)])


def _classes_named(labels: Sequence[int]) -> str:
    named = ", ".join(str(label) for label in labels[:5])
    return f"class {named}" if len(labels) == 1 else f"classes {named}{', …' if len(labels) > 5 else ''}"


def _twice_in_short(survey: Profile) -> list[str]:
    equal = {(pair.split, pair.row) for pair in survey.exact}
    across = {(pair.split, pair.row) for pair in survey.exact if pair.split != pair.of_split}
    against = {(pair.split, pair.row) for pair in survey.exact if pair.contradicts}
    sentences = ["No image is there twice."]
    if equal:
        sentences = [
            f"Images that equal one before them: {len(equal):,}, of which {len(across):,} stand in two splits and "
            f"{len(against):,} have another label than their equal."
        ]
    if survey.near:
        against_near = sum(pair.contradicts for pair in survey.near)
        sentences.append(
            f"Images of validation or test that nearly equal one of train: {len(survey.near):,}, of which "
            f"{against_near:,} have another label."
        )
    elif survey.nearest:
        closest = f"the closest two are {survey.nearest[0].distance:.1f} grey levels apart"
        sentences.append(f"No image of validation or test nearly equals one of train: {closest}.")
    return sentences


def class_cells(survey: Profile) -> list[tuple[str, ...]]:
    """Return the rows of the table of classes as text, of the first SHOWN_CLASSES, and one for all."""
    train = survey.counts["train"]
    rows = []
    for label in range(min(SHOWN_CLASSES, len(train))):
        counts = (f"{survey.counts[split][label]:,}" for split in SPLITS)
        ink = survey.ink[label, 2]
        rows.append(
            (str(label), *counts, f"{100 * train[label] / train.sum():.2f}", _percent(ink) if train[label] else "–")
        )
    if len(train) > SHOWN_CLASSES:
        rows.append((f"… {len(train) - SHOWN_CLASSES} more", *["…"] * 5))
    return [*rows, ("all", *(f"{survey.counts[split].sum():,}" for split in SPLITS), "100", "–")]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def overlap_cells(survey: Profile) -> list[tuple[str, ...]]:
    """Return the rows of the table of what is there twice as text."""
    return [(row.split, row.of_split, *map(_count, _numbers(row))) for row in overlaps(survey)]


def _numbers(row: Overlap) -> tuple[int | None, ...]:
    return row.exact, row.exact_contradicting, row.near, row.near_contradicting


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def class_counts_csv(survey: Profile) -> str:
    """Return the images by class and split, with the quantiles of their ink, as a CSV file's text."""
    header = ("class", *SPLITS, *(f"ink_q{100 * quantile:02.0f}" for quantile in QUANTILES))
    rows = (
        (label, *(survey.counts[split][label] for split in SPLITS), *(f"{share:.6g}" for share in ink))
        for label, ink in enumerate(survey.ink)
    )
    return csv_text(header, rows)


def duplicates_csv(survey: Profile) -> str:
    """Return every pair that is the same, exactly or nearly, as a CSV file's text; rows count from 0 in their split."""
    header = ("kind", "split", "row", "label", "of_split", "of_row", "of_label", "distance", "contradicts")
    rows = (
        (
            "exact" if pair.exact else "near", pair.split, pair.row, pair.label, pair.of_split, pair.of_row,
            pair.of_label, f"{pair.distance:.6g}", str(pair.contradicts).lower(),
        )
        for pair in (*survey.exact, *survey.near)
    )  # fmt: skip
    return csv_text(header, rows)


def _metrics(survey: Profile) -> dict[str, float]:
    mean, sd = survey.mean_and_sd
    return {
        "pixel_mean": mean,
        "pixel_sd": sd,
        "exact_duplicates": len({(pair.split, pair.row) for pair in survey.exact}),
        "near_duplicates": len(survey.near),
        "contradicting_duplicates": len(
            {(pair.split, pair.row) for pair in (*survey.exact, *survey.near) if pair.contradicts}
        ),
    }


# --- the sections -----------------------------------------------------------------------------------


def _classes(document: Document, survey: Profile, dataset: Dataset) -> None:
    document.heading("Splits and classes")
    document.table(CLASS_COLUMNS, class_cells(survey))
    document.text(CLASS_NOTE)
    shown = min(SHOWN_CLASSES, dataset.classes)
    shares = {split: 100 * counts[:shown] / counts.sum() for split, counts in survey.counts.items() if counts.sum()}
    places = [str(label) for label in range(shown)]
    first = "" if shown == dataset.classes else f", the first {shown} of {dataset.classes}"
    document.figures(
        {
            "shares": panels.bars(shares, places, f"Classes by split{first}", "class", "share of the split (%)"),
            "ink": panels.boxes(
                100 * survey.ink[:shown], places, f"Ink of an image by class{first}", "class", "ink (%)"
            ),
        }
    )
    document.text("Ink: the line goes from the 5th to the 95th percentile, the box from the 25th to the 75th.")


def _looks(document: Document, survey: Profile, dataset: Dataset, seed: int) -> None:
    document.heading("What the images look like")
    shown = min(SHOWN_CLASSES, dataset.classes)
    blank = np.zeros(dataset.image_shape, np.uint8)
    images, captions = [], []
    for label, rows in enumerate(survey.samples[:shown]):
        images += [*dataset.train.images[rows], *[blank] * (SAMPLES - len(rows))]
        captions += [*(f"{label} · {row}" for row in rows), *[f"{label} · –"] * (SAMPLES - len(rows))]
    known = [(label, portrait) for label, portrait in enumerate(survey.portraits[:shown]) if portrait.mean is not None]
    names = [str(label) for label, _ in known]
    document.figures(
        {
            "samples": panels.pictures(
                images, captions, f"Training images by class (class · row; seed {seed})", SAMPLES
            ),
        }
    )
    document.figures(
        {
            "means": panels.pictures([each.mean for _, each in known], names, "Mean of each class", 5),
            "sds": panels.pictures([each.sd for _, each in known], names, "Spread (sd) within each class", 5),
        }
    )
    document.text(
        "Mean and standard deviation of each pixel over the class's training images, from 0 (white) to 255 (black)."
    )


def _pixels(document: Document, survey: Profile, dataset: Dataset) -> None:
    document.heading("Pixels")
    mean, sd = survey.mean_and_sd
    height, width = dataset.image_shape
    document.text(
        f"Of the training images: mean {mean:.2f}, standard deviation {sd:.2f} of 255 grey levels; "
        f"{100 * survey.pixels[0] / survey.pixels.sum():.1f} % are 0 and "
        f"{100 * survey.pixels[255] / survey.pixels.sum():.1f} % are 255. {survey.never_inked:,} of the "
        f"{height * width:,} places are 0 in every one."
    )
    # 0 is most of most images, and in the text; with it the picture would show nothing else.
    shares = np.where(survey.pixels > 0, 100 * survey.pixels / survey.pixels.sum(), np.nan)[1:]
    figure = panels.bands(
        {"training images": shares[None]}, "How often each value above 0 occurs", "pixel value",
        "share of the pixels (%)", np.arange(1, 256), log=True, counts=False,
    )  # fmt: skip
    document.figures({"pixels": figure})


def _twice(document: Document, survey: Profile, dataset: Dataset) -> None:
    document.heading("What is there twice")
    document.table(OVERLAP_COLUMNS, overlap_cells(survey), words=("that equal one of",))
    document.text(OVERLAP_NOTE + " `duplicates.csv` names every pair.")
    if not is_pictures(dataset.image_shape):
        return
    twice = sorted((*survey.exact, *survey.near), key=lambda pair: not pair.contradicts)
    apart = [pair for pair in survey.nearest or () if pair.distance > TOLERANCE]
    other = [pair for pair in survey.nearest or () if pair.contradicts]
    galleries = {
        "twice": (twice, f"There twice ({min(SHOWN_PAIRS, len(twice))} of {len(twice):,})"),
        "closest": (apart, "The closest that are not the same"),
        "contradicting": (other, "The closest with different labels"),
    }
    drawn = {name: _gallery(pairs, dataset, words) for name, (pairs, words) in galleries.items() if pairs}
    if drawn:
        document.figures(drawn)
        document.text(
            "Below each pair the row and the label of both; on the right the earlier image, of train where nothing "
            "else is said."
        )


def _gallery(pairs: Sequence[Pair], dataset: Dataset, words: str) -> style.Figure:
    images, captions = [], []
    for pair in pairs[:SHOWN_PAIRS]:
        left = getattr(dataset, pair.split).images[pair.row]
        right = getattr(dataset, pair.of_split).images[pair.of_row]
        images.append(np.hstack([left, np.full((len(left), 1), 128, np.uint8), right]))
        earlier = "" if pair.of_split == "train" else f"{SHORT[pair.of_split]} "
        captions.append(f"{SHORT[pair.split]} {pair.row}: {pair.label} | {earlier}{pair.of_row}: {pair.of_label}")
    return panels.pictures(images, captions, words, 3)


def _provenance(document: Document, dataset: Dataset, seed: int) -> None:
    document.heading("What was looked at, and how to look again")
    settings = {"data": dataset.spec, "validation": len(dataset.validation), "seed": seed}
    command = (f"-P {name}={shlex.quote(str(value))}" for name, value in settings.items())
    document.text("```sh\n" + " ".join(["mlflow run . -e explore", *command]) + "\n```")
    facts = [
        ("data", f"{dataset.spec}, SHA-256 {dataset.sha256}"),
        ("commit", common.commit_text(runs.code_tags())),
    ]
    document.table(("what", "value"), facts, words=("value",))
