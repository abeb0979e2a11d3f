"""A dataset's numbers, each worked out by hand."""

import csv
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from study.data import duplicates, profile
from study.data.column_profile import correlation_ratio, cramers_v
from study.data.dataset import Dataset, Split, load_dataset
from study.data.duplicates import Pair
from study.data.profile import Overlap
from study.reports import dataset_report, dataset_tables

CHECKED = np.indices((8, 8)).sum(axis=0) % 2 == 0


def images(*shades, side=8):
    """Images of one shade each."""
    return np.array([np.full((side, side), shade) for shade in shades], np.uint8)


def split(shades, labels, side=8):
    return Split(images(*shades, side=side), np.array(labels, np.int32))


@pytest.fixture
def dataset():
    """Shades 0, 51, 0 and 255 to train on; 51 again in validation; 0, 54, 120 and 120 in the test, one misnamed."""
    return Dataset(
        name="shades", spec="shades.npz", sha256=64 * "a", classes=3,
        train=split([0, 51, 0, 255], [0, 1, 0, 1]),
        validation=split([51], [1]),
        test=split([0, 54, 120, 120], [1, 0, 0, 0]),
        pool=split([0, 51, 0, 255, 51], [0, 1, 0, 1, 1]),
    )  # fmt: skip


def test_counts_pixels_and_ink(dataset):
    found = profile.profile(dataset, 1, 2)
    assert {name: counts.tolist() for name, counts in found.counts.items()} == {
        "train": [2, 2, 0], "validation": [0, 1, 0], "test": [3, 1, 0],
    }  # fmt: skip
    assert {value: found.pixels[value] for value in np.flatnonzero(found.pixels)} == {0: 128, 51: 64, 255: 64}
    mean, sd = found.mean_and_sd
    assert (mean, sd) == pytest.approx((76.5, np.std([0, 0, 51, 255])))
    np.testing.assert_allclose(found.ink[1], [0.24, 0.4, 0.6, 0.8, 0.96])  # between 0.2 and 1
    assert np.isnan(found.ink[2]).all()
    assert found.never_inked == 0


def test_places_that_no_training_image_inks_are_counted(dataset):
    bordered = dataset.train.inputs.copy()
    bordered[:, 0] = 0
    found = profile.profile(replace(dataset, train=Split(bordered, dataset.train.labels)), 1, 2)
    assert found.never_inked == 8


def test_a_portrait_is_mean_and_sd_by_pixel():
    portrait = profile.portrait(images(10, 30))
    np.testing.assert_array_equal(portrait.mean, np.full((8, 8), 20))
    np.testing.assert_array_equal(portrait.sd, np.full((8, 8), 10))
    assert profile.portrait(images(1)[:0]).mean is None


def test_samples_are_of_their_class_and_the_seeds():
    labels = np.array([0, 1] * 50 + [2])
    drawn = profile.samples(labels, 4, 5, seed=1)
    assert [len(rows) for rows in drawn] == [5, 5, 1, 0]
    assert all((labels[rows] == label).all() and len(set(rows)) == len(rows) for label, rows in enumerate(drawn))
    again, other = profile.samples(labels, 4, 5, seed=1), profile.samples(labels, 4, 5, seed=2)
    assert all(np.array_equal(one, two) for one, two in zip(drawn, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(drawn, other, strict=True))


def test_exact_duplicates_are_found_within_and_between_the_splits(dataset):
    assert profile.profile(dataset, 1, 2).exact == (
        Pair("train", 2, 0, "train", 0, 0, 0.0),
        Pair("validation", 0, 1, "train", 1, 1, 0.0),
        Pair("test", 0, 1, "train", 0, 0, 0.0),
        Pair("test", 3, 0, "test", 2, 0, 0.0),
    )


def test_nearest_are_by_distance_without_those_that_are_the_same(dataset):
    found = profile.profile(dataset, 1, 2)
    assert [(pair.row, pair.of_row, pair.distance) for pair in found.nearest] == [(1, 1, 3.0), (2, 1, 69), (3, 1, 69)]
    assert found.near == (Pair("test", 1, 0, "train", 1, 1, 3.0),)


def test_overlaps_count_images_and_those_that_contradict(dataset):
    assert profile.overlaps(profile.profile(dataset, 1, 2)) == (
        Overlap("train", "train", 1, 0, None, None),
        Overlap("validation", "train", 1, 0, 0, 0),
        Overlap("validation", "validation", 0, 0, None, None),
        Overlap("test", "train", 1, 1, 1, 1),
        Overlap("test", "validation", 0, 0, None, None),
        Overlap("test", "test", 1, 0, None, None),
    )


def test_the_distance_is_that_of_all_pixels_not_of_the_cells():
    # A chessboard of 8 grey levels up and down: the fields' means hide it in part, the pixels do not.
    board = np.where(CHECKED, 108, 92).astype(np.uint8)[None]
    (pair,) = duplicates.nearest_pairs("test", Split(board, np.array([0])), "train", split([100, 255], [0, 1]))
    assert (pair.of_row, pair.distance) == (0, 8.0)


@pytest.mark.parametrize("shape", [(28, 28), (8, 13), (1, 2), (3, 40), (9, 8, 3)])
def test_the_distance_of_the_cells_is_never_more_than_that_of_the_pixels(shape):
    one, two = np.random.default_rng(1).integers(0, 256, (2, 20, *shape)).astype(np.uint8)
    cells = np.sqrt(np.square(duplicates.cells(one) - duplicates.cells(two)).sum(axis=1))
    assert (cells <= duplicates.rms(one, two) * (1 + 1e-5)).all()
    flat = np.full((1, *shape), 200, np.uint8)
    assert np.square(duplicates.cells(flat)).sum() == pytest.approx(200**2)
    assert duplicates.cells(flat).shape == (1, min(7, shape[0]) * min(7, shape[1]) * (3 if shape[2:] else 1))


def test_blocks_of_queries_join_without_a_seam(digits, monkeypatch):
    monkeypatch.setattr(duplicates, "QUERIES", 100)
    pairs = list(duplicates.nearest_pairs("test", digits.test, "train", digits.train))
    assert [pair.row for pair in pairs] == list(range(len(digits.test)))
    queries, others = duplicates.cells(digits.test.inputs), duplicates.cells(digits.train.inputs)
    plainly = np.square(queries[:, None] - others).sum(axis=2)
    chosen = plainly[np.arange(len(pairs)), [pair.of_row for pair in pairs]]
    np.testing.assert_allclose(chosen, plainly.min(axis=1), rtol=1e-3)


def test_pictures_that_are_too_small_are_not_compared_nor_shown(dataset):
    small = replace(
        dataset, train=split([0, 51, 0, 255], [0, 1, 0, 1], side=2), validation=split([51], [1], side=2),
        test=split([54], [0], side=2),
    )  # fmt: skip
    found = profile.profile(small, 1, 2)
    assert found.nearest is None and found.near == () and len(found.exact) == 2
    assert all(row.near is None for row in profile.overlaps(found))
    assert set(dataset_report.write(found, small, 1).pictures) == {"shares", "ink", "pixels"}


def test_a_page_shows_a_class_without_images_and_what_is_there_twice(dataset):
    document = dataset_report.write(profile.profile(dataset, 1, 2), dataset, 1)
    pictures = {"shares", "ink", "samples", "means", "sds", "pixels", "twice", "closest", "contradicting"}
    assert set(document.pictures) == pictures
    assert "2 · –" in document.pictures["samples"] and "test 0: 1 | 0: 0" in document.pictures["twice"]
    assert "Duplicates (5 of 5)" in document.pictures["twice"]
    assert "mlflow run . -e explore -P data=shades.npz -P validation=1 -P seed=1" in document.markdown()


def test_what_is_wrong_is_said_in_short(dataset):
    assert dataset_tables.in_short(profile.profile(dataset, 1, 2)) == (
        "No training images of class 2. No validation images of classes 0, 2. No test images of class 2. Duplicate "
        "images: 4, of which 2 repeat an image of another split and 1 have another label than the image they repeat. "
        "Near duplicates of training images in validation and test: 1, of which 1 have another label."
    )


def test_the_tables_name_every_class_and_every_pair(dataset):
    found = profile.profile(dataset, 1, 2)
    counts = list(csv.DictReader(io.StringIO(dataset_tables.counts_table(found).csv())))
    assert [(row["class"], row["train"], row["test"], row["ink_q50"]) for row in counts] == [
        ("0", "2", "3", "0"), ("1", "2", "1", "0.6"), ("2", "0", "0", "nan"),
    ]  # fmt: skip
    pairs = list(csv.DictReader(io.StringIO(dataset_tables.duplicates_table(found).csv())))
    assert [row["kind"] for row in pairs] == ["exact"] * 4 + ["near"]
    assert pairs[-1] == {
        "kind": "near", "split": "test", "row": "1", "label": "0", "of_split": "train", "of_row": "1", "of_label": "1",
        "distance": "3", "contradicts": "true",
    }  # fmt: skip
    assert dataset_tables.class_table(found).cells()[2] == ("2", "0", "0", "0", "0.00", "–")


def test_many_classes_are_cut_off_in_the_table_and_said_to_be():
    labels = np.arange(60, dtype=np.int32) % 30
    rows = Split(np.random.default_rng(1).integers(0, 256, (60, 2, 3)).astype(np.uint8), labels)
    splits = dict.fromkeys(("train", "validation", "test", "pool"), rows)
    many = Dataset(name="many", spec="many.npz", sha256=64 * "b", classes=30, **splits)
    found = profile.profile(many, 1, 2)
    cells = dataset_tables.class_table(found).cells()
    assert len(cells) == 22 and cells[20][0] == "… 10 more" and cells[21][:2] == ("all", "60")
    assert "the first 20 of 30" in dataset_report.write(found, many, 1).html()


# --- features ---------------------------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path):
    """Two classes: a weight that parts them, a length that does not, a colour with gaps, and a planet."""
    row = np.arange(40)
    whole = {
        "weight": row // 20 + row % 5 / 100, "length": row % 2, "planet": ["earth"] * 40,
        "colour": [[None, "red", "green", "green"][each % 4] for each in row],
        "kind": np.where(row < 20, "cat", "dog"),
    }  # fmt: skip
    pd.DataFrame(whole).to_csv(tmp_path / "pets.csv", index=False)
    return load_dataset(str(tmp_path / "pets.csv"), target="kind")


def test_what_a_number_says_about_the_class_is_the_correlation_ratio():
    values, labels = np.array([1.0, 2, 3, 4, np.nan]), np.array([0, 0, 1, 1, 0])
    assert correlation_ratio(values, labels, 2) == pytest.approx(abs(np.corrcoef(values[:4], labels[:4])[0, 1]))
    # Between the classes (2 and 5): 4 · 1.5²; in total that and 4 · 0.5².
    assert correlation_ratio(np.array([1.5, 2.5, 4.5, 5.5]), labels[:4], 3) == pytest.approx(np.sqrt(9 / 10))
    assert np.isnan(correlation_ratio(np.array([2.0, 2.0]), labels[:2], 2))


def test_what_a_category_says_about_the_class_is_cramers_v():
    assert cramers_v(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])) == 1
    assert cramers_v(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])) == 0
    # χ² of ((3, 1), (1, 3)) is 2 of 8 rows.
    values, labels = np.repeat([0, 0, 1, 1], [3, 1, 1, 3]), np.repeat([0, 1, 0, 1], [3, 1, 1, 3])
    assert cramers_v(values, labels) == pytest.approx(0.5)
    assert np.isnan(cramers_v(np.zeros(4, int), labels[:4]))


def test_the_columns_of_a_table_are_profiled_by_their_own_names(pets):
    found = profile.profile(pets, 1, 2)
    assert [(column.name, column.categories) for column in found.columns] == [
        ("weight", None), ("length", None), ("colour", ("green", "red")),
    ]  # fmt: skip
    weight, length, colour = found.columns
    assert weight.association > 0.99 and length.association < 0.2 and found.dropped == ("planet",)
    assert colour.missing.sum() == pets.train.inputs[:, -1].sum() > 0
    assert not weight.missing.any() and not length.is_constant
    said = dataset_tables.in_short(found)
    assert "values are missing, in colour." in said and "because every row has the same value: planet." in said
    assert "By itself weight says most about the class (1.00 of 1)" in said and "no duplicate rows." in said
    rows = list(csv.DictReader(io.StringIO(dataset_tables.columns_table(found).csv())))
    assert [row["categories"] for row in rows] == ["", "", "green|red"] and rows[1]["q100"] == "1"


def test_a_page_of_features_shows_their_distributions(pets):
    document = dataset_report.write(profile.profile(pets, 1, 2), pets, 1)
    assert set(document.pictures) == {"shares", "distributions", "missing"}
    page = document.markdown()
    assert "pets: 40 rows of 3 features in 2 classes" in page and "-P target=kind" in page
    assert "images" not in page and "pixel" not in page and "| cat" in page


def test_features_that_are_no_table_have_places_for_names(tmp_path):
    values = np.random.default_rng(1).normal(size=(30, 2, 3))
    np.savez(tmp_path / "own.npz", x_train=values, y_train=np.arange(30) % 2)
    dataset = load_dataset(str(tmp_path / "own.npz"))
    found = profile.profile(dataset, 1, 2)
    assert [column.name for column in found.columns] == [f"[{i}, {j}]" for i in range(2) for j in range(3)]
    assert "own: 30 rows of 2×3 features in 2 classes" in dataset_report.write(found, dataset, 1).markdown()


def test_images_in_colour_are_shown_in_colour(tmp_path):
    shades = np.random.default_rng(1).integers(1, 256, (30, 1, 1, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x_train=shades, y_train=np.arange(30) % 2, class_names=np.array(["ant", "bee"]))
    dataset = load_dataset(str(tmp_path / "own.npz"))
    found = profile.profile(dataset, 1, 2)
    assert found.nearest is not None and not found.is_ink
    document = dataset_report.write(found, dataset, 1)
    assert {"samples", "means", "sds", "closest"} <= set(document.pictures)
    assert "colour images of 8×8 pixels" in document.markdown() and "bee" in document.pictures["samples"]
    assert dataset_tables.class_table(found).titles[-1] == "brightness (%)"
