"""What the arms' predictions of the test images show: confusions, prediction flips, and the images that flip."""

from collections.abc import Sequence

import numpy as np

from study.analysis.ablation_results import ACCURACY, AblationResults
from study.analysis.formatting import show_p, whole
from study.analysis.prediction_flips import Flips, Ledger
from study.data.dataset import is_picture
from study.reports.document import Document
from study.reports.plots import images, style
from study.reports.table import Column, Table
from study.training.metrics import confusion

GALLERIES = 3
SHOWN = 16  # images of a gallery
LONGEST_NAME = 10  # letters of a class in a caption
SHORT_CAPTION = 10  # letters, of which eight stand side by side


def confusions(document: Document, study: AblationResults) -> None:
    there = [arm for arm in study.arms if arm.name in study.predictions]
    # The mean of the seeds that an unstable arm has left is no reason to call it the best.
    stable = [arm for arm in there if arm.name not in study.unstable] or there
    finished = [(arm.values[ACCURACY.metric], arm.name) for arm in stable]
    ranked = [name for value, name in sorted(finished, key=lambda one: one[0].mean if one[0] else 0)]
    if not ranked or not study.test_set:
        return
    labels = study.test_set[0]
    every = [predicted for by_seed in study.predictions.values() for predicted in by_seed.values()]
    classes = 1 + int(max(labels.max(), *(predicted.max() for predicted in every)))
    document.heading("Which classes are confused")
    drawn = {}
    for name, arm in (("best", ranked[-1]), ("worst", ranked[0])):
        by_seed = list(study.predictions[arm].values())
        counts = np.mean([confusion(predicted, labels, classes) for predicted in by_seed], axis=0)
        drawn[f"confusion_{name}"] = images.confusion(counts, f"{name} arm by validation: {arm}", study.class_names)
    document.figures(drawn)
    document.text("Shares of the true class in percent, on the test rows, averaged over the arm's seeds.")


def flips(document: Document, study: AblationResults) -> None:
    book, test_set = study.ledger, study.test_set
    if not book or not test_set:
        return
    document.heading("Prediction flips")
    between = (Column(f"flips between two {what}", text=whole) for what in ("arms", "seeds"))
    columns = [*map(Column, ("arm", "against", "fixed", "broken")), Column("McNemar's p", text=show_p), *between]
    rows = (
        (one.arm, one.against, len(one.fixed), len(one.broken), one.p, one.a_pair, book.seed_flips[one.against])
        for one in book.flips
    )
    document.table(Table(columns, rows, words=("against",)))
    document.text(
        f"Fixed: of the {book.images:,} test rows, those that most seeds of the arm get right, but not most seeds of "
        "the other. Broken: the reverse. p: McNemar's exact test of the two numbers, not corrected. The last two "
        "columns count the rows that two trials disagree about: two arms with the same seed, and two seeds of the "
        "arm compared against, which shows how many flips are noise."
    )
    _resampled(document, book)
    _galleries(document, book, *test_set, study.class_names)


def _resampled(document: Document, book: Ledger) -> None:
    found = [(one.arm, one.against, one.resampled) for one in book.flips if one.resampled]
    if not found:
        return
    columns = (Column("arm"), Column("against"), Column("seeds"), Column("test accuracy (points)", text=_points),
               Column("over other seeds and images", ("low", "high"), text=_between, fields=tuple))  # fmt: skip
    rows = ((arm, against, one.seeds, one.mean, (one.low, one.high)) for arm, against, one in found)
    document.table(Table(columns, rows, words=("against",)))
    document.text(
        "The difference in test accuracy, paired by seed. 95 % of the differences lie in the interval when both the "
        "seeds and the test images are drawn anew from these, with replacement: it shows what other seeds and other "
        "images of the same kind might give. It is for one comparison and one look, and decides nothing; verdicts do."
    )


def _between(ends: tuple[float, float]) -> str:
    return " to ".join(map(_points, ends))


def _points(difference: float) -> str:
    return f"{difference:+z.2f}".replace("-", "−")


def _galleries(
    document: Document, book: Ledger, labels: np.ndarray, pictures: np.ndarray, names: Sequence[str]
) -> None:
    shown = is_picture(pictures.shape[1:])
    drawn = {}
    if shown:
        most = sorted(book.flips, key=lambda flips: -len(flips.fixed) - len(flips.broken))[:GALLERIES]
        for number, flips in enumerate(most, start=1):
            for word, indices in (("fixes", flips.fixed), ("breaks", flips.broken)):
                if len(indices):
                    title = _gallery_title(flips, word, len(indices))
                    drawn[f"flips_{number}_{word}"] = _gallery(book, labels, pictures, indices, title, names)
    document.heading(f"{'Images' if shown else 'Test rows'} that every trial gets wrong", 3)
    document.text(f"{len(book.never_right):,} of {book.images:,}, in {book.trials} trials of all arms.")
    if shown and len(book.never_right):
        title = f"Every trial gets these wrong ({min(SHOWN, len(book.never_right))} of {len(book.never_right):,})"
        drawn = {"never_right": _gallery(book, labels, pictures, book.never_right, title, names)} | drawn
    if drawn:
        document.figures(drawn)
        document.text("Below each image: its label → the class that most of the trials that get it wrong choose.")


def _gallery_title(flips: Flips, word: str, number: int) -> str:
    shown = f", {SHOWN} of {number:,}" if number > SHOWN else f", {number}"
    return f"{flips.arm} {word}{shown}"


def _gallery(
    book: Ledger, labels: np.ndarray, pictures: np.ndarray, indices: np.ndarray, title: str, names: Sequence[str]
) -> style.Figure:
    pairs = [(labels[index], book.taken_for[index]) for index in indices[:SHOWN]]
    captions = [
        " → ".join(images.brief(names[label], LONGEST_NAME) if len(names) > label else str(label) for label in pair)
        for pair in pairs
    ]
    columns = 8 if max(map(len, captions)) <= SHORT_CAPTION else 4
    return images.pictures([*pictures[indices[:SHOWN]]], captions, title, columns, ink=images.is_ink(pictures))
