import math
from dataclasses import replace

import numpy as np
import pytest
from factories import written
from factories.written import Trial

from study.analysis import confidence_sequence as sequence
from study.analysis import selection
from study.analysis.ablation_results import ACCURACY
from study.analysis.selection import Candidate, PromotionError
from study.analysis.statistics import estimate
from study.base.errors import TrackingError
from study.reports import model_card
from study.reports.model_card import ModelCard
from study.tracking import records, store
from study.tracking.limits import MODEL_DESCRIPTION
from study.tracking.records import RunRecord
from study.training.config import TrialConfig
from study.training.metrics import Evaluation

ARMS = "question: Why?\narms:\n  list:\n    - {name: a}\n    - {name: b, hidden: 512}\n    - {name: c, l2: 0.1}\n"


def trial(accuracy: float, sha256: str = "5ee", validation: str = "5000", **settings) -> RunRecord:
    params = TrialConfig.parse({"validation": validation, **settings}).as_text()
    tags = {"dataset_sha256": sha256 * 4, "dataset": f"set {sha256}", "validation_rows": validation}
    return RunRecord(f"id {accuracy}", "trial", "FINISHED", params, tags, {"model_val_accuracy": accuracy})


pytestmark = pytest.mark.usefixtures("store")


# --- the candidates ---------------------------------------------------------------------------------


def test_configurations_are_ranked_by_the_mean_over_their_seeds():
    trials = [
        trial(0.99, hidden="16", seed=1), trial(0.90, hidden="16", seed=2),  # lucky once
        trial(0.96, dropout=0.1, seed=1), trial(0.97, dropout=0.1, seed=2),
        trial(0.93, seed=5),
    ]  # fmt: skip
    best, second, third = selection.rank(trials, top=5)
    assert [one.settings for one in (best, second, third)] == [{"dropout": 0.1}, {"hidden": "16"}, {}]
    assert best.accuracy == estimate(np.array([0.96, 0.97]) * 100)
    assert second.run_ids == ("id 0.99", "id 0.9")
    assert selection.rank(trials, top=1) == [best]


def test_the_same_trial_in_two_studies_counts_once():
    (one,) = selection.rank([trial(0.9, seed=1), trial(0.9, seed=1), trial(0.8, seed=2)], 5)
    assert one.accuracy.n == 2


def test_a_candidates_config_has_neither_seed_nor_data_of_its_own():
    (one,) = selection.rank([trial(0.9, data="digits", validation="216", seed=7, l2=0.01)], 5)
    assert one.config == TrialConfig.parse({"l2": 0.01})


def test_trials_on_different_data_are_never_mixed():
    trials = [trial(0.9), trial(0.9), trial(0.8, sha256="abc")]
    with pytest.raises(PromotionError) as error:
        selection.one_dataset(trials, None)
    message = "the trials used different datasets and cannot be compared; got 2 on set 5ee 5ee5ee5ee5ee…, 1 on set abc"
    assert str(error.value).startswith(message) and "-P data=" in str(error.value)
    assert selection.one_dataset(trials, "abc" * 4) == trials[2:]


def test_of_several_splits_the_most_used_counts():
    trials = [trial(0.9, validation="12000"), trial(0.8), trial(0.7)]
    assert selection.one_dataset(trials, None) == trials[1:]


@pytest.mark.parametrize("trials, wanted, message", [
    ([], None, "there are no finished trials to choose from. Run an ablation or a search"),
    ([trial(0.9)], "f00" * 4, "no finished trial used this dataset; expected SHA-256 f00f00f00f00…, got 1 on set 5ee"),
])  # fmt: skip
def test_nothing_to_choose_from_is_said(trials, wanted, message):
    with pytest.raises(PromotionError) as error:
        selection.one_dataset(trials, wanted)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("used, seeds, first", [
    (set(), 3, 1), ({1, 2, 3}, 3, 4), ({2, 41}, 3, 3), ({1, 3, 6}, 2, 4), ({1, 2**31 - 1}, 6, 2),
])  # fmt: skip
def test_fresh_seeds_are_the_first_in_a_row_that_were_never_used(used, seeds, first):
    assert selection.fresh_seed(used, seeds) == first


@pytest.mark.parametrize("recorded, used, first", [
    (None, {"mine": {1, 2}, "promote": {3, 4, 5}}, 6),
    (3, {"mine": {1, 2}, "promote": {3, 4, 5}}, 3),  # the race itself has used them
    (3, {"mine": {1, 2, 5}, "promote": {3, 4}}, 6),  # a study has used one since, and may have chosen by it
    (3, {"mine": {1, 2, 6}}, 3),
])  # fmt: skip
def test_a_race_keeps_its_seeds_while_nothing_is_chosen_by_them(recorded, used, first):
    assert selection.race_seed(recorded, used, 3) == first


# --- the race ---------------------------------------------------------------------------------------


def test_a_race_has_an_arm_for_each_entrant_and_trains_its_very_config(digits):
    entrants = selection.named(
        [Candidate(TrialConfig.parse({"hidden": "20-7", "patience": 3})), Candidate(TrialConfig())]
    )
    race = selection.race(entrants, 2, None)
    specs = race.trial_specs(2, digits, first_seed=9)
    assert [spec.name for spec in specs] == [
        "hidden=20-7 patience=3 · seed 9", "defaults · seed 9", "hidden=20-7 patience=3 · seed 10",
        "defaults · seed 10",
    ]  # fmt: skip
    assert (specs[0].config.network, specs[0].config.training) == (
        entrants[0].config.network,
        entrants[0].config.training,
    )
    assert (specs[0].config.data.source, specs[0].config.data.validation) == ("digits", "216")


def test_names_are_short_where_that_tells_them_apart():
    rates = [0.00061102915, 0.0028088691, 0.0028088692]
    entrants = selection.named([Candidate(TrialConfig.parse({"learning_rate": rate})) for rate in rates])
    names = ["learning_rate=0.000611", "learning_rate=0.0028088691", "learning_rate=0.0028088692"]
    assert [entrant.name for entrant in entrants] == names
    assert [arm.settings["learning_rate"] for arm in selection.race(entrants, 2, None).arms] == rates


def test_names_leave_out_a_network_that_all_share():
    cnns = [Candidate(TrialConfig.parse({"network": "cnn"} | more)) for more in ({}, {"dropout": 0.1})]
    assert [entrant.name for entrant in selection.named(cnns)] == ["defaults", "dropout=0.1"]
    mixed = selection.named([*cnns, Candidate(TrialConfig())])
    assert [entrant.name for entrant in mixed] == ["network=cnn", "network=cnn dropout=0.1", "defaults"]


def test_a_race_is_known_again_by_what_decides_it():
    one, other = Candidate(TrialConfig.parse({"hidden": "16"})), Candidate(TrialConfig())
    mark = selection.fingerprint([one, other], "5ee", "5000", 6)
    assert selection.fingerprint([other, one], "5ee", "5000", 6) == mark
    changed = [([one], "5ee", "5000", 6), ([one, other], "abc", "5000", 6), ([one, other], "5ee", "216", 6),
               ([one, other], "5ee", "5000", 7)]  # fmt: skip
    assert len({mark, *(selection.fingerprint(*arguments) for arguments in changed)}) == 5
    assert selection.fingerprint([one, other], "5ee", "5000", None) not in (mark, None)


def raced(**accuracies: list[float]):
    trials = [
        Trial(arm, seed, (accuracy,)) for arm, values in accuracies.items() for seed, accuracy in enumerate(values, 7)
    ]
    return written.read(written.write(ARMS, trials))


def test_the_winner_has_the_best_mean_and_hands_over_its_best_seed():
    study = raced(a=[0.96, 0.97, 0.95], b=[0.98, 0.981, 0.979], c=[0.99, 0.90, 0.90])
    decision = selection.decide(study, champion=None)
    assert (decision.winner, decision.second, decision.over_champion) == ("b", "a", None)
    assert (decision.lead.mean, decision.lead.half_width) == (pytest.approx(2.0), math.inf)
    assert not decision.separated  # three seeds separate nothing
    assert decision.run_id == study.finished("b")[8].run_id
    assert decision.accuracy.mean == pytest.approx(98.0)


def test_a_lead_beyond_the_interval_separates():
    noise = [0, 0.001, -0.001, 0.002, 0, -0.002, 0.001, 0, 0.001, 0]
    study = raced(a=[0.96 + part for part in noise], b=[0.98 - part for part in noise])
    decision = selection.decide(study, champion="a")
    assert decision.separated and decision.over_champion.low > 0
    # Of three arms two are compared with the champion; which two are the first, the race itself decides.
    assert decision.over_champion == sequence.interval(study.differences(ACCURACY, "b", "a"), 2)
    assert decision.lead == sequence.interval(study.differences(ACCURACY, "b", "a"), 3)


def test_where_the_split_varies_new_data_decide():
    # Ahead on these data, but not by what other rows of the same source could show.
    lead = [0.002, 0.001, 0.003, 0.002, 0.001, 0.003, 0.002, 0.001, 0.003, 0.002]
    study = raced(a=[0.96] * 10, b=[0.96 + each for each in lead])
    assert selection.decide(study, champion="a").over_champion.low > 0
    rows = {"validation_rows": "10000", "train_rows": "10000"}
    record = replace(study.record, tags=study.record.tags | rows)
    split = replace(study, ablation=replace(study.ablation, vary="split"), record=record)
    decision = selection.decide(split, champion="a")
    assert decision.over_champion == split.on_new_data("b", "a")
    assert decision.over_champion.half_width == pytest.approx(study.difference(ACCURACY, "b", "a").half_width * 11**0.5)
    assert decision.over_champion.low < 0 and not decision.separated
    assert decision.lead.half_width > decision.over_champion.half_width  # it is one of more pairs
    entrants = [Candidate(TrialConfig(), estimate(np.array([99.0])), name="b")]
    told = dict(model_card.evidence(decision, entrants, TEST, []))
    assert told["lead over the second, a"].endswith("points on new data from the same source: not separated")
    assert told["lead over the champion before"].endswith("points on new data from the same source")


def test_with_a_champion_arms_have_their_own_numbers_of_seeds_and_differences_rank_them():
    champion = [0.96 + seed / 1_000 for seed in range(10)]  # later seeds are better, for every arm
    study = raced(a=champion, b=[each + 0.004 for each in champion[:7]], c=[each + 0.003 for each in champion])
    assert max(study.arms, key=lambda arm: arm.values[ACCURACY.metric].mean).name == "c"
    assert selection.decide(study, champion="a").winner == "b"


def test_a_lead_within_the_interval_does_not_separate():
    decision = selection.decide(raced(a=[0.96, 0.97], b=[0.97, 0.961]), champion="a")
    assert decision.winner == "b" and not decision.separated
    assert math.isinf(decision.over_champion.half_width)


def test_the_champion_is_not_compared_with_itself():
    assert selection.decide(raced(a=[0.97, 0.98], b=[0.96, 0.95]), champion="a").over_champion is None


def test_an_arm_that_has_lost_a_seed_cannot_win():
    decision = selection.decide(raced(a=[0.90, 0.91], b=[0.99], c=[0.80, 0.81]), None)
    assert (decision.winner, decision.second) == ("a", "c")


def lossy(**lost: tuple[int, ...]):
    """A race over seeds 1 to 3 in which `b` is ahead; each arm's lost seeds diverged."""
    trials = [
        Trial(arm, seed, (accuracy,), state="diverged" if seed in lost.get(arm, ()) else "complete")
        for arm, accuracy in (("a", 0.96), ("b", 0.98))
        for seed in (1, 2, 3)
    ]
    return written.read(written.write(ARMS, trials))


def test_arms_that_lost_different_seeds_cannot_win_either():
    with pytest.raises(PromotionError, match="every configuration lost seeds that another one finished; got a: 1 of"):
        selection.decide(lossy(a=(1,), b=(2,)), None)


def test_a_champion_that_lost_seeds_is_not_compared_by_those_it_has_left():
    decision = selection.decide(lossy(a=(1,)), champion="a")
    assert (decision.winner, decision.over_champion, decision.champion_lost.words) == (
        "b", None, "1 of 3 seeds diverged in this arm",
    )  # fmt: skip


def test_a_single_entrant_wins_and_leads_nobody():
    decision = selection.decide(raced(a=[0.97]), champion=None)
    assert (decision.winner, decision.second, decision.lead, decision.separated) == ("a", None, None, False)


def test_a_race_of_which_nothing_has_finished_has_no_winner():
    with pytest.raises(PromotionError, match="no trial of the race has finished"):
        selection.decide(written.read(written.write(ARMS, [Trial("a", 1, state="diverged")])), None)


# --- the evidence -----------------------------------------------------------------------------------


TEST = Evaluation(loss=0.1, accuracy=0.9, confusion=np.array([[50, 0], [10, 40]]))


def test_the_evidence_sets_fresh_seeds_beside_the_figure_that_was_picked():
    decision = selection.decide(raced(a=[0.96, 0.97], b=[0.98, 0.981]), None)
    entrants = selection.named(
        [
            Candidate(TrialConfig(), estimate(np.array([99.0, 99.2]))),
            Candidate(TrialConfig.parse({"hidden": "512"}), estimate(np.array([98.5]))),
            Candidate(TrialConfig.parse({"l2": 0.1})),
        ]
    )
    rows = dict(model_card.evidence(decision, entrants, TEST, ["promote"]))
    assert rows["validation accuracy, fresh seeds"] == "98.05 ± 0.64 % (n = 2)"
    assert rows["best candidate before the race"] == "99.1 ± 1.3 % (n = 2)"
    assert rows["lead over the second, a"].endswith("points: not separated")
    # Wilson's interval of 90 in 100.
    assert rows["test accuracy"] == "90.00 % (82.56 to 94.48, binomial 95 %)"
    assert rows["test set"] == "opened for the 2nd time in this store, after 1 promotion"


@pytest.mark.parametrize("before, text", [
    ([], "opened for the 1st time in this store"),
    (["batch_size", "dropout", "promote", "train", "train"],
     "opened for the 6th time in this store, after 1 promotion, 2 studies, 2 trainings"),
    (["promote"] * 10, "opened for the 11th time in this store, after 10 promotions"),
    (["mine"], "opened for the 2nd time in this store, after 1 study"),
])  # fmt: skip
def test_the_card_says_how_often_the_test_set_has_been_opened(before, text):
    assert model_card.opened(before) == text


def test_the_card_has_the_table_by_class_and_the_confusion():
    card = ModelCard([("test accuracy", "90 %")], TEST, [("data", "mnist")]).markdown()
    assert card.startswith("- **data**: mnist\n- **test accuracy**: 90 %\n")
    assert "| 0 | 50 | 100.0 | 83.3 |" in card and "| 1 | 50 | 80.0 | 100.0 |" in card
    assert "| 1 | 10 | 40 |" in card


@pytest.mark.parametrize(
    "classes, has_classes, has_confusion", [(10, True, True), (47, True, False), (200, False, False)]
)
def test_a_card_that_the_registry_cannot_hold_leaves_out_its_largest_tables(classes, has_classes, has_confusion):
    test = Evaluation(0.1, 0.9, np.full((classes, classes), 1_000))
    card = ModelCard([("x", "y" * 200)] * 6, test, [])
    short = card.shortened(MODEL_DESCRIPTION, "model_card.md")
    assert len(short) <= MODEL_DESCRIPTION and short.startswith("- **x**: yyy")
    assert ("recall (%)" in short, "predicted" in short) == (has_classes, has_confusion)
    assert ("see `model_card.md`" in short) == (short != card.markdown()) == (classes > 10)


def test_trials_are_found_by_study_and_by_filter():
    run_id = written.write(ARMS, [Trial("a", 1), Trial("b", 2), Trial("c", 3, state="diverged")])
    client = store.connect()
    assert {found.tags["arm"] for found in records.find_trials(client, run_id, None)} == {"a", "b"}
    (only,) = records.find_trials(client, run_id, "tags.arm = 'b'")
    assert only.metrics["model_val_accuracy"] == 0.5
    other = written.write(ARMS, [Trial("b", 3)])
    everywhere = {found.run_id for found in records.find_trials(client, None, "tags.arm = 'b'")}
    assert {only.run_id, *(found.run_id for found in records.find_trials(client, other, None))} <= everywhere
    with pytest.raises(TrackingError, match="filter: "):
        records.find_trials(client, None, "arm is b")


@pytest.mark.parametrize("query", [
    "metrics.test_accuracy>0.93", "metric.`test_recall_3` > 0.9", 'params.hidden = "64" and metrics."test_loss" < 0.1',
    "tags.test_opened = '2'", "tags.`mlflow.note.content` LIKE '%test accuracy 98%'",
])  # fmt: skip
def test_no_filter_chooses_by_test_results(query):
    with pytest.raises(TrackingError, match="would choose by test results; expected params, tags or metrics of valid"):
        records.find_trials(store.connect(), None, query)


def test_every_opening_of_a_test_set_counts_even_a_deleted_one():
    client, data = store.connect(), {"dataset_sha256": 64 * "a"}
    assert records.test_openings(client, 64 * "a") == {}
    study = written.write(ARMS, [Trial("a", 1), Trial("b", 1)], **data)
    promotion = written.write(ARMS, [], task="promote", test_opened="2", **data)
    written.write(ARMS, [Trial("c", 3, state="diverged")], **data)  # it never came to its test
    written.write(ARMS, [Trial("a", 1)], dataset_sha256=64 * "b")
    client.delete_run(study)
    assert records.test_openings(client, 64 * "a") == {study: "mine", promotion: "promote"}
