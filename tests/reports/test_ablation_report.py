import csv
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from factories import written
from factories.written import Trial
from mlflow.artifacts import download_artifacts, load_text

from study.design.ablation import parse_ablation
from study.reports import ablation_report
from study.reports.ablation_tables import arms_table, verdicts_table
from study.tracking import records, runs, store
from study.workflows import run_ablation

YAML = """
question: Does a | pipe help?
known: Nobody knows <b>.
arms:
  list:
    - {name: plain}
    - {name: "l2 | 0.1", l2: 0.1}
    - {name: thrown, learning_rate: 1.0e+20, optimizer: sgd}
"""
PREDICTED = {"plain": [0, 0, 1, 1, 2, 0], "l2 | 0.1": [0, 1, 1, 1, 2, 0]}


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(scope="module")
def study():
    """Seven seeds of two arms, of which the second is two points worse, and an arm that was thrown off."""
    trials = []
    for seed in range(1, 8):
        wobble = seed / 10_000
        trials.append(Trial("plain", seed, (0.90, 0.97 + wobble), predicted=PREDICTED["plain"]))
        trials.append(Trial("l2 | 0.1", seed, (0.80, 0.95 - wobble), predicted=PREDICTED["l2 | 0.1"]))
        trials.append(Trial("thrown", seed, (0.1,), state="diverged"))
    how = {"workers": "3", "storage": "postgresql+psycopg://db/study", "reuse": "true"}
    return written.read(written.write(YAML, trials, params={"data": "my data.npz", "set": "hidden=64"} | how))


@pytest.fixture(scope="module")
def files(study):
    return ablation_report.write(study)


# --- tables -----------------------------------------------------------------------------------------


def test_the_table_of_arms(study):
    plain, penalty, thrown = arms_table(study.arms).cells()
    # 97.01 … 97.07: s = 0.0216, t(6) = 2.447.
    assert plain == ("plain", "7", "97.040 ± 0.020", "0.02960 ± 0.00020", "96.040 ± 0.020", "2", "3")
    assert penalty[2] == "94.960 ± 0.020"
    assert thrown == ("thrown", "0 (7 failed)", "–", "–", "–", "–", "–")


def test_the_table_of_verdicts(study):
    assert verdicts_table(study).cells() == [
        ("l2 | 0.1", "plain", "7", "−2.08 ± 0.25", "+0.0208 ± 0.0025", "▼ hurts by 2.08 ± 0.25 points"),
        ("thrown", "plain", "0", "–", "–", "↯ unstable: 7 of 7 seeds diverged in this arm"),
    ]


def test_the_csv_files_have_every_digit(study):
    plain, _, thrown = csv.DictReader(io.StringIO(arms_table(study.arms).csv()))
    assert float(plain["model_val_accuracy_mean"]) == pytest.approx(0.9704, abs=1e-12)
    assert (plain["trials"], thrown["failed"], thrown["test_accuracy_mean"]) == ("7", "7", "")
    hurts, nothing = csv.DictReader(io.StringIO(verdicts_table(study).csv()))
    assert float(hurts["difference"]) == pytest.approx(-2.08) and hurts["half_width"].startswith("0.25")
    assert (hurts["seeds"], hurts["kind"], nothing["seeds"], nothing["bound"]) == ("7", "hurts", "0", "")


def test_in_short_the_verdicts_stand_by_their_kind(study):
    expected = (
        "Against plain, in points of val accuracy: hurts: l2 \\| 0.1 (−2.08 ± 0.25); "
        "unstable: thrown (7 of 7 seeds diverged in this arm)."
    )
    assert ablation_report.in_short(study) == expected
    pairs = ablation_report.in_short(written.read(study.record.run_id, "pairs"))
    assert pairs.startswith("In points of val accuracy: ")
    assert "thrown against plain" in pairs and "thrown against l2 \\| 0.1" in pairs


def test_of_a_single_arm_there_is_no_verdict_to_report(study):
    alone = replace(study, ablation=replace(study.ablation, arms=study.ablation.arms[:1]))  # as in a race of one
    page = ablation_report.write(alone)["report.md"]
    assert "**In short.** There is only one arm" in page and "## Verdicts" not in page and "## Arms" in page


def test_the_arms_that_lost_seeds_are_named_below_the_table(study, files):
    note = "Lost seeds: thrown (7 of 7 diverged). The numbers of such an arm are those of the seeds that finished."
    assert note in files["report.md"] and note in files["report.html"]


def test_times_say_what_they_leave_out():
    run_id = written.write(
        YAML + "figures: [stopping]\n",
        [
            Trial("plain", 1, metrics={"epochs_trained": 1, "model_epoch": 1}),
            Trial("l2 | 0.1", 1, metrics={"epochs_trained": 1, "model_epoch": 1}, reused=True),
        ],
    )
    text = ablation_report.write(written.read(run_id))["report.md"]
    note = "Times leave out trials that were carried over from earlier studies: 1 of 2 trials."
    assert text.count(note) == 2  # below the table of arms, and below the seconds saved
    assert re.search(r"^\| l2 .*\| – \|$", text, re.M)


def test_arms_that_trained_the_same_are_told_of():
    run_id = written.write(YAML, [Trial("plain", 1, (0.97,)), Trial("l2 | 0.1", 1, (0.97,))])
    text = ablation_report.write(written.read(run_id))["report.md"]
    assert "Trained the same: plain and l2 \\| 0.1. What sets these arms apart has no effect" in text


# --- the document -----------------------------------------------------------------------------------


def test_the_sections_stand_in_their_order(files):
    assert re.findall(r"^## (.*)$", files["report.md"], re.M) == [
        "Plan", "Arms", "Verdicts", "Does the verdict depend on how the question is asked?", "Curves",
        "Which classes are confused", "Prediction flips",
        "What was run, and how to run it again",
    ]  # fmt: skip


def test_markdown_and_page_say_the_same(files):
    page, text = files["report.html"], files["report.md"]
    assert "mine: Does a | pipe help?" in page and "Nobody knows &lt;b&gt;." in page
    for piece in ("97.040 ± 0.020", "hurts by 2.08 ± 0.25 points", "0 (7 failed)"):
        assert piece in page and piece in text
    pictures = re.findall(r"!\[.*?\]\((figures/\w+\.svg)\)", text)
    assert pictures and set(pictures) == {name for name in files if name.endswith(".svg")}
    assert page.count("<figure>") == len(pictures)


def test_the_plan_names_the_baseline_and_what_the_arms_change(files):
    text = files["report.md"]
    assert "3 arms × 7 seeds, 21 trials (14 complete, 7 diverged), on made-up: 1,000 training rows" in text
    assert "| l2 \\| 0.1 | l2=0.1 |" in text and "| plain | nothing |" in text
    assert "epochs=5" in text


def test_the_line_that_runs_it_again_has_what_was_given_and_no_more(files):
    assert "\nmlflow run . -e ablation -P task=mine -P 'data=my data.npz' -P set=hidden=64\n" in files["report.md"]


def test_provenance_names_run_data_and_commit(files, study):
    text = files["report.md"]
    assert study.record.run_id in text and "SHA-256 5ee0" in text and 40 * "c" in text


def test_flips_are_counted_and_shown(files):
    assert "| l2 \\| 0.1 | plain | 0 | 1 | 1.00 | 1 | 0 |" in files["report.md"]
    assert "1 of 6, in 14 trials of all arms." in files["report.md"]
    assert "figures/flips_1_breaks.svg" in files and "figures/never_right.svg" in files
    assert "2 → 0" in files["figures/never_right.svg"]


def test_confusions_are_those_of_the_best_and_the_worst_arm(files):
    assert "best arm by validation: plain" in files["figures/confusion_best.svg"]
    assert "worst arm by validation: l2 | 0.1" in files["figures/confusion_worst.svg"]


def test_a_substitute_is_said_first():
    run_id = written.write(YAML, [Trial("plain", 1)], dataset_substitute_for="MNIST, which could not be had")
    text = ablation_report.write(written.read(run_id))["report.md"]
    assert text.index("> **Not on MNIST.**") < text.index("## Plan")


@pytest.mark.parametrize("trials", [[], [Trial("plain", 1, state="diverged")], [Trial("plain", 1, state="running")]])
def test_a_study_of_which_nothing_has_finished_has_a_report(trials):
    files = ablation_report.write(written.read(written.write(YAML + "figures: [gap, size]\n", trials)))
    assert "## Curves" not in files["report.md"] and "## Prediction flips" not in files["report.md"]
    assert "not tested: no seed finished in both arms" in files["report.html"]


def test_one_seed_gives_numbers_and_no_intervals():
    run_id = written.write(YAML, [Trial("plain", 1, (0.97,)), Trial("l2 | 0.1", 1, (0.96,))])
    text = ablation_report.write(written.read(run_id))["report.md"]
    assert "| 1 | −1 | +0.01 | · not tested: 1 seed; a verdict needs 7 |" in text


def test_the_report_is_logged_into_the_studys_run(study, files, store):
    page = ablation_report.log(study)
    run_id = study.record.run_id
    assert not Path(page).is_absolute() and (store / page).read_text() == load_text(
        f"runs:/{run_id}/report/report.html"
    )
    folder = Path(download_artifacts(f"runs:/{run_id}/report"))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == set(files)
    assert load_text(f"runs:/{run_id}/verdicts.csv") == verdicts_table(study).csv()
    assert Path(download_artifacts(f"runs:/{run_id}/arms.png")).read_bytes()[:4] == b"\x89PNG"
    note = records.read_run(study.client, run_id).tags["mlflow.note.content"]
    assert note.startswith("**Does a \\| pipe help?**") and "▼ hurts by 2.08" in note and "![" not in note


def test_a_report_rendered_again_is_the_same(study, files):
    assert ablation_report.write(written.read(study.record.run_id)) == files


def test_the_summary_has_no_pictures_and_both_tables(study):
    text = ablation_report.summary(study)
    assert "![" not in text and "## Verdicts" in text and "## Arms" in text


def test_the_best_arm_is_chosen_by_validation_alone():
    trials = [
        Trial("plain", 1, (0.90,), {"test_accuracy": 0.99}, predicted=PREDICTED["plain"]),
        Trial("l2 | 0.1", 1, (0.95,), {"test_accuracy": 0.50}, predicted=PREDICTED["l2 | 0.1"]),
    ]
    files = ablation_report.write(written.read(written.write(YAML, trials)))
    assert "best arm by validation: l2 | 0.1" in files["figures/confusion_best.svg"]


NASTY = [
    r"$\frac{1}$",
    r"\1 \g<0> \$x$",
    "=1+1",
    "</svg><img src=x onerror=alert(1)>",
    "`a` ``` b",
    "[x](javascript:y)",
]


def test_names_that_look_like_commands_of_some_language_are_only_shown():
    arms = "".join(f"    - {{name: {json.dumps(name)}, l2: 0.{number}}}\n" for number, name in enumerate(NASTY))
    question = 'question: "<img src=x onerror=alert(1)> \\e[31m?"\n'
    trials = [Trial(name, seed, predicted=PREDICTED["plain"]) for name in NASTY for seed in (1, 2)]
    params = {"set": "x\n```\n# <img src=x>", "data": "````"}
    study = written.read(written.write(f"{question}arms:\n  list:\n{arms}", trials, params=params))
    files = ablation_report.write(study)
    page, text = files["report.html"], files["report.md"]
    assert "<img" not in page and "\x1b" not in page + text and r"\\x1b\[31m?" in text
    assert "`````sh\nmlflow run . -e ablation -P task=mine -P 'set=x\n```\n# <img src=x>' -P 'data=````'\n`````" in text
    assert html.escape(r"$\frac{1}$", quote=False) in files["figures/differences.svg"]
    cells = [row[0] for row in csv.reader(io.StringIO(arms_table(study.arms).csv()))]
    assert cells == ["arm", *(f"'{name}" if name == "=1+1" else name for name in NASTY)]


def test_the_description_of_a_study_that_begins_has_no_html(digits):
    ablation = parse_ablation("question: <img src=x>\nknown: '*b*'\narms: {grid: {l2: [0, 1]}}\n", "mine", "mine.yaml")
    run = runs.open_study_run(store.connect(), "mine")
    run_ablation.describe(ablation, ablation.trial_specs(1, digits), digits, run, "mine", open_test=False)
    run.end("FINISHED")
    assert records.read_run(run.client, run.run_id).tags["mlflow.note.content"] == "**\\<img src=x\\>**\n\n\\*b\\*"


# --- what a task says of itself ---------------------------------------------------------------------

GRID = """
question: Which rate?
source: S9, a | report
reported:
  - {arm: learning_rate=0.1, test_accuracy: 95}
departs: Its rows are others.
arms:
  grid: {learning_rate: [0.001, 0.01, 0.1]}
"""


def test_a_report_says_what_its_task_follows_and_that_the_best_arm_is_at_an_end():
    trials = [
        Trial(f"learning_rate={rate}", seed, (0.9, 0.9 + rate / 10 + seed / 10_000))
        for seed in (1, 2) for rate in (0.001, 0.01, 0.1)
    ]  # fmt: skip
    text = ablation_report.summary(written.read(written.write(GRID, trials)))
    assert "Source: S9, a \\| report" in text and "Departs: Its rows are others." in text
    assert "| learning_rate=0.1 | test accuracy 95 % |" in text
    assert "The best arm, learning_rate=0.1, lies at the upper end of the values of learning_rate: better" in text
