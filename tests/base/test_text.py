import pytest

from study.base.errors import StudyError
from study.base.text import in_one_line, readable


@pytest.mark.parametrize("text, shown", [
    ("größer – 数字 🙂 ±\u00a0x\n", "größer – 数字 🙂 ±\u00a0x\n"),
    ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
    ("a\rb\tc\x00\x7f\x9b", "a\\rb\\tc\\x00\\x7f\\x9b"),
    ("\u202egnp.exe", "\\u202egnp.exe"), ("\udcff.png", "\\xff.png"),
])  # fmt: skip
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert readable(text) == shown and readable(shown) == shown
    shown.encode()


def test_an_error_is_one_line_that_a_terminal_only_shows():
    error = StudyError("it\nfails", where="\x1b[2J.yaml", got="a\r\nb")
    assert str(error) == "\\x1b[2J.yaml: it fails; got a b." and in_one_line("a\nb") == "a b"
