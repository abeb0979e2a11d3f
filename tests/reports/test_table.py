import numpy as np
from factories.pages import Page
from markdown_it import MarkdownIt

from study.analysis.formatting import percent, show_p
from study.analysis.statistics import Estimate
from study.reports.table import Column, Table

TABLE = Table(
    (
        Column("arm"),
        Column("trials", ("trials", "failed"), text=lambda two: f"{two[0]} ({two[1]} failed)", fields=tuple),
        Column("accuracy (%)", ("mean", "half_width"),
               fields=lambda one: (one.mean, one.half_width) if one else ("", "")),
        Column("p", text=show_p),
        "images",
        Column("verdict", words=True),
    ),
    [
        ("a | b", (7, 0), Estimate(97.618300001, 0.1134, 7), 0.03125, np.int64(12_345), "▲ helps"),
        ("-1", (0, 2), None, None, None, "-2 is no number"),
    ],
)  # fmt: skip


def test_people_get_the_digits_that_a_number_justifies_and_a_dash_for_nothing():
    assert TABLE.cells() == [
        ("a | b", "7 (0 failed)", "97.62 ± 0.11", "0.0312", "12,345", "▲ helps"),
        ("-1", "0 (2 failed)", "–", "–", "–", "-2 is no number"),
    ]


def test_a_csv_file_has_full_precision_a_column_for_every_number_and_empty_fields():
    assert TABLE.csv() == (
        "arm,trials,failed,mean,half_width,p,images,verdict\n"
        "a | b,7,0,97.618300001,0.1134,0.03125,12345,▲ helps\n"
        "-1,0,2,,,,,'-2 is no number\n"
    )


def test_markdown_has_the_same_cells_words_left_and_numbers_right():
    rules = TABLE.markdown().splitlines()[1]
    assert rules == "| :--- | ---: | ---: | ---: | ---: | :--- |"
    page = Page(MarkdownIt("commonmark").enable("table").render(TABLE.markdown()))
    assert page.said("th") == TABLE.titles
    cells = [cell for row in TABLE.cells() for cell in row]
    assert page.said("td") == [cell.replace("-1", "−1").replace("-2", "−2") for cell in cells]


def test_titles_alone_are_numbers_but_for_the_first_and_those_that_are_named():
    table = Table(("class", "n", "against"), ((str(one), one, one) for one in range(2)), words=("against",))
    assert [column.words for column in table.columns] == [True, False, True]
    assert table.csv() == "class,n,against\n0,0,0\n1,1,1\n"
    assert Table(("class", Column("share (%)", text=percent)), [("0", 0.12345), ("1", np.nan)]).cells() == [
        ("0", "12.3"), ("1", "–"),
    ]  # fmt: skip


def test_a_cell_that_is_no_number_is_a_dash():
    assert Table(("arm", "loss"), [("a", float("nan")), ("b", np.float64("nan"))]).cells() == [("a", "–"), ("b", "–")]
