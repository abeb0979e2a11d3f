"""The tables and sentences of a search's results, for its report, its run and the terminal."""

from study.analysis.formatting import count, percent, show, show_range
from study.analysis.search_results import SearchResults, phase_of, slot_of, state_of
from study.analysis.standings import Belief, Standing
from study.analysis.statistics import Estimate
from study.design.search import Search
from study.reports.table import Table
from study.tracking import tags
from study.tracking.records import RunRecord
from study.training.config import brief, settings_text, value_text

SURE = 0.95  # how often a field has to be the most important in trials drawn again, to be called so
CAUTION = (
    "±: standard error over the validation rows. Expected: the mean over seeds on these rows, by a Gaussian process "
    "through all results, and where it lies with a probability of 95 %."
)


def top_table(study: SearchResults, by_field: bool = False) -> Table:
    """Return the ten best configurations, the best first, with their settings in one column or one for each field."""
    fields = [dimension.field for dimension in study.search.space.dimensions] if by_field else []
    rows = []
    for standing in study.top:
        seeds = study.seeds_of(standing)
        settings = {name: brief(value) for name, value in study.settings(seeds[0]).items()}
        told = [settings.get(field, "–") for field in fields] if by_field else [settings_of(study, seeds[0])]
        chance = "–" if standing.chance is None else f"{percent(standing.chance, 0)} %"
        expected = belief_text(study, standing.expected)
        phase = [phase_of(seeds[0])] if study.phases > 1 else []
        rows.append((seeds[0].name, *phase, len(seeds), value_cell(study, standing), expected, chance, *told))
    value = f"{study.objective.label} ± standard error"
    columns = (
        "trial",
        *(["phase"] if study.phases > 1 else []),
        "seeds",
        value,
        "expected",
        "chance to be best",
        *(fields or ["settings"]),
    )
    return Table(columns, rows, words=("settings",))


def best_lines(study: SearchResults) -> list[str]:
    """Return what is expected to be the best, its lead over the runner-up, and how surely it is the best."""
    if not study.standings:
        return ["No trial has a value."]
    first, objective = study.standings[0], study.objective
    seeds = study.seeds_of(first)
    name, told = seeds[0].name, settings_of(study, seeds[0])
    if first.expected is None or first.chance is None:
        return [f"The best {objective.label} is {value_cell(study, first)} (standard error), of {name}: {told}."]
    lines = [
        f"In the search itself {name}, trained with {count(len(seeds), 'seed')}, is expected to be the best, "
        f"with {belief_text(study, first.expected)} {objective.unit} of {objective.title}: {told}."
    ]
    if len(study.standings) > 1 and (lead := study.standings[1].behind):
        second, unit = study.seeds_of(study.standings[1])[0].name, objective.unit_of_differences
        complete = count(len(study.standings), "configuration")
        lines.append(
            f"It leads {second} by {belief_text(study, lead)} {unit}. The chance that it is the best of the {complete} "
            f"trained to their end is about {percent(first.chance, 0)} %."
        )
    return lines


def belief_text(study: SearchResults, belief: Belief | None) -> str:
    """Return what is believed of a value or a difference, in the unit that people read."""
    if belief is None:
        return "–"
    scale = study.objective.scale
    return show_range(scale * belief.middle, scale * belief.low, scale * belief.high)


def space_table(search: Search) -> Table:
    """Return the fields of a search, with their ranges and the first trial's values."""
    first = search.space.first()
    rows = (
        (one.field, one.words, brief(search.baseline.get(one.field)) if one.field in first else "–")
        for one in search.space.dimensions
    )
    return Table(("field", "range", "first trial"), rows, words=("range",))


def trials_table(study: SearchResults) -> Table:
    """Return every trial of every phase in full precision: how it ended, its value, its fields."""
    fields = [dimension.field for dimension in study.search.space.dimensions]
    phases = study.phases > 1
    columns = ("slot", *(["phase"] if phases else []), "state", "seed", study.search.metric, "standard_error",
               "epochs_trained", "seconds", *fields, "reason", "run_id")  # fmt: skip
    rows = []
    for trial in study.all_trials:
        settings = {name: value_text(value) for name, value in study.settings(trial).items()}
        # A trial that was carried over took its time on another day, and perhaps on another machine.
        seconds = None if tags.REUSED_FROM in trial.tags else trial.metrics.get(tags.TRAIN_SECONDS)
        numbers = (study.value(trial), study.error(trial), len(study.curve(trial)), seconds)
        state = trial.tags.get(tags.STATE, state_of(trial))
        rows.append((
            slot_of(trial), *([phase_of(trial)] if phases else []), state, trial.tags.get(tags.SEED), *numbers,
            *map(settings.get, fields), trial.tags.get(tags.REASON), trial.run_id,
        ))  # fmt: skip
    return Table(columns, rows)


def value_cell(study: SearchResults, standing: Standing) -> str:
    """Return the mean value of a configuration's trials with its standard error, with the digits that this justifies.

    The validation rows are the same for every seed, so that more seeds do not make that error less.
    """
    errors = [error for trial in study.seeds_of(standing) if (error := study.error(trial)) is not None]
    value, scale = standing.value, study.objective.scale
    if not errors:
        return f"{show(Estimate(scale * value, float('nan'), 1))} ± –"
    return show(Estimate(scale * value, scale * sum(errors) / len(errors), 1))


def phase_lines(study: SearchResults) -> list[str]:
    """Return which phase the search is in, and how many trials of the earlier ones count; empty for the first."""
    if study.phases == 1:
        return []
    earlier = [trial for trial in study.all_trials if phase_of(trial) < study.phases]
    left_out = sum(trial in study.outside for trial in earlier)
    line = f"The search is in phase {study.phases}: its space was changed. "
    line += f"{len(earlier) - left_out} of {count(len(earlier), 'earlier trial')} lie inside and count"
    return [f"{line}; the others are in trials.csv only." if left_out else f"{line}."]


def importance_line(study: SearchResults) -> str:
    """Return the importances of the fields in a sentence."""
    if study.no_importances:
        return f"No importances of the fields: {study.no_importances}."
    shares = ", ".join(
        f"{each.field} {percent(each.ped_anova, 0)} % ({percent(each.low, 0)} to {percent(each.high, 0)})"
        for each in study.importances
    )
    number, first = len(study.ranked), study.importances[0]
    line = f"Importance of the fields (PED-ANOVA, {number} complete trials, 95 % intervals): {shares}."
    if first.first < SURE:
        line += (
            f" {number} trials cannot tell which field mattered most: drawn again, {first.field} was the first in "
            f"{percent(first.first, 0)} % of the draws."
        )
    return line


def edge_lines(study: SearchResults) -> list[str]:
    """Return a warning for each field whose best value lies at an end of its range."""
    return [f"{edge.words}: a better value may lie beyond it." for edge in study.edges]


def settings_of(study: SearchResults, trial: RunRecord) -> str:
    """Return the settings of a trial in short."""
    return settings_text(study.settings(trial), brief)
