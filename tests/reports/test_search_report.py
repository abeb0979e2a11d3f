import csv
import io
import itertools
import json
import math
import re
from pathlib import Path

import pytest
from factories import written, written_search
from factories.pages import Page
from factories.written_search import ONE_FIELD, Trial
from mlflow.artifacts import download_artifacts, load_text
from rich.console import Console

from entrypoints import display
from study.analysis.front import weighed
from study.analysis.search_results import SearchResults
from study.design.search_space import SPACES
from study.reports import confirmation_section, cost_section, search_report, search_tables, search_verdicts_file
from study.reports.plots.search import drawing
from study.tracking import records

pytestmark = pytest.mark.usefixtures("store")

SECTIONS = ["The best configurations", "How the search went", "What mattered", "What was searched",
            "What was run, and how to run it again"]  # fmt: skip
WIDE = (SPACES / "wide.yaml").read_text()
CONDITIONAL = """
fields:
  optimizer: {choices: [adam, momentum]}
  momentum: {range: [0.5, 0.99], when: {optimizer: [momentum]}}
"""
ERROR = {"model_val_cross_entropy_se": 0.02}


@pytest.fixture(scope="module")
def study(store):
    """Twelve complete trials, the eleventh the best and at an end of its range; one pruned, one diverged."""
    trials = [
        Trial(slot, (2.0, 1.0, 0.30 - 0.01 * slot), {"learning_rate": 10 ** (-3.5 + slot / 5), "l2": 0.0}, ERROR)
        for slot in range(11)
    ]
    trials += [
        Trial(11, (2.0, 1.0, 0.5), {"learning_rate": 5e-4, "l2": 1e-4}, name="mine | <b>"),
        Trial(12, (3.0,), {"dropout": 0.3}, state="pruned"),
        Trial(13, (5.0, math.inf), state="diverged", tags={"reason": "the loss was not finite"}),
    ]
    params = {"space": "mine.yaml", "sampler": "tpe", "plan": "false", "set": "none"}
    return written_search.read(written_search.write(trials, params=params))


@pytest.fixture(scope="module")
def files(study):
    return search_report.write(study)


def plots(page: str) -> dict[str, tuple[list, dict]]:
    """Return the data and the layout of a page's figures by their names."""
    calls = re.findall(r'Plotly\.newPlot\("plot_(\w+)",(\[.*?\]),(\{.*?\}),\{"displayModeBar"', page)
    return {name: (json.loads(data), json.loads(layout)) for name, data, layout in calls}


# --- words and tables -------------------------------------------------------------------------------


def test_the_ten_best_with_their_errors_and_distances(study):
    rows = search_tables.top_table(study).cells()
    assert len(rows) == 10
    assert rows[0][:3] == ("trial 10", "1", "0.200 ± 0.020")
    assert rows[0][5] == "learning_rate=0.0316 batch_size=32 l2=0 dropout=0"
    assert re.fullmatch(r"0\.\d+ \(0\.\d+ to 0\.\d+\)", rows[0][3])
    chances = [int(row[4].removesuffix(" %")) for row in rows]
    assert chances[0] == max(chances) and 50 < chances[0] <= 100 and sum(chances) <= 102  # each is rounded
    assert [row[0] for row in rows] == [f"trial {slot}" for slot in range(10, 0, -1)]


def test_an_error_that_is_not_known_is_a_dash():
    study = written_search.read(written_search.write([Trial(0, (0.4,)), Trial(1, (0.5,), {"batch_size": 16})]))
    rows = search_tables.top_table(study).cells()
    assert [row[2:5] for row in rows] == [("0.4 ± –", "–", "–"), ("0.5 ± –", "–", "–")]


def test_accuracies_are_percentages():
    better = Trial(1, (0.96,), {"batch_size": 16})
    study = written_search.read(written_search.write([Trial(0, (0.9,)), better], metric="val_accuracy"))
    table = search_tables.top_table(study)
    assert table.titles[2] == "val accuracy (%) ± standard error" and table.cells()[0][2] == "96.0 ± 2.0"


def test_in_short_is_what_came_of_it(study):
    found, lead, trials, mattered, *edges = search_report.in_short(study)
    assert re.match(
        r"In the search itself trial 10, trained with 1 seed, is expected to be the best, "
        r"with 0\.\d+ \(0\.\d+ to 0\.\d+\) nats of val cross-entropy: ", found,
    )  # fmt: skip
    assert found.endswith(": learning_rate=0.0316 batch_size=32 l2=0 dropout=0.")
    assert re.fullmatch(
        r"It leads trial 9 by 0\.\d+ \(−?0\.\d+ to 0\.\d+\) nats\. The chance that it is the best of the "
        r"12 configurations trained to their end is about \d+ %\.", lead,
    )  # fmt: skip
    assert trials == "14 trials: 12 complete, 1 pruned, 1 failed."
    assert mattered.startswith(
        "Importance of the fields (PED-ANOVA, 12 complete trials, 95 % intervals): learning_rate "
    )
    assert re.search(r"learning_rate \d+ % \(\d+ to \d+\)", mattered)
    assert edges == []


def test_an_edge_is_a_warning():
    study = written_search.read(written_search.write([Trial(0, settings={"learning_rate": 0.09})]))
    warning = "learning_rate=0.09 is at the upper end of the searched values (0.1): a better value may lie beyond it."
    assert search_tables.edge_lines(study) == [warning] and warning in search_report.in_short(study)


def test_seeds_of_a_configuration_share_a_row():
    settings = [{"learning_rate": 10 ** (-3.5 + slot / 5)} for slot in range(8)]
    trials = [Trial(slot, (0.3 - 0.01 * slot,), each, ERROR) for slot, each in enumerate(settings)]
    again = [
        Trial(8 + number, (0.22 + number / 100,), settings[7], ERROR, tags={"seed": 2 + number}) for number in (0, 1)
    ]
    study = written_search.read(written_search.write([*trials, *again]))
    rows = search_tables.top_table(study).cells()
    assert rows[0][:3] == ("trial 7", "3", "0.227 ± 0.020") and len(rows) == 8
    lines = search_report.in_short(study)
    assert "trial 7, trained with 3 seeds, is expected" in lines[0]
    assert "2 of the complete ones trained another seed" in lines[2]
    page = search_report.write(study)["report.html"].replace(drawing.library(), "")
    *_, stars = plots(page)["slice_learning_rate"][0]
    assert len(stars["x"]) == 3 and any("seed 3" in text for text in stars["text"])


def test_programs_read_how_the_configurations_stand(study):
    read = json.loads(search_verdicts_file.text(study))
    assert read["best"] == read["standings"][0] and read["best"]["trial"] == "trial 10"
    assert read["best"]["settings"]["batch_size"] == "32" and list(read["best"]["runs"]) == ["1"]
    assert read["lead"]["low"] < read["lead"]["mean"] < read["lead"]["high"] and 0.5 < read["best"]["chance"] <= 1
    assert read["trials"] == {"complete": 12, "pruned": 1, "failed": 1} and read["confirmation"] is None
    assert sum(read["importances"].values()) == pytest.approx(1)
    assert (
        json.loads(search_verdicts_file.text(confirmed([0.05] * 8)))["confirmation"]["verdicts"][0]["kind"] == "helps"
    )
    nothing = written_search.read(written_search.write([Trial(0, (1.0,), state="pruned")]))
    assert json.loads(search_verdicts_file.text(nothing))["best"] is None


def test_the_front_has_those_that_no_cheaper_one_matches():
    """What costs more is better, but the fifth costs the most of all; the last has no cost."""
    trials = [
        Trial(slot, (0.4 - 0.02 * slot,), {"learning_rate": 10 ** (-3.5 + slot / 5)},
              {"parameters": 1000.0 * (9.5 if slot == 5 else slot + 1)} if slot < 9 else {})
        for slot in range(10)
    ]  # fmt: skip
    study = written_search.read(written_search.write(trials, also="parameters"))
    found = weighed(study, "parameters")
    assert [each.cost for each in found] == [1000.0 * number for number in (1, 2, 3, 4, 5, 7, 8, 9, 9.5)]
    names = [study.seeds_of(each.standing)[0].name for each in found if each.on_front]
    assert names == [f"trial {slot}" for slot in (0, 1, 2, 3, 4, 6, 7, 8)]
    files = search_report.write(study)
    assert "## Against parameters" in files["report.md"] and "figures/front.svg" in files
    assert f"promote -P from={study.record.run_id} -P within=0.2" in files["report.md"]
    rows = cost_section.front_table(study, "parameters", found).cells()
    assert [row[3] for row in rows] == names and rows[0][0] == "1,000"
    alike = [
        Trial(slot, (0.4 - slot / 10,), {"batch_size": 16 * (slot + 1)}, {"parameters": 101_770.0}) for slot in (0, 1)
    ]
    page = search_report.write(written_search.read(written_search.write(alike, also="parameters")))["report.md"]
    assert "All configurations cost the same: parameters 101,770." in page and "figures/front" not in page
    none = written_search.read(written_search.write(trials[9:], also="latency_ms"))
    assert "Against" not in search_report.write(none)["report.md"]


def test_the_csv_file_has_every_trial_in_full_precision(study):
    rows = list(csv.DictReader(io.StringIO(search_tables.trials_table(study).csv())))
    assert len(rows) == 14
    assert float(rows[10]["val_cross_entropy"]) == pytest.approx(0.2, abs=1e-15)
    assert rows[1]["learning_rate"] == repr(10**-3.3) and rows[1]["standard_error"] == "0.02"
    pruned, diverged = rows[12:]
    assert (pruned["state"], pruned["val_cross_entropy"], pruned["epochs_trained"]) == ("pruned", "", "1")
    assert (diverged["state"], diverged["reason"]) == ("diverged", "the loss was not finite")


def test_the_terminal_has_the_best_what_mattered_and_the_caution(study, capsys):
    console = Console(width=140, file=io.StringIO())
    display.print_search(console, study)
    text = " ".join(console.file.getvalue().split())
    assert "0.200 ± 0.020" in text and "Importance of the fields" in text and "the mean over seeds" in text
    assert text.index("is expected to be the best") < text.index("trial 10 1 0.200")
    assert capsys.readouterr().err == ""


# --- the document -----------------------------------------------------------------------------------


def test_sections_and_pictures(files):
    text = files["report.md"]
    assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS
    pictures = re.findall(r"!\[.*?\]\((figures/\w+\.svg)\)", text)
    names = ["history", "curves", "distribution", "importances", "slice_learning_rate", "slice_batch_size", "slice_l2",
             "slice_dropout", "parallel", "contour"]  # fmt: skip
    assert pictures == [f"figures/{name}.svg" for name in names]
    assert set(files) == {"report.html", "report.md", *pictures}


def test_each_figure_is_on_the_page_once_and_so_is_the_library(files):
    page = files["report.html"]
    assert page.count(drawing.library()) == 1
    outside = page.replace(drawing.library(), "")
    assert len(page) < 8e6 and not re.findall(r'(?:src|href)="(?!#)', outside)
    assert set(plots(outside)) == {Path(name).stem for name in files if name.endswith(".svg")}
    assert outside.count('<figure class="live">') == outside.count('class="paper"') == outside.count("<svg") == 10


def test_figures_say_what_was_measured(files):
    drawn = plots(files["report.html"].replace(drawing.library(), ""))
    history, layout = drawn["history"]
    by_name = {trace["name"]: trace for trace in history}
    assert layout["yaxis"]["type"] == "log" and layout["yaxis"]["title"]["text"] == "val cross-entropy (nats)"
    assert by_name["best so far"]["y"][-1] == pytest.approx(0.2)
    assert by_name["standard error of the best"]["y"] == pytest.approx([0.22, 0.22])
    assert by_name["pruned, last value"]["x"] == [12]
    assert drawn["curves"][1]["xaxis"]["ticktext"] == ["1", "2", "3"]  # and no epoch 1.5
    assert "ticktext" not in layout["xaxis"]
    assert {trace["name"] for trace in drawn["curves"][0]} == {"pruned", "failed", "complete", "best", ""}
    assert drawn["slice_learning_rate"][1]["xaxis"]["type"] == "log"
    low, high, middle, trials, _ = drawn["slice_l2"][0]
    assert all(
        a < b < c for a, b, c in zip(low["y"], middle["y"], high["y"], strict=True)
    )  # what is expected, and its band
    assert trials["x"].count(1e-8) == 11  # drawn at the low end …
    assert drawn["slice_l2"][1]["xaxis"]["ticktext"][0] == "0"  # … and called what it is
    assert "<br>l2=0<br>" in trials["text"][0]
    assert [trace["name"] for trace in drawn["importances"][0]] == ["PED-ANOVA", "fANOVA"]
    assert drawn["importances"][0][0]["y"][0] == "learning_rate"
    (lines,) = drawn["parallel"][0]
    values = lines["dimensions"][0]["values"]
    assert values[lines["line"]["color"].index(11)] == min(values)  # of 0 … 11 the greatest is drawn on top
    axes = [axis["label"] for axis in lines["dimensions"]]
    assert axes == ["val cross-entropy (nats)", "learning_rate", "batch_size", "l2", "dropout"]


def test_text_of_people_is_escaped(files):
    outside = files["report.html"].replace(drawing.library(), "")
    assert "mine | &lt;b&gt;" not in files["report.md"] and "<b>" not in outside
    study = written_search.read(
        written_search.write([Trial(0, name="</script><b>")], study="</script><script>alert(1)", dataset_title="a | b")
    )
    page = search_report.write(study)["report.html"].replace(drawing.library(), "")
    assert "alert(1)" in page and "<script>alert" not in page and "<b>" not in page
    assert "a | b" in " ".join(Page(page).said("p"))


def test_what_is_run_again_is_what_was_given(files, study):
    text = files["report.md"]
    assert "mlflow run . -e search -P study=mine -P trials=50 -P space=mine.yaml -P sampler=tpe\n" in text
    assert f"`mlflow run . -e promote -P from={study.record.run_id}`" in text
    assert study.record.run_id in text and "SHA-256 5ee" in text and 40 * "c" in text
    assert "| l2 | 1e-07 … 0.01 (log) or 0 | 0 |" in text


def test_a_name_with_a_space_is_one_word_of_the_command():
    run_id = written_search.write([Trial(0)], params={"study": "night and day"})
    text = search_report.write(written_search.read(run_id))["report.md"]
    assert "mlflow run . -e search -P 'study=night and day' -P trials=50\n" in text


def test_the_report_is_in_the_searchs_run(study, files, store):
    page = search_report.log(study)
    run_id = study.record.run_id
    assert (store / page).read_text() == files["report.html"]
    folder = Path(download_artifacts(f"runs:/{run_id}/report"))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == set(files)
    assert load_text(f"runs:/{run_id}/trials.csv") == search_tables.trials_table(study).csv()
    assert load_text(f"runs:/{run_id}/verdicts.json") == search_verdicts_file.text(study)
    note = records.read_run(study.client, run_id).tags["mlflow.note.content"]
    assert note.startswith("**minimize val_cross_entropy over") and "0.200 ± 0.020" in note and "![" not in note
    assert search_report.write(written_search.read(run_id)) == files


# --- odd searches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trials, how, figures",
    [
        ([], {}, set()),
        ([Trial(0)], {}, {"history", "curves", "distribution", "slice_l2"}),
        ([Trial(0, (), state="FAILED")], {}, set()),
        ([Trial(0, (math.inf,), state="diverged")], {}, {"curves", "history"}),
        ([Trial(slot, (1.0 + slot,), state="pruned") for slot in range(3)], {}, {"history", "curves"}),
        ([Trial(0, ()), Trial(1, (0.5,), metrics={"model_val_cross_entropy_se": 0.0})], {}, {"history"}),
        ([Trial(slot, (0.5,)) for slot in range(12)], {}, {"parallel", "contour"}),
        (
            [Trial(slot, (0.5 + slot,), {"learning_rate": 10 ** (-4 + slot / 6)}) for slot in range(12)],
            {"yaml": ONE_FIELD},
            {"history", "slice_learning_rate"},
        ),
        ([Trial(0, (0.0,)), Trial(1, (1.0,))], {"metric": "val_accuracy"}, {"history", "contour"}),
        ([Trial(0), Trial(1, (0.4,), {"optimizer": "momentum"})], {"yaml": WIDE}, {"parallel", "slice_momentum"}),
        ([Trial(0, (1e30,)), Trial(1, (1e-9,))], {}, {"history", "contour"}),
        ([Trial(slot, (0.1 + slot,)) for slot in range(12)], {"yaml": CONDITIONAL}, {"importances", "parallel"}),
    ],
)
def test_odd_searches_have_a_report(trials, how, figures):
    study = written_search.read(written_search.write(trials, **how))
    files = search_report.write(study)
    assert figures <= {Path(name).stem for name in files if name.endswith(".svg")}
    assert re.findall(r"^## (.*)$", files["report.md"], re.M)[-1] == SECTIONS[-1]
    assert ("No trial has a value." in files["report.md"]) == (study.best is None)
    assert "nan" not in files["report.md"] and "NaN" not in files["report.html"].replace(drawing.library(), "")
    display.print_search(Console(file=io.StringIO()), study)
    search_tables.trials_table(study).csv()


def test_what_fanova_cannot_know_is_a_dash_in_the_figure_too():
    optimizers = [{"optimizer": ("adam", "momentum")[slot % 2], "momentum": 0.5 + slot / 100} for slot in range(12)]
    trials = [Trial(slot, (0.1 + slot,), settings) for slot, settings in enumerate(optimizers)]
    study = written_search.read(written_search.write(trials, yaml=CONDITIONAL))
    page = search_report.write(study)["report.html"].replace(drawing.library(), "")
    ped, fanova = plots(page)["importances"][0]
    assert dict(zip(fanova["y"], fanova["text"], strict=True)) == {"optimizer": "100 %", "momentum": "–"}
    assert None not in ped["x"] + fanova["x"]  # Plotly would leave the dash out, too


def test_trials_of_the_same_choices_do_not_hide_one_another():
    yaml = "fields: {batch_size: {choices: [32, 64]}, activation: {choices: [relu, tanh]}}"
    trials = [Trial(slot, (0.1 + slot,)) for slot in range(12)]
    page = search_report.write(written_search.read(written_search.write(trials, yaml=yaml)))["report.html"]
    _, points = plots(page.replace(drawing.library(), ""))["contour"][0]
    assert max(map(abs, [*points["x"], *points["y"]])) < 0.2
    places = zip(points["x"], points["y"], strict=True)
    assert min(math.dist(one, other) for one, other in itertools.combinations(places, 2)) > 0.05


def test_a_substitute_is_said_first():
    study = written_search.read(written_search.write([Trial(0)], dataset_substitute_for="MNIST, which is not here"))
    text = search_report.write(study)["report.md"]
    assert text.index("> **Not on MNIST.**") < text.index("**In short.**")


# --- the verdict ------------------------------------------------------------------------------------

COMPARED = """
question: Is it better?
baseline: {learning_rate: 0.001}
arms: {list: [{name: baseline}, {name: learning_rate=0.01, learning_rate: 0.01}]}
margin: 0.01
"""


def confirmed(gains: list[float], lost: int = 0, best: float = 0.01) -> SearchResults:
    """Return a search whose comparison found these differences of the accuracy, one a seed, and lost some seeds.

    What was compared is a learning rate of 0.01; `best` is that of the best trial now.
    """
    trials = [
        written.Trial(arm, seed, (0.9 + gain * own,), state="diverged" if own and seed < lost + 2 else "complete")
        for seed, gain in enumerate(gains, start=2)
        for arm, own in (("baseline", False), ("learning_rate=0.01", True))
    ]
    compared = written.write(COMPARED, trials, params={"decide": "val_cross_entropy"})
    trials = [Trial(0, (0.2,)), Trial(1, (0.1,), {"learning_rate": best})]
    return written_search.read(written_search.write(trials, yaml=ONE_FIELD, confirmed_by=compared))


def test_a_search_begins_with_the_verdict_on_what_it_found():
    study = confirmed([0.050, 0.051, 0.049, 0.052, 0.048, 0.050, 0.050, 0.050])
    (line,) = confirmation_section.lines(study)
    assert line.startswith("▲ Against the baseline, with 8 fresh seeds each, learning_rate=0.01 is better by 0.0")
    assert line.endswith(" nats of val cross-entropy.")
    page = search_report.write(study)["report.md"]
    assert page.index("Against the baseline, with 8 fresh seeds") < page.index("The best val cross-entropy")
    assert page.index("Is it better than the baseline?") < page.index("The best configurations")


def test_a_verdict_that_is_not_settled_says_how_to_go_on():
    verdict, more = confirmation_section.lines(confirmed([0.05, -0.05, 0.02, -0.01, 0.03, -0.04, 0.01]))
    assert verdict.startswith(
        "? Against the baseline, with 7 fresh seeds each, learning_rate=0.01: undecided: between −"
    )
    assert more == confirmation_section.MORE


def test_a_verdict_on_an_earlier_best_says_nothing_of_the_present_one():
    study = confirmed([0.050, 0.051, 0.049, 0.052, 0.048, 0.050, 0.050, 0.050], best=0.02)
    assert study.confirmation is None and confirmation_section.lines(study) == []
    assert "Is it better than the baseline?" not in search_report.write(study)["report.md"]


def test_a_comparison_without_a_seed_in_common_goes_on():
    *_, more = confirmation_section.lines(confirmed([]))
    assert more == confirmation_section.MORE


def test_a_verdict_on_lost_seeds_is_told_without_a_measure():
    (line,) = confirmation_section.lines(confirmed([0.05] * 8, lost=2))
    assert line == "↯ Against the baseline, learning_rate=0.01: unstable: 2 of 8 seeds diverged in this arm."


def test_a_search_whose_baseline_is_the_best_says_so():
    study = written_search.read(written_search.write([Trial(0)], yaml=ONE_FIELD, confirmed_by="nothing"))
    assert confirmation_section.lines(study) == [confirmation_section.NOTHING]
    better = [Trial(0, (0.2,)), Trial(1, (0.1,), {"learning_rate": 0.01})]  # more trials have found it since
    study = written_search.read(written_search.write(better, yaml=ONE_FIELD, confirmed_by="nothing"))
    assert confirmation_section.lines(study) == []
    assert confirmation_section.lines(written_search.read(written_search.write([Trial(0)], yaml=ONE_FIELD))) == []
