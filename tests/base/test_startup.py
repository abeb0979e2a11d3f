import io
import sys

from study.base.startup import accept_any_text


def test_a_stream_that_is_not_utf_8_takes_every_character(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    accept_any_text()
    print("a – b \udcff")
    stream.flush()
    assert stream.buffer.getvalue() == b"a \\u2013 b \\udcff\n"
