"""The answers of a network to pictures: lines for a terminal, tables, and pages."""

from collections.abc import Sequence

import numpy as np

from study.analysis.explanations import Reading, Scores
from study.analysis.formatting import probability
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.plots import images
from study.reports.plots import readings as plots
from study.reports.study_report import facts_table
from study.reports.table import Column, Table

FOLDER = NAME = "predict"
BAR = 30  # letters
WORD = 24  # letters of a class's name beside it
EIGHTHS = " ▏▎▍▌▋▊▉"


# --- lines and tables, which a terminal shows -------------------------------------------------------


def bars(probabilities: np.ndarray, classes: Sequence[str] = ()) -> list[str]:
    """Return a line with a bar of blocks for each class, or for the ten likeliest of many: ``7  ██████▌  21.7 %``."""
    lines = []
    shown = plots.shown_classes(probabilities)
    names = {label: plots.cut(classes[label] if classes else str(label), WORD) for label in shown}
    width = max(2, *map(len, names.values()))
    for label in shown:
        full, rest = divmod(round(float(probabilities[label]) * BAR * 8), 8)
        bar = "█" * full + EIGHTHS[rest].strip()
        lines.append(f"{names[label]:>{width}}  {bar:<{BAR}}  {probability(probabilities[label]):>8}")
    return lines


def sentence(reading: Reading) -> str:
    """Return a reading in a line: ``four.png: 4 with 98.3 %, next 9 with 1.2 %; right``."""
    second = reading.probabilities[reading.runner_up]
    truth = "" if reading.truth is None else f"; wrong: it is {_a_truth(reading)}" if reading.wrong else "; right"
    return (
        f"{reading.name}: {reading.named(reading.label)} with {probability(reading.probability)}, "
        f"next {reading.named(reading.runner_up)} with {probability(second)}{truth}"
    )


def _a_truth(reading: Reading) -> str:
    name = reading.named(reading.truth)
    return f"a {name}" if name == str(reading.truth) else name


def doubt_line(reading: Reading) -> str | None:
    """Return in words how odd the row is next to the training rows; None if the model does not say."""
    if reading.doubt is None:
        return f"doubt: {reading.reason}" if reading.reason else None
    typical = "a typical training row" if reading.picture is None else "a typical training image"
    return f"doubt {reading.doubt:.3f}: {reading.reason or 'nothing odd about it'} (0.5 is {typical})"


def readings_table(readings: Sequence[Reading]) -> Table:
    """Return the readings, with the probability of each class in the CSV file."""
    classes = range(len(readings[0].probabilities)) if readings else ()
    columns = (
        Column("file"),
        Column("label", ("label", "class"), text=lambda one: one.named(one.label),
               fields=lambda one: (one.label, one.named(one.label))),
        Column("probability", ("probability", *(f"p{label}" for label in classes)),
               text=lambda one: probability(one.probability), fields=_probability_fields),
        Column("doubt", text=lambda doubt: "–" if doubt is None else f"{doubt:.3f}",
               fields=lambda doubt: ("" if doubt is None else f"{doubt:.6g}",)),
        Column("remark", ("reason", "truth"), True, _remark,
               lambda one: (one.reason, "" if one.truth is None else one.truth)),
    )  # fmt: skip
    return Table(columns, ((one.name, one, one, one.doubt, one) for one in readings))


def _probability_fields(reading: Reading) -> list[str]:
    return [f"{share:.8g}" for share in (reading.probability, *reading.probabilities)]


def _remark(reading: Reading) -> str:
    return "; ".join([f"wrong: {_a_truth(reading)}"] * reading.wrong + [reading.reason] * bool(reading.reason))


def score_lines(found: Scores, classes: Sequence[str] = ()) -> list[str]:
    """Return the accuracy with its interval, and the confused classes, in lines."""
    low, high = found.interval
    lines = [
        f"{found.hits} of {found.n} right: {100 * found.accuracy:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}, Wilson's 95 % interval)"
    ]
    mistakes = [(int(found.confusion[i, j]), i, j) for i, j in np.argwhere(found.confusion) if i != j]
    if mistakes:
        names = classes or [str(label) for label in range(len(found.confusion))]
        mistakes.sort(key=lambda one: -one[0])
        taken = ", ".join(f"{names[i]} → {names[j]}: {number}" for number, i, j in mistakes)
        lines.append(f"confused: {taken}")
    return lines


# --- pages ------------------------------------------------------------------------------------------


def picture_page(reading: Reading, facts: Sequence[tuple[str, str]]) -> Document:
    """Return the page about one picture, or one row of features."""
    document = Document(f"{reading.name}: {reading.named(reading.label)}")
    introduce(document, reading)
    document.figures({"reading": plots.reading_figure(reading)})
    rows = ((reading.named(label), probability(reading.probabilities[label])) for label in _ranked(reading))
    document.table(Table(("class", "probability"), rows))
    add_facts(document, facts)
    return document


def folder_page(
    title: str,
    readings: Sequence[Reading],
    unreadable: Sequence[tuple[str, str]],
    found: Scores | None,
    facts: Sequence[tuple[str, str]],
) -> Document:
    """Return the page about many pictures, or rows of features; `unreadable` are (file, reason)."""
    document = Document(title)
    classes, drawn, most = readings[0].classes, readings[0].picture is not None, plots.MOST_SHEETS * plots.SHEET
    what = "pictures" if drawn else "rows"
    if found:
        document.text("**In short.** " + plain("; ".join(score_lines(found, classes))) + ".")
        document.text(
            "A picture's true class is the one that its file name begins with." if drawn
            else "The rows' true classes are those of the column with the labels."
        )  # fmt: skip
    if drawn:
        document.figures(plots.sheets(readings))
        document.text(
            f"Each picture as given, and as the network saw it. ≠: the file name says another class. {plots.ODD}: see "
            "the remark in the table."
        )
    else:
        document.table(readings_table(readings[:most]))
    if (left := len(readings) - most) > 0:
        document.text(f"`predictions.csv` has all {what}, {left:,} more than are shown here.")
    if found and len(found.confusion) <= plots.MOST_BARS:
        document.heading("Which classes are confused")
        title = f"{found.n} {what}, in % of the true class"
        document.figures({"confusion": images.confusion(found.confusion, title, classes)})
    remarkable = [reading for reading in readings if reading.wrong or reading.reason]
    if remarkable:
        document.heading(f"{what.capitalize()} to check")
        document.table(readings_table(remarkable[:most]))
    if unreadable:
        document.heading("Pictures that could not be read")
        document.table(Table(("file", "reason"), unreadable, words=("reason",)))
    add_facts(document, facts)
    return document


def introduce(document: Document, reading: Reading) -> None:
    """Say what the network answers, and how odd the picture or row is."""
    document.text(plain(plots.capital(sentence(reading))) + ".")
    if line := doubt_line(reading):
        line = plain(plots.capital(line))
        document.text(f"> **{line}.**" if reading.reason else f"{line}.")


def _ranked(reading: Reading) -> list[int]:
    return np.argsort(-reading.probabilities, kind="stable")[: plots.MOST_BARS].tolist()


def add_facts(document: Document, facts: Sequence[tuple[str, object]]) -> None:
    """Add what was asked."""
    document.heading("What was asked")
    document.table(facts_table(facts))
