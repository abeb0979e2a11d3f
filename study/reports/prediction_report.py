"""What a network says to a picture, and why: lines of a terminal, figures, pages, and a run that keeps them."""

import re
from collections.abc import Sequence

import numpy as np

from study.analysis import explanations
from study.analysis.explanations import Explanation, Reading, Scores
from study.data.dataset import Dataset
from study.reports.document import Document, plain
from study.reports.plots import panels, style
from study.reports.plots.style import COLOURS, FAINT, INK, literal
from study.tracking.artifacts import csv_text

FOLDER, PAGE = "predict", "predict.html"
BAR = 30  # letters
EIGHTHS = " ▏▎▍▌▋▊▉"
MOST_BARS = 20  # classes of which all are shown; of more the ten likeliest
SHEET = 60  # pictures on a contact sheet
MOST_SHEETS = 10
TILE = 56  # pixels: twice MNIST's 28
NAME = 11  # letters of a file's name below its picture
TOP = 8  # units and pixels that are shown
COLUMNS = ("file", "label", "probability", "doubt", "remark")
ODD = "?"  # beside what deserves a second look


# --- lines that a terminal shows --------------------------------------------------------------------


def percent(share: float) -> str:
    """Return a share from 0 to 1 as people read it: ``98.3 %``; never 100 or 0 where it only comes near."""
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def bars(probabilities: np.ndarray) -> list[str]:
    """Return a line with a bar of blocks for each class, or for the ten likeliest of many: ``7  ██████▌  21.7 %``."""
    lines = []
    for label in _shown(probabilities):
        full, rest = divmod(round(float(probabilities[label]) * BAR * 8), 8)
        bar = "█" * full + EIGHTHS[rest].strip()
        lines.append(f"{label:>2}  {bar:<{BAR}}  {percent(probabilities[label]):>8}")
    return lines


def _shown(probabilities: np.ndarray) -> list[int]:
    if len(probabilities) <= MOST_BARS:
        return list(range(len(probabilities)))
    return np.argsort(-probabilities, kind="stable")[:10].tolist()


def sentence(reading: Reading) -> str:
    """Return a reading in a line: ``four.png: 4 with 98.3 %, next 9 with 1.2 %; right``."""
    second = reading.probabilities[reading.runner_up]
    truth = "" if reading.truth is None else f"; wrong: it is a {reading.truth}" if reading.wrong else "; right"
    return (
        f"{reading.name}: {reading.label} with {percent(reading.probability)}, "
        f"next {reading.runner_up} with {percent(second)}{truth}"
    )


def doubt_line(reading: Reading) -> str | None:
    """Return how odd the picture is beside the training images, in words; None where the model cannot tell."""
    if reading.doubt is None:
        return None
    return f"doubt {reading.doubt:.3f}: {reading.reason or 'nothing odd about it'} (0.5 is a typical training image)"


def explanation_lines(one: Explanation) -> list[str]:
    """Return in a few lines what is near a test image and what its logits are made of."""
    near, label, other = one.neighbours, one.reading.label, one.reading.runner_up
    lead = one.contributions.lead(label, other)
    what = "unit" if one.hidden else "pixel"
    told = ", ".join(f"{what} {_named(one, unit)} {_signed(lead[unit])}" for unit in explanations.strongest(lead, TOP))
    return [
        f"nearest training images: {' '.join(map(str, one.labels))}, {near.distances[0]:.2f} to "
        f"{near.distances[-1]:.2f} away",
        *(line.replace("**", "") for line in _sums(one)[:2]),
        f"most for {label} rather than {other}: {told}",
    ]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def rows(readings: Sequence[Reading]) -> list[tuple[str, ...]]:
    """Return the table of a folder's readings as text, under COLUMNS."""
    return [
        (
            reading.name,
            str(reading.label),
            percent(reading.probability),
            "–" if reading.doubt is None else f"{reading.doubt:.3f}",
            "; ".join([f"wrong: a {reading.truth}"] * reading.wrong + [reading.reason] * bool(reading.reason)),
        )
        for reading in readings
    ]


def score_lines(found: Scores) -> list[str]:
    """Return the accuracy with its interval, and what was taken for what, in lines."""
    low, high = found.interval
    lines = [
        f"{found.hits} of {found.n} right: {100 * found.accuracy:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}, Wilson's 95 % interval)"
    ]
    mistakes = [(int(found.confusion[i, j]), i, j) for i, j in np.argwhere(found.confusion) if i != j]
    if mistakes:
        taken = ", ".join(f"{i} → {j}: {number}" for number, i, j in sorted(mistakes, key=lambda one: -one[0]))
        lines.append(f"taken for another: {taken}")
    return lines


def predictions_csv(readings: Sequence[Reading]) -> str:
    """Return every reading in full precision as a CSV file's text."""
    classes = range(len(readings[0].probabilities))
    header = ("file", "label", "probability", *(f"p{label}" for label in classes), "doubt", "reason", "truth")
    table = (
        (
            reading.name, reading.label, f"{reading.probability:.8g}",
            *(f"{probability:.8g}" for probability in reading.probabilities),
            "" if reading.doubt is None else f"{reading.doubt:.6g}", reading.reason,
            "" if reading.truth is None else reading.truth,
        )
        for reading in readings
    )  # fmt: skip
    return csv_text(header, table)


# --- figures ----------------------------------------------------------------------------------------


def reading_figure(reading: Reading, own_picture: bool = True) -> style.Figure:
    """Draw the picture as it was given, what the network saw of it, and the probabilities, from left to right.

    Without its `own_picture`, as for a test image, which the network saw as it is, two of them.
    """
    shown = [("the picture", reading.picture, "gray")] if own_picture else []
    shown.append(("what the network saw" if own_picture else "the image", reading.seen, "gray_r"))
    figure = style.Figure(figsize=(panels.WIDTH, 2.3), layout="constrained")
    title = _capital(f"{_cut(reading.name, 40)}: {reading.label} with {percent(reading.probability)}")
    figure.set_label(title)
    figure.suptitle(literal(title), x=0.01, ha="left", fontsize=11, color=INK)
    figure.get_layout_engine().set(wspace=0.06)
    *pictures, chart = figure.subplots(1, len(shown) + 1, width_ratios=[1] * len(shown) + [1.25])
    for axes, (words, picture, colours) in zip(pictures, shown, strict=True):
        axes.imshow(picture, cmap=colours, vmin=0, vmax=255, interpolation="none")
        axes.set_xlabel(words, fontsize=9, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(FAINT)
        axes.set_anchor("N")
    labels = _shown(reading.probabilities)
    values = 100 * reading.probabilities[labels]
    tints = [COLOURS[1] if label == reading.label else COLOURS[0] for label in labels]
    chart.barh(range(len(labels)), values, color=tints, height=0.75)
    chart.set_yticks(range(len(labels)), [str(label) for label in labels], fontsize=8, color=INK)
    chart.set_xlim(0, 100)
    chart.invert_yaxis()
    chart.set_xlabel("probability (%)", fontsize=9, color=INK)
    chart.tick_params(colors=INK, labelsize=8)
    chart.spines[["top", "right"]].set_visible(False)
    chart.spines[["left", "bottom"]].set_color(INK)
    return figure


def sheets(readings: Sequence[Reading]) -> dict[str, style.Figure]:
    """Draw contact sheets of at most SHEET pictures each: the picture, what was seen of it, its name and its label."""
    drawn = {}
    for number, first in enumerate(range(0, min(len(readings), MOST_SHEETS * SHEET), SHEET), start=1):
        part = readings[first : first + SHEET]
        title = f"Pictures {first + 1} to {first + len(part)}, and what the network saw"
        tiles, captions = [_tile(reading) for reading in part], [_caption(reading) for reading in part]
        drawn[f"sheet_{number}"] = panels.pictures(tiles, captions, title, columns=4)
    return drawn


def _tile(reading: Reading) -> np.ndarray:
    """Return the picture and what was seen of it side by side, as `panels.pictures` shows ink: dark is high."""
    given = explanations.square(255 - reading.picture, TILE, paper=0)
    return np.hstack([given, np.zeros((TILE, 4), np.uint8), explanations.square(reading.seen, TILE, paper=0)])


def _caption(reading: Reading) -> str:
    name = reading.name.rpartition(".")[0] or reading.name
    name = name if len(name) <= NAME else f"{name[:4]}…{name[4 - NAME + 1 :]}"  # cameras count at the end
    mark = f"≠{reading.truth}" if reading.wrong else ODD if reading.reason else ""
    whole = min(99, round(100 * reading.probability))
    return f"{name}: {reading.label}{mark}, {whole} %"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


# --- pages ------------------------------------------------------------------------------------------


def picture_page(reading: Reading, facts: Sequence[tuple[str, str]]) -> Document:
    """Return the page about one picture."""
    document = Document(f"{reading.name}: {reading.label}")
    _tell(document, reading)
    document.figures({"reading": reading_figure(reading)})
    document.table(("class", "probability"), [(str(label), percent(value)) for label, value in _ranked(reading)])
    _facts(document, facts)
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
        document.text("The true class of a picture is the digit that its file's name begins with.")
    document.figures(sheets(readings))
    document.text(
        f"Each picture as it was given, and as the network saw it. ≠: its name says another class; {ODD}: see the "
        "remark in the table."
    )
    if (left := len(readings) - MOST_SHEETS * SHEET) > 0:
        document.text(f"{left:,} more pictures are in `predictions.csv`, as all are.")
    if found and len(found.confusion) <= MOST_BARS:
        shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
        document.heading("What is taken for what")
        document.figures({"confusion": panels.confusion(shares, f"{found.n} pictures, in % of the true class")})
    remarkable = [reading for reading in readings if reading.wrong or reading.reason]
    if remarkable:
        document.heading("To look at again")
        document.table(COLUMNS, rows(remarkable[: MOST_SHEETS * SHEET]), words=("remark",))
    if unreadable:
        document.heading("Not read")
        document.table(("file", "reason"), unreadable, words=("reason",))
    _facts(document, facts)
    return document


def explanation_page(found: Sequence[Explanation], dataset: Dataset, facts: Sequence[tuple[str, str]]) -> Document:
    """Return the page about test images: how each is read, what is near it, and what each unit added."""
    several = len(found) > 1
    document = Document(
        f"Test images {', '.join(str(one.index) for one in found)}" if several
        else _heading(found[0])
    )  # fmt: skip
    for one in found:
        if several:
            document.heading(_heading(one))
        _explain(document, one, dataset, 3 if several else 2)
    _facts(document, facts)
    return document


def _heading(one: Explanation) -> str:
    return f"Test image {one.index}: true class {one.reading.truth}, read as {one.reading.label}"


def _explain(document: Document, one: Explanation, dataset: Dataset, level: int) -> None:
    reading, near = one.reading, one.neighbours
    _tell(document, reading)
    document.figures({f"reading_{one.index}": reading_figure(reading, own_picture=False)})
    document.heading("The nearest training images", level)
    captions = [f"{label}: {distance:.2f}" for label, distance in zip(one.labels, near.distances, strict=True)]
    title = f"Nearest to test image {one.index}: label and distance"
    document.figures({f"nearest_{one.index}": panels.pictures(one.images, captions, title)})
    same = int((one.labels == reading.truth).sum())
    document.text(
        f"Of the {len(one.labels)} nearest of {len(dataset.train):,} training images {same} are of the true class, "
        f"{int((one.labels == reading.label).sum())} of the class that the network chose. Distances are Euclidean, of "
        "pixels from 0 to 1; the network does not look at them."
    )
    document.heading("What each unit added" if one.hidden else "What each pixel added", level)
    document.text(*_sums(one))
    if not one.hidden:
        document.figures({f"pixels_{one.index}": _pixel_maps(one)})
    label, other, parts = reading.label, reading.runner_up, one.contributions
    _strongest(document, one, "chosen", parts.each[:, label], f"The most for or against {label}", level + 1)
    title = f"The most for {label} rather than {other}, or for {other}"
    _strongest(document, one, "lead", parts.lead(label, other), title, level + 1)
    if one.kernel is not None:
        document.text("A unit's picture has its weights from the pixels: red is ink that it wants, blue ink it shuns.")


def _strongest(document: Document, one: Explanation, name: str, values: np.ndarray, title: str, level: int) -> None:
    """Tell which units, or pixels, have the largest of `values`, and show what the units look for if that is known."""
    label, other, parts = one.reading.label, one.reading.runner_up, one.contributions
    top, lead = explanations.strongest(values, TOP), parts.lead(label, other)
    document.heading(title, level)
    columns = np.column_stack([parts.answers, parts.each[:, [label, other]], lead])
    table = [(_named(one, unit), *(f"{value:+.3f}" for value in columns[unit])) for unit in top]
    what, answer = ("unit", "its answer") if one.hidden else ("pixel (row, column)", "its ink")
    document.table((what, answer, f"adds to {label}", f"adds to {other}", "difference"), table)
    if one.kernel is not None and len(top):
        weights = [one.kernel[:, unit].reshape(one.reading.seen.shape) for unit in top]
        captions = [f"{unit}: {_signed(values[unit])}" for unit in top]
        figure = panels.pictures(weights, captions, f"{title}: what each unit looks for", signed=True)
        document.figures({f"{name}_{one.index}": figure})


def _named(one: Explanation, unit: int) -> str:
    """Return a unit's number, or a pixel's row and column."""
    return str(unit) if one.hidden else "({}, {})".format(*divmod(int(unit), one.reading.seen.shape[1]))


def _pixel_maps(one: Explanation) -> style.Figure:
    label, other, parts = one.reading.label, one.reading.runner_up, one.contributions
    maps = [parts.each[:, label], parts.each[:, other], parts.lead(label, other)]
    maps = [values.reshape(one.reading.seen.shape) for values in maps]
    captions = [f"for {label}", f"for {other}", f"{label} before {other}"]
    figure = panels.pictures(maps, captions, "What each pixel added: red for, blue against", columns=3, signed=True)
    height = 2.2  # three of them have room to be larger
    figure.set_figheight(height)
    figure.subplots_adjust(top=1 - 0.35 / height, bottom=0.2 / height)
    return figure


def _sums(one: Explanation) -> list[str]:
    """Return how the logits of the class that was chosen and of the next come about."""
    parts, label, other = one.contributions, one.reading.label, one.reading.runner_up
    what = "units of the last hidden layer" if one.hidden else "pixels"
    lines = [
        f"Logit of **{of}**: {parts.each[:, of].sum():+.3f} from the {len(parts.answers)} {what} and "
        f"{parts.bias[of]:+.3f} of bias make {parts.logits[of]:+.3f}; the network's own is {one.logits[of]:+.3f}."
        for of in (label, other)
    ]
    lead = parts.logits[label] - parts.logits[other]
    lines.append(
        f"The difference of the two, {lead:+.3f}, makes **{label}** {np.exp(min(lead, 700)):,.3g} times as likely as "
        f"**{other}**. What is added to all classes alike changes nothing, so the difference tells more than either."
    )
    return [re.sub(r"-(?=\d)", "−", line) for line in lines]


def _tell(document: Document, reading: Reading) -> None:
    document.text(plain(_capital(sentence(reading))) + ".")
    if line := doubt_line(reading):
        line = plain(_capital(line))
        document.text(f"> **{line}.**" if reading.reason else f"{line}.")


def _capital(text: str) -> str:
    # A file keeps its name.
    return text[0].upper() + text[1:] if text.startswith(("test image", "doubt")) else text


def _ranked(reading: Reading) -> list[tuple[int, float]]:
    order = np.argsort(-reading.probabilities, kind="stable")[:MOST_BARS]
    return [(int(label), float(reading.probabilities[label])) for label in order]


def _facts(document: Document, facts: Sequence[tuple[str, str]]) -> None:
    document.heading("What was asked")
    document.table(("what", "value"), facts, words=("value",))


# --- the run ----------------------------------------------------------------------------------------
