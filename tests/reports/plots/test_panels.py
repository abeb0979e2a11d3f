import html
import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from study.analysis.statistics import Estimate, estimate
from study.reports.plots import panels, style
from study.reports.plots.style import COLOURS

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
ARMS = {"plain": np.array([[1.0, 2.0, 3.0], [3.0, 2.0, np.nan]]), "other": np.array([[0.5, 0.25]])}


def words(figure) -> list[str]:
    """The texts of a figure, as they stand in its SVG."""
    root = ET.fromstring(style.svg(figure))
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_bands_are_the_mean_and_the_range_over_the_seeds():
    axes = panels.bands(ARMS, "Loss", "epoch", "nats").axes[0]
    plain, other = axes.lines
    np.testing.assert_array_equal(plain.get_ydata(), [2.0, 2.0, np.nan])  # as far as every seed went
    np.testing.assert_array_equal(other.get_xdata(), [1, 2])
    (band,) = axes.collections  # a single seed has none
    corners = {tuple(point) for point in band.get_paths()[0].vertices}
    assert {(1.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 3.0)} <= corners


def test_every_panel_says_what_it_shows():
    figure = panels.bands(ARMS, "Loss $x_1$ & <y>", "epoch", "loss (nats)")
    assert figure.get_label() == "Loss $x_1$ & <y>"
    text = words(figure)
    assert {"Loss $x_1$ & <y>", "epoch", "loss (nats)", "plain (n = 2)", "other (n = 1)"} <= set(text)


def test_a_long_title_is_wrapped_and_makes_the_figure_higher():
    long = panels.bands(ARMS, "best arm: " + "batch_size=32 epochs=100 l2=0.01 " * 3, "x", "y")
    assert long.get_figheight() > panels.bands(ARMS, "short", "x", "y").get_figheight()
    assert len([word for word in words(long) if "batch_size" in word]) >= 2


def test_long_names_stand_below_one_another_in_the_legend():
    arms = {f"batch_size={size} epochs=100 l2=0.01": ARMS["plain"] for size in range(9)}
    figure = panels.bands(arms, "Loss", "x", "y")
    (legend,) = figure.legends
    assert legend._ncols == 1 and figure.get_figheight() > style.HEIGHT + 0.16 * 6
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 9


def test_a_forest_has_a_line_for_each_difference_from_top_to_bottom():
    rows = [("a", Estimate(-2.0, 0.5, 7), COLOURS[1]), ("b", Estimate(0.1, float("nan"), 1), COLOURS[0])]
    axes = panels.forest(rows, "Differences", "points", 0.1).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()
    (bar,) = [part for part in axes.containers if part.has_xerr]
    ((low, _), (high, _)) = bar[2][0].get_segments()[0]
    assert (low, high) == pytest.approx((-2.5, -1.5))


def test_dots_are_all_trials_with_the_arms_mean_beside_them():
    axes = panels.dots({"a": [1.0, 2.0, 6.0], "b": [4.0]}, "Epochs", "epochs").axes[0]
    drawn = [sorted(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "None" and line.get_alpha()]
    assert drawn == [[1.0, 2.0, 6.0], [4.0]]
    assert [bar[0].get_ydata()[0] for bar in axes.containers] == [3.0, 4.0]


def test_a_scatter_has_ticks_that_a_person_reads():
    arms = {"small": (12_730, estimate(np.array([95.0, 96.0]))), "large": (669_706, estimate(np.array([98.0, 98.1])))}
    text = words(panels.scatter(arms, "Accuracy by size", "parameters", "%", log=True))
    assert "100,000" in text and "20,000" in text
    assert not any("10^" in word or "times" in word for word in text)


def test_histograms_share_their_bins_and_the_shares_add_up():
    values = {"a": np.array([-1.0, 0.0, 0.0, 1.0]), "b": np.zeros(4)}
    lines = panels.histograms(values, "Weights", "weight").axes[0].lines
    np.testing.assert_array_equal(lines[0].get_xdata(), lines[1].get_xdata())
    assert np.nansum(lines[1].get_ydata()) == 1.0
    assert panels.histograms({"zeros": np.zeros(5)}, "Weights", "weight").axes


def test_an_svg_has_no_colour_of_its_own_for_ink_and_survives_any_text():
    arms = {'font-family: x; "#24292f" <b>': ARMS["plain"]}
    text = style.svg(panels.bands(arms, "font: 12px y", "x", "y"))
    assert "var(--ink, #24292f)" in text and "prefers-color-scheme: dark" in text
    assert {'font-family: x; "#24292f" <b> (n = 2)', "font: 12px y"} <= set(
        words(panels.bands(arms, "font: 12px y", "x", "y"))
    )
    assert "<metadata>" not in text and not re.search(r'<g id="', text)


def test_a_figure_drawn_twice_is_the_same_bytes():
    assert style.svg(panels.bands(ARMS, "a", "b", "c")) == style.svg(panels.bands(ARMS, "a", "b", "c"))


def test_a_line_at_each_bar_of_a_group_goes_from_one_end_to_the_other():
    groups, ends = {"one": [10.0, 90.0], "two": [20.0, 80.0]}, {"one": [(5.0, 30.0), (60.0, 95.0)]}
    axes = panels.bars(groups, ["a", "b"], "t", "x", "y", ends).axes[0]
    (lines,) = axes.collections
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.containers[0]]
    expected = [[[middle, low], [middle, high]] for middle, (low, high) in zip(middles, ends["one"], strict=True)]
    np.testing.assert_allclose(lines.get_segments(), expected)


def test_bars_of_the_groups_stand_side_by_side():
    figure = panels.bars({"train": [10.0, 90.0], "test": [20.0, 80.0]}, ["0", "1"], "Classes", "class", "share (%)")
    train, test = ([bar.get_height() for bar in bars] for bars in figure.axes[0].containers)
    assert (train, test) == ([10.0, 90.0], [20.0, 80.0])
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bars in figure.axes[0].containers for bar in bars]
    assert all(one[1] <= two[0] + 1e-9 for one, two in itertools.pairwise(sorted(edges)))
    assert {"Classes", "class", "share (%)", "train", "test", "0", "1"} <= set(words(figure))


def test_boxes_go_from_quartile_to_quartile_and_leave_out_what_is_missing():
    axes = panels.boxes(np.array([[1.0, 2, 3, 5, 9], [np.nan] * 5]), ["a", "b"], "Ink", "class", "ink (%)").axes[0]
    box, _ = axes.containers[0]
    assert (box.get_y(), box.get_height()) == (2.0, 3.0)
    whisker, missing = axes.collections[0].get_segments()
    assert whisker[:, 1].tolist() == [1.0, 9.0] and len(missing) == 0
    assert axes.lines[0].get_ydata()[0] == 3.0 and axes.get_ylim()[0] == 0


def test_names_are_taken_literally():
    curves = {name: np.ones((1, 2)) for name in METRICS}
    names = ["a$_{b$", "_hidden", r"$\frac{1}$", r"\$x$ \1 \g<0>", "a\x1b[31m\x07"]
    figure = panels.arm_curves(dict.fromkeys(names, curves), "t$^$")
    style.png(figure)
    drawn = style.svg(figure)
    shown = [*names[:4], r"a\x1b[31m\x07"]
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == [f"{name} (n = 1)" for name in shown]
    assert all(html.escape(f"{name} (n = 1)", quote=False) in drawn for name in shown) and "t$^$" in drawn


def test_arm_curves_are_the_mean_and_the_range_over_the_seeds():
    two_seeds = {key: np.array([[0.2, 0.4, 0.8], [0.4, 0.8, np.nan]]) for key in METRICS}
    one_seed = {key: np.array([[0.5, 0.6]]) for key in METRICS}
    figure = panels.arm_curves({"wide": two_seeds, "narrow": one_seed}, "t")
    val_loss, val_accuracy, _, _ = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "validation loss (nats)", "validation accuracy (%)", "training loss (nats)", "training accuracy (%)",
    ]  # fmt: skip
    wide, narrow = val_accuracy.lines
    assert list(wide.get_ydata()) == pytest.approx([30, 60, np.nan], nan_ok=True)
    assert (list(narrow.get_xdata()), list(narrow.get_ydata())) == ([1, 2], [50, 60])
    # The band reaches the third epoch, to which one of two seeds came; a single seed has none.
    (band,) = val_loss.collections
    box = band.get_datalim(val_loss.transData)
    assert [box.x0, box.x1, box.y0, box.y1] == pytest.approx([1, 3, 0.2, 0.8])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["wide (n = 2)", "narrow (n = 1)"]


def test_eighteen_arms_look_different():
    arms = {f"arm {number}": {key: np.ones((1, 2)) for key in METRICS} for number in range(18)}
    axes = panels.arm_curves(arms, "t").axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 18
