import math

import numpy as np
import pytest
from factories import written, written_search
from factories.written_search import ONE_FIELD, Trial

from study.analysis import search_results
from study.analysis.search_results import slot_of
from study.base.errors import TrackingError
from study.tracking.store import connect

pytestmark = pytest.mark.usefixtures("store")


def search(*trials: Trial, **how) -> search_results.SearchResults:
    return written_search.read(written_search.write(trials, **how))


def twelve() -> list[Trial]:
    """Complete trials whose value is how far log10(learning_rate) is from −2.5, and hardly anything else."""
    rates = [10 ** (-4 + number / 4) for number in range(12)]
    return [
        Trial(slot, (2.0, 0.1 + abs(math.log10(rate) + 2.5)), {"learning_rate": rate, "batch_size": (16, 32)[slot % 2]})
        for slot, rate in enumerate(rates)
    ]


@pytest.fixture(scope="module")
def mixed(store):
    """Of eight slots: three complete, two pruned, one diverged, one failed; one run died, and one is running."""
    error = {"model_val_cross_entropy_se": 0.02}
    return search(
        Trial(4, (0.9, 0.3), {"learning_rate": 0.09, "batch_size": 128, "dropout": 0.0}, error),
        Trial(0, (0.9, 0.31), {"l2": 1e-5}, error),
        Trial(1, (1.1,), state="pruned"),
        Trial(2, (math.inf,), state="diverged", tags={"reason": "the loss was not finite"}),
        Trial(3, (0.8,), state="KILLED"),
        Trial(3, (0.9, 0.31)),
        Trial(5, (), state="FAILED", tags={"reason": "no room"}),
        Trial(6, (0.1,), state="RUNNING"),
        Trial(7, (1.2,), state="pruned"),
    )


# --- which runs are its trials ----------------------------------------------------------------------


def test_trials_stand_by_slot_and_by_how_they_ended(mixed):
    assert [slot_of(trial) for trial in mixed.trials] == [0, 1, 2, 3, 4, 5, 7]
    assert [slot_of(trial) for trial in mixed.complete] == [0, 3, 4]
    assert [slot_of(trial) for trial in mixed.pruned] == [1, 7]
    assert [slot_of(trial) for trial in mixed.failed] == [2, 5]


def test_of_a_trial_that_was_tried_again_only_the_last_try_counts():
    study = search(
        Trial(0, (0.2,)), Trial(1, (0.9,), state="FAILED"), Trial(1, (0.4,)), Trial(0, (0.1,), state="KILLED")
    )
    assert [study.value(trial) for trial in study.trials] == [0.2, 0.4]
    assert not study.failed


def test_a_try_that_failed_after_another_finished_does_not_count():
    study = search(Trial(0, (0.2,)), Trial(1, (0.4,)), Trial(1, (0.9,), state="FAILED"))
    assert [study.value(trial) for trial in study.trials] == [0.2, 0.4]
    assert not study.failed


def test_only_a_searchs_run_is_one(mixed):
    client = connect()
    ablation = written.write("question: Q?\narms: {list: [{name: one}, {name: two, l2: 0.1}]}\n", [])
    assert search_results.is_search(client, mixed.record.run_id)
    assert not search_results.is_search(client, ablation)
    with pytest.raises(TrackingError, match="is not a search"):
        search_results.read(client, ablation)
    with pytest.raises(TrackingError, match=f"study.* run={mixed.record.run_id}"):
        search_results.read(client, mixed.best.run_id)


# --- values -----------------------------------------------------------------------------------------


def test_the_best_is_the_least_and_of_equal_ones_the_first(mixed):
    assert [slot_of(trial) for trial in mixed.ranked] == [4, 0, 3]
    assert mixed.value(mixed.best) == 0.3 and mixed.error(mixed.best) == 0.02
    assert mixed.value(mixed.pruned[0]) is None and mixed.error(mixed.ranked[2]) is None


def test_of_accuracies_the_best_is_the_greatest_and_its_error_the_binomial_one():
    settings = [{"batch_size": size} for size in (16, 32, 64)]
    trials = [Trial(slot, (value,), settings[slot]) for slot, value in enumerate((0.9, 0.96, 0.95))]
    study = search(*trials, metric="val_accuracy")
    assert [slot_of(study.seeds_of(each)[0]) for each in study.top] == [1, 2, 0]
    assert study.error(study.best) == pytest.approx(math.sqrt(0.96 * 0.04 / 100))
    assert study.objective.label == "val accuracy (%)" and study.objective.scale == 100


def test_ten_are_at_the_top():
    study = search(*twelve())
    assert len(study.top) == 10 and len(study.ranked) == 12
    assert {slot_of(study.seeds_of(each)[0]) for each in study.top[:3]} == {6, 5, 7}


def test_a_complete_trial_without_a_value_has_no_rank():
    study = search(Trial(0, ()), Trial(1, (math.nan,)), Trial(2, (0.4,)))
    assert len(study.complete) == 3 and [slot_of(trial) for trial in study.ranked] == [2]
    assert [trial.state.name for trial in study.optuna_study.trials] == ["FAIL", "FAIL", "COMPLETE"]


def test_settings_are_typed_and_those_that_were_searched():
    yaml = """
fields:
  optimizer: {choices: [adam, momentum]}
  momentum: {range: [0.5, 0.99], when: {optimizer: [momentum]}}
"""
    study = search(Trial(0), Trial(1, settings={"optimizer": "momentum", "momentum": 0.7}), yaml=yaml)
    assert study.settings(study.trials[0]) == {"optimizer": "adam"}
    assert study.settings(study.trials[1]) == {"optimizer": "momentum", "momentum": 0.7}
    assert [trial.params for trial in study.optuna_study.trials] == [study.settings(trial) for trial in study.trials]


# --- edges ------------------------------------------------------------------------------------------


def test_a_best_value_at_an_end_is_told(mixed):
    assert [(edge.field, edge.end, edge.bound) for edge in mixed.edges] == [
        ("learning_rate", "upper", 0.1),
        ("batch_size", "upper", 128),
    ]
    assert mixed.edges[0].words == "learning_rate=0.09 is at the upper end of the searched values (0.1)"


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, []),
        ({"learning_rate": 1.2e-4}, [("learning_rate", "lower")]),
        ({"learning_rate": 1e-3, "batch_size": 16}, [("batch_size", "lower")]),
        ({"l2": 0.0, "dropout": 0.0}, []),  # nothing lies below
        ({"l2": 1.1e-7}, []),  # below it lies 0, which was searched
        ({"l2": 9e-3, "dropout": 0.59}, [("l2", "upper"), ("dropout", "upper")]),
    ],
)
def test_edges_are_those_beyond_which_there_is_something(settings, expected):
    study = search(Trial(0, settings=settings))
    assert [(edge.field, edge.end) for edge in study.edges] == expected


def test_words_and_two_choices_have_no_ends():
    yaml = "fields: {activation: {choices: [relu, tanh, gelu]}, batch_size: {choices: [32, 64]}}"
    assert search(Trial(0), yaml=yaml).edges == []


# --- importances and Optuna -------------------------------------------------------------------------


def test_what_decides_is_the_most_important_by_both():
    study = search(*twelve())
    assert study.importances[0].field == "learning_rate"
    assert {each.field for each in study.importances} == {"learning_rate", "batch_size", "l2", "dropout"}
    first = study.importances[0]
    assert first.ped_anova > 0.6 and first.fanova > 0.6
    assert sum(each.ped_anova for each in study.importances) == pytest.approx(1)


def test_a_field_that_few_trials_have_may_be_missing_where_they_are_drawn_again():
    yaml = """
fields:
  optimizer: {choices: [adam, momentum]}
  momentum: {range: [0.5, 0.99], when: {optimizer: [momentum]}}
  dropout: {range: [0.0, 0.6]}
"""
    rare = {3: {"optimizer": "momentum", "momentum": 0.9}}
    trials = [Trial(slot, (0.1 + slot,), {"dropout": slot / 30} | rare.get(slot, {})) for slot in range(12)]
    found = {each.field: each for each in search(*trials, yaml=yaml).importances}
    assert found["momentum"].low == 0 and found["dropout"].first > 0.95


def test_importances_say_how_sure_they_are():
    """A field that decides all is surely the first; of two that decide nothing neither is."""
    draw = np.random.default_rng(1)

    def importances(weight: float) -> list:
        points = draw.random((24, 2))
        trials = [
            Trial(slot, (0.3 + weight * (rate - 0.5) ** 2 + 0.01 * draw.random(),),
                  {"learning_rate": 10 ** (-4 + 3 * rate), "dropout": 0.6 * dropout})
            for slot, (rate, dropout) in enumerate(points)
        ]  # fmt: skip
        return search(*trials).importances

    sure, unsure = importances(10.0), importances(0.0)
    assert sure[0].field == "learning_rate" and sure[0].first > 0.95 and sure[0].low > 0.3
    assert unsure[0].first < 0.95 and unsure[0].high - unsure[0].low > 0.2
    for found in (sure, unsure):
        assert all(0 <= each.low <= each.high <= 1 for each in found)
        assert sum(each.first for each in found) == pytest.approx(1)


@pytest.mark.parametrize(
    "trials, how, reason",
    [
        ([], {}, "0 complete trials are too few"),
        ([Trial(0)], {}, "1 complete trial is too few"),
        ([Trial(slot) for slot in range(10)], {}, "all complete trials have the same value"),
        (twelve(), {"yaml": ONE_FIELD}, "only one field was searched"),
    ],
)
def test_where_there_are_no_importances_the_reason_is_told(trials, how, reason):
    study = search(*trials, **how)
    assert study.importances == [] and study.no_importances.startswith(reason)


def test_a_field_that_not_every_trial_has_is_unknown_to_fanova():
    yaml = """
fields:
  learning_rate: {range: [1.0e-4, 1.0e-1], log: true}
  optimizer: {choices: [adam, momentum]}
  momentum: {range: [0.5, 0.99], when: {optimizer: [momentum]}}
"""
    trials = [
        Trial(slot, (0.1 * slot + 0.1,), {"optimizer": ("adam", "momentum")[slot % 2], "momentum": 0.5 + slot / 100})
        for slot in range(12)
    ]
    by_field = {each.field: each for each in search(*trials, yaml=yaml).importances}
    assert by_field["momentum"].fanova is None and by_field["optimizer"].fanova is not None


def test_fanova_knows_nothing_where_what_all_trials_have_never_varied():
    yaml = """
fields:
  optimizer: {choices: [adam, momentum]}
  momentum: {range: [0.5, 0.99], when: {optimizer: [momentum]}}
"""
    (importance,) = search(*(Trial(slot, (0.1 + slot,)) for slot in range(12)), yaml=yaml).importances
    assert importance.field == "optimizer" and importance.fanova is None


def test_the_optuna_study_has_states_values_and_curves(mixed):
    trials = mixed.optuna_study.trials
    assert [trial.user_attrs["slot"] for trial in trials] == [0, 1, 2, 3, 4, 5, 7]
    names = [trial.state.name for trial in trials]
    assert names == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "COMPLETE", "FAIL", "PRUNED"]
    assert mixed.optuna_study.best_value == 0.3 and trials[0].intermediate_values == {1: 0.9, 2: 0.31}
    assert trials[4].params["l2"] == 1e-8  # 0 is drawn at the low end
    assert trials[0].distributions["learning_rate"].log


# --- what is chosen ---------------------------------------------------------------------------------


def test_choice_is_expected_to_be_best_and_not_the_one_with_the_most_luck():
    """Around 10⁻² every value is near 0.3; one in the bad region was lucky, a pruned and a diverged one were not."""
    rates = [10 ** (-4 + 3 * number / 14) for number in range(15)]
    trials = [
        Trial(slot, (2.0, 0.3 + (math.log10(rate) + 2) ** 2 + 0.02 * (slot % 2)), {"learning_rate": rate})
        for slot, rate in enumerate(rates)
    ]
    lucky = Trial(15, (2.0, 0.29), {"learning_rate": 3e-4})
    others = [Trial(16, (2.5,), {"learning_rate": 0.08}, state="pruned"),
              Trial(17, (math.inf,), {"learning_rate": 0.09}, state="diverged")]  # fmt: skip
    study = search(*trials, lucky, *others, yaml=ONE_FIELD)
    assert study.ranked[0].name == "trial 15"
    assert abs(math.log10(float(study.best.params["learning_rate"])) + 2) < 0.3
    assert study.standings[0].chance < 0.9 and study.standings[1].behind.low < 0
    assert study.confirmation is None and not study.nothing_to_confirm


def test_choice_after_few_trials_is_the_best():
    study = search(Trial(0, (0.4,)), Trial(1, (0.3,), {"learning_rate": 0.01}), yaml=ONE_FIELD)
    assert study.best is study.ranked[0] and study.is_baseline(study.trials[0]) and not study.is_baseline(study.best)
    assert search(Trial(0, (1.0,), state="pruned"), yaml=ONE_FIELD).best is None


def test_seeds_of_a_configuration_are_its_trials():
    """The baseline has three seeds, of which the second failed by a fault of the machine: its mean is of two."""
    trials = [Trial(0, (0.4,)), Trial(1, (0.35,), {"learning_rate": 0.01}), Trial(2, (), state="FAILED"),
              Trial(3, (0.2,), tags={"seed": 2})]  # fmt: skip
    study = search(*trials, yaml=ONE_FIELD)
    assert [study.seeds_of(standing) for standing in study.standings] == [
        [study.trials[0], study.trials[3]], [study.trials[1]]
    ]  # fmt: skip
    assert study.standings[0].value == pytest.approx(0.3) and study.best is study.trials[0]
