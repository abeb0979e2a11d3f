"""The card of a registered model: the evidence for it, and its test results by class, as Markdown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.formatting import count, ordinal, percent, show
from study.analysis.selection import Candidate, Decision
from study.analysis.statistics import binomial_interval
from study.reports.markdown import plain
from study.reports.table import Column, Table
from study.training.metrics import Evaluation

KINDS = {"promote": "promotion", "train": "training"}  # of what opens a test set; everything else is a study


def evidence(
    decision: Decision, entrants: Sequence[Candidate], test: Evaluation, opened_before: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the evidence for the winner, as text: its search, its race, and its test.

    `opened_before` has the task of each command that opened the test set before.
    """
    searched = next((one.accuracy for one in entrants if one.name == decision.winner), None)
    best, name = max(((one.accuracy, one.name) for one in entrants if one.accuracy), key=lambda one: one[0].mean)
    rows = [
        ("validation accuracy, fresh seeds", f"{show(decision.accuracy)} % (n = {decision.accuracy.n})"),
        ("best candidate before the race", f"{show(best)} % (n = {best.n})"),
    ]
    if searched and name != decision.winner:
        rows.append(("the winner's own trials", f"{show(searched)} % (n = {searched.n})"))
    if decision.chosen_for:
        rows.append(("chosen for its cost", f"{decision.chosen_for} of the best"))
    if decision.lead:
        word = "separated" if decision.separated else "not separated"
        lead = f"{show(decision.lead, signed=True)} points{decision.about}: {word}"
        which = "best" if decision.chosen_for else "second"
        rows.append((f"lead over the {which}, {decision.second}", lead))
    if over := decision.over_champion:
        rows.append(("lead over the champion before", f"{show(over, signed=True)} points{decision.about}"))
    low, high = (100 * end for end in binomial_interval(int(np.trace(test.confusion)), int(test.confusion.sum())))
    rows.append(("test accuracy", f"{100 * test.accuracy:.2f} % ({low:.2f} to {high:.2f}, binomial 95 %)"))
    rows.append(("test set", opened(opened_before)))
    return rows


def opened(before: Sequence[str]) -> str:
    """Return how often the test set has been opened with this time: ``opened for the 2nd time, after 1 study``."""
    kinds = Counter(KINDS.get(task, "study") for task in before)
    text = f"opened for the {ordinal(len(before) + 1)} time in this store"
    after = [_studies(kinds[kind]) if kind == "study" else count(kinds[kind], kind) for kind in sorted(kinds)]
    return f"{text}, after {', '.join(after)}" if after else text


def _studies(number: int) -> str:
    return "1 study" if number == 1 else f"{number} studies"


@dataclass(frozen=True)
class ModelCard:
    """A model's card: facts, in Markdown, evidence, and the test rows by class and as a confusion matrix."""

    evidence: Sequence[tuple[str, str]]
    test: Evaluation
    facts: Sequence[tuple[str, str]]
    class_names: Sequence[str] = ()

    def markdown(self) -> str:
        """Return the whole card."""
        return "\n\n".join(self._parts())

    def shortened(self, most: int, file: str) -> str:
        """Return the card without its largest tables, if it has more than `most` characters; `file` has all of it.

        Facts and evidence stay in any case.
        """
        parts = self._parts()
        text = "\n\n".join(parts)
        for kept in (2, 1):
            if len(text) > most:
                text = "\n\n".join([*parts[:kept], f"The tables are too large for here: see `{file}` of the run."])
        return text

    def _parts(self) -> list[str]:
        lines = [*self.facts, *((plain(name), plain(value)) for name, value in self.evidence)]
        known = "\n".join(f"- **{name}**: {value}" for name, value in lines)
        return [known, self._by_class().markdown(), self._confusion().markdown()]

    def _by_class(self) -> Table:
        test, classes = self.test, range(len(self.test.confusion))
        images = test.confusion.sum(axis=1)
        shares = (Column(f"{name} (%)", text=percent) for name in ("recall", "precision"))
        rows = ((self._name(each), int(images[each]), test.recall[each], test.precision[each]) for each in classes)
        return Table(("class", "test rows", *shares), rows)

    def _confusion(self) -> Table:
        classes = range(len(self.test.confusion))
        rows = ((self._name(each), *map(str, self.test.confusion[each])) for each in classes)
        return Table(("true \\ predicted", *map(self._name, classes)), rows)

    def _name(self, label: int) -> str:
        return str(self.class_names[label]) if self.class_names else str(label)
