"""Every section of some tasks only, drawn from one small grid that was really trained."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from factories import studies

from study.analysis import ablation_results
from study.base.errors import TrackingError
from study.design.ablation import FIGURES, load_ablation
from study.reports.document import Document
from study.reports.sections import registry, steps, weights
from study.tracking import stored
from study.tracking.store import connect

YAML = f"""
question: Do batch normalization and an L2 penalty change each other's effect?
baseline: {{hidden: 8-5, epochs: 3, batch_size: 100, validate_every: 5, learning_rate: 0.01}}
arms:
  grid: {{batch_norm: [none, after], l2: [0.0, 0.01]}}
seeds: 2
figures: [{", ".join(FIGURES)}]
"""
ARMS = [f"batch_norm={norm} l2={l2}" for norm in ("none", "after") for l2 in (0.0, 0.01)]


@pytest.fixture(scope="module")
def study(store, digits):
    """The grid, trained, as it is read back from MLflow."""
    Path("grid.yaml").write_text(YAML)
    grid = load_ablation("grid.yaml")
    cells = grid.trial_specs(grid.seeds, digits)
    params = {"task": "grid.yaml", "compare": "baseline"}
    outcome = studies.train(studies.begin(grid, cells, digits, params=params))
    return ablation_results.read(connect(), outcome.study.record.run_id)


def draw(name: str, study) -> Document:
    document = Document("one figure")
    registry.add(name, document, study)
    return document


def table(document: Document, number: int = 0) -> list[list[str]]:
    """Return a table of the document as rows of cells, its header first."""
    found = re.findall(r"(?:^\|.*\|\n?)+", document.markdown(), re.M)[number]
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in found.strip().splitlines()]
    return [[cell.strip().replace("\\", "") for cell in row] for row in (rows[0], *rows[2:])]


def test_every_figure_that_a_file_may_name_is_there():
    assert set(registry.SECTIONS) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_says_which_arms_it_shows(name, study):
    document = draw(name, study)
    assert document.pictures
    assert document.markdown().count("\n## ") == 1
    assert document.html().count("<figure>") == len(document.pictures)


def test_the_report_has_them_all_in_the_files_order(study):
    text = stored.read_file(study.record, "report/report.md").decode()
    headings = [re.search(r"^## (.*)$", draw(name, study).markdown(), re.M).group(1) for name in FIGURES]
    assert [heading for heading in re.findall(r"^## (.*)$", text, re.M) if heading in headings] == headings


def test_the_gap_is_compared_arm_by_arm(study):
    header, *rows = table(draw("gap", study))
    assert header == ["arm", "against", "difference of the gap (points)"]
    assert [row[:2] for row in rows] == [[arm, ARMS[0]] for arm in ARMS[1:]]
    gaps = {
        arm: [trial.metrics["model_generalization_gap"] for trial in study.finished(arm).values()] for arm in ARMS[:2]
    }
    mean = 100 * np.mean(np.subtract(gaps[ARMS[1]], gaps[ARMS[0]]))
    assert float(rows[0][2].partition(" ")[0].replace("−", "-")) == pytest.approx(mean, abs=0.6)


def test_sizes_are_the_parameters_of_each_arm(study):
    rows = table(draw("size", study))[1:]
    plain = 784 * 8 + 8 + 8 * 5 + 5 + 5 * 10 + 10
    assert [row[:2] for row in rows] == [[arm, f"{plain + (2 * (8 + 5) if 'after' in arm else 0):,}"] for arm in ARMS]


def test_stopping_tells_epochs_and_what_they_saved(study):
    header, *rows = table(draw("stopping", study))
    assert header == ["arm", "epochs trained", "epoch of the kept model", "seconds saved per trial"]
    assert [row[1:3] for row in rows] == [["3", "3"]] * 4
    assert rows[0][3] == "0"


@pytest.mark.parametrize("name", ["norms", "distributions"])
def test_layers_stand_with_the_mean_sd_and_norm_of_their_weights(name, study):
    rows = table(draw(name, study))[1:]
    assert [row[:3] for row in rows] == [
        [arm, layer, shape]
        for arm in ARMS
        for layer, shape in (("hidden_1", "784×8"), ("hidden_2", "8×5"), ("logits", "5×10"))
    ]
    kernels = [stored.read_kernels(study.client, trial.run_id)[1] for trial in study.finished(ARMS[3]).values()]
    assert float(rows[10][4]) == pytest.approx(np.mean([kernel.std() for kernel in kernels]), rel=5e-3)
    assert float(rows[10][5]) == pytest.approx(np.mean([np.linalg.norm(kernel) for kernel in kernels]), rel=5e-3)


def test_units_are_told_by_layer(study):
    header, *rows = table(draw("units", study))
    assert header[1:] == [f"{kind}, layer {layer} (%)" for layer in (1, 2) for kind in ("dead", "saturated")]
    assert [row[0] for row in rows] == ARMS


def test_the_first_layers_units_are_pictures_and_a_file(study):
    document = draw("first_layer", study)
    assert len(document.pictures) == 4
    rows = list(csv.DictReader(io.StringIO(document.files["first_layer_units.csv"])))
    assert len(rows) == 4 * 2 * 8
    kernel = stored.read_kernels(study.client, study.finished(ARMS[0])[1].run_id)[0]
    third = next(row for row in rows if (row["arm"], row["seed"], row["unit"]) == (ARMS[0], "1", "3"))
    expected = [kernel[:, 2].mean(), kernel[:, 2].std(), kernel[:, 2].min(), kernel[:, 2].max()]
    assert [float(third[name]) for name in ("mean", "sd", "least", "most")] == pytest.approx(expected, rel=1e-4)


def test_the_noise_of_the_gradient_is_told_at_the_end(study):
    header, *rows = table(draw("gradient_noise", study))
    assert header == ["arm", "steps", "loss at the end (nats)", "sd from step to step (nats)"]
    assert [row[:2] for row in rows] == [[arm, "39"] for arm in ARMS]  # three epochs of 13 steps


def test_the_validation_loss_on_the_way_ends_where_the_trials_did(study):
    rows = table(draw("val_loss_by_step", study))[1:]
    assert [row[:2] for row in rows] == [[arm, "39"] for arm in ARMS]
    losses = [trial.curves["val_loss"][-1] for trial in study.finished(ARMS[1]).values()]
    assert float(rows[1][3].partition(" ")[0]) == pytest.approx(np.mean(losses), abs=0.06)


def test_the_rule_stops_at_the_look_after_which_nothing_fell_for_a_hundred_steps():
    looks = np.array([50, 100, 150, 200, 250])
    assert steps._rule(looks, np.array([1.0, 0.9, 0.9, 0.9, 0.1])) == 3
    assert steps._rule(looks, np.array([1.0, 0.9, 0.8, 0.7, 0.6])) == 4
    assert steps._rule(looks, np.array([1.0, 1.0, 1.0, 0.1, 0.1])) == 2


def test_steps_are_medians_and_never_where_none_got_there():
    assert steps._median([3, None, 5]) == "4 (1 never)"
    assert steps._median([None]) == "never"
    assert steps._median([1_000, 3_000]) == "2,000"


def test_maps_have_the_cells_means(study):
    pictures = draw("heat_maps", study).pictures
    assert list(pictures) == ["map_model_val_accuracy", "map_model_val_cross_entropy"]
    for arm in study.arms:
        assert f">{arm.values['model_val_accuracy'].mean:.2f}</text>" in pictures["map_model_val_accuracy"]


def test_lines_of_the_interaction_are_a_factors_levels(study):
    picture = draw("interaction", study).pictures["interaction"]
    assert all(f">{word}</text>" in picture for word in ("batch_norm=none", "batch_norm=after", "l2=0.0", "l2=0.01"))


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_drawn_from_a_study_without_completed_trials(name, study):
    empty = ablation_results.AblationResults(study.client, study.record, study.ablation, (), pairs=False)
    assert not draw(name, empty).pictures


def test_a_trial_whose_model_cannot_be_read_costs_a_section_and_not_the_report(study, monkeypatch):
    def refuse(client, run_id):
        raise TrackingError("a damaged model file", where="run `1`")

    monkeypatch.setattr(stored, "read_kernels", refuse)
    assert r"This section is left out. run \`1\`: a damaged model file." in draw("first_layer", study).markdown()


def test_networks_without_dense_layers_cost_a_section_and_not_the_report(study, monkeypatch):
    monkeypatch.setattr(stored, "read_kernels", lambda client, run_id: [])
    for name in ("first_layer", "distributions"):
        document = draw(name, study)
        assert weights.NO_DENSE in document.markdown() and not document.pictures
