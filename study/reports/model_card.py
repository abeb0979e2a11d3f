"""The card of a registered model: the figures that speak for it, by class, as Markdown."""

from collections.abc import Sequence

import numpy as np

from study.analysis.formatting import show
from study.analysis.selection import Candidate, Decision
from study.analysis.statistics import binomial_interval
from study.training.metrics import Evaluation


def evidence(decision: Decision, entrants: Sequence[Candidate], test: Evaluation) -> list[tuple[str, str]]:
    """Return the figures that speak for the winner, in words: what was searched, raced, and tested once."""
    searched = next((one.accuracy for one in entrants if one.name == decision.winner), None)
    best = max((one for one in entrants if one.accuracy), key=lambda one: one.accuracy.mean)
    rows = [
        ("validation accuracy, fresh seeds", f"{show(decision.accuracy)} % (n = {decision.accuracy.n})"),
        ("as the trials had it, picked as the best", f"{show(best.accuracy)} % (n = {best.accuracy.n})"),
    ]
    if searched and best.name != decision.winner:
        rows.append(("the winner's own trials", f"{show(searched)} % (n = {searched.n})"))
    if decision.lead:
        word = "separated" if decision.separated else "not separated"
        rows.append((f"lead over the second, {decision.second}", f"{show(decision.lead, signed=True)} points: {word}"))
    low, high = (100 * end for end in binomial_interval(int(np.trace(test.confusion)), int(test.confusion.sum())))
    rows.append(
        ("test accuracy, looked at once", f"{100 * test.accuracy:.2f} % ({low:.2f} to {high:.2f}, binomial 95 %)")
    )
    return rows


def model_card(rows: Sequence[tuple[str, str]], test: Evaluation, facts: Sequence[tuple[str, str]]) -> str:
    """Return the model's card as Markdown: facts, figures, per-class table and confusion matrix of the test images."""
    classes = range(len(test.confusion))
    images = test.confusion.sum(axis=1)
    per_class = [
        f"| {label} | {images[label]:,} | {_percent(test.recall[label])} | {_percent(test.precision[label])} |"
        for label in classes
    ]
    confusion = [f"| **{label}** | " + " | ".join(map(str, test.confusion[label])) + " |" for label in classes]
    return "\n".join(
        [
            *(f"- **{name}**: {value}" for name, value in [*facts, *rows]),
            "",
            "| class | test images | recall (%) | precision (%) |",
            "|---|---|---|---|",
            *per_class,
            "",
            "| true \\ predicted | " + " | ".join(map(str, classes)) + " |",
            "|---" * (len(test.confusion) + 1) + "|",
            *confusion,
        ]
    )


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f}"
