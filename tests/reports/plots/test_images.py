import xml.etree.ElementTree as ET

import numpy as np
import pytest

from study.reports.plots import images, style


def words(figure) -> list[str]:
    """The texts of a figure, as they stand in its SVG."""
    root = ET.fromstring(style.svg(figure))
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_map_has_its_numbers_and_leaves_out_what_is_missing():
    text = words(images.heat(np.array([[91.471, np.nan]]), ["r"], ["c", "d"], "accuracy"))
    assert "91.47" in text and "nan" not in text and {"r", "c", "d"} <= set(text)


def test_confusions_are_shares_in_percent():
    axes = images.confusion(np.array([[18, 2], [0, 7]]), "plain").axes[0]
    assert [text.get_text() for text in axes.texts] == ["90.0", "10.0", "100.0"]
    assert {text.get_position(): text.get_color() for text in axes.texts} == {
        (0, 0): "white", (1, 0): images.DARK, (1, 1): "white",
    }  # fmt: skip
    assert list(images.confusion(np.eye(40), "many classes").axes[0].texts) == []
    rare = images.confusion(np.array([[9_999, 1], [0, 1]]), "a share that rounds to nothing").axes[0]
    assert [text.get_text() for text in rare.texts] == ["100.0", "100.0"]


def test_confusions_have_the_names_of_the_classes():
    assert {"cat", "dog"} <= set(words(images.confusion(np.eye(2), "t", ("cat", "dog"))))


def test_confusions_may_have_the_classes_names():
    axes = images.confusion(np.eye(2), "named", ["ant", "a very long name of a class"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "a very long nam…"]
    plain = images.confusion(np.eye(2), "plain", ["0", "1"]).axes[0]
    assert [label.get_text() for label in plain.get_yticklabels()] == ["0", "1"]


def test_pictures_in_colour_and_bright_ones_are_shown_as_they_are():
    colour = images.pictures([np.full((8, 8, 3), (300.0, 20.4, -1.0))], ["x"], "Colour", lines=["rows"])
    shown = colour.axes[0].images[0].get_array()
    assert shown[0, 0].tolist() == [255, 20, 0]
    assert [text.get_text() for text in colour.axes[0].texts] == ["x", "rows"]
    bright, dark = (images.pictures([np.zeros((8, 8, 1))], ["x"], "Grey", ink=ink) for ink in (False, True))
    assert [each.axes[0].images[0].get_cmap().name for each in (bright, dark)] == ["gray", "gray_r"]
    assert images.is_ink(np.array([0, 0, 9])) and not images.is_ink(np.array([0, 9, 9, 9]))


def test_pictures_stand_in_rows_with_their_captions():
    tiles = [np.full((28, 28), shade, np.uint8) for shade in range(10)]
    figure = images.pictures(tiles, [f"{number} → 9" for number in range(10)], "Ten")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [f"{number} → 9" for number in range(10)]
    assert axes.images[0].get_clim() == (0, 255)
    left, right, bottom, top = np.array([image.get_extent() for image in axes.images]).T
    assert (right - left == pytest.approx(top - bottom)) and (left[1:8] > right[:7]).all()
    assert (top[8:] < bottom[:2] - 0.15).all()  # the captions stand between the rows
    signed = images.pictures([np.array([[-2.0, 1.0]])], ["unit"], "Weights", signed=True)
    assert signed.axes[0].images[0].get_clim() == (-2, 2)
