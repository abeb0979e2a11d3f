"""Reports why a network classifies a test row as it does: the nearest rows, its values, and what each unit adds."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from study.analysis.explanations import Explanation, strongest
from study.data.dataset import Dataset
from study.reports.document import Document
from study.reports.markdown import plain
from study.reports.plots import images, style
from study.reports.plots.readings import reading_figure
from study.reports.prediction_report import add_facts, introduce
from study.reports.table import Table

TOP = 8  # units and pixels that are shown


def explanation_lines(one: Explanation) -> list[str]:
    """Return the nearest training rows and the make-up of the logits, if it is known, in a few lines."""
    near, reading = one.neighbours, one.reading
    what = "images" if reading.picture is not None else "rows"
    classes = " ".join(reading.named(int(label)) for label in one.labels)
    lines = [f"nearest training {what}: {classes}, {near.distances[0]:.2f} to {near.distances[-1]:.2f} away"]
    if one.contributions is None:
        return lines
    label, other = reading.label, reading.runner_up
    lead = one.contributions.lead(label, other)
    terms = ", ".join(f"{_kind(one)} {_named(one, unit)} {_signed(lead[unit])}" for unit in strongest(lead, TOP))
    return [
        *lines,
        *(line.replace("**", "") for line in _sums(one, str)[:2]),
        f"strongest for {reading.named(label)} over {reading.named(other)}: {terms}",
    ]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def explanation_page(found: Sequence[Explanation], dataset: Dataset, facts: Sequence[tuple[str, str]]) -> Document:
    """Return the page about test rows: what is made of each, what is near it, and what each unit added."""
    several = len(found) > 1
    what = "images" if dataset.kind == "pixels" else "rows"
    document = Document(
        f"Test {what} {', '.join(str(one.index) for one in found)}" if several
        else _heading(found[0])
    )  # fmt: skip
    for one in found:
        if several:
            document.heading(_heading(one))
        _explain(document, one, dataset, 3 if several else 2)
    add_facts(document, facts)
    return document


def _heading(one: Explanation) -> str:
    reading = one.reading
    what = "image" if reading.picture is not None else "row"
    label, truth = reading.named(reading.label), reading.named(reading.truth)
    return f"Test {what} {one.index}: true class {truth}, read as {label}"


def _explain(document: Document, one: Explanation, dataset: Dataset, level: int) -> None:
    reading, near = one.reading, one.neighbours
    introduce(document, reading)
    document.figures({f"reading_{one.index}": reading_figure(reading, own_picture=False)})
    what = "images" if reading.picture is not None else "rows"
    if dataset.kind == "features" and len(dataset.row_shape) == 1:
        document.heading("Its values", level)
        document.table(_values(one, dataset))
        document.text("Beside each value the mean of the class's training rows, ± their standard deviation.")
    document.heading(f"Nearest training {what}", level)
    captions = [
        f"{reading.named(int(label))}: {distance:.2f}"
        for label, distance in zip(one.labels, near.distances, strict=True)
    ]
    if reading.picture is not None and shows(reading.seen.shape):
        title = f"Nearest to test image {one.index}: label and distance"
        ink = images.is_ink(reading.seen)
        document.figures({f"nearest_{one.index}": images.pictures([*one.rows], captions, title, ink=ink)})
    else:
        document.text("Class and distance: " + plain(", ".join(captions)) + ".")
    same = int((one.labels == reading.truth).sum())
    unit = "pixels from 0 to 1" if reading.picture is not None else "values in standard deviations"
    document.text(
        f"Of the {len(one.labels)} nearest of {len(dataset.train):,} training {what} {same} are of the true class, "
        f"{int((one.labels == reading.label).sum())} of the class that the network chose. Distances are Euclidean, of "
        f"{unit}; the network does not use them."
    )
    if one.contributions is None:
        document.text("What each unit adds is known of plain stacks of Dense layers only, and this network is another.")
        return
    document.heading(f"What each {'unit' if one.hidden else _kind(one)} added", level)
    document.text(*_sums(one))
    if not one.hidden and reading.picture is not None and reading.seen.ndim == 2:
        document.figures({f"pixels_{one.index}": _pixel_maps(one)})
    label, other, parts = reading.label, reading.runner_up, one.contributions
    first, second = reading.named(label), reading.named(other)
    _strongest(document, one, dataset, "chosen", parts.each[:, label], f"Strongest for or against {first}", level + 1)
    title = f"Strongest for {first} over {second}, or for {second}"
    _strongest(document, one, dataset, "lead", parts.lead(label, other), title, level + 1)
    if one.kernel is not None:
        document.text("A unit's picture shows its weights: ink on red raises its answer, ink on blue lowers it.")


def shows(shape: tuple[int, ...]) -> bool:
    """Return whether pixels of this shape can be shown as a picture: grey, or of three channels or four."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


def _values(one: Explanation, dataset: Dataset) -> Table:
    """Return the row's values beside the means of the classes that matter: chosen, next, and the true one."""
    reading, train = one.reading, dataset.train
    labels = dict.fromkeys([reading.label, reading.runner_up, *([] if reading.truth is None else [reading.truth])])
    rows = {label: train.inputs[train.labels == label] for label in labels}
    names = dataset.features.names if dataset.features else [f"feature_{n}" for n in range(len(reading.seen))]
    columns = ("feature", "its value", *(reading.named(label) for label in labels))
    table = (
        (name, f"{reading.seen[place]:.4g}", *(_spread(rows[label][:, place]) for label in labels))
        for place, name in enumerate(names)
    )
    return Table(columns, table)


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.4g} ± {values.std():.3g}" if len(values) else "–"


def _kind(one: Explanation) -> str:
    return "unit" if one.hidden else "pixel" if one.reading.picture is not None else "feature"


def _strongest(
    document: Document, one: Explanation, dataset: Dataset, name: str, values: np.ndarray, title: str, level: int
) -> None:
    """Add the units, pixels or features with the largest `values`, and what the units look for, if it is known."""
    label, other, parts = one.reading.label, one.reading.runner_up, one.contributions
    assert parts is not None
    top, lead = strongest(values, TOP), parts.lead(label, other)
    document.heading(title, level)
    columns = np.column_stack([parts.answers, parts.each[:, [label, other]], lead])
    features = dataset.features.names if dataset.features and not one.hidden else ()
    rows = (
        (features[unit] if features else _named(one, unit), *(f"{value:+.3f}" for value in columns[unit]))
        for unit in top
    )
    answer = {"unit": "its answer", "pixel": "its ink", "feature": "its scaled value"}[_kind(one)]
    what = "pixel (row, column)" if _kind(one) == "pixel" else _kind(one)
    first, second = one.reading.named(label), one.reading.named(other)
    titles = (what, answer, f"adds to {first}", f"adds to {second}", "difference")
    document.table(Table(titles, rows))
    if one.kernel is not None and len(top):
        weights = [one.kernel[:, unit].reshape(one.reading.seen.shape) for unit in top]
        captions = [f"{unit}: {_signed(values[unit])}" for unit in top]
        figure = images.pictures(weights, captions, f"{title}: what each unit looks for", signed=True)
        document.figures({f"{name}_{one.index}": figure})


def _named(one: Explanation, unit: int) -> str:
    """Return the number of a unit or feature, or a pixel's row and column."""
    if one.hidden or one.reading.seen.ndim == 1:
        return str(unit)
    return "({})".format(", ".join(map(str, np.unravel_index(int(unit), one.reading.seen.shape))))


def _pixel_maps(one: Explanation) -> style.Figure:
    label, other, parts = one.reading.label, one.reading.runner_up, one.contributions
    assert parts is not None
    maps = [parts.each[:, label], parts.each[:, other], parts.lead(label, other)]
    maps = [values.reshape(one.reading.seen.shape) for values in maps]
    first, second = one.reading.named(label), one.reading.named(other)
    captions = [f"for {first}", f"for {second}", f"{first} before {second}"]
    return images.pictures(maps, captions, "What each pixel added: red for, blue against", 3, signed=True, row=1.85)


def _sums(one: Explanation, written: Callable[[str], str] = plain) -> list[str]:
    """Return the sums that make up the logits of the chosen class and of the next."""
    parts, label, other = one.contributions, one.reading.label, one.reading.runner_up
    assert parts is not None and one.logits is not None
    names = {of: written(one.reading.named(of)) for of in (label, other)}
    what = "units of the last hidden layer" if one.hidden else f"{_kind(one)}s"
    lines = [
        f"Logit of **{names[of]}**: {parts.each[:, of].sum():+.3f} from the {len(parts.answers)} {what} and "
        f"{parts.bias[of]:+.3f} of bias make {parts.logits[of]:+.3f}; the network's own is {one.logits[of]:+.3f}."
        for of in (label, other)
    ]
    lead = parts.logits[label] - parts.logits[other]
    lines.append(
        f"The difference of the two, {lead:+.3f}, makes **{names[label]}** {np.exp(min(lead, 700)):,.3g} times as "
        f"likely as **{names[other]}**. What adds the same to every class changes nothing, so the "
        "difference says more than either."
    )
    return [re.sub(r"-(?=\d)", "−", line) for line in lines]
