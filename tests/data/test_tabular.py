import gzip
import json
import os
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from study.base.errors import DataError
from study.data import memory, tabular
from study.data.dataset import load_dataset
from study.data.features import Column, Features
from study.data.split import BY_CLASS, TEST_BY_CLASS

ROWS = 40
COLOURS = ["red", "green", "blue", "green"]


def frame(**changed) -> pd.DataFrame:
    """A table of two classes with a number, a text, and a yes or no; `changed` columns replace or join them."""
    number = np.arange(ROWS)
    columns = {
        "height": number / 8, "colour": [COLOURS[row % 4] for row in number], "tame": number % 3 == 0,
        "species": np.where(number % 5 < 2, "cat", "dog"),
    } | changed  # fmt: skip
    return pd.DataFrame({name: values for name, values in columns.items() if values is not None})


def saved(path, whole: pd.DataFrame):
    whole.to_csv(path, index=False) if path.suffix == ".csv" else whole.to_parquet(path, index=False)
    return str(path)


def message(*arguments, **settings) -> str:
    with pytest.raises(DataError) as error:
        load_dataset(*arguments, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", tabular.SUFFIXES)
def test_a_table_becomes_numbers_classes_and_three_splits(tmp_path, suffix):
    dataset = load_dataset(saved(tmp_path / f"pets{suffix}", frame()), target="species")
    assert (dataset.name, dataset.kind, dataset.target) == ("pets", "features", "species")
    assert dataset.class_names == ("cat", "dog") and dataset.classes == 2
    assert dataset.features.names == ("height", "colour=blue", "colour=green", "colour=red", "tame")
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [27, 5, 8]
    assert (dataset.split, dataset.test_split) == (BY_CLASS, TEST_BY_CLASS)
    assert np.bincount(dataset.test.labels).tolist() == [3, 5]
    rows = np.concatenate([dataset.train.inputs, dataset.validation.inputs, dataset.test.inputs])
    assert rows.dtype == np.float32 and rows.shape == (ROWS, 5)
    labels = np.concatenate([dataset.train.labels, dataset.validation.labels, dataset.test.labels])
    for values, label in zip(rows, labels, strict=True):
        row = round(values[0] * 8)
        assert values.tolist() == [
            row / 8,
            *(COLOURS[row % 4] == one for one in ("blue", "green", "red")),
            row % 3 == 0,
        ]
        assert label == (row % 5 >= 2)


def test_both_kinds_of_files_are_the_same_data_and_a_renamed_column_or_class_is_not(tmp_path):
    files = [saved(tmp_path / f"pets{suffix}", frame()) for suffix in tabular.SUFFIXES]
    one, other = (load_dataset(file, target="species").sha256 for file in files)
    assert one == other
    renamed = saved(tmp_path / "renamed.csv", frame().rename(columns={"height": "width"}))
    named = saved(tmp_path / "named.csv", frame(species=["cat" if row % 5 < 2 else "wolf" for row in range(ROWS)]))
    assert len({one, *(load_dataset(file, target="species").sha256 for file in (renamed, named))}) == 3


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_found(tmp_path, separator):
    frame().to_csv(tmp_path / "pets.csv", index=False, sep=separator, encoding="utf-8-sig")
    assert load_dataset(str(tmp_path / "pets.csv"), target="species").features.names[0] == "height"


@pytest.mark.parametrize("labels, names", [
    (np.arange(ROWS) % 3, ("0", "1", "2")), (np.arange(ROWS) % 3 + 1, ("1", "2", "3")),
    (np.arange(ROWS) % 2 * 4.0 + 3, ("3", "7")), (np.arange(ROWS) % 2 == 0, ("False", "True")),
    ([str(row % 3 * 5) + "+" for row in range(ROWS)], ("0+", "10+", "5+")),
])  # fmt: skip
def test_labels_of_any_type_are_classes(tmp_path, labels, names):
    assert load_dataset(saved(tmp_path / "pets.csv", frame(species=labels)), target="species").class_names == names


# --- missing values, and what says nothing ----------------------------------------------------------


def test_a_missing_number_is_the_median_of_what_is_not_for_the_test_and_says_so(tmp_path):
    heights = np.where(np.arange(ROWS) % 4 == 1, np.nan, np.arange(ROWS) / 8)
    dataset = load_dataset(saved(tmp_path / "pets.csv", frame(height=heights, weight=heights)), target="species")
    column = dataset.features.columns[0]
    assert column.names == ("height", "height is missing") and column.optional
    known = dataset.pool.inputs[dataset.pool.inputs[:, 1] == 0, 0]
    assert column.fill == np.median(known)
    assert set(dataset.pool.inputs[dataset.pool.inputs[:, 1] == 1, 0]) == {np.float32(column.fill)}
    assert sum(split.inputs[:, 1].sum() for split in (dataset.pool, dataset.test)) == ROWS / 4


def test_a_missing_text_is_a_category_of_its_own(tmp_path):
    colours = [None if row % 4 == 1 else COLOURS[row % 4] for row in range(ROWS)]
    dataset = load_dataset(saved(tmp_path / "pets.csv", frame(colour=colours)), target="species")
    assert dataset.features.columns[1].names == ("colour=blue", "colour=green", "colour=red", "colour is missing")
    assert (dataset.pool.inputs[:, 1:5].sum(axis=1) == 1).all()


def test_columns_that_say_nothing_are_left_out_by_name(tmp_path):
    whole = frame(planet=["earth"] * ROWS, legs=np.full(ROWS, 4), note=[None] * ROWS)
    dataset = load_dataset(saved(tmp_path / "pets.csv", whole), target="species")
    assert dataset.features.dropped == ("planet", "legs", "note")
    assert dataset.sha256 != load_dataset(saved(tmp_path / "other.csv", frame()), target="species").sha256


# --- what is refused --------------------------------------------------------------------------------

PLACE = "{0}: "


@pytest.mark.parametrize("changed, text", [
    ({"born": pd.date_range("2024-05-01", periods=ROWS)},
     "born: dates are no features; expected numbers or text, got "),
    ({"born": [f"{row + 1}.5.24" for row in range(ROWS)]}, "born: dates are no features; expected numbers or text, "
     "got '1.5.24'. Make numbers of what matters about them, such as the year or the weekday."),
    ({"height": ["?" if row == 7 else str(row) for row in range(ROWS)]},
     "height: text in a column of numbers; got '?' in row 8. A missing number is an empty field."),
    ({"height": np.where(np.arange(ROWS) == 7, np.inf, 1.0)}, "height: an infinite number; got inf in row 8."),
    ({"height": np.where(np.arange(ROWS) == 7, 1e300, 1.0)},
     "height: a number out of range; expected at most 3.4e38, got 1e+300 in row 8."),
    ({"species": ["cat"] * ROWS}, "species: there is only one class; expected 2 to 1,000 classes, "
                                  "got the label cat alone."),
    ({"species": np.arange(ROWS) / 8}, "species: labels that are no classes; expected whole numbers or text, "
     "got 0.125 in row 2. A network here tells classes apart; it doesn't predict numbers."),
    ({"species": [None if row % 9 == 4 else "cat" for row in range(ROWS)]},
     "species: missing labels; expected a label in every row, got none in 4 of 40 rows, the first in row 5."),
    ({"colour": "red", "height": 1, "tame": True}, "the table has no features; expected a column beside the labels, "
     "got columns that have the same value in every row: height, colour, tame."),
    ({"colour": None, "height": None, "tame": None},
     "the table has no features; expected a column beside the labels, got labels alone."),
    ({"colour=red": np.arange(ROWS)}, "two columns are called 'colour=red'. colour=red and “colour is missing” are "
     "names that categories and missing values get. Rename a column."),
    ({"": np.arange(ROWS)}, "column 5 has no name. Write the table without its index: index=False."),
])  # fmt: skip
@pytest.mark.parametrize("suffix", tabular.SUFFIXES)
def test_columns_that_cannot_be_learned_from_are_refused(tmp_path, suffix, changed, text):
    path = saved(tmp_path / f"pets{suffix}", frame(**changed))
    assert message(path, target="species").startswith(f"{path}: {text}")


@pytest.mark.parametrize("values", [["1,5", "2,25", "1.234,5"], ["1,234.5", "12,345", "1,000"]])
def test_numbers_with_commas_are_no_categories(tmp_path, values):
    path = saved(tmp_path / "pets.csv", frame(length=[values[row % 3] for row in range(ROWS)]))
    assert message(path, target="species").startswith(f"{path}: length: numbers with commas; got ")


def test_names_and_keys_are_no_categories(tmp_path, monkeypatch):
    monkeypatch.setattr(tabular, "MOST_CATEGORIES", 39)
    path = saved(tmp_path / "pets.csv", frame(name=[f"pet {row:02}" for row in range(ROWS)]))
    assert message(path, target="species") == (
        f"{path}: name: too many categories; expected at most 39, got 40 different texts, such as 'pet 00'. "
        "Leave the column out, or group its values."
    )


@pytest.mark.parametrize("text, said", [
    ("", "an empty file, or an empty first line; expected the names of the columns."),
    ("a,b,a\n1,2,3\n", "two columns have the same name; got 'a'."),
    ("a,species\n", "the table has no rows; expected at least one."),
    ("a,species\n1,x\n2,y\n", "too few rows; expected at least 5, got 2."),
    ("a,species\n1,x\n2\n", "row 3 has another number of fields than the first one, which names the columns; "
                            "expected 2, got 1."),
    ("a,species\n1,x\n2,y,z\n", "row 3 has another number of fields than the first one, which names the columns; "
                                "expected 2, got 3."),
    ('a,species\n1,x\n2,"y\n', "damaged (unexpected end of data)."),
    ("a,species\n1,x\n2,y\0\n", "damaged (a zero byte)."),
    (b"a,species\n\xff\xfe,x\n", 'not UTF-8 text (byte 10). Write it as such: encoding="utf-8".'),
    (gzip.compress(b"a,species\n1,x\n", mtime=0), "not UTF-8 text (byte 1). "),
])  # fmt: skip
def test_a_csv_file_that_is_none_is_refused(tmp_path, text, said):
    path = tmp_path / "pets.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message(str(path), target="species").startswith(f"{path}: {said}")


def test_a_parquet_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "pets.parquet"
    whole = frame(home=[[1.0, 2.0]] * ROWS)
    said = message(saved(path, whole), target="species")
    assert said.startswith(f"{path}: home: not a plain column; expected numbers or text, got list<")
    path.write_bytes(path.read_bytes()[:500])
    assert message(str(path), target="species").startswith(f"{path}: not a Parquet file, or a damaged one (")
    path.write_bytes(b"")
    assert message(str(path), target="species").startswith(f"{path}: not a Parquet file, or a damaged one (")


def test_the_target_is_a_column_and_only_tables_have_one(tmp_path):
    path = saved(tmp_path / "pets.csv", frame())
    assert message(path) == (
        f"{path}: target is missing. Name the column that has the labels: "
        "-P target=…, one of height, colour, tame, species."
    )
    assert message(path, target="specis") == f"{path}: there is no column 'specis'. Did you mean species?"
    assert message("digits", target="species") == (
        "digits: target=species has no effect with a dataset with labels of its own."
    )
    assert message(path, target="species", size="8x8") == f"{path}: size=8x8 has no effect with a table."


@pytest.mark.parametrize("suffix", tabular.SUFFIXES)
def test_a_table_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, suffix, monkeypatch):
    path = saved(tmp_path / f"zeros{suffix}", pd.DataFrame(np.zeros((50_000, 4)), columns=list("abcd")))
    monkeypatch.setattr(memory, "memory_available", lambda: 10**6)
    monkeypatch.setattr(tabular, "_csv_frame", None)
    monkeypatch.setattr(tabular, "_parquet_frame", None)
    said = message(path, target="a")
    assert re.search(
        r"50,00\d rows of 4 columns need more memory than is free; expected at most 0.00 GB, got 0.0", said
    )


def test_a_pipe_is_refused_without_reading_it(tmp_path):
    os.mkfifo(tmp_path / "pets.csv")
    assert message(str(tmp_path / "pets.csv"), target="a") == f"{tmp_path}/pets.csv: a pipe; expected a file."


# --- named values -----------------------------------------------------------------------------------

FEATURES = Features(
    (
        Column("height"),
        Column("weight", None, True, 2.5),
        Column("colour", ("blue", "red"), True),
        Column("size", ("S",)),
    ),
    ("planet",),
)
ROW = {"height": 1, "weight": 2.0, "colour": "red", "size": "S"}


def test_named_values_become_the_rows_of_the_table(tmp_path):
    dataset = load_dataset(saved(tmp_path / "pets.csv", frame()), target="species")
    features = Features.from_plain(json.loads(json.dumps(dataset.features.as_plain())))
    assert features == dataset.features
    rows = frame().drop(columns="species").to_dict("records")
    encoded = features.encode(rows)
    assert encoded.dtype == np.float32
    assert sorted(encoded.tolist()) == sorted([*dataset.pool.inputs.tolist(), *dataset.test.inputs.tolist()])


def test_a_row_may_lack_what_a_training_row_lacked():
    names = ("height", "weight", "weight is missing", "colour=blue", "colour=red", "colour is missing", "size=S")
    assert FEATURES.names == names
    rows = [ROW, {"height": True, "size": "S", "planet": "earth"}, ROW | {"weight": float("nan"), "colour": None}]
    assert FEATURES.encode(rows).tolist() == [[1, 2, 0, 0, 1, 0, 1], [1, 2.5, 1, 0, 0, 1, 1], [1, 2.5, 1, 0, 0, 1, 1]]
    assert Features.from_plain(json.loads(json.dumps(FEATURES.as_plain()))) == FEATURES


@pytest.mark.parametrize("changed, text", [
    ({"height": None}, "height: a missing value in row 2. No training value was missing."),
    ({"height": "tall"}, "height: not a number; expected a number, got 'tall' in row 2."),
    ({"height": [1]}, "height: not a number; expected a number, got [1] in row 2."),
    ({"height": 10**400}, "height: a number out of range; expected at most 3.4e38, got inf in row 2."),
    ({"weight": float("inf")}, "weight: a number out of range; expected at most 3.4e38, got inf in row 2."),
    ({"colour": "reed"}, "colour: an unknown category; expected blue, red, got 'reed' in row 2."),
    ({"colour": ["red"]}, "colour: an unknown category; expected blue, red, got ['red'] in row 2."),
    ({"hight": 1}, "an unknown column; got 'hight' in row 2. Did you mean height or weight?"),
])  # fmt: skip
def test_a_value_that_is_no_feature_is_named_with_its_row(changed, text):
    with pytest.raises(DataError) as error:
        FEATURES.encode([ROW, ROW | changed])
    assert str(error.value) == text


def test_a_text_that_a_small_file_repeats_a_million_times_is_held_once(tmp_path):
    """Two million bytes each in a column of 20,000 rows: 40 GB, if every row had its own."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.arange(20_000) % 2), [letter * 2_000_000 for letter in "ab"])
    whole = pa.table({"text": texts, "species": pa.array(np.arange(20_000) % 2)})
    parquet.write_table(whole, tmp_path / "long.parquet")
    assert (tmp_path / "long.parquet").stat().st_size < 1_000_000
    dataset = load_dataset(str(tmp_path / "long.parquet"), target="species")
    assert dataset.row_shape == (2,)
