"""The comparison with which a search ends: its seeds are fresh, whatever has happened since it was begun."""

from factories import written_search
from factories.written_search import ONE_FIELD, Trial

from study.analysis.search_results import SearchResults
from study.tracking import runs, tags
from study.tracking.store import connect
from study.workflows import confirmation


def found(*more: Trial, data: str) -> SearchResults:
    """Return a search whose second trial is the best, with `more` trials."""
    best = Trial(1, (0.1,), {"learning_rate": 0.01})
    trials = [
        Trial(one.slot, one.curve, one.settings, tags={"dataset_sha256": data} | dict(one.tags))
        for one in (Trial(0, (0.2,)), best, *more)
    ]
    return written_search.read(written_search.write(trials, yaml=ONE_FIELD, dataset_sha256=data))


def test_a_comparison_that_goes_on_keeps_its_seeds_unless_the_search_has_trained_them(store, few_digits):
    data = few_digits.sha256
    study = found(data=data)
    first = confirmation.prepare(study, "trial 1", few_digits, None)
    assert first.first_seed == first.specs[0].config.seed == 101  # the search, whose seed is 1, may replicate up to 100
    run = runs.open_study_run(connect(), "confirm mine")
    run.set_tags({tags.RACE: first.mark, tags.RACE_SEED: 150})
    again = confirmation.prepare(study, "trial 1", few_digits, None)
    assert (again.mark, again.first_seed) == (first.mark, 150)

    replicate = Trial(2, (0.1,), {"learning_rate": 0.01}, tags={"seed": 155})
    later = confirmation.prepare(found(replicate, data=data), "trial 1", few_digits, None)
    assert (later.mark, later.first_seed) == (first.mark, 101)
