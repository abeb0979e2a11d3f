import re

import numpy as np
import pytest
from factories.pages import Page
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from study.analysis.statistics import Estimate
from study.reports.document import Document, Interactive
from study.reports.markdown import plain
from study.reports.plots import images, panels, style
from study.reports.table import Table

LOADING = {"src", "href", "xlink:href", "data", "poster", "action", "srcset", "background"}
NASTY = [
    "a|b", "*bold* _so_ __so__", "<script>alert(1)</script>", "</td></table><h1>x", "$x_1$ and $y$", "größer – 数字 🙂",
    "[a](javascript:alert(1))", "![a](https://example.org/a.svg)", "<https://example.org>", "https://example.org/a_b_c",
    "`code` ``", "a\\|b", "back\\", "\\*", "# no heading", "~~gone~~", "&amp; &lt; &#60; &", '"quoted" \'so\'',
    "a ### b", "x <!-- y", "--> z", "]]>", "{{ x }}", "&nbsp;", ":---", "a == b", "^1 [^1]", "l2=0.001, hidden=64-64",
    "1 * 2 * 3", "!",
]  # fmt: skip
MARKS_IN_FRONT = ["- item", "+ plus", "1. first", "2024) year", "---", "- - -", "===", "> quoted", "# one", "    code"]


def picture(label: str, text: str = "a title") -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.set_label(label)
    figure.suptitle(style.literal(text))
    return figure


def with_everything() -> Document:
    document = Document("epochs: how long?")
    document.text("**In short.** More helps.", "> Not on MNIST.")
    document.heading("Arms")
    rows = [("few", "7", "epochs=1"), ("many", "6 (1 failed)", "–")]
    document.table(Table(("arm", "trials", "changes"), rows, ["changes"]))
    document.heading("Effects", 3)
    rows = [("many", Estimate(0.4, 0.2, 7), style.COLOURS[0])]
    tiles = images.pictures(np.eye(8)[None].repeat(3, axis=0), ["1 → 7"] * 3, "Three images")
    document.figures({"differences": panels.forest(rows, "Differences", "points", 0.1), "images": tiles})
    document.text("```sh\nmlflow run . -e ablation -P task=epochs\n```")
    return document


# --- the two forms ----------------------------------------------------------------------------------


def test_a_document_as_markdown():
    document = Document("epochs: how long?")
    document.text("**In short.** More helps.", "A second paragraph.")
    document.heading("Arms")
    rows = [("few", "7", "epochs=1"), ("many", "6", "")]
    document.table(Table(("arm", "trials", "changes"), rows, words=("changes",)))
    document.heading("Below", 3)
    document.figures({"one": picture("a label"), "two": picture("another")})
    assert document.markdown() == (
        "# epochs: how long?\n\n"
        "**In short.** More helps.\n\n"
        "A second paragraph.\n\n"
        "## Arms\n\n"
        "| arm | trials | changes |\n| :--- | ---: | :--- |\n| few | 7 | epochs=1 |\n| many | 6 |  |\n\n"
        "### Below\n\n"
        "![a label](figures/one.svg)\n![another](figures/two.svg)\n"
    )


def test_markdown_and_html_say_the_same():
    document = with_everything()
    page = Page(document.html())
    as_others_read_it = Page(MarkdownIt("commonmark").enable("table").render(document.markdown()))
    assert page.text == as_others_read_it.text
    assert page.said("h1", "h2", "h3") == ["epochs: how long?", "Arms", "Effects"]
    assert page.said("td") == ["few", "7", "epochs=1", "many", "6 (1 failed)", "–"]
    assert page.said("code") == ["mlflow run . -e ablation -P task=epochs"]
    assert page.values("aria-label") == as_others_read_it.values("alt")


def test_the_title_is_the_windows_too():
    assert "<title>a &lt; b &amp; c_d</title>" in Document("a < b & c_d").html()


def test_columns_are_aligned_words_left_and_numbers_right():
    document = Document("t")
    rows = [("a", "7", "helps"), ("b", "7", "hurts")]
    document.table(Table(("arm", "trials", "verdict"), rows, words=("verdict",)))
    left, right = "text-align:left", "text-align:right"
    attributes = Page(document.html()).attributes
    aligned = [value for tag, name, value in attributes if tag in ("th", "td") and name == "style"]
    assert aligned == [left, right, left] * 3


def test_a_table_can_be_wider_than_the_page():
    document = Document("t")
    document.table(Table(("arm",), [("a",)]))
    document.table(Table(("arm",), []))
    html = document.html()
    assert html.count('<div class="wide"><table>') == html.count("</table></div>") == 2
    assert Page(html).tags.count("table") == 2


# --- one file ---------------------------------------------------------------------------------------


def test_the_page_needs_no_other_file_and_no_network():
    document = with_everything()
    html = document.html()
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & set(page.tags)
    assert page.tags.count("svg") == len(document.pictures) == 2
    for tag, name, value in page.attributes:
        if name in LOADING:
            assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:80])
        elif not name.startswith("xmlns"):
            assert "://" not in value, (tag, name)
    assert any(value.startswith("data:image/png") for value in page.values("xlink:href"))
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", html))
    assert "@import" not in html


def test_what_a_picture_refers_to_is_in_the_page():
    page = Page(with_everything().html())
    links = [value[1:] for value in page.values("xlink:href") if value.startswith("#")]
    clips = re.findall(r"url\(#(.*?)\)", " ".join(page.values("clip-path")))
    assert links and clips
    assert {*links, *clips} <= set(page.values("id"))


def test_pictures_stand_in_the_page_as_they_lie_beside_it():
    document = with_everything()
    html = document.html()
    for svg in document.pictures.values():
        Page(svg)
        assert svg.removeprefix("<svg ").strip() in html


def test_pictures_of_one_paragraph_stand_side_by_side():
    document = Document("t")
    document.figures({name: picture(f"label {name}") for name in ("a", "b", "c")})
    document.text("Between.")
    document.figures({"d": picture("label d")})
    html = document.html()
    assert Page(html).values("aria-label") == ["label a", "label b", "label c", "label d"]
    groups = re.findall(r'<div class="pictures">(.*?)</div>', html, flags=re.S)
    assert [group.count("<figure>") for group in groups] == [3, 1]
    assert "<p><figure>" not in html
    assert Page(html).said("p") == ["Between."]


# --- text of people ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", NASTY)
def test_text_of_people_comes_out_as_typed(text):
    document = Document(text)
    document.heading(text)
    document.text(plain(text), f"It says {plain(text)} here.", f"**{plain(text)}**", f"> {plain(text)} x")
    document.table(Table((text, "n"), [(text, "7"), (f"a {text} b", text)]))
    html = document.html()
    page = Page(html)
    assert page.said("h1") == page.said("h2") == page.said("strong") == [text]
    assert page.said("p") == [text, f"It says {text} here.", f"{text} x"]
    assert page.said("th") == [text, "n"]
    assert page.said("td") == [text, "7", f"a {text} b", text]
    assert not {"script", "a", "img", "em", "del", "code"} & set(page.tags)
    assert page.tags.count("table") == page.tags.count("h1") == 1


@pytest.mark.parametrize("text", MARKS_IN_FRONT)
def test_a_paragraph_of_people_begins_as_typed(text):
    document = Document("t")
    document.text("Before.", plain(text))
    assert Page(document.html()).said("p", "li", "pre", "code", "h1", "h2") == ["t", "Before.", text.strip()]
    assert Page(document.html()).said("p") == ["Before.", text.strip()]


def test_pictures_labels_come_out_as_typed():
    document = Document("t")
    document.figures({f"figure_{number}": picture(text) for number, text in enumerate(NASTY)})
    page = Page(document.html())
    assert page.tags.count("svg") == page.tags.count("figure") == len(NASTY)
    assert page.values("aria-label") == NASTY


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "</svg><img src=x onerror=alert(1)>", '" onload="x', "</figure></p>&"]
)
def test_text_in_a_picture_cannot_break_out_of_it(text):
    document = Document("t")
    document.figures({"one": picture(text, text), "two": picture(text, text)})
    page = Page(document.html())
    assert not {"script", "img"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("svg") == page.tags.count("figure") == 2
    assert page.tags.count("div") == 1


def test_line_ends_and_tabs_are_spaces():
    assert plain("a\n\n# b\t c\r\n") == r"a \# b c"
    document = Document("a\nb")
    document.table(Table(("x",), [("one\n\ntwo | three",)]))
    assert Page(document.html()).said("h1", "td") == ["a b", "one two | three"]


def test_plain_takes_what_is_not_text():
    assert plain(0.5) == "0.5"
    assert plain(None) == "None"


def test_ordinary_words_and_numbers_stay_as_they_are():
    for text in (
        "97.62 ± 0.11",
        "+0.25 ± 0.11",
        "−0.3",
        "-0.3",
        "lr=0.001, hidden=64-64",
        "▲ helps by 1.00 points",
        "–",
    ):
        assert plain(text) == text


# --- figures that answer to the pointer -------------------------------------------------------------


def live(name: str, title: str = "a title") -> Interactive:
    return Interactive(
        title, f'<div class="plot" id="{name}"></div><script>draw("{name}")</script>', picture("a label")
    )


def test_a_page_has_the_library_once_however_many_figures_call_it():
    document = Document("t")
    document.interactive({"one": live("one"), "two": live("two")}, "const library = 1")
    document.interactive({"three": live("three")}, "const library = 1")
    html = document.html()
    assert html.count("const library = 1") == 1
    assert html.index("const library = 1") < html.index("</head>") < html.index('draw("one")')
    assert [name for name in ("one", "two", "three") if html.count(f'draw("{name}")') == 1] == ["one", "two", "three"]
    assert Page(html).values("class").count("pictures") == 2


def test_a_live_figure_has_a_picture_for_paper_and_for_markdown():
    document = Document("t")
    document.interactive({"one": live("one", "<b> & so")}, "")
    document.figures({"two": picture("still")})
    assert document.markdown() == "# t\n\n![a label](figures/one.svg)\n\n![still](figures/two.svg)\n"
    assert set(document.pictures) == {"one", "two"}
    html = document.html()
    page = Page(html)
    assert page.said("figcaption") == ["<b> & so"]
    assert page.values("class").count("live") == page.values("class").count("paper") == 1
    assert page.tags.count("svg") == 2
    assert ".paper { display: none; }" in html and ".plot, figcaption { display: none; }" in html


def test_a_page_without_live_figures_has_no_script():
    assert "script" not in Page(with_everything().html()).tags
