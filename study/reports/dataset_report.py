"""The profile of a dataset as a page with tables, kept in a run."""

import math
import shlex
from collections.abc import Sequence

import numpy as np

from study.analysis.formatting import percent
from study.data.dataset import Dataset
from study.data.duplicates import Pair
from study.data.profile import TOLERANCE, FeatureProfile, ImageProfile, Profile
from study.reports import dataset_tables, feature_section, study_report
from study.reports.dataset_tables import SHOWN_CLASSES, in_short, title
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.plots import images, panels, style
from study.tracking import provenance, runs, stored

FOLDER = NAME = "explore"
SAMPLES = 8  # images of each class
SHOWN_PAIRS = 9
SHORT_NAME = 8  # of the two below a pair
LONGEST_NAME = 12  # letters of a class beside or below a picture
SHORT = {"train": "train", "validation": "val", "test": "test"}


def log(run: runs.Run, profile: Profile, dataset: Dataset, seed: int) -> str:
    """Write the profile into the run and end it; return the page's path.

    Raises TrackingError where that cannot be written.
    """
    run.log_dataset(dataset)
    files = write(profile, dataset, seed).written(NAME)
    tables = {
        "class_counts.csv": dataset_tables.counts_table(profile).csv(),
        "duplicates.csv": dataset_tables.duplicates_table(profile).csv(),
    }
    if isinstance(profile, FeatureProfile):
        tables["columns.csv"] = dataset_tables.columns_table(profile).csv()
    run.log_files({f"{FOLDER}/{name}": content for name, content in files.items()} | tables)
    run.log_summary(_metrics(profile))
    runs.describe(run, f"**{plain(title(dataset))}**\n\n{plain(in_short(profile))}")
    run.end("FINISHED")
    return stored.artifact_path(run.client, run.run_id, f"{FOLDER}/{NAME}.html")


def write(profile: Profile, dataset: Dataset, seed: int) -> Document:
    """Return the profile as a page, with the seed that drew its samples."""
    document = Document(title(dataset))
    if dataset.substitute_for:
        document.text(f"> **Not MNIST.** These are the UCI digits, in place of {plain(dataset.substitute_for)}.")
    document.text("**In short.** " + plain(in_short(profile)))
    _classes(document, profile, dataset)
    if isinstance(profile, FeatureProfile):
        feature_section.columns(document, profile)
    elif isinstance(profile, ImageProfile):
        if dataset.is_pictures:
            _looks(document, profile, dataset, seed)
        _pixels(document, profile, dataset)
    _duplicates(document, profile, dataset)
    _provenance(document, dataset, seed)
    return document


def _metrics(profile: Profile) -> dict[str, float]:
    of_kind: dict[str, float] = {}
    if isinstance(profile, ImageProfile):
        of_kind = dict(zip(("pixel_mean", "pixel_sd"), profile.mean_and_sd, strict=True))
    elif isinstance(profile, FeatureProfile):
        missing = sum(int(column.missing.sum()) for column in profile.columns)
        of_kind = {"features": len(profile.columns), "missing_values": missing}
    return of_kind | {
        "exact_duplicates": len({(pair.split, pair.row) for pair in profile.exact}),
        "near_duplicates": len(profile.near),
        "contradicting_duplicates": len(
            {(pair.split, pair.row) for pair in (*profile.exact, *profile.near) if pair.contradicts}
        ),
    }


def _classes(document: Document, profile: Profile, dataset: Dataset) -> None:
    document.heading("Splits and classes")
    document.table(dataset_tables.class_table(profile))
    document.text(dataset_tables.class_note(dataset, profile))
    shown = min(SHOWN_CLASSES, dataset.classes)
    shares = {split: 100 * counts[:shown] / counts.sum() for split, counts in profile.counts.items() if counts.sum()}
    places = _brief(dataset)[:shown]
    first = "" if shown == dataset.classes else f", the first {shown} of {dataset.classes}"
    drawn = {"shares": panels.bars(shares, places, f"Classes by split{first}", "class", "share of the split (%)")}
    if isinstance(profile, ImageProfile):
        word = profile.ink_word
        words = f"{word.capitalize()} of an image by class{first}"
        drawn["ink"] = panels.boxes(100 * profile.ink[:shown], places, words, "class", f"{word} (%)")
    document.figures(drawn)
    if isinstance(profile, ImageProfile):
        word = profile.ink_word.capitalize()
        document.text(f"{word}: the line goes from the 5th to the 95th percentile, the box from the 25th to the 75th.")


def _looks(document: Document, profile: ImageProfile, dataset: Dataset, seed: int) -> None:
    document.heading("What the images look like")
    shown = min(SHOWN_CLASSES, dataset.classes)
    ink, coloured = profile.is_ink, dataset.row_shape[2:] in ((3,), (4,))
    blank = np.full(dataset.row_shape, 0 if ink else 255, np.uint8)
    named = _brief(dataset)[:shown] if dataset.has_names else ()
    tiles, captions = [], []
    for label, rows in enumerate(profile.samples[:shown]):
        begin = "" if named else f"{label} · "
        tiles += [*dataset.train.inputs[rows], *[blank] * (SAMPLES - len(rows))]
        captions += [*(f"{begin}{row}" for row in rows), *[f"{begin}–"] * (SAMPLES - len(rows))]
    portraits = [(label, each.mean, each.sd) for label, each in enumerate(profile.portraits[:shown])]
    names = _brief(dataset)
    known = [(names[label], mean, sd) for label, mean, sd in portraits if mean is not None and sd is not None]
    names = [name for name, _, _ in known]
    words = f"Training images by class ({'' if named else 'class · '}row; seed {seed})"
    document.figures({"samples": images.pictures(tiles, captions, words, SAMPLES, ink=ink, lines=named)})
    document.figures(
        {
            "means": images.pictures([mean for _, mean, _ in known], names, "Mean of each class", 5, ink=ink),
            "sds": images.pictures([sd for _, _, sd in known], names, "Spread (sd) within each class", 5, ink=ink),
        }
    )
    document.text(
        "Mean and standard deviation of each pixel over the class's training images, "
        f"{'channel by channel' if coloured else 'from 0 (white) to 255 (black)' if ink else 'from 0 to 255'}."
    )


def _brief(dataset: Dataset) -> list[str]:
    return [images.brief(name, LONGEST_NAME) for name in dataset.class_names]


def _pixels(document: Document, profile: ImageProfile, dataset: Dataset) -> None:
    document.heading("Pixels")
    mean, sd = profile.mean_and_sd
    shares = profile.pixels / profile.pixels.sum()
    document.text(
        f"Of the training images: mean {mean:.2f}, standard deviation {sd:.2f} of 255 grey levels; "
        f"{percent(shares[0])} % are 0 and {percent(shares[255])} % are 255. {profile.never_inked:,} of the "
        f"{math.prod(dataset.row_shape):,} {'values' if dataset.row_shape[2:] else 'pixels'} are 0 in every image."
    )
    # Most pixels of most images are 0: with that value the picture would show nothing else.
    drawn = np.where(shares > 0, 100 * shares, np.nan)[1:]
    figure = panels.bands(
        {"training images": drawn[None]}, "How often each value above 0 occurs", "pixel value",
        "share of the pixels (%)", np.arange(1, 256), log=True, counts=False,
    )  # fmt: skip
    document.figures({"pixels": figure})


def _duplicates(document: Document, profile: Profile, dataset: Dataset) -> None:
    document.heading(f"Duplicate {profile.noun}")
    document.table(dataset_tables.overlap_table(profile))
    document.text(dataset_tables.overlap_note(profile) + " `duplicates.csv` lists every pair.")
    if not isinstance(profile, ImageProfile) or not dataset.is_pictures:
        return
    ink = profile.is_ink
    twice = sorted((*profile.exact, *profile.near), key=lambda pair: not pair.contradicts)
    apart = [pair for pair in profile.nearest or () if pair.distance > TOLERANCE]
    other = [pair for pair in profile.nearest or () if pair.contradicts]
    galleries = {
        "twice": (twice, f"Duplicates ({min(SHOWN_PAIRS, len(twice))} of {len(twice):,})"),
        "closest": (apart, "The closest pairs that are no duplicates"),
        "contradicting": (other, "The closest pairs with different labels"),
    }
    drawn = {name: _gallery(pairs, dataset, words, ink) for name, (pairs, words) in galleries.items() if pairs}
    if drawn:
        document.figures(drawn)
        document.text(
            "Below each pair: row and label of both images. The earlier one is on the right; it is a training image "
            "unless the caption says otherwise."
        )


def _gallery(pairs: Sequence[Pair], dataset: Dataset, words: str, ink: bool) -> style.Figure:
    tiles, captions = [], []
    names = [images.brief(name, SHORT_NAME) for name in dataset.class_names]
    for pair in pairs[:SHOWN_PAIRS]:
        left = getattr(dataset, pair.split).inputs[pair.row]
        right = getattr(dataset, pair.of_split).inputs[pair.of_row]
        tiles.append(np.hstack([left, np.full_like(left[:, :1], 128), right]))
        earlier = "" if pair.of_split == "train" else f"{SHORT[pair.of_split]} "
        captions.append(
            f"{SHORT[pair.split]} {pair.row}: {names[pair.label]} | {earlier}{pair.of_row}: {names[pair.of_label]}"
        )
    return images.pictures(tiles, captions, words, 3, ink=ink)


def _provenance(document: Document, dataset: Dataset, seed: int) -> None:
    document.heading("The data, and how to look at them again")
    loaded = {name: value for name, value in dataset.settings.items() if value is not None}
    settings = {**loaded, "validation": len(dataset.validation), "seed": seed}
    command = (f"-P {name}={shlex.quote(str(value))}" for name, value in settings.items())
    document.text("```sh\n" + " ".join(["mlflow run . -e explore", *command]) + "\n```")
    facts = [
        ("data", f"{dataset.spec}, SHA-256 {dataset.sha256}"),
        ("commit", study_report.commit_text(provenance.code_tags())),
    ]
    document.table(study_report.facts_table(facts))
