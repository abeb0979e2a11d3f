import pytest
from factories import written
from factories.written import Trial

from study.analysis.multiverse import ways_to_ask
from study.analysis.verdicts import Kind

YAML = "question: Which?\narms:\n  list:\n    - {name: plain}\n    - {name: more, l2: 0.1}\n"

pytestmark = pytest.mark.usefixtures("store")


def study(**params: str):
    """Nine seeds: `more` is better in its best epoch, as good in its last, and worse on the test rows."""
    trials = []
    for seed in range(9):
        trials.append(Trial("plain", seed, (0.95, 0.95), {"test_accuracy": 0.95}))
        kept = {"model_val_accuracy": 0.96 + seed / 10_000, "model_val_cross_entropy": 0.03 - seed / 10_000}
        trials.append(Trial("more", seed, (kept["model_val_accuracy"], 0.95), {"test_accuracy": 0.94} | kept))
    return written.read(written.write(YAML, trials, params=params, test_rows="10000"))


def test_each_way_to_ask_has_its_own_verdict_and_the_first_decides():
    ways = {way.title: way.verdicts for way in ways_to_ask(study())}
    assert {name: verdicts[0].kind for name, verdicts in ways.items()} == {
        "val accuracy": Kind.HELPS, "val cross-entropy": Kind.HELPS, "test accuracy": Kind.HURTS,
        "last epoch": Kind.NO_EFFECT, "best epoch": Kind.HELPS,
    }  # fmt: skip
    assert ways["val accuracy"] == study().verdicts
    assert ways["val cross-entropy"][0].sentence.endswith(" nats")


def test_where_the_cross_entropy_decides_the_accuracy_is_asked_beside_it():
    ways = ways_to_ask(study(decide="val_cross_entropy"))
    assert [(way.title, way.unit) for way in ways] == [("val cross-entropy", "nats"), ("val accuracy", "points")]


def test_a_study_without_trials_has_no_way_to_ask():
    assert ways_to_ask(written.read(written.write(YAML, []))) == []
