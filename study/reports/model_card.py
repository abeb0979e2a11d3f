"""The card of a registered model: the evidence for it, and its test results by class, as Markdown."""

from collections.abc import Sequence

import numpy as np

from study.analysis.formatting import percent, show
from study.analysis.selection import Candidate, Decision
from study.analysis.statistics import binomial_interval
from study.reports.markdown import plain
from study.reports.table import Column, Table
from study.training.metrics import Evaluation


def evidence(decision: Decision, entrants: Sequence[Candidate], test: Evaluation) -> list[tuple[str, str]]:
    """Return the evidence for the winner, as text: its search, its race, and its one test."""
    searched = next((one.accuracy for one in entrants if one.name == decision.winner), None)
    best, name = max(((one.accuracy, one.name) for one in entrants if one.accuracy), key=lambda one: one[0].mean)
    rows = [
        ("validation accuracy, fresh seeds", f"{show(decision.accuracy)} % (n = {decision.accuracy.n})"),
        ("best candidate before the race", f"{show(best)} % (n = {best.n})"),
    ]
    if searched and name != decision.winner:
        rows.append(("the winner's own trials", f"{show(searched)} % (n = {searched.n})"))
    if decision.lead:
        word = "separated" if decision.separated else "not separated"
        rows.append((f"lead over the second, {decision.second}", f"{show(decision.lead, signed=True)} points: {word}"))
    low, high = (100 * end for end in binomial_interval(int(np.trace(test.confusion)), int(test.confusion.sum())))
    rows.append(
        ("test accuracy, measured once", f"{100 * test.accuracy:.2f} % ({low:.2f} to {high:.2f}, binomial 95 %)")
    )
    return rows


def model_card(rows: Sequence[tuple[str, str]], test: Evaluation, facts: Sequence[tuple[str, str]]) -> str:
    """Return the model's card as Markdown: facts, evidence, and the test images by class and as a confusion matrix.

    The facts are Markdown already.
    """
    classes = range(len(test.confusion))
    images = test.confusion.sum(axis=1)
    shares = (Column(f"{name} (%)", text=percent) for name in ("recall", "precision"))
    rows_of_classes = ((str(each), int(images[each]), test.recall[each], test.precision[each]) for each in classes)
    by_class = Table(("class", "test images", *shares), rows_of_classes)
    matrix = ((str(each), *map(str, test.confusion[each])) for each in classes)
    confusion = Table(("true \\ predicted", *map(str, classes)), matrix)
    lines = [*facts, *((plain(name), plain(value)) for name, value in rows)]
    known = "\n".join(f"- **{name}**: {value}" for name, value in lines)
    return "\n\n".join([known, by_class.markdown(), confusion.markdown()])
