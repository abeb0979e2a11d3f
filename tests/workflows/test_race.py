"""A race before its first trial: what `promote` prepares, records and refuses; nothing is trained here."""

import contextlib
import hashlib
from dataclasses import replace

import pytest
from factories import written
from factories.written import Trial

from study.base.errors import Interrupted, StudyError
from study.tracking.store import connect
from study.training.config import TrialConfig
from study.workflows import promote

ARMS = "question: Why?\narms:\n  list: [{name: a}, {name: b, l2: 0.1}]\n"


def found(accuracy: float, seed: int, **settings) -> Trial:
    config = TrialConfig.parse({"data": "digits", "validation": "216", "seed": seed, **settings})
    return Trial("a", seed, (accuracy,), params=config.as_text())


@pytest.fixture
def own_digits(digits, store, request, monkeypatch):
    """The digits as data of their own, and an experiment of its own, for each test: they share a store."""
    own = replace(digits, sha256=hashlib.sha256(request.node.name.encode()).hexdigest())
    monkeypatch.setattr(promote, "load_dataset", lambda *given: own)
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
