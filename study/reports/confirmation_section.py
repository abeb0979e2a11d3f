"""Tells the verdict with which a search ends: is what it found better than its baseline?"""

from study.analysis.formatting import count
from study.analysis.search_results import SearchResults
from study.analysis.seed_plan import goes_on
from study.analysis.verdicts import Kind
from study.design.limits import MOST_FRESH_SEEDS
from study.reports import ablation_tables
from study.reports.document import Document
from study.reports.markdown import plain

HOW = (
    "What the search expects to be the best was trained beside its baseline, with seeds that no trial had used "
    "before, for as long as the difference was not settled. No trial saw a test row. It is the configuration for which "
    "the best value is expected, by a Gaussian process through all results: the best value that was measured owes some "
    "of its lead to luck."
)
MORE = "That is not settled yet. The same command, given more minutes, adds seeds."
WORDS = {Kind.HELPS: "better", Kind.HURTS: "worse"}
NOTHING = "The baseline itself is the best that the search expects: there is nothing to confirm."


def lines(study: SearchResults) -> list[str]:
    """Return the verdict, and what was chosen, in sentences; empty if nothing was to be confirmed."""
    confirmed = study.confirmation
    if confirmed is None:
        return [NOTHING] if study.nothing_to_confirm else []
    (verdict,) = confirmed.verdicts
    against = f"{ablation_tables.MARKS[verdict.kind]} Against the baseline"
    if verdict.effect:
        against += f", with {count(verdict.effect.n, 'fresh seed')} each"
    is_so = f" is {WORDS[verdict.kind]} {verdict.about}" if verdict.kind in WORDS else f": {verdict.sentence}"
    size, comma, rest = is_so.partition(",")
    if size.endswith(confirmed.question.unit):  # "2 of 8 seeds diverged" is of no measure
        size += f" of {confirmed.decides.title}"
    more = goes_on(verdict, verdict.effect.n if verdict.effect else 0, MOST_FRESH_SEEDS)
    return [f"{against}, {verdict.arm}{size}{comma}{rest}.", *([MORE] if more else [])]


def add(document: Document, study: SearchResults) -> None:
    """Add the section with the two configurations side by side, if they were compared."""
    if (confirmed := study.confirmation) is None:
        return
    document.heading("Is it better than the baseline?")
    document.table(ablation_tables.verdicts_table(confirmed))
    document.table(ablation_tables.arms_table(confirmed.arms))
    document.text(plain(HOW))
    document.text(f"The whole comparison is in the run `{confirmed.record.run_id}`.")
