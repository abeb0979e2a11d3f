"""A champion promoted for real: an ablation, a race with fresh seeds, the registry, and what is refused."""

from dataclasses import dataclass, replace

import mlflow
import numpy as np
import pytest
from factories import written
from factories.written import Trial
from mlflow import MlflowClient
from mlflow.artifacts import load_text
from mlflow.entities.model_registry import ModelVersion

from study.base.errors import ConfigError
from study.tracking import records, registry
from study.tracking.store import connect
from study.training.config import TrialConfig
from study.workflows import promote

pytestmark = pytest.mark.slow

ARMS = "question: Why?\narms:\n  list: [{name: a}, {name: b, l2: 0.1}]\n"
NAME = "reads-digits"


def found(digits, accuracy: float, seed: int, **settings) -> Trial:
    """A trial on the digits whose record says that it validates so well."""
    config = TrialConfig.parse({"data": "digits", "validation": "216", "seed": seed, **settings})
    return Trial("a", seed, (accuracy,), params=config.as_text())


def write(digits, *trials: Trial) -> str:
    """Write a study of these trials, on the digits; only the races of this module are trained."""
    data = {"dataset": "digits", "dataset_sha256": digits.sha256, "validation_rows": "216"}
    return written.write(ARMS, trials, **data)


def prepare(source=None, **other) -> promote.Race:
    return promote.prepare(name=NAME, source=source, query=None, spec=None, top=5, seeds=3, **other)


def run(race: promote.Race, force: bool = False) -> promote.Promotion:
    return promote.run(race, params={"name": NAME}, worker_count=2, observe=lambda _: None, force=force)


@pytest.fixture(scope="module")
def race(store, digits):
    """The race that an ablation of two arms calls for."""
    usual = {"epochs": 6, "learning_rate": 0.01}
    wide = [found(digits, accuracy, seed, hidden="64", **usual) for seed, accuracy in ((1, 0.8), (2, 0.82))]
    write(digits, *wide, found(digits, 0.81, 1, hidden="8", **usual), found(digits, 0.7, 2, hidden="8", **usual))
    return prepare()


@dataclass(frozen=True)
class Story:
    """What happened, in its order: a first champion, nothing new, one that is not beaten, one that is forced."""

    first: promote.Promotion
    crowned: ModelVersion
    answers: list[dict]
    again: promote.Race
    nothing_new: str
    slow: promote.Race
    stays: promote.Promotion
    stayed_in: str
    forced: promote.Promotion
    previous: str


@pytest.fixture(scope="module")
def story(race, store, digits):
    """Run all of it, once."""
    client, first = MlflowClient(), run(race)
    crowned = client.get_model_version_by_alias(NAME, "champion")
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    answers = model.predict([{"pixels": image.tolist()} for image in digits.test.inputs[:200]])
    again = prepare()
    nothing_new = promote.done_before(again)
    slow = [found(digits, 0.9, seed, epochs=1, learning_rate=rate) for seed, rate in ((1, 1e-6), (2, 1e-5))]
    source = write(digits, *slow)
    slow = prepare(source=source)
    assert promote.done_before(slow) is None
    stays = run(slow)
    stayed_in = promote.done_before(prepare(source=source))
    forced = run(slow, force=True)
    previous = str(client.get_model_version_by_alias(NAME, "previous").version)
    return Story(first, crowned, answers, again, nothing_new, slow, stays, stayed_in, forced, previous)


@pytest.fixture(scope="module")
def first(story):
    """The first promotion."""
    return story.first


def test_a_race_takes_the_configurations_with_seeds_that_none_has_used(race):
    assert [entrant.name for entrant in race.entrants] == [
        f"hidden={width} learning_rate=0.01 epochs=6" for width in (64, 8)
    ]
    assert [spec.config.seed for spec in race.specs] == [3, 3, 4, 4, 5, 5]  # 1 and 2 have been used
    assert (race.incumbent, race.incumbent_arm) == (None, None)


def test_no_trial_of_a_race_has_seen_the_test_images(first):
    assert len(first.outcome.study.trials) == 6
    client = MlflowClient()
    for trial in first.outcome.study.trials:
        assert not [name for name in trial.metrics if name.startswith("test_")]
        assert trial.metrics["model_val_accuracy"] > 0.5
        assert not [file.path for file in client.list_artifacts(trial.run_id) if "test" in file.path]


def test_the_winner_is_registered_with_its_evidence(story, digits):
    version, run_id = story.crowned, story.first.outcome.study.record.run_id
    assert str(version.version) == story.first.version.number == "1"
    card = version.description
    assert digits.sha256 in card and "hidden=64" in card and "opened for the " in card
    assert version.tags["config.hidden"] == "64" and version.tags["data_sha256"] == digits.sha256
    record = MlflowClient().get_run(run_id)
    assert record.info.status == "FINISHED"
    assert load_text(f"runs:/{run_id}/model_card.md") == card
    assert "is the champion" in record.data.tags["mlflow.note.content"]


def test_the_champion_answers_as_its_card_says(story, digits):
    labels = np.array([answer["label"] for answer in story.answers])
    record = records.read_run(connect(), story.first.outcome.study.record.run_id)
    assert (labels == digits.test.labels[:200]).mean() == pytest.approx(record.metrics["test_accuracy"], abs=0.05)


def test_again_with_nothing_new_there_is_nothing_to_do(story):
    assert story.again.incumbent.number == "1"
    assert story.again.incumbent_arm == story.first.decision.winner
    assert story.nothing_new == story.first.outcome.study.record.run_id


def test_a_champion_that_is_not_beaten_stays_unless_forced(story):
    assert [entrant.accuracy is None for entrant in story.slow.entrants] == [False, False, True]
    assert {spec.config.seed for spec in story.slow.specs} == {6, 7, 8}  # nor those of the first race
    assert story.stays.version is None and story.stays.rows == []
    assert story.stays.reason == f"{NAME} version 1 has the configuration that won"
    assert story.stayed_in == story.stays.outcome.study.record.run_id
    assert (story.forced.version.number, story.previous) == ("2", "1")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", " ", "x" * 257])
def test_a_name_that_the_registry_refuses_is_refused_before_the_race(name):
    with pytest.raises(ConfigError, match="name cannot be"):
        promote.prepare(name=name, source=None, query=None, spec=None, top=1, seeds=1)


def test_a_champion_of_other_data_cannot_be_raced_against(story):
    client, run_id = connect(), story.first.outcome.study.record.run_id
    source = client.get_run(run_id).info.artifact_uri
    registry.crown(client, "elsewhere", source, run_id, "of other data", {"data_sha256": "0" * 64})
    race = promote.prepare(name="elsewhere", source=None, query="params.hidden = '64'", spec=None, top=1, seeds=1)
    assert race.absent and [entrant.name for entrant in race.entrants] == [story.first.decision.winner]
    registry.crown(client, "elsewhere", source, run_id, "while it was run", {"data_sha256": "0" * 64})
    assert promote._why_not(race, story.first.decision) == "another champion was crowned while this race ran"
    race = promote.prepare(name="elsewhere", source=None, query="params.hidden = '64'", spec=None, top=1, seeds=1)
    reason = "elsewhere version 2 was trained on other data, so that the two cannot be compared"
    assert promote._why_not(race, story.first.decision) == reason


def test_a_champion_of_a_race_in_folds_says_so(story, digits):
    source = write(digits, found(digits, 0.95, 1, hidden="32", epochs=6, learning_rate=0.01))
    done = run(prepare(source=source, vary="split"), force=True)
    version = MlflowClient().get_model_version_by_alias(NAME, "champion")
    trial = next(each for each in done.outcome.study.trials if each.run_id == done.decision.run_id)
    assert {each.params["fold"] for each in done.outcome.study.trials} == {
        str(int(each.params["seed"]) - 1) for each in done.outcome.study.trials
    }
    assert version.tags["fold"] == trial.params["fold"]
    assert version.tags["validation_split"] == "12 folds by class, another one with each seed"
    assert f"each seed of the race on another fold, this trial on fold {trial.params['fold']}: " in version.description


def test_the_cheapest_within_reach_becomes_the_champion(story, digits):
    """From prepared race to registered model: the best is far larger, and the wish is for a small one."""
    usual = {"epochs": 2, "learning_rate": 0.01, "batch_size": 16}
    large, small = (
        replace(found(digits, accuracy, 1, hidden=width, **usual), metrics={"parameters": parameters})
        for width, accuracy, parameters in (("256", 0.9, 203_530.0), ("16", 0.89, 12_730.0))
    )
    source = write(digits, large, small)
    prepared = promote.prepare(name="small-digits", source=source, query=None, spec=None, top=2, seeds=2, within=40.0)
    assert [one.cost for one in prepared.entrants] == [203_530.0, 12_730.0] and "within 40" in prepared.mark
    done = run(prepared)
    version = MlflowClient().get_model_version_by_alias("small-digits", "champion")
    assert version.tags["config.hidden"] == "16"
    assert "parameters 12,730, against 203,530: the least within 40 points" in version.description
    model = mlflow.pyfunc.load_model("models:/small-digits@champion")
    assert len(model.predict([{"pixels": image.tolist()} for image in digits.test.inputs[:5]])) == 5
    assert done.version.number == "1"
    assert promote.done_before(promote.prepare(
        name="small-digits", source=source, query=None, spec=None, top=2, seeds=2, within=40.0
    )) == done.outcome.study.record.run_id  # fmt: skip
