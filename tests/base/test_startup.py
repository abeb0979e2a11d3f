import io
import sys
from importlib import import_module

import pytest

from study.base import startup
from study.base.startup import accept_any_text


def test_a_stream_that_is_not_utf_8_takes_every_character(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    accept_any_text()
    print("a – b \udcff")
    stream.flush()
    assert stream.buffer.getvalue() == b"a \\u2013 b \\udcff\n"


def test_what_keras_can_do_without_is_imported_after_the_block_only(monkeypatch):
    monkeypatch.setattr(startup, "_EXTRAS", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with startup.without_extras(), pytest.raises(ImportError):
        import_module("colorsys")
    assert import_module("colorsys").rgb_to_hsv
