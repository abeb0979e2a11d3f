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
EIGHTHS = " ▏▎▍▌▋▊▉"


# --- lines and tables, which a terminal shows -------------------------------------------------------


def bars(probabilities: np.ndarray) -> list[str]:
    """Return a line with a bar of blocks for each class, or for the ten likeliest of many: ``7  ██████▌  21.7 %``."""
    lines = []
    for label in plots.shown_classes(probabilities):
        full, rest = divmod(round(float(probabilities[label]) * BAR * 8), 8)
        bar = "█" * full + EIGHTHS[rest].strip()
        lines.append(f"{label:>2}  {bar:<{BAR}}  {probability(probabilities[label]):>8}")
    return lines


def sentence(reading: Reading) -> str:
    """Return a reading in a line: ``four.png: 4 with 98.3 %, next 9 with 1.2 %; right``."""
    second = reading.probabilities[reading.runner_up]
    truth = "" if reading.truth is None else f"; wrong: it is a {reading.truth}" if reading.wrong else "; right"
    return (
        f"{reading.name}: {reading.label} with {probability(reading.probability)}, "
        f"next {reading.runner_up} with {probability(second)}{truth}"
    )


def doubt_line(reading: Reading) -> str | None:
    """Return in words how odd the picture is next to the training images; None if the model cannot tell."""
    if reading.doubt is None:
        return None
    return f"doubt {reading.doubt:.3f}: {reading.reason or 'nothing odd about it'} (0.5 is a typical training image)"


def readings_table(readings: Sequence[Reading]) -> Table:
    """Return the readings, with the probability of each class in the CSV file."""
    classes = range(len(readings[0].probabilities)) if readings else ()
    columns = (
        Column("file"),
        Column("label"),
        Column("probability", ("probability", *(f"p{label}" for label in classes)),
               text=lambda one: probability(one.probability), fields=_probability_fields),
        Column("doubt", text=lambda doubt: "–" if doubt is None else f"{doubt:.3f}",
               fields=lambda doubt: ("" if doubt is None else f"{doubt:.6g}",)),
        Column("remark", ("reason", "truth"), True, _remark,
               lambda one: (one.reason, "" if one.truth is None else one.truth)),
    )  # fmt: skip
    return Table(columns, ((one.name, str(one.label), one, one.doubt, one) for one in readings))


def _probability_fields(reading: Reading) -> list[str]:
    return [f"{share:.8g}" for share in (reading.probability, *reading.probabilities)]


def _remark(reading: Reading) -> str:
    return "; ".join([f"wrong: a {reading.truth}"] * reading.wrong + [reading.reason] * bool(reading.reason))


def score_lines(found: Scores) -> list[str]:
    """Return the accuracy with its interval, and the confused classes, in lines."""
    low, high = found.interval
    lines = [
        f"{found.hits} of {found.n} right: {100 * found.accuracy:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}, Wilson's 95 % interval)"
    ]
    mistakes = [(int(found.confusion[i, j]), i, j) for i, j in np.argwhere(found.confusion) if i != j]
    if mistakes:
        taken = ", ".join(f"{i} → {j}: {number}" for number, i, j in sorted(mistakes, key=lambda one: -one[0]))
        lines.append(f"confused: {taken}")
    return lines


# --- pages ------------------------------------------------------------------------------------------


def picture_page(reading: Reading, facts: Sequence[tuple[str, str]]) -> Document:
    """Return the page about one picture."""
    document = Document(f"{reading.name}: {reading.label}")
    introduce(document, reading)
    document.figures({"reading": plots.reading_figure(reading)})
    rows = ((str(label), probability(reading.probabilities[label])) for label in _ranked(reading))
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
    """Return the page about many pictures; `unreadable` are (file, reason)."""
    document = Document(title)
    if found:
        document.text("**In short.** " + plain("; ".join(score_lines(found))) + ".")
        document.text("A picture's true class is the digit that its file name begins with.")
    document.figures(plots.sheets(readings))
    document.text(
        f"Each picture as given, and as the network saw it. ≠: the file name says another class. {plots.ODD}: see the "
        "remark in the table."
    )
    if (left := len(readings) - plots.MOST_SHEETS * plots.SHEET) > 0:
        document.text(f"`predictions.csv` has all pictures, {left:,} more than are shown here.")
    if found and len(found.confusion) <= plots.MOST_BARS:
        document.heading("Which classes are confused")
        title = f"{found.n} pictures, in % of the true class"
        document.figures({"confusion": images.confusion(found.confusion, title)})
    remarkable = [reading for reading in readings if reading.wrong or reading.reason]
    if remarkable:
        document.heading("Pictures to check")
        document.table(readings_table(remarkable[: plots.MOST_SHEETS * plots.SHEET]))
    if unreadable:
        document.heading("Pictures that could not be read")
        document.table(Table(("file", "reason"), unreadable, words=("reason",)))
    add_facts(document, facts)
    return document


def introduce(document: Document, reading: Reading) -> None:
    """Say what the network answers, and how odd the picture is."""
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
