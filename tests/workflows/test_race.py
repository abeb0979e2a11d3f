"""A race before its first trial: what `promote` prepares, records and refuses; nothing is trained here."""

import contextlib
import hashlib
import sys
from dataclasses import replace

import pytest
from factories import written, written_search
from factories.written import Trial

from study.analysis.selection import Decision
from study.base.errors import Interrupted, StudyError
from study.data.dataset import Split
from study.data.split import IN_FOLDS
from study.inference import novelty
from study.tracking.store import connect
from study.training.config import TrialConfig
from study.workflows import crowning, promote

ARMS = "question: Why?\narms:\n  list: [{name: a}, {name: b, l2: 0.1}]\n"


def found(accuracy: float, seed: int, **settings) -> Trial:
    config = TrialConfig.parse({"data": "digits", "validation": "216", "seed": seed, **settings})
    return Trial("a", seed, (accuracy,), params=config.as_text())


@pytest.fixture
def own_digits(digits, store, request, monkeypatch):
    """The digits as data of their own, and an experiment of its own, for each test: they share a store."""
    own = replace(digits, sha256=hashlib.sha256(request.node.name.encode()).hexdigest())
    monkeypatch.setattr(promote, "load_dataset", lambda *given, **named: own)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    return own


def write(dataset, *trials: Trial, **tags: str) -> str:
    data = {"dataset": "digits", "dataset_sha256": dataset.sha256, "validation_rows": "216"}
    return written.write(ARMS, trials, **data | tags)


def prepare(seeds: int = 3, **other) -> promote.Race:
    options = {"name": "reads-digits", "source": None, "query": None, "spec": None, "top": 5, "seeds": seeds}
    return promote.prepare(**options | other)


def run(race: promote.Race) -> None:
    promote.run(race, params={}, worker_count=1, observe=lambda _: None, force=False)


@pytest.fixture
def ends(monkeypatch):
    """Have races end as a test says, before their first trial."""
    monkeypatch.setattr(promote, "WorkerPool", lambda count: contextlib.nullcontext())

    def with_(failure: BaseException) -> None:
        def fail(*given, **named):
            raise failure

        monkeypatch.setattr(promote, "run_specs", fail)

    return with_


@pytest.fixture
def unrehearsed(monkeypatch):
    """Spare a test the seconds of a rehearsal that it has no use for."""
    monkeypatch.setattr(crowning, "rehearse", lambda *given: (None, ""))


@pytest.mark.usefixtures("unrehearsed")
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), StudyError("a trial of the race failed")])
def test_a_race_that_did_not_finish_goes_on_with_the_same_seeds(own_digits, ends, failure, request):
    write(own_digits, found(0.9, 1))
    first = prepare()
    assert {spec.config.seed for spec in first.specs} == {2, 3, 4}
    ends(failure)
    with pytest.raises((Interrupted, StudyError)):
        run(first)
    # What the race has trained, under the same task, and what another one has, doesn't move them.
    write(own_digits, found(0.8, 2), found(0.8, 3), task="promote")
    assert [spec.config for spec in prepare().specs] == [spec.config for spec in first.specs]
    assert {spec.config.seed for spec in prepare(seeds=4).specs} == {2, 3, 4, 5}  # more seeds: these, and one more
    assert {spec.config.seed for spec in prepare(name="another").specs} == {2, 3, 4}  # nor does another name
    experiments = [connect().get_experiment_by_name(request.node.name).experiment_id]
    (record,) = [one for one in connect().search_runs(experiments, "tags.race != ''")]
    connect().delete_run(record.info.run_id)
    assert prepare().first_seed == 2  # nor does the end of its run


@pytest.mark.usefixtures("unrehearsed")
def test_a_race_gets_other_seeds_once_its_candidates_have_used_them(own_digits, ends):
    write(own_digits, found(0.9, 1))
    ends(KeyboardInterrupt())
    with pytest.raises(Interrupted):
        run(prepare())
    write(own_digits, found(0.9, 4))
    assert {spec.config.seed for spec in prepare().specs} == {5, 6, 7}
    with pytest.raises(Interrupted):
        run(prepare())
    write(own_digits, found(0.8, 5), task="promote")
    assert prepare().first_seed == 5  # the seeds that were recorded last count


def test_a_candidate_is_stored_asked_and_described_before_the_race(own_digits):
    write(own_digits, found(0.9, 1, hidden="16"))
    client, race, path = connect(), prepare(), list(sys.path)
    untouched = replace(own_digits, test=Split(own_digits.test.inputs[:0], own_digits.test.labels[:0]))
    reference, _ = crowning.rehearse(client, "rehearsed", race.entrants, untouched)
    assert novelty.Reference.from_bytes(reference).shape.tolist() == [28, 28]
    assert client.get_registered_model("rehearsed").latest_versions == []
    assert sys.path == path


@pytest.mark.parametrize("broken, message", [
    ("model_card.ModelCard.markdown", "the card"),
    ("log_model.save_served_model", "the served model"),
    ("registry.make_model", "the registry"),
])  # fmt: skip
def test_nothing_is_trained_if_the_rehearsal_fails(own_digits, ends, monkeypatch, broken, message):
    def fail(*given, **named):
        raise StudyError(message)

    write(own_digits, found(0.9, 1, hidden="16"))
    ends(AssertionError("the race has begun"))
    monkeypatch.setattr(f"study.workflows.crowning.{broken}", fail)
    with pytest.raises(StudyError, match=message):
        run(prepare())


def test_a_champion_of_too_few_rows_has_no_novelty_score_and_says_so(own_digits):
    write(own_digits, found(0.9, 1, hidden="16"))
    few = own_digits.train.take(slice(12))
    reference, reason = crowning.rehearse(connect(), "few", prepare().entrants, replace(own_digits, train=few))
    assert reference is None and reason == "no score: fewer than five training images of each class"


MARK = "MNIST, which could not be fetched"


def test_a_substitute_stays_one(own_digits, digits, monkeypatch):
    write(own_digits, found(0.9, 1), dataset_substitute_for=MARK)
    write(own_digits, found(0.8, 2))
    race = prepare(name=None)
    assert race.name == "digits-mlp"
    assert race.dataset.title == "digits (a substitute for MNIST)" and race.dataset.substitute_for == MARK
    assert prepare(name="mnist-mlp").dataset.substitute_for == MARK
    assert prepare(spec="digits").dataset.substitute_for is None  # they were asked for
    decision = Decision(race.entrants[0].name, None, None, race.entrants[0].accuracy, "id", None)
    marks = crowning._version_tags(race.entrants[0], decision, race.dataset)
    assert marks["dataset_title"] == race.dataset.title and marks["dataset_substitute_for"] == MARK
    assert race.dataset.title in crowning._model_description(race.dataset)


@pytest.mark.parametrize(
    "data, name", [("mnist", "mnist-mlp"), ("a/b:c@d e", "a-b-c-d e-mlp"), ("x" * 255, "x" * 252 + "-mlp")]
)
def test_a_model_is_named_after_its_data(digits, data, name):
    assert promote.usual_name(replace(digits, name=data), ["mlp"]) == name
    assert promote.usual_name(digits, ["my_net.py:wide@0123abcd"]) == "digits-my_net-wide"
    assert promote.usual_name(digits, ["cnn", "mlp", "cnn"]) == "digits-mlp-cnn"
    promote._check_name(name)


# --- folds ------------------------------------------------------------------------------------------


def test_a_race_that_varies_the_split_validates_each_fresh_seed_on_its_fold(own_digits):
    write(own_digits, found(0.9, 1), found(0.8, 2, l2=0.1))
    fixed, race = prepare(), prepare(vary="split")
    assert {(spec.config.seed, spec.config.data.fold) for spec in race.specs} == {(3, 2), (4, 3), (5, 4)}
    assert {spec.config.data.fold for spec in fixed.specs} == {None}
    assert race.dataset.split == IN_FOLDS and len(race.dataset.validation) == 120
    assert race.mark != fixed.mark and race.mark_of_seeds != fixed.mark_of_seeds


def test_candidates_from_folds_are_compared_with_one_another_whatever_their_size(own_digits):
    folds = [found(0.6 + 0.1 * seed, seed, fold=seed - 1, validation=120 - seed // 3) for seed in (1, 2, 3)]
    write(own_digits, *folds, found(0.99, 1, l2=0.1), found(0.99, 2, l2=0.1))
    race = prepare()
    assert [(one.accuracy.n, round(one.accuracy.mean, 6)) for one in race.entrants] == [(3, 80.0)]
    assert {(spec.config.data.fold, spec.config.data.validation) for spec in race.specs} == {(None, "216")}


def test_the_cost_is_what_the_search_weighed_and_no_trial_is_read_for_that(store, monkeypatch):
    weighed, other = (written_search.write([], also=also) for also in ("latency_ms", None))
    monkeypatch.setattr(promote.search_results, "read", None)
    client = connect()
    assert [promote._cost(client, source) for source in (weighed, other, None)] == [
        "latency_ms", "parameters", "parameters"
    ]  # fmt: skip
    assert promote._cost(client, written.write(ARMS, [])) == "parameters"
