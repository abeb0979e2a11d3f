import json

import numpy as np
import pytest
from factories import written
from factories.written import Trial
from mlflow.artifacts import load_text

from study.reports import ablation_report, verdicts_file
from study.reports.verdicts_file import Verdicts

LIST = "question: Which?\narms:\n  list:\n    - {name: plain}\n    - {name: more, l2: 0.1}\n    - {name: lost, l2: 1}\n"
GRID = "question: Which?\narms:\n  grid:\n    l2: [0.0, 0.1]\n    dropout: [0.0, 0.1]\n"

pytestmark = pytest.mark.usefixtures("store")


def study(own: str = "", **params: str):
    """Nine seeds of three arms: `more` is hard to tell from `plain`, and `lost` has lost a seed."""
    noise = np.random.default_rng(0).normal(0, 0.003, 9)
    trials = [Trial("plain", seed, (0.97,), {"train_seconds": 2.0}) for seed in range(9)]
    trials += [Trial("more", seed, (0.97 + noise[seed],), {"train_seconds": 1.0}, reused=seed < 4) for seed in range(9)]
    trials += [Trial("lost", seed, (0.96,), state="complete" if seed else "diverged") for seed in range(9)]
    return written.read(written.write(LIST + own, trials, params=params))


def test_a_program_reads_what_a_person_reads():
    found = study()
    read = json.loads(verdicts_file.text(found))
    assert (read["version"], read["run"], read["task"]) == (1, found.record.run_id, "mine")
    assert (read["decides"], read["unit"], read["margin"], read["comparisons"]) == ("val_accuracy", "points", 0.2, 2)
    more, lost = read["verdicts"]
    verdict = found.verdicts[0]
    assert (more["of"], more["against"], more["kind"], more["seeds"]) == ("more", "plain", "undecided", 9)
    assert (more["difference"]["low"], more["difference"]["high"]) == (verdict.effect.low, verdict.effect.high)
    assert (more["bound"], more["sentence"]) == (verdict.bound, verdict.sentence)
    assert (lost["kind"], lost["difference"], lost["bound"]) == ("unstable", None, None)
    plain = read["arms"][0]
    assert (plain["seeds"], plain["changes"]) == (9, {})
    assert plain["trials"] == {str(seed): trial.run_id for seed, trial in found.finished("plain").items()}
    assert plain["measures"]["model_val_accuracy"]["mean"] == pytest.approx(0.97)
    assert read["cost"] == {"trials": 26, "carried_over": 4, "train_seconds": 9 * 2.0 + 5 * 1.0 + 8 * 3.0}


@pytest.mark.parametrize("own, given, added", [
    ("", {"most_seeds": "9"}, "-P most_seeds=40"),
    ("", {"seeds": "9"}, "-P seeds=auto -P most_seeds=40"),
    ("seeds: 9\n", {}, "-P seeds=40"),  # of the task, beside which most_seeds has no effect
])  # fmt: skip
def test_what_is_open_has_a_command_that_goes_on(own, given, added):
    read = json.loads(verdicts_file.text(study(own, **given)))
    assert read["settled"] is False
    assert read["next"]["command"] == f"mlflow run . -e ablation -P task=mine {added}"


def test_where_all_is_settled_nothing_is_next():
    trials = [Trial(arm, seed, (0.97 + 0.01 * (arm == "more"),)) for arm in ("plain", "more") for seed in range(9)]
    trials += [Trial("lost", seed, (0.97,)) for seed in range(9)]
    read = json.loads(verdicts_file.text(written.read(written.write(LIST, trials))))
    assert (read["settled"], read["next"]) == (True, None)
    assert [verdict["kind"] for verdict in read["verdicts"]] == ["helps", "no effect"]


def test_intervals_without_ends_are_null():
    trials = [Trial(arm, 1, (0.97,)) for arm in ("plain", "more", "lost")]
    read = json.loads(verdicts_file.text(written.read(written.write(LIST, trials))))
    assert read["verdicts"][0]["difference"] == {"mean": 0.0, "low": None, "high": None}
    assert read["verdicts"][0]["bound"] is None
    assert read["arms"][2]["measures"]["test_accuracy"]["high"] is None


def test_a_grid_has_its_effects_too():
    arms = [f"l2={l2} dropout={dropout}" for l2 in (0.0, 0.1) for dropout in (0.0, 0.1)]
    trials = [Trial(arm, seed, (0.9 + number / 100,)) for number, arm in enumerate(arms) for seed in range(9)]
    read = json.loads(verdicts_file.text(written.read(written.write(GRID, trials))))
    assert [(one["of"], one["against"], one["kind"]) for one in read["effects"]] == [
        ("l2=0.1", None, "helps"), ("dropout=0.1", None, "helps"), ("l2=0.1 × dropout=0.1", None, "no effect"),
    ]  # fmt: skip
    assert read["comparisons"] == 6


def test_the_file_is_in_the_studys_run_and_is_what_its_models_say():
    found = study()
    ablation_report.log(found)
    text = load_text(f"runs:/{found.record.run_id}/{verdicts_file.NAME}")
    assert Verdicts.model_validate_json(text) == verdicts_file.content(found)
