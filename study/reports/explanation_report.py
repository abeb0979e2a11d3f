"""Why a network reads a test image as it does: what is near the image, and what each unit adds."""

import re
from collections.abc import Sequence

import numpy as np

from study.analysis.explanations import Explanation, strongest
from study.data.dataset import Dataset
from study.reports.document import Document
from study.reports.plots import images, style
from study.reports.plots.readings import reading_figure
from study.reports.prediction_report import add_facts, introduce
from study.reports.table import Table

TOP = 8  # units and pixels that are shown


def explanation_lines(one: Explanation) -> list[str]:
    """Return the nearest training images and the make-up of the logits in a few lines."""
    near, label, other = one.neighbours, one.reading.label, one.reading.runner_up
    lead = one.contributions.lead(label, other)
    what = "unit" if one.hidden else "pixel"
    terms = ", ".join(f"{what} {_named(one, unit)} {_signed(lead[unit])}" for unit in strongest(lead, TOP))
    return [
        f"nearest training images: {' '.join(map(str, one.labels))}, {near.distances[0]:.2f} to "
        f"{near.distances[-1]:.2f} away",
        *(line.replace("**", "") for line in _sums(one)[:2]),
        f"strongest for {label} over {other}: {terms}",
    ]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


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
    add_facts(document, facts)
    return document


def _heading(one: Explanation) -> str:
    return f"Test image {one.index}: true class {one.reading.truth}, read as {one.reading.label}"


def _explain(document: Document, one: Explanation, dataset: Dataset, level: int) -> None:
    reading, near = one.reading, one.neighbours
    introduce(document, reading)
    document.figures({f"reading_{one.index}": reading_figure(reading, own_picture=False)})
    document.heading("Nearest training images", level)
    captions = [f"{label}: {distance:.2f}" for label, distance in zip(one.labels, near.distances, strict=True)]
    title = f"Nearest to test image {one.index}: label and distance"
    document.figures({f"nearest_{one.index}": images.pictures([*one.images], captions, title)})
    same = int((one.labels == reading.truth).sum())
    document.text(
        f"Of the {len(one.labels)} nearest of {len(dataset.train):,} training images {same} are of the true class, "
        f"{int((one.labels == reading.label).sum())} of the class that the network chose. Distances are Euclidean, of "
        "pixels from 0 to 1; the network does not use them."
    )
    document.heading("What each unit added" if one.hidden else "What each pixel added", level)
    document.text(*_sums(one))
    if not one.hidden:
        document.figures({f"pixels_{one.index}": _pixel_maps(one)})
    label, other, parts = reading.label, reading.runner_up, one.contributions
    _strongest(document, one, "chosen", parts.each[:, label], f"Strongest for or against {label}", level + 1)
    title = f"Strongest for {label} over {other}, or for {other}"
    _strongest(document, one, "lead", parts.lead(label, other), title, level + 1)
    if one.kernel is not None:
        document.text("A unit's picture shows its weights: ink on red raises its answer, ink on blue lowers it.")


def _strongest(document: Document, one: Explanation, name: str, values: np.ndarray, title: str, level: int) -> None:
    """Add the units, or pixels, with the largest `values`, and pictures of what the units look for, if known."""
    label, other, parts = one.reading.label, one.reading.runner_up, one.contributions
    top, lead = strongest(values, TOP), parts.lead(label, other)
    document.heading(title, level)
    columns = np.column_stack([parts.answers, parts.each[:, [label, other]], lead])
    rows = ((_named(one, unit), *(f"{value:+.3f}" for value in columns[unit])) for unit in top)
    what, answer = ("unit", "its answer") if one.hidden else ("pixel (row, column)", "its ink")
    titles = (what, answer, f"adds to {label}", f"adds to {other}", "difference")
    document.table(Table(titles, rows))
    if one.kernel is not None and len(top):
        weights = [one.kernel[:, unit].reshape(one.reading.seen.shape) for unit in top]
        captions = [f"{unit}: {_signed(values[unit])}" for unit in top]
        figure = images.pictures(weights, captions, f"{title}: what each unit looks for", signed=True)
        document.figures({f"{name}_{one.index}": figure})


def _named(one: Explanation, unit: int) -> str:
    """Return a unit's number, or a pixel's row and column."""
    return str(unit) if one.hidden else "({}, {})".format(*divmod(int(unit), one.reading.seen.shape[1]))


def _pixel_maps(one: Explanation) -> style.Figure:
    label, other, parts = one.reading.label, one.reading.runner_up, one.contributions
    maps = [parts.each[:, label], parts.each[:, other], parts.lead(label, other)]
    maps = [values.reshape(one.reading.seen.shape) for values in maps]
    captions = [f"for {label}", f"for {other}", f"{label} before {other}"]
    return images.pictures(maps, captions, "What each pixel added: red for, blue against", 3, signed=True, row=1.85)


def _sums(one: Explanation) -> list[str]:
    """Return the sums that make up the logits of the chosen class and of the next."""
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
        f"**{other}**. What adds the same to every class changes nothing, so the difference says more than either."
    )
    return [re.sub(r"-(?=\d)", "−", line) for line in lines]
